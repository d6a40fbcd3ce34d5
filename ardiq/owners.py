"""Every queue object of this process: who owns tasks, and where a worker looks for them."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, contextmanager
from typing import Any, NamedTuple, Protocol, cast

from ardiq.connection import Broker
from ardiq.core.job import JobRecord
from ardiq.core.options import Options
from ardiq.core.recurrence import Recurrence
from ardiq.core.registry import Definition, Registry
from ardiq.store.verbs import Settlement

ErrorHook = Callable[..., Any]
Lifespan = Callable[..., AbstractAsyncContextManager[None]]


class Target(Protocol):
    """What is enqueued again and again, and keeps what plain calls of it share (plain.Start)."""

    start: Any


class Owner(Protocol):
    """What tasks and workers need of an ``Ardiq``, which stands above them."""

    queue_name: str
    registry: Registry
    error_hooks: list[ErrorHook]
    lifespan_hooks: list[Lifespan]
    from_settings: bool

    @property
    def tasks(self) -> Mapping[str, Any]: ...
    @property
    def options(self) -> Options: ...
    @property
    def broker(self) -> Broker: ...
    def recurrences(self) -> list[Recurrence]: ...
    def offer(self, recurrence: Recurrence) -> tuple[str, str, str, bytes]: ...
    def check_lane(self, lane: str) -> str: ...
    def targets(self) -> Iterable[Target]: ...
    def offers(self) -> Mapping[str, Any]: ...


class End(NamedTuple):
    """A verdict that was settled: the record as it was claimed, what was made of it, what it failed with, and
    when it was settled (epoch ms)."""

    record: JobRecord
    settlement: Settlement
    error: BaseException | None
    at: int


Post = Callable[[Callable[[], None]], None]
"""Runs something in the thread that sends signals, after what it was given before."""


class Follower(Owner, Protocol):
    """An owner that knows more tasks than it has seen, and hears of the ends of jobs whose tasks are
    ``described``."""

    def seek(self, record: JobRecord) -> Definition | None: ...
    def ended(self, ends: list[End], post: Post) -> None: ...


_owners: list[weakref.ref[Owner]] = []
_stops: dict[int, list[Callable[[], None]]] = {}


def add(owner: Owner) -> None:
    _owners.append(weakref.ref(owner))


def remove(owner: Owner) -> None:
    """Look for tasks there no longer, although something may still refer to it."""
    _owners[:] = [ref for ref in _owners if ref() is not owner]


def every() -> list[Owner]:
    """All of them, in the order in which they were made."""
    return [owner for ref in _owners if (owner := ref()) is not None]


def of(queue: str) -> list[Owner]:
    """Those of one queue; built in code before made from settings, because they say more."""
    return sorted((one for one in every() if one.queue_name == queue), key=lambda one: one.from_settings)


def followers(queue: str) -> list[Follower]:
    return [cast("Follower", one) for one in of(queue) if hasattr(one, "seek")]


def task_of(queue: str, name: str) -> Any:
    """A task of a queue by its name; None for one that this process does not know."""
    return next((one.tasks[name] for one in of(queue) if name in one.tasks), None)


def stop(owner: Owner) -> None:
    """Stop the workers that ``run`` runs for this owner."""
    for each in tuple(_stops.get(id(owner), ())):
        each()


@contextmanager
def stopped_by(owner: Owner, each: Callable[[], None]) -> Iterator[None]:
    """While this lasts, ``stop(owner)`` calls ``each``."""
    _stops.setdefault(id(owner), []).append(each)
    try:
        yield
    finally:
        _stops[id(owner)].remove(each)
