"""The policy of a Django task: what ``@task(...)`` and OPTIONS may say besides what Django knows.

Each option goes by the name that it has in ``ardiq.task``; beside them stand the names that Django's own
proposals use: ``max_attempts``, ``backoff`` and ``timeout``, in attempts, and in seconds or as a timedelta.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from datetime import timedelta
from functools import partial
from typing import Any

from ardiq.core.names import did_you_mean
from ardiq.core.registry import Definition
from ardiq.core.retry import TEN_YEARS_MS
from ardiq.overrides import check_together
from ardiq.transactions import check_alias

# What comes from Django, or is about model instances, which are no JSON.
NOT_HERE = {"name", "fn", "queue", "lane", "described", "on_missing", "subject"}
OF_A_TASK = {one.name: one.default for one in fields(Definition) if one.name not in NOT_HERE}
OF_A_CALL = ("lane", "expire_ms", "on_commit", "using")
PROPOSED = {"max_attempts": "max_retries", "backoff": "backoff_ms", "expire": "expire_ms"}

NAMES = (*OF_A_TASK, *OF_A_CALL, *PROPOSED)
"""All that may be said of a task."""


@dataclass(frozen=True)
class Policy:
    """What holds for a task. ``task``: options of its definition; the others: of each of its calls."""

    task: dict[str, Any] = field(default_factory=dict)
    lane: str | None = None
    expire_ms: int = 0
    on_commit: bool | None = None
    using: str | None = None


def resolved(*layers: Mapping[str, Any]) -> Policy:
    """What several layers say together; a later one wins. Raises TypeError or ValueError for a wrong
    option, or for two of one layer that contradict each other."""
    said: dict[str, Any] = {}
    for layer in layers:
        found = normal(layer)
        if found.get("durable"):
            said.pop("on_commit", None)
        elif found.get("on_commit") is False:
            said.pop("durable", None)
        said |= found
    call = {name: said.pop(name) for name in OF_A_CALL if name in said}
    return Policy(said, **call)


def normal(said: Mapping[str, Any]) -> dict[str, Any]:
    """The same in our own names and units. Raises TypeError or ValueError that names what is wrong."""
    found: dict[str, Any] = {}
    for name, value in said.items():
        if name not in NAMES:
            raise TypeError(f"A task has no option {name!r}. {did_you_mean(name, NAMES)}")
        own = PROPOSED.get(name, name)
        if own in found:
            other = next(one for one in said if one != name and PROPOSED.get(one, one) == own)
            raise TypeError(f"{other} and {name} were both given; they say the same.")
        found[own] = _READ[name](value) if name in _READ and value is not None else value
    check_together(found.get("durable"), found.get("on_commit"))
    return found


def of_setting(said: Mapping[str, Any], where: str, path: str) -> Mapping[str, Any]:
    """The same, or TypeError or ValueError with the setting and the task that it is looked at for."""
    try:
        normal(said)
    except (TypeError, ValueError) as error:
        raise type(error)(f"{where}, for the task {path}: {error}") from error
    return said


def _attempts(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"max_attempts={value!r}: give a whole number from 1; 1 is to run once.")
    return value - 1


def _seconds(name: str, value: object) -> float:
    if isinstance(value, timedelta):
        value = value.total_seconds()
    if (
        isinstance(value, bool)
        or not isinstance(value, (int, float))
        or not 0 <= value <= TEN_YEARS_MS / 1000
    ):
        raise ValueError(f"{name}={value!r}: give seconds from 0, or a timedelta.")
    return value


def _backoff(value: object) -> object:
    """0 is no wait at all here; of backoff_ms it means the quadratic default."""
    if value == "exponential":
        return value
    if callable(value):
        return partial(_wait, value)
    return max(1, _ms("backoff", value))


def _wait(backoff: Callable[[int], object], attempt: int, error: BaseException) -> int:
    return _ms("backoff", backoff(attempt))


def _ms(name: str, value: object) -> int:
    return int(_seconds(name, value) * 1000)


def _timeout(value: object) -> object:
    return value.total_seconds() if isinstance(value, timedelta) else value


def _whole_ms(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= TEN_YEARS_MS:
        raise ValueError(f"expire_ms={value!r}: give a whole number of milliseconds, 0 (none) or more.")
    return value


def _using(value: object) -> object:
    check_alias(value)
    return value


def _on_commit(value: object) -> object:
    if not isinstance(value, bool):
        raise TypeError(f"on_commit={value!r}: give True or False.")
    return value


_READ: dict[str, Callable[[Any], Any]] = {
    "max_attempts": _attempts,
    "backoff": _backoff,
    "timeout": _timeout,
    "expire": partial(_ms, "expire"),
    "expire_ms": _whole_ms,
    "on_commit": _on_commit,
    "using": _using,
}
