"""Tasks with ``executor="process"``: a pool of child processes, forked when needed and used again (B5).

What runs in a thread can be asked to stop; what runs in a process can be made to. So a timeout, an abort, the
end of a grace and a lost lease kill the child, and nobody else notices. A child that dies by itself fails the
attempt of its job, and of no other: it is known for certain whose fault it was, unlike in a worker (R7).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import Callable

from ardiq.core.errors import JobCrashed, UnknownTask
from ardiq.core.options import Options
from ardiq.core.retry import Ending, Outcome
from ardiq.worker.apart import BEGIN, LEAVE, Apart
from ardiq.worker.forked import Forked, Main, how
from ardiq.worker.held import Clock, Held, Stop
from ardiq.worker.isolation import BEGAN, ENDED, REPORT, UNKNOWN
from ardiq.worker.judge import Judge
from ardiq.worker.limits import Limits
from ardiq.worker.runner import Runner

NAME = "ardiq-process"
# Children at once for each processor. Not one: this executor is also for calls that wait and cannot be
# interrupted. Not as many as CONCURRENCY allows: that may be set to hundreds for async tasks.
PER_PROCESSOR = 8
AT_ONCE = 0.5  # seconds for the last children in a hurry; those that only just start end with their parent
KEEP = 300.0  # seconds without a job after which a child ends; the last one stays

log = logging.getLogger("ardiq.worker")


class Processes(Apart):
    """``main`` ends in serving.serve."""

    def __init__(
        self,
        main: Main,
        nursery: Callable[[], str],
        name: str,
        options: Options,
        clock: Clock,
        runner: Runner,
        judge: Judge,
        tell_to_stop: Callable[[Held, Stop], None],
        limits: Limits,
    ) -> None:
        super().__init__(PER_PROCESSOR, main, nursery, name, options, clock, runner, judge, tell_to_stop)
        self._limits = limits
        self._idle: list[tuple[Forked, float]] = []  # the last one that was used is used first
        self._waiters: deque[asyncio.Future[Forked]] = deque()
        self._starting: set[asyncio.Task[None]] = set()
        self._ending: dict[asyncio.Task[int | None], Forked] = {}
        self._trimming: asyncio.TimerHandle | None = None
        self._closed = False

    # -- one job ----------------------------------------------------------------------------------

    async def _elsewhere(self, held: Held) -> Outcome | None:
        while True:
            child = await self._taken()
            again = child.served > 0
            outcome = await self._errand(held, child)
            if outcome is not None or held.over:
                return outcome
            if not again:
                return self._not_begun(held, how(await child.end(LEAVE)))
            # It had died meanwhile, perhaps by what an earlier job has left running in it.

    async def _errand(self, held: Held, child: Forked) -> Outcome | None:
        """Give a child a job and follow it to its end. None: it is settled, or else it has not begun."""
        record, definition = held.record, held.definition
        assert definition is not None
        child.take()
        held.handed = time.monotonic()
        id = record.id.encode("utf-8", "surrogateescape")
        module = definition.fn.__module__
        child.send(id, record.raw, held.claim, held.lease.token, self._clock.offset, module)
        try:
            return await self._follow(held, child)
        except TimeoutError:
            return self._not_begun(held, f"said nothing within {BEGIN:g} s")
        finally:
            if held.timer is not None:
                held.timer.cancel()
            if not child.busy and not child.over and not self._limits.outgrown(child.pid):
                self._free(child)
            elif not child.busy:
                self._end(child, LEAVE)
            else:
                # Shielded: whatever ends this coroutine, and when, the child must not outlive it.
                await asyncio.shield(self._end(child, 0))

    async def _follow(self, held: Held, child: Forked) -> Outcome | None:
        message = await self._first_word(held, child)
        while message is not None:
            if message[0] == BEGAN:
                self._begin(held, message)
            elif message[0] == REPORT:
                self._report(held, message)
            elif message[0] == ENDED:
                # Error hooks run now; as after a thread, nothing of that is the time of the task.
                if held.timer is not None:
                    held.timer.cancel()
            else:
                child.put_down()
                if message[0] == UNKNOWN:
                    return self._unknown(held)
                self._settle(held, message)
                return None
            message = await child.receive()
        if not held.began and not held.in_hand:
            return None
        held.crashed = True
        code = await child.end(LEAVE)
        child.kill_group()  # what it had started itself must not go on without it
        if not held.began or not held.lease.believed_since(held.handed):
            return self._crashed(held, how(code))
        return Outcome(Ending.RAISED, error=JobCrashed(f"The process that ran this job {how(code)}."))

    def _unknown(self, held: Held) -> Outcome:
        record, definition = held.record, held.definition
        module = definition.fn.__module__ if definition else ""
        return Outcome(
            Ending.REFUSED,
            error=UnknownTask(
                f"Task {record.name!r} is not registered in a child process that has imported {module}: "
                "define it at the top of that module, on no condition that holds in the worker only."
            ),
        )

    # -- the pool ---------------------------------------------------------------------------------

    async def _taken(self) -> Forked:
        """A child that has nothing to do: one that is there, or a new one."""
        while self._idle:
            child, _ = self._idle.pop()
            if not child.over:
                return child
        waiter: asyncio.Future[Forked] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        # One that is starting for a job that was aborted meanwhile will do as well.
        if sum(not task.done() for task in self._starting) < len(self._waiters):
            task = asyncio.ensure_future(self._start())
            self._starting.add(task)
            task.add_done_callback(self._starting.discard)
        try:
            return await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                self._free(waiter.result())
            raise
        finally:
            with contextlib.suppress(ValueError):
                self._waiters.remove(waiter)

    async def _start(self) -> None:
        args = (self._options.queue, self._name, self._board.end)
        try:
            child = Forked(self._main, NAME, args, self._gone)
            await child.start(self._nursery())
        except Exception as error:
            if (waiter := self._waiter()) is not None:
                waiter.set_exception(error)
            return
        self._free(child)

    def _waiter(self) -> asyncio.Future[Forked] | None:
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                return waiter
        return None

    def _free(self, child: Forked) -> None:
        """It has nothing to do: the next job is its own."""
        if self._closed:
            self._end(child, LEAVE)
        elif (waiter := self._waiter()) is not None:
            waiter.set_result(child)
        else:
            self._idle.append((child, time.monotonic()))
            self._trim_later()

    def _gone(self, child: Forked) -> None:
        for each in self._idle:
            if each[0] is child:
                self._idle.remove(each)
                self._end(child, 0)
                return

    def _end(self, child: Forked, patience: float) -> asyncio.Task[int | None]:
        child.dismiss()
        task = asyncio.ensure_future(child.end(patience))
        self._ending[task] = child
        task.add_done_callback(self._ending.pop)
        return task

    def _trim_later(self) -> None:
        if self._trimming is None and len(self._idle) > 1:
            self._trimming = asyncio.get_running_loop().call_later(KEEP, self._trim)

    def _trim(self) -> None:
        self._trimming = None
        while len(self._idle) > 1 and time.monotonic() - self._idle[0][1] >= KEEP:
            self._end(self._idle.pop(0)[0], LEAVE)
        self._trim_later()

    def dismiss(self) -> None:
        """Let children end once they have nothing to do."""
        self._closed = True
        if self._trimming is not None:
            self._trimming.cancel()
        while self._idle:
            self._end(self._idle.pop()[0], LEAVE)

    async def close(self, hurry: asyncio.Event) -> None:
        """Return when there are no children any more; kill those that do not end, at once in a ``hurry``."""
        self.dismiss()
        hurried = asyncio.ensure_future(hurry.wait())
        try:
            while (left := {*self._starting, *self._ending}) and not hurry.is_set():
                await asyncio.wait({hurried, *left}, return_when=asyncio.FIRST_COMPLETED)
            for child in self._ending.values():
                child.kill()
            if left:
                await asyncio.wait(left, timeout=AT_ONCE)
        finally:
            hurried.cancel()
