"""The inside of a process that runs one job and nothing else (R7): the work of the child of suspects.py.

Whatever surrounds tasks in the parent surrounds them here as well; only the settlement, instead of going
to Redis, goes to the parent, which holds the lease.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import AbstractAsyncContextManager
from ctypes import c_double
from dataclasses import dataclass
from functools import partial
from multiprocessing import current_process, parent_process
from typing import Any

from ardiq.core import events
from ardiq.core.codec import Codec
from ardiq.core.context import JobContext
from ardiq.core.errors import Retry, TaskError
from ardiq.core.events import Event, Events
from ardiq.core.job import JobRecord
from ardiq.core.options import Options
from ardiq.core.outcome import Failure
from ardiq.core.registry import Find
from ardiq.core.reports import LINES_MOST
from ardiq.core.retry import Ending, Outcome
from ardiq.store.verbs import Settlement
from ardiq.worker.around import Around
from ardiq.worker.belief import Believer
from ardiq.worker.chores import TICK, tick
from ardiq.worker.held import Clock, Held
from ardiq.worker.judge import ErrorHook, Judge
from ardiq.worker.lease import Lease, show_stacks
from ardiq.worker.line import Line
from ardiq.worker.runner import Runner

NAME = "ardiq-suspect"
TAKEN, BEGAN, ENDED, SETTLED, UNKNOWN, REPORT = "taken", "began", "ended", "settled", "unknown", "report"
PERIOD = 0.1  # seconds between reports of a job to its parent


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
    find: Find
    hooks: Callable[[], Iterable[ErrorHook]]
    around: Around | None
    lifespans: Callable[[], AbstractAsyncContextManager[Any]]


class Telling:
    """The ``Reports`` of a job in here (core/context.py): sent to its parent as they gather, ten times a
    second at most, and the last of them before the verdict."""

    def __init__(self, line: Line, loop: asyncio.AbstractEventLoop) -> None:
        self._line, self._loop = line, loop
        self._lock = threading.RLock()
        self._job: JobContext | None = None
        self._progress: tuple[float, float | None, str] | None = None
        self._lines: deque[str] = deque(maxlen=LINES_MOST)
        self._sent = 0.0
        self._waits = False

    def progress(self, job: JobContext, done: float, total: float | None, message: str) -> None:
        with self._lock:
            self._turn_to(job)
            # Lone surrogates cannot be sent as UTF-8.
            self._progress = (done, total, message.encode("utf-8", "backslashreplace").decode())
        self._soon()

    def log(self, job: JobContext, line: str) -> None:
        with self._lock:
            self._turn_to(job)
            self._lines.append(line)
        self._soon()

    def _turn_to(self, job: JobContext) -> None:
        if self._job is not job:
            self.flush()
            self._job = job

    def _soon(self) -> None:
        if time.monotonic() - self._sent >= PERIOD:
            self.flush()
        elif not self._waits:
            self._waits = True
            with contextlib.suppress(RuntimeError):  # the loop has ended, and this process is about to
                self._loop.call_soon_threadsafe(self._loop.call_later, PERIOD, self.flush)

    def flush(self) -> None:
        """Send what has gathered."""
        with self._lock:
            self._waits, self._sent = False, time.monotonic()
            progress, lines = self._progress, list(self._lines)
            self._progress = None
            self._lines.clear()
            if self._job is not None and (progress or lines):
                with contextlib.suppress(OSError):  # nobody is there any more; this process ends
                    self._line.send(REPORT, self._job.fence, progress and list(progress), lines)


class Outbox:
    """Takes the settlement where a worker has its settler, and what happened where it has its log.

    ``held`` is the job at hand.
    """

    held: Held

    def __init__(self, line: Line, telling: Telling) -> None:
        self._line, self._telling = line, telling
        self._told: list[tuple[str, int, list[str] | None]] = []

    def add(self, held: Held, settlement: Settlement) -> None:
        told, self._told = self._told, []
        self._telling.flush()
        # Without the id, which its parent knows, and which need not be text that can be encoded.
        self._line.send(SETTLED, list(settlement[1:]), told)

    def measure(self, held: Held) -> None:
        """Its parent does."""

    def hear(self, event: Event) -> None:
        if event.kind == events.STARTED:
            self._line.send(BEGAN, self.held.meta)
            return
        error = None
        if event.error is not None:
            failure = Failure.of(event.error)
            where = failure.traceback
            if event.discreet:  # it goes into a log, and the messages in it may hold what is sensitive
                where = "".join(traceback.format_tb(event.error.__traceback__))
            error = [failure.type, failure.message, where, "asked" if isinstance(event.error, Retry) else ""]
        self._told.append((event.kind, event.delay_ms, error))


def told_error(error: list[str] | None) -> Exception | None:
    """The error of the child as its parent may show it: text, never the object."""
    if error is None:
        return None
    kind, message, where, asked = error
    return Retry(message) if asked else TaskError(kind, message, where)


def alone(group: bool = False) -> None:
    """Make this process depend on its parent alone: on its life, and not on signals to its group. With
    ``group`` it gets one of its own, and the programs that its tasks start end with it."""
    if group:
        with contextlib.suppress(OSError):
            os.setpgid(0, 0)
    for number in (signal.SIGINT, signal.SIGTERM):
        # Not SIG_IGN, which the programs that a task starts would inherit.
        signal.signal(number, lambda number, frame: None)
    parent = parent_process()
    if parent is not None:
        if group:
            _killed_with(parent.sentinel)
        threading.Thread(
            target=_end_with, args=(parent.sentinel, group), name="ardiq-parent", daemon=True
        ).start()
    # A daemon may not start processes, and the task may want some, as it may in its worker.
    current_process().daemon = False


def _end_with(parent: int, group: bool) -> None:
    from multiprocessing.connection import wait  # the fork server has it; a worker does not need it

    wait([parent])
    if group and os.getpgid(0) == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(1)


def _killed_with(parent: int) -> None:
    """Let the kernel do it where it can: no thread runs while a task is in a call that holds the GIL."""
    import fcntl  # not on Windows, where this module must still be importable

    if not hasattr(fcntl, "F_SETSIG") or os.getpgid(0) != os.getpid():
        return
    # Nothing is written to this pipe any more. What happens to it is that its other end closes.
    fcntl.fcntl(parent, fcntl.F_SETOWN, -os.getpid())
    fcntl.fcntl(parent, fcntl.F_SETSIG, signal.SIGKILL)
    fcntl.fcntl(parent, fcntl.F_SETFL, fcntl.fcntl(parent, fcntl.F_GETFL) | os.O_ASYNC)


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


def work(line: Line, errand: Errand, parts: Parts, end: c_double) -> None:
    """Run the job, send its settlement, and end this process whatever the task has left running. ``end``: of
    the worker's lease (belief.py)."""
    asyncio.run(_work(line, errand, parts, end))
    line.close()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


async def _work(line: Line, errand: Errand, parts: Parts, end: c_double) -> None:
    record = JobRecord(errand.id, errand.raw)
    lease = Lease(parts.options.lease_ms)
    lease.token = errand.token
    held = Held(record, errand.claim, lease, time.monotonic(), marked=False)
    held.definition = parts.find(record)
    if held.definition is None:
        line.send(UNKNOWN)
        return
    telling = Telling(line, asyncio.get_running_loop())
    outbox, told = Outbox(line, telling), Events()
    outbox.held = held
    told.subscribe(outbox.hear)
    judge = Judge(errand.worker, parts.options, parts.codec, errand.clock, outbox, parts.hooks, told)
    runner = Runner(parts.options, parts.codec, errand.clock, parts.around, judge, telling)
    watch, believer = _Watch(parts.options.lease_ms), Believer(end, partial(judge.tell, events.LOST))
    async with parts.lifespans():
        watch.begin()
        believer.start()
        if not believer.believes:
            judge.conclude(held, Outcome(Ending.HANDED_BACK))
            return
        line.send(TAKEN)
        if held.definition.is_async:
            held.task = asyncio.ensure_future(runner.perform(held, lambda held: None))
            believer.watch(held)
            await held.task
            return
        # In a thread: Django refuses its sync ORM where a loop runs.
        outcome = await asyncio.to_thread(believer.sync, held, partial(perform_sync, runner))
        hooks = judge.conclude(held, outcome)
        if hooks is not None:
            await hooks


def perform_sync(runner: Runner, held: Held) -> Outcome:
    """Read the call of a job and run it in this thread."""
    call = runner.admit(held)
    return call if isinstance(call, Outcome) else runner.perform_sync(held, *call)
