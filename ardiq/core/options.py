"""The options of one queue, checked: every default of the settings table is written here, once."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Literal

from ardiq.core.dotted import resolve
from ardiq.core.errors import OptionError
from ardiq.core.names import check_name
from ardiq.core.redact import MASK, masked, safe_url
from ardiq.core.rules import Complaint, complaints

__all__ = ["Complaint", "Options", "check_name", "complaints"]

SigningKey = str | bytes | Sequence[str | bytes]
Backoff = int | Literal["exponential"] | Callable[[int, BaseException], int]


class _Same:
    """Stands in a cache key for an object that cannot be hashed: equal only to itself, kept alive."""

    __slots__ = ("thing",)

    def __init__(self, thing: object) -> None:
        self.thing = thing

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and self.thing is other.thing

    def __hash__(self) -> int:
        return id(self.thing)


def _frozen(value: object) -> Hashable:
    if isinstance(value, Mapping):
        return ("dict", *sorted((str(key), _frozen(item)) for key, item in value.items()))
    if isinstance(value, (list, tuple)):
        return tuple(_frozen(item) for item in value)
    try:
        hash(value)
    except TypeError:
        return _Same(value)
    # 1, 1.0 and True are one key to a dict but not to redis-py.
    return (type(value).__name__, value)


@dataclass(frozen=True, slots=True)
class Options:
    """What one queue runs with. Times are milliseconds, sizes bytes; built with ``Options.build``."""

    queue: str = "default"
    redis_url: str = "redis://localhost:6379/0"
    redis_options: Mapping[str, Any] = field(default_factory=dict)
    priorities: tuple[str, ...] = ("default",)
    default_priority: str = "default"
    lane_weights: Mapping[str, int] | None = None
    lane_limits: Mapping[str, int] | None = None
    concurrency: int = 16
    threads: int = 16
    prefetch: int | Literal["auto"] = "auto"
    lease_ms: int = 30_000
    grace_ms: int = 25_000
    crash_limit: int = 3
    max_retries: int = 3
    backoff_ms: Backoff = 0
    max_backoff_ms: int = 3_600_000
    jitter: bool = True
    result_ttl_ms: int = 86_400_000
    failed_ttl_ms: int = 604_800_000
    failed_max: int = 100_000
    max_queued: int | None = None
    max_payload_bytes: int = 1_048_576
    max_result_bytes: int = 1_048_576
    enqueue_on_commit: bool = True
    durable: bool = False
    once_ttl_ms: int = 604_800_000
    signing: bool = True
    signing_key: SigningKey | None = None
    serializer: Callable[[Any], bytes] | None = None
    deserializer: Callable[[bytes], Any] | None = None
    time_zone: str = "UTC"
    propagate: tuple[str, ...] = ()
    admin: bool = True
    admin_enqueue: Literal["marked", "all"] = "marked"
    admin_refresh: int = 5
    redactor: Callable[[str, Any], Any] | None = None
    trace_url: str | None = None
    cache_key: tuple[Hashable, ...] = field(init=False, repr=False, compare=False)
    """Equal for options that may share a connection: same server, same redis options, same queue."""

    def __post_init__(self) -> None:
        key = (self.redis_url, _frozen(self.redis_options), self.queue)
        object.__setattr__(self, "cache_key", key)

    @classmethod
    def build(
        cls, queue: str, given: Mapping[str, object], *, upper: bool = False, **defaults: object
    ) -> Options:
        """Check what was given and fill in the rest. Raises OptionError with the first complaint.

        ``upper``: ``given`` is spelt as in settings. ``defaults`` (lower case) win over the
        built-in ones and are checked as well: they may come from the environment.
        """
        everything = {**{key.upper() if upper else key: value for key, value in defaults.items()}, **given}
        for complaint in complaints(queue, everything, upper=upper):
            raise OptionError(str(complaint))
        values: dict[str, Any] = {key.lower(): value for key, value in everything.items()}
        lanes = values["priorities"] = tuple(values.get("priorities", ("default",)))
        if values.get("default_priority") is None:
            values["default_priority"] = lanes[len(lanes) // 2]
        if values.get("threads") is None:
            values["threads"] = values.get("concurrency", 16)
        values["propagate"] = tuple(values.get("propagate", ()))
        values["redis_options"] = dict(values.get("redis_options", {}))
        for option in ("lane_weights", "lane_limits"):
            values[option] = dict(values[option]) if values.get(option) else None
        for option in ("serializer", "deserializer", "redactor"):
            values[option] = resolve(values[option]) if values.get(option) is not None else None
        if isinstance(values.get("signing_key"), list):
            values["signing_key"] = tuple(values["signing_key"])
        return cls(queue=queue, **values)

    def check_lane(self, lane: str) -> str:
        """Raise ValueError for a lane that this queue does not have."""
        if lane not in self.priorities:
            raise ValueError(
                f"{lane!r} is no lane of queue {self.queue!r}; its lanes are {', '.join(self.priorities)} "
                "(lowest first, PRIORITIES)."
            )
        return lane

    @property
    def safe_url(self) -> str:
        """The Redis URL with its password masked: the only form that may be shown."""
        return safe_url(self.redis_url)

    def __hash__(self) -> int:
        return hash(self.cache_key)

    def __repr__(self) -> str:
        shown = [f"{item.name}={self._shown(item.name)!r}" for item in fields(self) if item.repr]
        return f"Options({', '.join(shown)})"

    def _shown(self, name: str) -> object:
        value = getattr(self, name)
        if name == "redis_url":
            return self.safe_url
        if name == "signing_key":
            return value if value is None else MASK
        return masked(value) if name == "redis_options" else value
