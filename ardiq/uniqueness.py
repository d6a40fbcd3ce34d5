"""Which calls are the same, and what becomes of one that is made again: unique, debounce, throttle."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

from ardiq.core.codec import Codec
from ardiq.core.extensions import pack
from ardiq.core.outcome import pack_superseded
from ardiq.core.paths import explain
from ardiq.core.registry import Definition, UniqueKey, check_windows
from ardiq.overrides import CallOptions
from ardiq.store.newjobs import Debounce, Throttle


@dataclass(frozen=True, slots=True)
class Sameness:
    """What holds for one task with its overrides; times in ms. ``key`` is None for the bound arguments.

    ``slot``: the job holds a unique slot. With throttle alone it does not: its window is a matter of time.
    """

    key: UniqueKey | None
    slot: bool
    until_start: bool
    ttl_ms: int
    debounce_ms: int
    debounce_max_ms: int
    throttle_ms: int

    def hash(
        self, name: str, definition: Definition | None, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> str:
        """The same text for calls that are the same. Raises EncodeError for a key that cannot be encoded."""
        if self.key is not None:
            key: Any = self.key(*args, **kwargs)
        elif definition is not None:
            bound = definition.bind(args, kwargs)
            bound.apply_defaults()
            key = [[name, value] for name, value in bound.arguments.items()]
        else:
            key = [list(args), kwargs]
        return blake2b(_packed([name, key]), digest_size=16).hexdigest()

    def window(self, codec: Codec, id: str, name: str, hash: str) -> Debounce | Throttle | None:
        """What the job ``id`` does to those before it, or they to it."""
        if self.debounce_ms:
            return Debounce(pack_superseded(codec, id, name, hash), self.debounce_max_ms)
        return Throttle(hash, self.throttle_ms) if self.throttle_ms else None


def sameness(options: CallOptions, definition: Definition | None) -> Sameness | None:
    """What holds for a call; None when every call is a job of its own. Raises ValueError for options that
    contradict each other, whether they are those of the task or of the call."""
    own = options.unique is options.debounce_ms is options.debounce_max_ms is options.throttle_ms is None
    if own and not (definition is not None and definition.joins_calls):
        return None  # as almost always, and options() is called for each of them

    def of(name: str) -> Any:
        given = getattr(options, name)
        return given if given is not None or definition is None else getattr(definition, name)

    unique, debounce, throttle = of("unique"), of("debounce_ms") or 0, of("throttle_ms") or 0
    if options.unique is False:
        if options.debounce_ms or options.throttle_ms:
            raise ValueError(
                "unique=False says that no other call is the same; leave it, or the window, out."
            )
        return None
    if not (unique or debounce or throttle or options.debounce_max_ms):
        return None
    ttl, longest = of("unique_ttl_ms") or 0, of("debounce_max_ms") or 0
    if not debounce and options.debounce_max_ms is None:
        longest = 0  # the task has one, and this call is not debounced
    check_windows(ttl, debounce, longest, throttle)
    if debounce:
        _check_debounced(options, debounce)
    if throttle and options.replace:
        raise ValueError(f"replace=True with throttle_ms={throttle}: within the window the first job stands.")
    return Sameness(
        unique if callable(unique) else None,
        bool(unique or debounce),
        bool(debounce) or of("unique_until") == "start",
        ttl,
        debounce,
        longest,
        throttle,
    )


def _check_debounced(options: CallOptions, debounce_ms: int) -> None:
    for name in ("delay_ms", "schedule_ms"):
        if value := getattr(options, name):
            raise ValueError(
                f"{name}={value} with debounce_ms={debounce_ms}: a call has one time, and a debounced one "
                "runs when no other has come for so long; debounce_ms=0 turns that off for this call."
            )
    if options.task_id is not None or options.replace:
        given = f"task_id={options.task_id!r}" if options.task_id is not None else "replace=True"
        raise ValueError(
            f"{given} with debounce_ms={debounce_ms}: each call that replaces another is a job with an id of "
            "its own; a key function (unique=...) says which calls belong together."
        )
    if options.unique_until == "done":
        raise ValueError(
            f"unique_until='done' with debounce_ms={debounce_ms}: a call that comes while the job runs has "
            "later arguments, and must not be dropped."
        )


def _ordered(value: Any) -> Any:
    """The same value with its dicts in one order: calls that are equal must be equal bytes."""
    if isinstance(value, dict):
        items = [(key, _ordered(item)) for key, item in value.items()]
        return dict(sorted(items, key=lambda item: pack(item[0])))
    if isinstance(value, (list, tuple)):
        parts = [_ordered(item) for item in value]
        return parts if isinstance(value, list) else tuple(parts)
    return value


def _packed(key: Any) -> bytes:
    try:
        return pack(_ordered(key))
    except Exception as problem:
        raise explain(key, ("task", "unique key"), problem) from problem
