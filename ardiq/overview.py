"""What there is to know of a queue at one moment, in three round trips whatever the number of its jobs.

Several queues of one server are looked at in the same three (``steps``).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ardiq import owners
from ardiq.connection import Broker, broker
from ardiq.core.job import JobStatus
from ardiq.core.options import Options
from ardiq.core.outcome import read_result
from ardiq.core.recurrence import GRACE_MS, Recurrence
from ardiq.core.statistics import Period
from ardiq.store import browsing, controls, inspector, letters, recurring, server, statistics
from ardiq.store.browsing import Spot
from ardiq.store.controls import Pause
from ardiq.store.inspector import Counts, Heads, JobView, WorkerView
from ardiq.store.letters import FailureGroup, Steps, drive
from ardiq.store.recurring import ScheduleState
from ardiq.store.refusals import Refused
from ardiq.store.scripts import Call
from ardiq.store.server import Info
from ardiq.worker.health import patience

LATEST = 5  # dead letters, and groups of them, that are shown


@dataclass(frozen=True, slots=True)
class Standing:
    """A recurring task. ``next_at``: epoch ms, 0 for none; ``late``: an occurrence came more than a minute
    ago, and no worker has fired it."""

    recurrence: Recurrence
    state: ScheduleState
    next_at: int
    late: bool

    @property
    def last_at(self) -> int:
        return self.state.last_at


@dataclass(frozen=True, slots=True)
class Letter:
    """A dead letter. ``error`` is the name of what it raised: what errors say may be private."""

    id: str
    task: str
    lane: str
    ended_at: int
    attempts: int
    error: str


@dataclass(frozen=True, slots=True)
class Overview:
    """Times in epoch ms by the clock of the server, ``now`` among them. ``minute``: the last whole one."""

    options: Options
    info: Info
    counts: Counts
    heads: Heads
    workers: list[WorkerView]
    schedules: list[Standing]
    letters: list[Letter]
    groups: list[FailureGroup]
    pauses: list[Pause]
    minute: Period

    @property
    def now(self) -> int:
        return self.heads.now

    def working(self) -> list[WorkerView]:
        """Those whose lease is in force."""
        return [worker for worker in self.workers if worker.lease_end > self.now]

    def silent(self, worker: WorkerView) -> bool:
        """Whether it has renewed nothing lately: it is dead, stopped, or cut off."""
        return self.now - worker.beat > 1000 * patience(self.options.lease_ms)

    def stuck(self, worker: WorkerView) -> bool:
        """Whether its loop has not turned lately, as far as its renewals tell."""
        return self.now - worker.turned > 1000 * patience(self.options.lease_ms)


def read(options: Options) -> Overview:
    """Look at a queue. Raises BrokerError when Redis cannot be reached."""
    own = broker(options)
    return drive(own.store, steps(own, info(own)))


def steps(own: Broker, info: Info) -> Steps[Overview]:
    """The same in two round trips, for who knows the server already."""
    options, keys, lanes = own.options, own.keys, own.options.priorities
    known = _known(options)
    failed = browsing.places([JobStatus.FAILED], ())
    calls = [
        inspector.heads(keys, lanes),
        inspector.counts(keys, lanes),
        inspector.workers(keys),
        browsing.stretch(keys, failed, 0, LATEST),
        letters.groups(keys, LATEST),
        controls.pauses(keys),
        *([recurring.states(keys, sorted(known))] if known else []),
    ]
    heads, counts, listed, latest, groups, pauses, *states = yield calls
    more: list[Call] = [inspector.worker(keys, id, end) for id, end in listed]
    rows = inspector.rows(keys, [spot.id for spot in latest.spots])
    *workers, views, minute = yield [*more, rows, statistics.last_minute(keys, heads.now)]
    return Overview(
        options, info, counts, heads,
        sorted(workers, key=lambda one: (one.about.get("name", ""), one.id)),
        [_standing(known[one.name], one, heads.now) for found in states for one in found],
        list(_letters(own, latest.spots, views)), groups, pauses, minute,
    )  # fmt: skip


def standings(options: Options) -> tuple[int, list[Standing]]:
    """The time of the server, and each recurring task of a queue by name. Raises BrokerError."""
    own, known = broker(options), _known(options)
    if not known:
        return 0, []
    states, now = own.store.run_many([recurring.states(own.keys, sorted(known)), recurring.now()])
    return now, [_standing(known[one.name], one, now) for one in states]


def _known(options: Options) -> dict[str, Recurrence]:
    # Of several objects of one queue the first one has the say.
    apps = reversed(owners.of(options.queue))
    return {one.name: one for app in apps for one in app.recurrences()}


def info(own: Broker) -> Info:
    """What the server of a queue tells of itself; nothing where it refuses to. Raises BrokerError."""
    try:
        found: Info = own.store.run(server.info())
    except Refused:  # a least-privilege user, or a managed service
        return Info()
    return found


def _standing(recurrence: Recurrence, state: ScheduleState, now: int) -> Standing:
    if state.paused:
        return Standing(recurrence, state, 0, False)
    # What misfire="skip" has skipped is not late, it is over.
    owed = recurrence.misfire != "skip" and state.mark > 0
    late = owed and recurrence.timetable.last_until(now - GRACE_MS) > state.mark
    return Standing(recurrence, state, recurrence.next_after(now), late)


def _letters(own: Broker, spots: tuple[Spot, ...], views: list[JobView | None]) -> Iterator[Letter]:
    for spot, view in zip(spots, views, strict=True):
        if view is None or view.record is None:
            continue
        record = view.record
        result = read_result(own.codec, record)
        error = result.error.type if result is not None and result.error is not None else "?"
        yield Letter(record.id, record.name, record.lane, spot.key, record.attempts, error)
