"""``run_jobs``: a real worker in the process, and the thread, of the test, until nothing is due."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from django.apps import apps as django_apps

from ardiq import running, signals
from ardiq.connection import broker
from ardiq.core import events
from ardiq.core.events import Event, Events
from ardiq.core.options import Options
from ardiq.equipment import following, lifespans_of
from ardiq.results import Job
from ardiq.store import recurring, scripts, verbs
from ardiq.testing import inline
from ardiq.testing.desk import adrive, drive
from ardiq.testing.travelling import Moment, moved, travelled
from ardiq.worker import log as job_log
from ardiq.worker.limits import Limits

MOST = 10_000  # attempts of one call: tasks that enqueue each other for ever must not hang a test

_COUNTED = {
    events.SUCCEEDED: "succeeded",
    events.FAILED: "failed",
    events.RETRIED: "retried",
    events.ABORTED: "aborted",
    events.EXPIRED: "expired",
    events.PARKED: "parked",
    events.CRASHED: "failed",
}
_ENDED = {events.SUCCEEDED, events.FAILED, events.ABORTED, events.EXPIRED, events.CRASHED}


@dataclass
class Ran:
    """What a call of ``run_jobs`` did. ``jobs``: those that have ended, in that order; ``errors``: what the
    failed ones raised; ``retried`` counts attempts that failed and come again."""

    succeeded: int = 0
    failed: int = 0
    retried: int = 0
    aborted: int = 0
    expired: int = 0
    parked: int = 0
    jobs: list[Job[Any]] = field(default_factory=list)
    errors: list[BaseException] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.jobs)

    def __bool__(self) -> bool:
        return True

    @property
    def attempts(self) -> int:
        """Everything that a worker took in hand."""
        return len(self.jobs) + self.retried + self.parked

    def raise_errors(self) -> Ran:
        """Raise what the first failed job raised, if one has failed."""
        if self.errors:
            raise self.errors[0]
        return self


class Budget:
    """How many attempts are left, to one drain and to those that run inside its jobs."""

    def __init__(self, most: int, wanted: bool = False) -> None:
        self.left, self._most, self._wanted = most, most, wanted

    def is_spent(self) -> bool:
        return self.left <= 0

    def complain(self) -> None:
        """Raise AssertionError if it is spent and nobody has asked for that."""
        if self.is_spent() and not self._wanted:
            raise AssertionError(
                f"More than {self._most:,} jobs ran: do tasks enqueue each other for ever? "
                "Give run_jobs() max_jobs if not."
            )


class _Share(Limits):
    """What a worker may take of a budget that jobs of its own jobs may use up meanwhile."""

    def __init__(self, budget: Budget) -> None:
        super().__init__(budget.left)
        self._budget = budget

    def left(self, want: int) -> int:
        return 0 if self._budget.is_spent() else super().left(want)

    def check(self) -> str:
        return super().check() or ("the budget is spent" if self._budget.is_spent() else "")


class Drain:
    """One call of ``run_jobs``."""

    def __init__(
        self,
        queues: Iterable[str] | str | None,
        *,
        budget: Budget,
        retries: bool = False,
        concurrency: int = 1,
        outbox: bool = False,
    ) -> None:
        self._names = [queues] if isinstance(queues, str) else queues
        self._budget = budget
        self._retries, self._concurrency, self._outbox = retries, concurrency, outbox
        self.ran = Ran()
        self._signals: list[Event] = []
        self._posted: list[Callable[[], None]] = []

    def _options(self) -> list[Options]:
        names = running.queue_names() if self._names is None else list(self._names)
        given: dict[str, Any] = {"concurrency": self._concurrency, "threads": 1, "prefetch": 0}
        return [running.worker_options(name, **given) for name in names]

    async def run(self, executor: Executor) -> Ran:
        """Until nothing is due in any of the queues: a job of one may enqueue to another."""
        every, alive = self._options(), set[str]()
        async with AsyncExitStack() as stack:
            while not self._budget.is_spent():
                before = self.ran.attempts
                for options in every:
                    if self._outbox:
                        await self._sweep(options, executor)
                    if self._budget.is_spent() or not await self._has_work(options):
                        continue
                    if options.queue not in alive:
                        await stack.enter_async_context(lifespans_of(options.queue))
                        alive.add(options.queue)
                    await self._burst(options, executor)
                if self.ran.attempts == before or len(every) == 1:
                    break
        return self.ran

    async def _has_work(self, options: Options) -> bool:
        """Whether a worker would find anything: two round trips instead of its whole life."""
        own = broker(options)
        lengths = [verbs.length(own.keys, lane) for lane in options.priorities]
        calls = [recurring.now(), verbs.next_due(own.keys), verbs.workers(own.keys), *lengths]
        now, due, workers, *waiting = await own.here().store.run_many(calls)
        return any(waiting) or 0 < due <= now or any(end < now for _, end in workers)

    async def _burst(self, options: Options, executor: Executor) -> None:
        worker = running.build(
            options.queue,
            options,
            name="test",
            burst=True,
            around=inline.upkeep(executor),
            events=self._listening(),
            limits=_Share(self._budget),
            kind=partial(inline.InlineWorker, executor=executor, soon=self._retries),
            hooks=lambda: inline.hooks_of(options.queue, executor),
            isolation=None,
            follow=following(options.queue, self._posted.append),
        )
        self._broker = broker(options)
        try:
            await worker.run()
        finally:
            heard, self._signals = self._signals, []
            posted, self._posted[:] = list(self._posted), []
            posted = [*(partial(signals.send, event) for event in heard), *posted]
            for one in posted:
                await asyncio.get_running_loop().run_in_executor(executor, one)

    async def _sweep(self, options: Options, executor: Executor) -> None:
        if django_apps.ready and django_apps.is_installed("ardiq"):
            from ardiq.relay import Relay

            await asyncio.get_running_loop().run_in_executor(executor, Relay(options).here)

    def _listening(self) -> Events:
        heard = Events()
        heard.subscribe(job_log.write, job_log.wanted)
        heard.subscribe(self._hear)
        return heard

    def _hear(self, event: Event) -> None:
        self._signals.append(event)
        counter = _COUNTED.get(event.kind)
        if counter is not None:
            setattr(self.ran, counter, getattr(self.ran, counter) + 1)
            self._budget.left -= 1
        if event.kind in _ENDED:
            self.ran.jobs.append(Job(event.id, self._broker))
            if event.error is not None and event.kind in (events.FAILED, events.CRASHED):
                self.ran.errors.append(event.error)

    async def run_until(self, until: Moment | None, executor: Executor) -> Ran:
        """``run``, and then again at each time at which something falls due."""
        limit = scripts.ahead() + (0 if until is None else moved(until))
        await self.run(executor)
        if until is None:
            self._budget.complain()
            return self.ran
        with travelled() as to:
            while not self._budget.is_spent() and (due := await self._next_due(limit)):
                to(due)
                await self.run(executor)
        self._budget.complain()
        return self.ran

    async def _next_due(self, limit: int) -> int:
        """How far ahead the clock has to be for the next job, at most ``limit`` (both ms); 0 for no job."""
        found: list[int] = []
        for options in self._options():
            own = broker(options)
            now, due = await own.here().store.run_many([recurring.now(), verbs.next_due(own.keys)])
            if due:
                found.append(scripts.ahead() + max(due - now, 1))
        return min((ahead for ahead in found if ahead <= limit), default=0)


def _budget(max_jobs: int | None) -> Budget:
    return Budget(MOST) if max_jobs is None else Budget(max_jobs, wanted=True)


def run_jobs(
    queues: Sequence[str] | str | None = None,
    *,
    until: Moment | None = None,
    max_jobs: int | None = None,
    retries: bool = False,
    concurrency: int = 1,
    outbox: bool = False,
) -> Ran:
    """Run all jobs that are due, in the order in which a worker would, and return what came of them.

    In this process and this thread: tasks see the open transaction of a ``TestCase``. ``queues``: names,
    default all. ``until`` (seconds, timedelta or datetime) moves the clock on from one due time to the next,
    so that what falls due by then runs as well. ``retries``: they do not wait. ``max_jobs``: most attempts.
    ``concurrency``: async tasks at once, for those that wait for each other. ``outbox``: push first what
    durable calls have left there. Raises BrokerError when a server cannot be reached.
    """
    drain = Drain(queues, budget=_budget(max_jobs), retries=retries, concurrency=concurrency, outbox=outbox)
    return drive(partial(drain.run_until, until))


async def arun_jobs(
    queues: Sequence[str] | str | None = None,
    *,
    until: Moment | None = None,
    max_jobs: int | None = None,
    retries: bool = False,
    concurrency: int = 1,
    outbox: bool = False,
) -> Ran:
    """``run_jobs`` for coroutines: async tasks run on this loop, sync ones where ``sync_to_async`` would."""
    drain = Drain(queues, budget=_budget(max_jobs), retries=retries, concurrency=concurrency, outbox=outbox)
    return await adrive(partial(drain.run_until, until))
