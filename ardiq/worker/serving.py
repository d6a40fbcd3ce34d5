"""The inside of a child of the pool (processes.py): one sync job after the other, in its main thread.

The main thread, because some libraries want that one. What is async, lifespans and error hooks, runs on a
loop beside it. Whatever surrounds tasks in a worker surrounds them here as well, as in isolation.py.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import time
from collections.abc import Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from ctypes import c_double
from functools import partial
from typing import Any, TypeVar

from ardiq.core.events import LOST, Events
from ardiq.core.job import JobRecord
from ardiq.core.registry import Definition
from ardiq.core.retry import Ending, Outcome
from ardiq.worker.belief import Believer
from ardiq.worker.held import Clock, Held
from ardiq.worker.isolation import ENDED, TAKEN, UNKNOWN, Outbox, Parts, Telling, perform_sync
from ardiq.worker.judge import Judge
from ardiq.worker.lease import Lease
from ardiq.worker.line import Line
from ardiq.worker.runner import Runner

T = TypeVar("T")


def serve(line: Line, worker: str, parts: Parts, load: Callable[[str], None], end: c_double) -> None:
    """Do errands until there are no more, and end this process whatever tasks have left running. ``load``
    imports the module of a task that is not known yet, ``end`` is that of the worker's lease (belief.py)."""
    beside = _Beside(parts.lifespans)
    desk = _Desk(line, worker, parts, load, beside, end)
    while (errand := line.receive()) is not None:
        desk.do(*errand)
        # A child may be killed at any time, and what tasks have printed belongs to people.
        _flush()
    beside.end()
    if parts.around is not None:
        parts.around.thread_ends()
    _flush()
    os._exit(0)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (AttributeError, OSError, ValueError):
            continue  # there is none, nobody reads it, or a task has closed it


class _Desk:
    """Does one errand after the other."""

    def __init__(
        self,
        line: Line,
        worker: str,
        parts: Parts,
        load: Callable[[str], None],
        beside: _Beside,
        end: c_double,
    ) -> None:
        self._line, self._parts, self._load, self._beside = line, parts, load, beside
        self._clock = Clock()
        telling = Telling(line, beside.loop)
        self._outbox, told = Outbox(line, telling), Events()
        told.subscribe(self._outbox.hear)
        self._judge = Judge(worker, parts.options, parts.codec, self._clock, self._outbox, parts.hooks, told)
        self._runner = Runner(parts.options, parts.codec, self._clock, parts.around, self._judge, telling)
        self._believer = Believer(end, partial(self._judge.tell, LOST))
        self._believer.start()

    def do(self, id: bytes, raw: bytes, claim: int, token: str, offset: float, module: str) -> None:
        self._clock.offset = offset
        record = JobRecord(id.decode("utf-8", "surrogateescape"), raw)
        lease = Lease(self._parts.options.lease_ms)
        lease.token = token
        held = self._outbox.held = Held(record, claim, lease, time.monotonic(), marked=False)
        held.definition = self._found(record, module)
        if held.definition is None:
            self._line.send(UNKNOWN)
            return
        outcome = Outcome(Ending.HANDED_BACK)
        if self._believer.believes:
            self._line.send(TAKEN)
            outcome = self._believer.sync(held, partial(perform_sync, self._runner))
        hooks = self._judge.conclude(held, outcome)
        if hooks is not None:
            self._line.send(ENDED)
            self._beside.run(hooks)

    def _found(self, record: JobRecord, module: str) -> Definition | None:
        definition = self._parts.find(record)
        if definition is None:
            self._load(module)
            definition = self._parts.find(record)
        return definition


class _Beside:
    """A loop in a thread of its own: lifespans are entered on it at once, and left at the end."""

    def __init__(self, lifespans: Callable[[], AbstractAsyncContextManager[Any]]) -> None:
        self.loop = asyncio.new_event_loop()
        threading.Thread(target=self.loop.run_forever, name="ardiq-beside", daemon=True).start()
        self._leave = asyncio.Event()
        self._life = self.run(self._begin(lifespans))

    def run(self, main: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(main, self.loop).result()

    async def _begin(self, lifespans: Callable[[], AbstractAsyncContextManager[Any]]) -> asyncio.Task[None]:
        # Entered and left by one task, as some context managers want it.
        entered = asyncio.Event()
        life = asyncio.ensure_future(self._live(lifespans, entered))
        waiting = asyncio.ensure_future(entered.wait())
        await asyncio.wait((life, waiting), return_when=asyncio.FIRST_COMPLETED)
        if life.done():
            waiting.cancel()
            life.result()
        return life

    async def _live(
        self, lifespans: Callable[[], AbstractAsyncContextManager[Any]], entered: asyncio.Event
    ) -> None:
        async with lifespans():
            entered.set()
            await self._leave.wait()

    def end(self) -> None:
        """Leave the lifespans."""
        self.run(self._finish())

    async def _finish(self) -> None:
        self._leave.set()
        await self._life
