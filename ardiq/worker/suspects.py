"""Jobs whose worker died while it held them: each runs alone, in a process of its own (R7).

Whoever was killed took its neighbours with it, and nobody knows who did it. So none of them shares a
process again: the guilty one kills only itself, its death is known at once, and the innocent are done.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import multiprocessing
import os
import signal
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

from ardiq.core import events
from ardiq.core.errors import BrokerError, JobCrashed
from ardiq.core.job import FLAG_STARTED, JobRecord
from ardiq.core.options import Options
from ardiq.core.retry import Ending, Outcome
from ardiq.store import verbs
from ardiq.store.async_client import AsyncStore
from ardiq.store.keys import Keys
from ardiq.store.refusals import Refused
from ardiq.worker.children import signal_name
from ardiq.worker.held import Clock, Held, Stop, interrupt_of
from ardiq.worker.isolation import BEGAN, NAME, UNKNOWN, Errand, told_error
from ardiq.worker.judge import Judge
from ardiq.worker.log import one_line
from ardiq.worker.runner import Runner

PER_PROCESSOR = 8  # children at once for each processor of the machine
BEGIN = 300.0  # seconds that a child gets to set the project up in
LOOK = 1.0  # seconds between looks whether a silent child still lives
LATE = 5.0  # seconds that a child gets beyond the timeout which an async task keeps by itself
FORSAKEN = 255  # how multiprocessing says that a child has ended whose fork server has died
LEAVE = 5.0  # seconds that a child gets to end in after its settlement

log = logging.getLogger("ardiq.worker")

Main = Callable[[Connection, Errand], None]


class Suspects:
    """``main`` runs in the child: it sets the project up and ends in isolation.work. ``nursery`` names a
    module that sets it up for all of them, when the first one is needed. ``run_here`` takes back a job whose
    task the child does not find, because it was not defined in a module.
    """

    def __init__(
        self,
        main: Main,
        nursery: Callable[[], str],
        store: AsyncStore,
        keys: Keys,
        name: str,
        options: Options,
        clock: Clock,
        runner: Runner,
        judge: Judge,
        tell_to_stop: Callable[[Held, Stop], None],
        run_here: Callable[[Held], None],
    ) -> None:
        self._main, self._name, self._options, self._clock = main, name, options, clock
        self._store, self._keys = store, keys
        self._runner, self._judge = runner, judge
        self._tell_to_stop, self._run_here = tell_to_stop, run_here
        # Not ``fork``: a worker has threads, connections and a loop, and none of them survives it in order.
        # The nursery has none, and has set the project up: a child of it costs milliseconds, not a second.
        self._context = multiprocessing.get_context("forkserver")
        self._nursery = nursery
        self._most = min(options.concurrency, PER_PROCESSOR * (os.cpu_count() or 1))
        self._running = 0
        self._unknown: set[str] = set()

    def wants(self, held: Held) -> bool:
        """Whether this job must not share a process."""
        return held.record.raw[5:7] != b"00" and not held.shares

    @property
    def room(self) -> bool:
        """Whether another one may start."""
        return self._running < self._most

    def reserve(self) -> bool:
        """A place for another one, which ``perform`` gives back; False while there is none."""
        if not self.room:
            return False
        self._running += 1
        return True

    async def perform(self, held: Held, finished: Callable[[Held], None]) -> None:
        """Run a job in a child to its verdict."""
        # Not before: a task that is cancelled before its first step would never come here.
        held.alone = True
        try:
            outcome = self._runner.turned_away(held) or await self._outcome(held)
            if outcome is not None:
                held.over = True
                hooks = self._judge.conclude(held, outcome)
                if hooks is not None:
                    await hooks
        finally:
            self._running -= 1
            finished(held)

    async def _outcome(self, held: Held) -> Outcome | None:
        """How the job ended; None when its settlement is made, or it runs here after all."""
        try:
            if not await self._store.run(
                verbs.alone(self._keys, held.lease.token, held.record.id, held.claim)
            ):
                return Outcome(Ending.HANDED_BACK)  # somebody else's by now; the fence will say so
            if held.record.name in self._unknown:
                self._share(held)
                return None
            return await self._isolate(held)
        except Refused as error:
            return self._put_off(held, f"is refused by Redis, as it would be again at once: {error}")
        except BrokerError:
            return Outcome(Ending.HANDED_BACK)
        except asyncio.CancelledError:
            if held.stop is None:
                raise
            return self._runner.interrupted(held, interrupt_of(held.stop)())
        except Exception as error:
            # No process to be had, or no memory for one: the job must not be lost in here.
            return self._put_off(held, f"could not be started: {type(error).__name__}: {error}")

    async def _isolate(self, held: Held) -> Outcome | None:
        record = held.record
        ours, theirs = self._context.Pipe(duplex=False)
        errand = Errand(
            self._options.queue, self._name, record.id, record.raw, held.claim, held.lease.token, self._clock
        )
        child = self._context.Process(target=self._main, args=(theirs, errand), daemon=True, name=NAME)
        self._context.set_forkserver_preload([self._nursery()])
        starting = asyncio.ensure_future(asyncio.to_thread(child.start))
        try:
            await asyncio.shield(starting)
            theirs.close()
            return await self._follow(held, child, ours)
        finally:
            if held.timer is not None:
                held.timer.cancel()
            # Shielded: whatever ends this coroutine, and when, the child must not outlive it.
            await asyncio.shield(_end(child, starting, held.over))
            ours.close()
            theirs.close()

    async def _follow(self, held: Held, child: BaseProcess, ours: Connection) -> Outcome | None:
        try:
            async with asyncio.timeout(BEGIN):
                message = await _message(ours, child)
        except TimeoutError:
            return self._put_off(held, f"did not begin within {BEGIN:g} s")
        while message is not None:
            if message[0] == BEGAN:
                self._begin(held)
            elif message[0] == UNKNOWN:
                self._take_back(held)
                return None
            else:
                held.over = True
                for kind, delay_ms, error in message[2]:
                    self._judge.tell(kind, held, error=told_error(error), delay_ms=delay_ms)
                self._judge.settled_elsewhere(held, message[1])
                return None
            message = await _message(ours, child)
        await asyncio.to_thread(child.join, LEAVE)
        return self._died(held, child.exitcode)

    def _begin(self, held: Held) -> None:
        definition = held.definition
        assert definition is not None
        self._runner.begin(held, definition)
        if definition.timeout is not None:
            patience = definition.timeout + (LATE if definition.is_async else 0)
            loop = asyncio.get_running_loop()
            held.timer = loop.call_later(patience, self._tell_to_stop, held, Stop.TIMEOUT)

    def _take_back(self, held: Held) -> None:
        name = held.record.name
        self._unknown.add(name)
        log.warning(
            "Task %s is not found by a process of its own, because no module defines it at its top; its jobs "
            "go on sharing this process, although one of them may have killed the last.", name
        )  # fmt: skip
        self._share(held)

    def _share(self, held: Held) -> None:
        """It is marked as running alone all the same: should it kill this process, that counts."""
        held.shares = True
        self._run_here(held)

    def _died(self, held: Held, code: int | None) -> Outcome:
        how = _how(code)
        if not held.began:
            return self._put_off(held, f"{how} before the job began")
        old, limit = held.record, self._options.crash_limit
        crashes = min(old.crashes + 1, 255)
        held.record = JobRecord(old.id, old.raw[:5] + b"%02x" % crashes + old.raw[7:])
        held.record.flags |= FLAG_STARTED
        error = JobCrashed(
            f"The process that ran this job {how}; crash {crashes}, and CRASH_LIMIT is {limit}."
        )
        self._judge.tell(events.CRASHED, held, error=error)
        return Outcome(Ending.CRASHED if crashes >= limit else Ending.HANDED_BACK, error=error)

    def _put_off(self, held: Held, how: str) -> Outcome:
        reason = f"the process of its own that the job needs {how}"
        log.error("Job %s is put off: %s.", one_line(held.record.id), reason)
        return Outcome(Ending.PUT_OFF, error=JobCrashed(f"Not started: {reason}."))


async def _message(ours: Connection, child: BaseProcess) -> Any:
    """The next message of the child; None at its end."""
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    loop.add_reader(ours.fileno(), ready.set)
    try:
        # What the task has forked may hold the pipe open when the child is dead: no end of file tells that.
        while not ready.is_set() and _lives(child):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK):
                    await ready.wait()
    finally:
        loop.remove_reader(ours.fileno())
    try:
        return await asyncio.to_thread(ours.recv) if ours.poll() else None
    except (EOFError, OSError):
        return None


async def _end(child: BaseProcess, starting: asyncio.Future[None], done: bool) -> None:
    """Wait for a child whose job is done, kill any other one, also one that is only just starting."""
    with contextlib.suppress(Exception):
        await starting
    if child.pid is not None:
        await asyncio.to_thread(_join, child, LEAVE if done else 0)


def _join(child: BaseProcess, seconds: float) -> None:
    child.join(seconds)
    if _lives(child) and child.pid is not None:
        with contextlib.suppress(OSError):
            os.kill(child.pid, signal.SIGKILL)
    child.join()


def _lives(child: BaseProcess) -> bool:
    """Should the fork server die, all its children seem to have ended, and go on."""
    if child.is_alive() or child.pid is None:
        return child.pid is not None
    if child.exitcode != FORSAKEN:
        return False
    try:
        os.kill(child.pid, 0)
    except OSError:
        return False
    return True


def _how(code: int | None) -> str:
    if code is None:
        return "did not end"
    if code < 0:
        return f"was killed by {signal_name(-code)}"
    return f"ended with exit code {code}"
