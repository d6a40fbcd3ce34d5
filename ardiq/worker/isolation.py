"""The inside of a process that runs one job and nothing else (R7): the work of the child of suspects.py.

Whatever surrounds tasks in the parent surrounds them here as well; only the settlement, instead of going
to Redis, goes to the parent, which holds the lease.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from multiprocessing import current_process, parent_process
from multiprocessing.connection import Connection, wait
from typing import Any

from ardiq.core import events
from ardiq.core.codec import Codec
from ardiq.core.errors import TaskError
from ardiq.core.events import Event, Events
from ardiq.core.job import JobRecord
from ardiq.core.options import Options
from ardiq.core.outcome import Failure
from ardiq.core.registry import Definition
from ardiq.core.retry import Outcome
from ardiq.store.verbs import Settlement
from ardiq.worker.chores import TICK, tick
from ardiq.worker.held import Clock, Held
from ardiq.worker.judge import ErrorHook, Judge
from ardiq.worker.lease import Lease, show_stacks
from ardiq.worker.runner import Around, Runner

NAME = "ardiq-suspect"
BEGAN, SETTLED, UNKNOWN = "began", "settled", "unknown"


@dataclass(frozen=True, slots=True)
class Errand:
    """What the child is told: one claimed job, and for whom it runs it."""

    queue: str
    worker: str
    id: str
    raw: bytes
    claim: int
    token: str
    clock: Clock


@dataclass(frozen=True, slots=True)
class Parts:
    """What the child finds by itself once the project is set up in it: the same as its parent has."""

    options: Options
    codec: Codec
    find: Callable[[str], Definition | None]
    hooks: Callable[[], Iterable[ErrorHook]]
    around: Around | None
    lifespans: Callable[[], AbstractAsyncContextManager[Any]]


class _Outbox:
    """Takes the settlement where a worker has its settler, and what happened where it has its log."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._told: list[tuple[str, int, tuple[str, str, str] | None]] = []

    def add(self, held: Held, settlement: Settlement) -> None:
        self._connection.send((SETTLED, settlement, self._told))

    def hear(self, event: Event) -> None:
        if event.kind == events.STARTED:
            self._connection.send((BEGAN,))
            return
        error = None
        if event.error is not None:
            failure = Failure.of(event.error)
            error = (failure.type, failure.message, failure.traceback)
        self._told.append((event.kind, event.delay_ms, error))


def told_error(error: tuple[str, str, str] | None) -> TaskError | None:
    """The error of the child as its parent may show it: text, never the object."""
    return None if error is None else TaskError(*error)


def alone() -> None:
    """Make this process depend on its parent alone: on its life, and not on signals to its group."""
    for number in (signal.SIGINT, signal.SIGTERM):
        # Not SIG_IGN, which the programs that a task starts would inherit.
        signal.signal(number, lambda number, frame: None)
    threading.Thread(target=_end_with_parent, name="ardiq-parent", daemon=True).start()
    # A daemon may not start processes, and the task may want some, as it may in its worker.
    current_process().daemon = False


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


class _Watch(threading.Thread):
    """A loop that does not turn for three leases ends this process, as it would end a worker (R6)."""

    def __init__(self, lease_ms: int) -> None:
        super().__init__(name="ardiq-watch", daemon=True)
        self._lease = lease_ms / 1000
        self._ticked = time.monotonic()

    def begin(self) -> None:
        """Watch the running loop, to its end."""
        self._ticking = asyncio.ensure_future(tick(self._tick))
        self.start()

    def _tick(self) -> None:
        self._ticked = time.monotonic()

    def run(self) -> None:
        woke = time.monotonic()
        while True:
            time.sleep(TICK)
            before, woke = woke, time.monotonic()
            if woke - before > self._lease:
                # This thread did not run either: the whole process was stopped.
                self._ticked = woke
            elif woke - self._ticked > 3 * self._lease:
                show_stacks()
                os._exit(70)


def work(connection: Connection, errand: Errand, parts: Parts) -> None:
    """Run the job, send its settlement, and end this process whatever the task has left running."""
    asyncio.run(_work(connection, errand, parts))
    connection.close()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


async def _work(connection: Connection, errand: Errand, parts: Parts) -> None:
    record = JobRecord(errand.id, errand.raw)
    lease = Lease(parts.options.lease_ms)
    lease.token = errand.token
    held = Held(record, errand.claim, lease, time.monotonic(), marked=False)
    held.definition = parts.find(record.name)
    if held.definition is None:
        connection.send((UNKNOWN,))
        return
    outbox, told = _Outbox(connection), Events()
    told.subscribe(outbox.hear)
    judge = Judge(errand.worker, parts.options, parts.codec, errand.clock, outbox, parts.hooks, told)
    runner = Runner(parts.options, parts.codec, errand.clock, parts.around, judge)
    watch = _Watch(parts.options.lease_ms)
    async with parts.lifespans():
        watch.begin()
        if held.definition.is_async:
            await runner.perform(held, lambda held: None)
            return
        # In a thread: Django refuses its sync ORM where a loop runs.
        outcome = await asyncio.to_thread(_perform_sync, runner, held)
        hooks = judge.conclude(held, outcome)
        if hooks is not None:
            await hooks


def _perform_sync(runner: Runner, held: Held) -> Outcome:
    call = runner.admit(held)
    return call if isinstance(call, Outcome) else runner.perform_sync(held, *call)
