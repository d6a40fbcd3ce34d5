"""The worker of the kit: the real one, except that user code runs where the test runs."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from queue import Empty
from typing import Any

from asgiref.sync import SyncToAsync, ThreadSensitiveContext
from django.apps import apps as django_apps

from ardiq import owners
from ardiq.upkeep import DjangoUpkeep
from ardiq.worker.held import Held
from ardiq.worker.judge import ErrorHook
from ardiq.worker.threads import Crew, Seat
from ardiq.worker.worker import Worker

RETRY = b"D"


class InlineCrew(Crew):
    """Sync tasks run by an executor instead of threads of the worker, one at a time."""

    def __init__(self, *args: Any, executor: Executor) -> None:
        super().__init__(*args)
        self._executor = executor
        self._seats = [Seat()]

    def submit(self, held: Held) -> None:
        self.load += 1
        self._jobs.put(held)
        self._executor.submit(self._next)

    def _next(self) -> None:
        try:
            held = self._jobs.get_nowait()
        except Empty:
            return  # it was taken back
        if held is not None:
            seat = self._seats[0]
            seat.ident = threading.get_ident()
            self._run(seat, held)


def soon(held: Held, settlement: Any) -> Any:
    """A retry is due at once. A job that is parked waits: nothing here would teach it its task."""
    id, claim, verb, head, _, *rest = settlement
    if verb == RETRY and head[2:5] != held.record.raw[2:5]:
        return (id, claim, verb, head, 0, *rest)
    return settlement


class InlineWorker(Worker):
    """``executor`` runs what is sync; with ``soon`` retries do not wait."""

    def __init__(self, *, executor: Executor, soon: bool, **given: Any) -> None:
        super().__init__(**given)
        self._executor, self._soon = executor, soon

    def recycle(self, why: str, clean: bool = False) -> None:
        """As many jobs have run as there were to."""
        self.stop()

    def _build(self, *args: Any) -> None:
        super()._build(*args)
        slots, settler = self._slots, self._settler
        # Nothing runs yet: a crew has no threads before its first job.
        slots.crew = InlineCrew(
            slots.crew.limit, slots._in_thread, slots._delivered, lambda: None, executor=self._executor
        )
        self._held_by.burst_look = 0.001
        if self._soon:
            add = settler.add
            settler.add = lambda held, settlement: add(held, soon(held, settlement))  # type: ignore[method-assign]


class InlineUpkeep(DjangoUpkeep):
    """Leaves the connections of the test alone: they are in its transaction, their queries are counted."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor

    def sync_job(self) -> AbstractContextManager[None]:
        return nullcontext()

    def begin_async(self) -> ThreadSensitiveContext:
        context = super().begin_async()
        SyncToAsync.context_to_thread_executor[context] = self._executor
        return context

    def end_async(self, begun: ThreadSensitiveContext) -> None:
        SyncToAsync.context_to_thread_executor.pop(begun, None)

    def thread_ends(self) -> None:
        pass


def upkeep(executor: Executor) -> InlineUpkeep | None:
    return InlineUpkeep(executor) if django_apps.ready else None


def hooks_of(queue: str, executor: Executor) -> Iterable[ErrorHook]:
    """The error hooks of a queue; those that are sync are called where sync tasks run."""
    return list(_hooks(queue, executor))


def _hooks(queue: str, executor: Executor) -> Iterator[ErrorHook]:
    from asyncio import get_running_loop
    from inspect import iscoroutinefunction

    def moved(hook: ErrorHook) -> Callable[..., Any]:
        async def called(*args: Any) -> Any:
            left = await get_running_loop().run_in_executor(executor, partial(hook, *args))
            if hasattr(left, "__await__"):
                await left

        return called

    for app in owners.of(queue):
        for hook in app.error_hooks:
            yield hook if iscoroutinefunction(hook) else moved(hook)
