"""Recurring tasks of a queue: ``@app.cron``, and what people may ask and do about them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal, cast

from ardiq.core.cron import Timetable
from ardiq.core.errors import UnknownTask
from ardiq.core.job import tail
from ardiq.core.names import did_you_mean
from ardiq.core.recurrence import Recurrence
from ardiq.deadletters import DeadLetters
from ardiq.decorators import Decorator
from ardiq.enqueuing import Task
from ardiq.results import Job
from ardiq.store import recurring
from ardiq.store.newjobs import slot_of
from ardiq.store.recurring import ScheduleState


@dataclass(frozen=True, slots=True)
class Schedule:
    """Where a recurring task stands. Times in epoch ms by the clock of the server; 0 for never."""

    name: str
    timetable: str
    zone: str
    paused: bool
    next_at: int
    last_at: int
    last_job: str
    last_status: str
    last_ended_at: int


class Recurring(DeadLetters):
    """The part of an ``Ardiq`` that is about recurring tasks. Each async method has a twin for sync code."""

    crons: dict[str, Recurrence]
    tasks: dict[str, Task[..., Any]]

    def task(self, /, **options: Any) -> Decorator:
        raise NotImplementedError

    def cron(
        self,
        expression: str | None = None,
        /,
        *,
        every: float | timedelta | None = None,
        tz: str | None = None,
        misfire: Literal["latest", "skip", "all"] = "latest",
        overlap: Literal["skip", "queue"] = "skip",
        **options: Any,
    ) -> Decorator:
        """Register a function as a task that workers run by a cron expression, or ``every`` so many seconds.

        ``tz`` names the time zone of the expression, else TIME_ZONE of the queue. ``misfire`` says which
        occurrences count that came while no worker ran, ``overlap`` what to do while the last job still waits
        or runs; the other options are those of ``task``. Raises ValueError for what is no expression.
        """
        if (expression is None) == (every is None):
            raise ValueError(
                "@cron takes an expression, as in @cron('*/5 * * * *'), or every=, and one of them."
            )
        if tz is not None and every is not None:
            raise ValueError(f"tz={tz!r}: a fixed period has no time zone; leave it out.")
        timetable = (
            Timetable.every(every) if every is not None else Timetable.cron(expression or "", tz or "")
        )

        def register(fn: Callable[..., Any]) -> Task[..., Any]:
            for option in ("debounce_ms", "throttle_ms"):
                if options.get(option):
                    raise ValueError(
                        f"{option}={options[option]}: a recurring task runs by its timetable; overlap= says "
                        "what happens while the last job still waits or runs."
                    )
            task = self.task(**options)(fn)
            task.definition.check((), {})  # a worker has no arguments to give
            self.crons[task.name] = Recurrence.checked(task.name, timetable, misfire, overlap)
            return cast("Task[..., Any]", task)

        return cast("Decorator", register)

    def recurrences(self) -> list[Recurrence]:
        """The recurring tasks, each in its time zone."""
        return [one.in_zone(self.options.time_zone) for one in tuple(self.crons.values())]

    def offer(self, recurrence: Recurrence) -> tuple[str, str, str, bytes]:
        """The job of one occurrence: id, lane, unique slot or '', and the record behind its worker field."""
        id, lane, options, call = self.tasks[recurrence.name].prepare().build(self.broker)
        if isinstance(options, bytes):
            return id, lane, "", tail(options, call)
        return id, lane, slot_of(options), call

    # -- for people -------------------------------------------------------------------------------

    async def schedules(self) -> list[Schedule]:
        """Every recurring task of this object, by name."""
        now_and_states = await self.broker.here().store.run_many(self._asked())
        return self._told(now_and_states)

    def schedules_sync(self) -> list[Schedule]:
        """``schedules`` for sync code."""
        return self._told(self.broker.store.run_many(self._asked()))

    def _asked(self) -> list[Any]:
        names = sorted(self.crons)
        return [recurring.now(), recurring.states(self.broker.keys, names)] if names else []

    def _told(self, answers: list[Any]) -> list[Schedule]:
        if not answers:
            return []
        now: int = answers[0]
        states: Sequence[ScheduleState] = answers[1]
        return [self._schedule(state, now) for state in states]

    def _schedule(self, state: ScheduleState, now: int) -> Schedule:
        one = self.crons[state.name].in_zone(self.options.time_zone)
        return Schedule(
            state.name, one.timetable.spelt, one.timetable.zone, state.paused,
            0 if state.paused else one.next_after(now), state.last_at, state.last_id,
            state.ended_status, state.ended_at,
        )  # fmt: skip

    async def pause(self, name: str) -> bool:
        """Fire no more until ``resume``. Answers whether it was running. Raises UnknownTask."""
        return bool(await self.broker.here().store.run(recurring.pause(self.broker.keys, self._known(name))))

    def pause_sync(self, name: str) -> bool:
        """``pause`` for sync code."""
        return bool(self.broker.store.run(recurring.pause(self.broker.keys, self._known(name))))

    async def resume(self, name: str) -> bool:
        """Fire again; occurrences that fell into the pause are over. Answers whether it was paused."""
        return bool(await self.broker.here().store.run(recurring.resume(self.broker.keys, self._known(name))))

    def resume_sync(self, name: str) -> bool:
        """``resume`` for sync code."""
        return bool(self.broker.store.run(recurring.resume(self.broker.keys, self._known(name))))

    async def run_now(self, name: str) -> Job[Any]:
        """Enqueue a recurring task once, now, whatever its timetable says. Raises UnknownTask."""
        return await self.tasks[self._known(name)].enqueue()

    def run_now_sync(self, name: str) -> Job[Any]:
        """``run_now`` for sync code."""
        return self.tasks[self._known(name)].enqueue_sync()

    def _known(self, name: str) -> str:
        if name not in self.crons:
            raise UnknownTask(f"No recurring task is named {name!r}. {did_you_mean(name, self.crons)}")
        return name
