"""Queues, workers and schedules as they stand. All queues of one server are asked in one round trip."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass

from ardiq import owners
from ardiq.adminui.asking import broker_of, together
from ardiq.connection import Broker
from ardiq.core.job import ENDED, JobStatus
from ardiq.core.recurrence import Recurrence
from ardiq.core.statistics import Period, Statistics
from ardiq.store import browsing, controls, inspector, recurring, statistics
from ardiq.store.controls import Pause
from ardiq.store.inspector import Counts, Heads, JobView, WorkerView
from ardiq.store.letters import drive_beside
from ardiq.store.recurring import Fired, ScheduleState
from ardiq.store.scripts import Call

HELD = 100  # jobs that a worker holds that its page shows
LOOKED = 200  # of the jobs of a queue that have ended latest: among them are the last ones of a worker
LAST = 20  # of those that are shown
NEWEST = 10  # jobs on the page of a queue


@dataclass(frozen=True, slots=True)
class SeenQueue:
    """A queue at one moment."""

    counts: Counts
    heads: Heads
    pauses: list[Pause]
    minute: Period
    """The last whole one, by the clock of this machine."""

    @property
    def pause(self) -> Pause | None:
        """That of the whole queue."""
        return next((one for one in self.pauses if not one.lane), None)


def queues(aliases: Iterable[str]) -> dict[str, SeenQueue]:
    def calls(own: Broker) -> list[Call]:
        lanes = own.options.priorities
        return [
            inspector.tidy(own.keys), inspector.counts(own.keys, lanes), inspector.heads(own.keys, lanes),
            controls.pauses(own.keys), statistics.last_minute(own.keys, int(time.time() * 1000)),
        ]  # fmt: skip

    found = together(aliases, calls)
    return {alias: SeenQueue(*answers[1:]) for alias, answers in found.items()}


@dataclass(frozen=True, slots=True)
class SeenWorker:
    """A worker, and the time of its server."""

    view: WorkerView
    now: int

    @property
    def state(self) -> str:
        """One of models.WORKER_STATES. Stale: it has renewed nothing for a lease, and its jobs go back."""
        return "stale" if self.view.lease_end <= self.now else self.view.doing or "alive"


def workers(aliases: Iterable[str]) -> dict[str, list[SeenWorker]]:
    """Two round trips for each server."""
    first = together(aliases, lambda own: [recurring.now(), inspector.workers(own.keys)])
    second = together(
        first, lambda own: [inspector.worker(own.keys, id, end) for id, end in first[own.keys.queue][1]]
    )
    return {alias: [SeenWorker(view, first[alias][0]) for view in views] for alias, views in second.items()}


@dataclass(frozen=True, slots=True)
class Closer:
    """What the page of a queue shows besides."""

    workers: list[SeenWorker]
    figures: Statistics
    newest: list[JobView]


def closer(alias: str, minutes: int) -> Closer:
    """The workers of a queue, its figures of so many minutes, and its newest jobs. Two round trips; one more
    where the clock of this machine is wrong."""
    own = broker_of(alias)
    places = browsing.places(browsing.STATUSES, own.options.priorities)
    beside = [inspector.workers(own.keys), browsing.stretch(own.keys, places, 0, NEWEST)]
    figures, (listed, stretch) = drive_beside(own.store, statistics.statistics(own.keys, minutes), beside)
    ids = [spot.id for spot in stretch.spots]
    calls = [inspector.worker(own.keys, id, end) for id, end in listed]
    found = own.store.run_many([*calls, inspector.rows(own.keys, ids)]) if calls or ids else [[]]
    workers = [SeenWorker(view, figures.now) for view in found[:-1]]
    return Closer(workers, figures, [view for view in found[-1] if view is not None])


def called(own: Broker, short: str) -> str:
    """'name (id)' of the worker that a running job knows by the start of its id, while it lives. At most two
    round trips."""
    ids = [pair for pair in own.store.run(inspector.workers(own.keys)) if pair[0].startswith(short)]
    for id, end in ids[:1] if short else ():
        if name := own.store.run(inspector.worker(own.keys, id, end)).about.get("name"):
            return f"{name} ({short})"
    return short


@dataclass(frozen=True, slots=True)
class Work:
    """What a worker holds, and what it has ended last, as far as a look at LOOKED jobs tells."""

    held: list[JobView]
    ended: list[JobView]


def work_of(alias: str, worker: str) -> Work:
    """Two round trips."""
    own = broker_of(alias)
    places = browsing.places(ENDED, ())
    held, stretch = own.store.run_many(
        [inspector.held(own.keys, worker, HELD), browsing.stretch(own.keys, places, 0, LOOKED)]
    )
    ended = [spot.id for spot in stretch.spots]
    calls = [inspector.rows(own.keys, ids) for ids in (held, ended[:100], ended[100:]) if ids]
    views = iter([view for part in own.store.run_many(calls) for view in part] if calls else [])
    mine = [view for _id, view in zip(held, views, strict=False) if view and view.status is JobStatus.RUNNING]
    done = [view for view in views if view and view.record and view.record.worker == worker[:8]]
    return Work(sorted(mine, key=lambda view: view.record.at if view.record else 0), done[:LAST])


@dataclass(frozen=True, slots=True)
class SeenSchedule:
    """A recurring task, and the time of its server. ``owner`` knows its code."""

    recurrence: Recurrence
    owner: owners.Owner
    state: ScheduleState
    now: int
    fired: tuple[Fired, ...]
    """The last occurrences of its timetable, oldest first."""

    @property
    def next_at(self) -> int:
        return 0 if self.state.paused else self.recurrence.next_after(self.now)

    @property
    def last_at(self) -> int:
        return self.state.last_at


def schedules(aliases: Iterable[str]) -> dict[str, list[SeenSchedule]]:
    """Those whose code this process has. One round trip for each server."""
    known = {alias: found for alias in aliases if (found := _known(alias))}

    def calls(own: Broker) -> list[Call]:
        names = sorted(known[own.keys.queue])
        return [recurring.now(), recurring.states(own.keys, names), recurring.fired(own.keys, names)]

    return {
        alias: [
            SeenSchedule(*known[alias][state.name], state, now, runs)
            for state, runs in zip(states, fired, strict=True)
        ]
        for alias, (now, states, fired) in together(known, calls).items()
    }


def _known(alias: str) -> dict[str, tuple[Recurrence, owners.Owner]]:
    # Of several objects of one queue the first one has the say, as in a worker.
    return {one.name: (one, app) for app in reversed(owners.of(alias)) for one in app.recurrences()}
