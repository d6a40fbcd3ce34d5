"""The queues of settings, and ``task``, ``send``, ``ref`` and ``enqueue_many`` for them."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable
from typing import Any, ParamSpec, TypeVar, overload

from django.core.exceptions import ImproperlyConfigured
from django.db.models import Model

from ardiq import conf
from ardiq.api import Ardiq
from ardiq.core.statistics import Statistics
from ardiq.decorators import Decorator
from ardiq.enqueuing import AsyncTask, Prepared, Ref, Task
from ardiq.results import Job, JobInfo

P = ParamSpec("P")
R = TypeVar("R")

_settings_apps: dict[str, Ardiq] = {}


def queue(alias: str = "default") -> Ardiq:
    """The queue of this name as settings describe it: the owner of ``@ardiq.task(queue=alias)``."""
    app = _settings_apps.get(alias)
    if app is None:
        _check_alias(alias)
        app = _settings_apps[alias] = Ardiq(alias)
        app.from_settings = True
    return app


def _check_alias(alias: str) -> None:
    try:
        known = conf.known_aliases()
    except ImproperlyConfigured:
        return  # tasks.py may be imported all the same, so that the system check can say what is wrong
    if alias not in known:
        raise ValueError(
            f"There is no queue {alias!r} in the ARDIQ setting; it has {', '.join(known)}. "
            f"Add it there, or name another: @task(queue={known[0]!r})."
        )


@overload
def task(fn: Callable[P, Coroutine[Any, Any, R]], /) -> AsyncTask[P, R]: ...
@overload
def task(fn: Callable[P, R], /) -> Task[P, R]: ...
@overload
def task(*, queue: str = "default", **options: Any) -> Decorator: ...
def task(fn: Callable[..., Any] | None = None, /, *, queue: str = "default", **options: Any) -> Any:
    """Register a function as a task of a queue in settings; options as of ``Ardiq.task``."""
    owner = _owner(queue)
    return owner.task(**options) if fn is None else owner.task(fn)


def cron(expression: str | None = None, /, *, queue: str = "default", **options: Any) -> Decorator:
    """Register a recurring task of a queue in settings; options as of ``Ardiq.cron``."""
    return _owner(queue).cron(expression, **options)


_owner = queue


async def send(name: str, /, *args: Any, **kwargs: Any) -> Job[Any]:
    """Enqueue a task of the queue "default" by its name."""
    return await _owner().send(name, *args, **kwargs)


def send_sync(name: str, /, *args: Any, **kwargs: Any) -> Job[Any]:
    """``send`` for sync code."""
    return _owner().send_sync(name, *args, **kwargs)


def ref(name: str) -> Ref:
    """A task of the queue "default" by name, for producers that cannot import it."""
    return _owner().ref(name)


async def jobs_for(instance: Model, most: int = 50) -> list[JobInfo]:
    """Jobs of every queue in settings whose subject is this object, the newest first; see
    ``Ardiq.jobs_for``. One round trip for each queue."""
    found = [await queue(alias).jobs_for(instance, most) for alias in conf.known_aliases()]
    return _newest(found, most)


def jobs_for_sync(instance: Model, most: int = 50) -> list[JobInfo]:
    """``jobs_for`` for sync code."""
    found = [queue(alias).jobs_for_sync(instance, most) for alias in conf.known_aliases()]
    return _newest(found, most)


def _newest(found: list[list[JobInfo]], most: int) -> list[JobInfo]:
    return sorted((info for part in found for info in part), key=lambda one: -one.enqueue_time)[:most]


async def enqueue_many(calls: Iterable[Prepared]) -> list[Job[Any]]:
    """``Ardiq.enqueue_many`` of the queue "default"."""
    return await _owner().enqueue_many(calls)


def enqueue_many_sync(calls: Iterable[Prepared]) -> list[Job[Any]]:
    """``enqueue_many`` for sync code."""
    return _owner().enqueue_many_sync(calls)


async def statistics(queue: str = "default", minutes: int = 60) -> Statistics:
    """``Ardiq.statistics`` of a queue in settings."""
    return await _owner(queue).statistics(minutes)


def statistics_sync(queue: str = "default", minutes: int = 60) -> Statistics:
    """``statistics`` for sync code."""
    return _owner(queue).statistics_sync(minutes)
