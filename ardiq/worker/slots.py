"""The slots of a worker: which of the held jobs run now, on the loop or in a thread."""

from __future__ import annotations

import asyncio
import sys
import time
from collections import deque
from collections.abc import Callable
from contextvars import Context
from typing import Any

from ardiq.core import events
from ardiq.core.options import Options
from ardiq.core.registry import Find
from ardiq.core.retry import Ending, Outcome
from ardiq.worker.aside import STALE, Aside
from ardiq.worker.held import Held, Stop, interrupt_of
from ardiq.worker.judge import Judge
from ardiq.worker.outside import Outside
from ardiq.worker.pace import Pace
from ardiq.worker.runner import Runner
from ardiq.worker.threads import Crew

# Running a body at once, without a turn of the loop, takes a third off the cost of a no-op.
EAGER: dict[str, Any] = {"eager_start": True} if sys.version_info >= (3, 12) else {}
EAGER_MOST = 0.01  # seconds that starting jobs may keep the loop from everything else
LEAKS = 10.0  # seconds after which a job that was told to stop has leaked its slot (R17)


class Slots:
    """Starts held jobs as slots allow. ``freed`` is called whenever one may be claimed in their place."""

    def __init__(
        self,
        options: Options,
        runner: Runner,
        judge: Judge,
        pace: Pace,
        find: Find,
        thread_ends: Callable[[], None],
        freed: Callable[[], None],
        outside: Outside,
    ) -> None:
        self.waiting: deque[Held] = deque()
        self.closed = False  # nothing starts any more
        self._concurrency = options.concurrency
        self._runner, self._judge, self._pace = runner, judge, pace
        self._find, self._freed = find, freed
        self._suspects, self.processes = outside(self.tell_to_stop, self.run_here)
        self._aside = Aside(self._suspects, self.processes)
        self.told: dict[Held, float] = {}  # jobs that were told to stop, and when (monotonic s)
        self._concluding: set[asyncio.Task[None]] = set()
        self._loop = asyncio.get_running_loop()
        self._on_loop = 0
        self._filling = False
        self._refill: asyncio.Handle | None = None
        limit = min(options.threads, options.concurrency)
        self.crew = Crew(limit, self._in_thread, self._delivered, thread_ends)

    @property
    def busy(self) -> bool:
        return bool(self._on_loop or self.crew.load or self._concluding)

    @property
    def running(self) -> int:
        return self._on_loop + self.crew.busy

    @property
    def load(self) -> int:
        """Jobs that are here and have not ended."""
        held = len(self.waiting) + len(self._aside)
        return self._on_loop + self.crew.load + held + len(self._concluding)

    # -- starting ---------------------------------------------------------------------------------

    def fill(self) -> None:
        """Start what can start now."""
        self._refill = None
        if self._filling or self.closed:
            return
        self._filling = True
        out_of_time, until = False, time.monotonic() + EAGER_MOST
        try:
            if self._aside:
                self._aside.start(self._start_alone)
            # What is behind a suspect does not take the slot that it needs, only one that it cannot use.
            while (
                self.waiting and not out_of_time and not self._aside.awaited and self._start(self.waiting[0])
            ):
                self.waiting.popleft()
                out_of_time = time.monotonic() > until
        finally:
            self._filling = False
        self._freed()  # by those that have ended at once
        if self.waiting and out_of_time:
            # Only then: what cannot start now would be asked again without end.
            self._fill_soon()

    def _fill_soon(self) -> None:
        if self._refill is None and not self._filling:
            self._refill = self._loop.call_soon(self.fill)

    def _has_room(self) -> bool:
        in_threads = self.crew.busy if self.crew.load else 0
        return self._on_loop + in_threads + len(self._concluding) < self._concurrency

    def _start(self, held: Held) -> bool:
        """Start a job if there is a slot for it."""
        if not held.lease.believed:
            return False
        definition = held.definition = self._find(held.record)
        if held.record.raw[5:7] != b"00" and self._suspects is not None and self._suspects.wants(held):
            return self._start_alone(held) or self._aside.add(held)
        if definition is not None and not definition.is_async:
            if definition.executor == "process" and self.processes is not None:
                self._aside.for_pool(held)
                return self._has_room() and (self._start_alone(held) or self._aside.add(held))
            return self._hand_over(held)
        if not self._has_room():
            return False
        self._on_loop += 1
        # A context of its own for each job: what one sets, the next does not see.
        task = asyncio.Task(
            self._runner.perform(held, self._ended), loop=self._loop, context=Context(), **EAGER
        )
        if not task.done():
            held.task = task
        return True

    def _start_alone(self, held: Held) -> bool:
        """Start a job in a process of its own kind, if there is a slot and a process for it."""
        apart = self._aside.apart(held)
        if not held.lease.believed or not self._has_room() or not apart.reserve():
            return False
        self._on_loop += 1
        held.task = asyncio.Task(apart.perform(held, self._ended), loop=self._loop, context=Context())
        return True

    def _hand_over(self, held: Held) -> bool:
        """To the crew: as many as there are threads, and when tasks are fast some more, so that a thread
        that ends one goes on with the next without a turn of the loop."""
        crew = self.crew
        if crew.load >= crew.limit + self._pace.extra:
            return False
        if self._on_loop + len(self._concluding) + min(crew.load + 1, crew.limit) > self._concurrency:
            return False
        crew.submit(held)
        return True

    def _in_thread(self, held: Held) -> Outcome:
        if not held.lease.believed:
            # It has waited for this thread since before the lease ran out; somebody else may run it (R4).
            return Outcome(Ending.HANDED_BACK)
        call = self._runner.admit(held)
        if isinstance(call, Outcome):
            return call
        assert held.definition is not None
        if held.definition.timeout is not None:
            self._loop.call_soon_threadsafe(self._arm, held, held.definition.timeout)
        outcome = self._runner.perform_sync(held, *call)
        if held.measured:
            held.ended = time.monotonic()
        # Whatever the task made of the interrupt: what was aborted never runs again.
        return Outcome(Ending.ABORTED) if held.stop is Stop.ABORT else outcome

    def _arm(self, held: Held, timeout: float) -> None:
        if not held.over:
            held.timer = self._loop.call_later(timeout, self.tell_to_stop, held, Stop.TIMEOUT)

    def run_here(self, held: Held) -> None:
        """Start a suspect like any other job, after all."""
        held.alone, held.task = False, None
        if self.closed:
            # The drain has taken back what waits, and looks at it no more.
            self._conclude(held, Outcome(Ending.HANDED_BACK))
        else:
            self.waiting.appendleft(held)

    # -- ending -----------------------------------------------------------------------------------

    def _ended(self, held: Held) -> None:
        self._on_loop -= 1
        self._pace.done += 1
        if not self._filling:
            self._go_on()

    def _delivered(self, batch: list[tuple[Held, Outcome]]) -> None:
        self._pace.done += len(batch)
        for held, outcome in batch:
            if held.timer is not None:
                held.timer.cancel()
            self._conclude(held, outcome)
        self._go_on()

    def _conclude(self, held: Held, outcome: Outcome) -> None:
        hooks = self._judge.conclude(held, outcome)
        if hooks is not None:
            task = asyncio.ensure_future(hooks)
            self._concluding.add(task)
            task.add_done_callback(self._concluded)

    def _concluded(self, task: asyncio.Task[None]) -> None:
        self._concluding.discard(task)
        self._go_on()

    def _go_on(self) -> None:
        if self.waiting or self._aside:
            # Not from here: the next job must not start inside the context of the one that has ended.
            self._fill_soon()
        self._freed()

    def refuse(self, held: Held, error: Exception) -> None:
        """End a job that cannot even be tried."""
        self._conclude(held, Outcome(Ending.REFUSED, error=error))

    # -- stopping ---------------------------------------------------------------------------------

    def tell_to_stop(self, held: Held, why: Stop) -> None:
        """Abort, time out or hand back a job, wherever it is. The first reason holds."""
        if held.over or held.stop is not None:
            return
        held.stop = why
        self.told[held] = time.monotonic()
        if why is Stop.LOST and held.began:
            self._judge.tell(events.LOST, held)
        if why is Stop.LOST and held.context is not None:
            held.context.lease_lost = True
        if held.task is not None and (held.began or held.alone):
            held.task.cancel()
        elif held in self.waiting or held in self._aside:
            (self.waiting if held in self.waiting else self._aside).remove(held)
            self._turn_away(held)
        elif self.crew.interrupt(held, interrupt_of(why)) or self.closed:
            return
        elif self.crew.take_back(held):  # else a thread is about to begin it, and will see the reason
            self._turn_away(held)

    def _turn_away(self, held: Held) -> None:
        """Conclude a job that was told to stop before it has begun."""
        outcome = self._runner.admit(held)
        assert isinstance(outcome, Outcome)
        self._conclude(held, outcome)
        self._freed()

    def leaked(self, patience: float) -> int:
        """How many jobs were told to stop ``patience`` seconds ago and still run: their slots are lost.

        An async task that swallowed its cancellation gets another one meanwhile; nothing more can be done
        about it, or about a thread inside a call that does not return.
        """
        now, leaked = time.monotonic(), 0
        for held, since in list(self.told.items()):
            if held.over:
                del self.told[held]
            elif now - since > patience:
                leaked += 1
            elif now - since > patience / 2 and held.task is not None and not held.again:
                held.again = True
                held.task.cancel()
        return leaked

    def withdraw(self) -> list[Held]:
        """Take back all that has not started, in the order in which it was claimed."""
        back = [*self.crew.withdraw(), *self._aside.withdraw(), *self.waiting]
        self.waiting.clear()
        return back

    def stale(self) -> bool:
        """Whether held jobs wait too long for a slot."""
        return bool(self.waiting) and time.monotonic() - self.waiting[0].claimed > STALE

    def withdraw_unplaced(self, give_back: Callable[[Held], None]) -> None:
        """Take back jobs that wait too long for one of the processes, whatever PREFETCH says."""
        for held in reversed(self._aside.withdraw_unplaced(hoards=not self._pace.adapts)):
            give_back(held)

    def scarce(self, most: int) -> str:
        """What a claim for ``most`` jobs must be told: the tasks for which there is not as much room."""
        return self._aside.scarce(most, self.waiting)

    async def close(self, hurry: asyncio.Event) -> None:
        """Let threads and processes end. Returns when there is no process any more."""
        self.crew.stop()
        if self.processes is not None:
            await self.processes.close(hurry)
