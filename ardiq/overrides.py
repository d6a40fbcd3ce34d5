"""One-off overrides of a call: ``task.options(delay_ms=5_000, priority="high")``, checked at once."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from ardiq import references
from ardiq.connection import Broker, new_id
from ardiq.core.headers import checked_headers
from ardiq.core.job import check_id
from ardiq.core.reference import Reference, subject_meta
from ardiq.core.registry import NEVER_NEGATIVE, UniqueKey, check_unique
from ardiq.core.retry import TEN_YEARS_MS
from ardiq.store.confirming import WAYS
from ardiq.transactions import check_alias, localised

LATEST_MS = 2**43  # in the year 2248: a time is 11 hex digits in a record


@dataclass(frozen=True, slots=True)
class CallOptions:
    """One-off overrides of a call; times in ms. Built by ``options(...)``, which checks them."""

    task_id: str | None = None
    priority: str | None = None
    delay_ms: int = 0
    schedule_ms: int = 0
    expire_ms: int = 0
    unique: bool | UniqueKey | None = None
    unique_until: str | None = None
    unique_ttl_ms: int | None = None
    debounce_ms: int | None = None
    debounce_max_ms: int | None = None
    throttle_ms: int | None = None
    replace: bool = False
    on_commit: bool | None = None
    durable: bool | None = None
    durability: str | None = None
    using: str | None = None
    headers: Mapping[str, str] | None = None
    keep_logs: bool | None = None
    subject: Reference | None = None


PLAIN = CallOptions()


def checked(
    base: CallOptions,
    *,
    delay: timedelta | None = None,
    schedule: datetime | None = None,
    expire: timedelta | None = None,
    **given: Any,
) -> CallOptions:
    """Check overrides. Raises TypeError or ValueError that names the option, its value and the rule."""
    for name, value in (("delay", delay), ("expire", expire)):
        if value is not None:
            if not isinstance(value, timedelta):
                raise TypeError(f"{name}={value!r}: give a timedelta, or {name}_ms in milliseconds.")
            if given.get(f"{name}_ms"):
                raise ValueError(f"{name} and {name}_ms were both given; give one of them.")
            given[f"{name}_ms"] = _whole_ms(value)
    if schedule is not None:
        if given.get("schedule_ms"):
            raise ValueError("schedule and schedule_ms were both given; give one of them.")
        given["schedule_ms"] = int(localised(schedule).timestamp() * 1000)
    unknown = set(given) - {field.name for field in dataclasses.fields(CallOptions)}
    if unknown:
        known = ", ".join(field.name for field in dataclasses.fields(CallOptions))
        raise TypeError(
            f"options() knows no {sorted(unknown)[0]!r}; it takes {known}, delay, schedule, expire."
        )
    for name in ("delay_ms", "schedule_ms", "expire_ms", *NEVER_NEGATIVE):
        if given.get(name) is not None or (name in given and getattr(PLAIN, name) is not None):
            _check_ms(name, given[name])
    _check_switches(given)
    merged = dataclasses.replace(base, **given)
    if merged.delay_ms and merged.schedule_ms:
        raise ValueError(
            f"delay_ms={merged.delay_ms} and schedule_ms={merged.schedule_ms} were both given; "
            "a call has one time."
        )
    if merged.task_id is not None:
        check_id(merged.task_id)
    check_together(merged.durable, merged.on_commit)
    if merged.durability is not None:
        if merged.durability not in WAYS:
            raise ValueError(f"durability={merged.durability!r}: give 'replica' or 'fsync'.")
        if merged.durable or merged.on_commit:
            other = "durable" if merged.durable else "on_commit"
            raise ValueError(
                f"durability={merged.durability!r} and {other}=True were both given; it is waited for "
                "by whoever enqueues now."
            )
    if merged.unique_until not in (None, "start", "done"):
        raise ValueError(f"unique_until={merged.unique_until!r}: give 'start' or 'done'.")
    if merged.headers is not None:
        return dataclasses.replace(merged, headers=checked_headers(merged.headers))
    return merged


def check_together(durable: bool | None, on_commit: bool | None) -> None:
    """Raise ValueError for two options that contradict each other."""
    if durable and on_commit is False:
        raise ValueError(
            "durable=True and on_commit=False were both given; a durable call is part of the transaction."
        )


def meta_of(options: CallOptions, broker: Broker, subject: Reference | None = None) -> dict[str, Any]:
    """What of the options travels with the call, what it is about, and what else PROPAGATE names."""
    meta: dict[str, Any] = {}
    for name in ("delay_ms", "schedule_ms", "expire_ms", "headers"):
        if value := getattr(options, name):
            meta[name] = value
    if subject is not None:
        meta["subject"] = subject_meta(subject)
    if options.keep_logs is not None:
        meta["keep_logs"] = options.keep_logs
    if options.task_id is not None:
        # Tells a repeat of this very call from another call under the same id (R10).
        meta["nonce"] = new_id()[:16]
    if broker.carrier is not None and (taken := broker.carrier.take()):
        meta["context"] = taken
    return meta


def _check_switches(given: dict[str, Any]) -> None:
    if given.get("unique") is not None:
        check_unique(given["unique"])
    for name in ("replace", "on_commit", "keep_logs", "durable"):
        value = given.get(name)
        if not (value is None or isinstance(value, bool)):
            raise TypeError(f"{name}={value!r}: give True or False.")
    if given.get("subject") is not None:
        given["subject"] = references.subject(given["subject"], "subject")
    if given.get("using") is not None:
        check_alias(given["using"])


def _whole_ms(value: timedelta) -> int:
    return value // timedelta(milliseconds=1)


def _check_ms(name: str, value: object) -> None:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{name}={value!r}: give a whole number of milliseconds.")
    most = TEN_YEARS_MS if name != "schedule_ms" else LATEST_MS
    if not 0 <= value <= most:
        raise ValueError(f"{name}={value!r}: give 0 or more, and at most {most:,} ms.")
