"""Jobs that run apart from the process of their worker: what suspects and process tasks have in common.

The worker keeps their slot and their lease; their process makes the verdict and sends the settlement.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable

from ardiq.core import events
from ardiq.core.errors import BrokerError, JobCrashed
from ardiq.core.job import FLAG_STARTED, JobRecord
from ardiq.core.options import Options
from ardiq.core.retry import Ending, Outcome
from ardiq.store.refusals import Refused
from ardiq.worker.belief import Board
from ardiq.worker.forked import Forked, Main
from ardiq.worker.held import Clock, Held, Stop, interrupt_of
from ardiq.worker.isolation import REPORT, TAKEN, told_error
from ardiq.worker.judge import Judge
from ardiq.worker.line import Message
from ardiq.worker.log import one_line
from ardiq.worker.pace import Pace
from ardiq.worker.runner import Runner

BEGIN = 300.0  # seconds that a child gets to set the project up in
LATE = 5.0  # seconds that a child gets beyond the timeout which an async task keeps by itself
LEAVE = 5.0  # seconds that a child gets to end in when it has nothing more to do

log = logging.getLogger("ardiq.worker")


def processors() -> int:
    """How many this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


class Apart:
    """Runs jobs in processes of their own kind, so many at once. ``main`` runs in the child: it sets the
    project up. ``nursery`` names a module that sets it up for all of them, when the first one is needed.
    ``tell_to_stop`` stops a job."""

    def __init__(
        self,
        per_processor: int,
        main: Main,
        nursery: Callable[[], str],
        name: str,
        options: Options,
        clock: Clock,
        runner: Runner,
        judge: Judge,
        tell_to_stop: Callable[[Held, Stop], None],
    ) -> None:
        self._main, self._nursery, self._name = main, nursery, name
        self._options, self._clock, self._runner, self._judge = options, clock, runner, judge
        self._tell_to_stop = tell_to_stop
        self._most = min(options.concurrency, per_processor * processors())
        self._running = 0
        self._board = Board()
        self.pace = Pace(self._most, "auto")

    @property
    def spare(self) -> int:
        """How many jobs it can take in, some of which may wait if they are quick."""
        self.pace.measure()
        return self._most + self.pace.extra - self._running

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
            self.pace.done += 1
            finished(held)

    async def _outcome(self, held: Held) -> Outcome | None:
        """How the job ended; None when its settlement is made, or it runs here after all."""
        try:
            self._board.show(held.lease)
            return await self._elsewhere(held)
        except Refused as error:
            return self._put_off(held, f"is refused by Redis, as it would be again at once: {error}")
        except BrokerError:
            return Outcome(Ending.HANDED_BACK)
        except asyncio.CancelledError:
            if held.stop is None:
                raise
            return Outcome.interrupted(interrupt_of(held.stop)(), held.timeout)
        except Exception as error:
            # No process to be had, or no memory for one: the job must not be lost in here.
            return self._put_off(held, f"could not be started: {type(error).__name__}: {error}")

    async def _elsewhere(self, held: Held) -> Outcome | None:
        raise NotImplementedError

    async def _first_word(self, held: Held, child: Forked) -> Message | None:
        """What a child says first of a job that it has read; None when it has died. TimeoutError when it says
        nothing."""
        async with asyncio.timeout(BEGIN):
            while (message := await child.receive()) is not None and message[0] in (TAKEN, REPORT):
                held.in_hand |= message[0] == TAKEN
            return message

    def _begin(self, held: Held, message: Message) -> None:
        held.meta = message[1]
        definition = held.definition
        assert definition is not None
        self._runner.begin(held, definition)
        if definition.timeout is not None:
            patience = definition.timeout + (LATE if definition.is_async else 0)
            loop = asyncio.get_running_loop()
            held.timer = loop.call_later(patience, self._tell_to_stop, held, Stop.TIMEOUT)

    def _report(self, held: Held, message: Message) -> None:
        """Pass on what a job tells of itself; not what a thread says that an earlier one has left running."""
        job, (_, fence, progress, lines) = held.context, message
        if job is None or job.reports is None or job.fence != fence:
            return
        if progress is not None:
            job.reports.progress(job, *progress)
        for line in lines:
            job.reports.log(job, line)

    def _settle(self, held: Held, message: Message) -> None:
        held.over = True
        for kind, delay_ms, error in message[2]:
            self._judge.tell(kind, held, error=told_error(error), delay_ms=delay_ms)
        self._judge.settled_elsewhere(held, (held.record.id, *message[1]))

    def _not_begun(self, held: Held, how: str) -> Outcome:
        """What becomes of a job that its process did not begin. One that had it in hand was reading its call,
        and that is of the job: it is charged like any other death, and the next time it runs as a suspect."""
        return (
            self._crashed(held, how) if held.in_hand else self._put_off(held, f"{how} before the job began")
        )

    def _crashed(self, held: Held, how: str) -> Outcome:
        if not held.lease.believed_since(held.handed):
            return Outcome(Ending.HANDED_BACK)  # it ended itself, as it has to
        old, limit = held.record, self._options.crash_limit
        crashes = min(old.crashes + 1, 255)
        held.record = JobRecord(old.id, old.raw[:5] + b"%02x" % crashes + old.raw[7:])
        held.record.flags |= FLAG_STARTED
        error = JobCrashed(
            f"The process that ran this job {how}; crash {crashes}, and CRASH_LIMIT is {limit}."
        )
        held.crashed = True
        self._judge.tell(events.CRASHED, held, error=error)
        return Outcome(Ending.CRASHED if crashes >= limit else Ending.HANDED_BACK, error=error)

    def _put_off(self, held: Held, how: str) -> Outcome:
        reason = f"the process of its own that the job needs {how}"
        log.error("Job %s is put off: %s.", one_line(held.record.id), reason)
        return Outcome(Ending.PUT_OFF, error=JobCrashed(f"Not started: {reason}."))
