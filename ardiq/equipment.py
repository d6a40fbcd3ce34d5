"""What a worker of a queue works with, found in this process: options, tasks, hooks, lifespans, upkeep."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from typing import Any

from django.apps import apps as django_apps

from ardiq import conf, operations, owners
from ardiq.core.errors import OptionError
from ardiq.core.job import JobRecord
from ardiq.core.options import Options
from ardiq.core.recurrence import Recurrence
from ardiq.core.registry import Definition
from ardiq.worker.around import Around
from ardiq.worker.judge import ErrorHook
from ardiq.worker.log import one_line
from ardiq.worker.settler import Batch, Follow

log = logging.getLogger("ardiq.worker")


def worker_options(queue: str, **overrides: Any) -> Options:
    """The options that a worker of this queue runs with: those of an Ardiq built in code come first."""
    found = [owner.options for owner in owners.of(queue)] or [conf.merged(queue, {})]
    options = max(found, key=lambda one: len(one.priorities))
    for other in found:
        if not set(other.priorities) <= set(options.priorities):
            raise OptionError(
                f"Queue {queue!r} has the lanes {', '.join(options.priorities)} in one place and "
                f"{', '.join(other.priorities)} in another, and a worker drains one list of lanes; "
                "give every Ardiq of this queue, and PRIORITIES in settings, the same."
            )
    given = {key: value for key, value in overrides.items() if value is not None}
    if "concurrency" in given and "threads" not in given and options.threads == options.concurrency:
        given["threads"] = given["concurrency"]
    return replace(options, **given)


class Finder:
    """Looks a task up among all the Ardiq objects of one queue in this process."""

    def __init__(self, queue: str) -> None:
        self._queue = queue
        self._known: dict[str, Definition] = {}

    def __call__(self, record: JobRecord) -> Definition | None:
        found = self._known.get(record.name)
        if found is None:
            found = self._look(record)
            if found is not None:
                self._known[record.name] = found
        return found

    def _look(self, record: JobRecord) -> Definition | None:
        if record.name == operations.TASK:
            return operations.definition(self._queue)
        for app in owners.of(self._queue):
            if (found := app.registry.get(record.name)) is not None:
                return found
        for follower in owners.followers(self._queue):
            try:
                found = follower.seek(record)
            except Exception:
                # It looks into files and imports modules; the job is parked, and this worker goes on.
                log.exception("The task %s could not be looked for.", one_line(record.name))
                continue
            if found is not None:
                return found
        return None


def following(queue: str, post: Callable[[Callable[[], None]], None]) -> Follow | None:
    """What hears of settled batches of a queue whose followers want to: each is told by ``post`` of the ends
    of its own jobs."""
    followers = owners.followers(queue)
    if not followers:
        return None

    def follow(settled: Batch, refused: dict[str, str], now: int) -> None:
        ends = [
            owners.End(held.record, settlement, held.error, now)
            for held, settlement in settled
            if held.definition is not None
            and held.definition.described
            and refused.get(held.record.id) != "stale"
        ]
        for follower in followers if ends else ():
            try:
                follower.ended(ends, post)
            except Exception:
                # They are settled. Who follows them must not end what settles the next.
                log.exception("What follows the end of jobs raised; the jobs are not affected.")

    return follow


class Timetables:
    """The recurring tasks of all the Ardiq objects of one queue in this process."""

    def __init__(self, queue: str) -> None:
        self._queue = queue
        self._owners: dict[str, owners.Owner] = {}

    def recurrences(self) -> list[Recurrence]:
        found = [(owner, one) for owner in owners.of(self._queue) for one in owner.recurrences()]
        self._owners = {one.name: owner for owner, one in found}
        return [one for _, one in found]

    def make(self, recurrence: Recurrence) -> tuple[str, str, str, bytes]:
        """The job of an occurrence."""
        return self._owners[recurrence.name].offer(recurrence)


def hooks_of(queue: str) -> list[ErrorHook]:
    around = upkeep()
    found = [hook for app in owners.of(queue) for hook in app.error_hooks]
    return found if around is None else [_tended(hook, around) for hook in found]


def _tended(hook: ErrorHook, around: Around) -> ErrorHook:
    """A sync hook has its connections looked after, as a job has: it runs in a thread that lives on."""
    if inspect.iscoroutinefunction(hook):
        return hook

    def tended(*args: Any) -> Any:
        with around.sync_job():
            return hook(*args)

    return tended


@asynccontextmanager
async def lifespans_of(queue: str) -> AsyncIterator[None]:
    """Enter the lifespan hooks of a queue; they are left when the worker has stopped."""
    async with AsyncExitStack() as stack:
        for app in owners.of(queue):
            for hook in app.lifespan_hooks:
                await stack.enter_async_context(hook(app))
        yield


@asynccontextmanager
async def relaying(queues: list[Options], burst: bool) -> AsyncIterator[None]:
    """What sweeps the outboxes of a Django project while workers run, or before them, where they end when
    nothing is due. Nothing outside of a project."""
    if not django_apps.ready or not django_apps.is_installed("ardiq"):
        yield
        return
    from ardiq import relay

    if burst:
        for options in queues:
            await asyncio.to_thread(relay.Relay(options).once)
        yield
        return
    with relay.relaying(queues):
        yield


def upkeep() -> Around | None:
    """What surrounds jobs inside a Django project; None outside of one."""
    if not django_apps.ready:
        return None
    from ardiq.upkeep import DjangoUpkeep

    return DjangoUpkeep()
