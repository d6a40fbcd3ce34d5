"""Where rows come from: jobs a page at a time, queues and workers all at once, for they are few.

A source remembers what it has read, so that one page of the admin asks for the same thing once: make a
new one for each request. Each step is one round trip to each queue concerned.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from heapq import merge
from itertools import islice
from typing import Any

from django.db import models

from ardiq import conf
from ardiq.adminui.plan import Plan, refuse
from ardiq.connection import Broker, broker
from ardiq.core.job import JobStatus
from ardiq.store import inspector
from ardiq.store.inspector import STRETCH, Counts, JobView, Spot, WorkerView

SEARCHED = 5_000  # newest jobs of a queue that a filter by task or a search looks at
TALLIED = 1_000  # newest jobs of a queue among which tasks are counted
ROWS = 100  # jobs that one script reads for a list

Place = tuple[str, str]  # queue, id


def broker_of(alias: str) -> Broker:
    return broker(conf.options(alias))


class JobSource:
    """Jobs of some queues, by default of every one in settings."""

    allowed = frozenset({"id", "queue", "state", "task"})

    def __init__(self, make: Callable[[str, JobView], Any], aliases: list[str] | None = None) -> None:
        self.aliases = conf.aliases() if aliases is None else aliases
        self._make = make
        self._counts: dict[str, Counts] = {}
        self._fetched: dict[tuple[str, ...], list[Any]] = {}
        self._found: dict[Any, list[tuple[str, Spot]]] = {}
        self.searched: tuple[int, int] | None = None
        """(jobs looked at, jobs there are) of the last search that could not look at all of them."""

    # -- what a plan asks for -----------------------------------------------------------------------

    def queues(self, plan: Plan) -> list[str]:
        wanted = plan.wanted.get("queue")
        return [alias for alias in self.aliases if wanted is None or alias in wanted]

    def statuses(self, plan: Plan) -> list[JobStatus]:
        wanted = plan.wanted.get("state")
        return [status for status in inspector.STATUSES if wanted is None or status.value in wanted]

    def _far(self, plan: Plan) -> bool:
        """Whether the order is turned round. Lists have one order: by time, what comes after it is moot."""
        if not plan.order or ("id" in plan.wanted and plan.order[0][0] == "id"):
            return False
        field, descending = plan.order[0]
        if field != "at" or not {name for name, _ in plan.order} <= {"at", "id"}:
            refuse(f"Ordering by {', '.join(name for name, _ in plan.order)}")
        return not descending

    def counts(self, alias: str) -> Counts:
        """Counts of one queue, which is tidied on the way."""
        if alias not in self._counts:
            own = broker_of(alias)
            tidy, counts = inspector.tidy(own.keys), inspector.counts(own.keys, own.options.priorities)
            self._counts[alias] = own.store.run_many((tidy, counts))[1]
        return self._counts[alias]

    def total(self, queues: Iterable[str], statuses: Iterable[JobStatus]) -> int:
        chosen = list(statuses)
        return sum(self.counts(alias).statuses[status] for alias in queues for status in chosen)

    def count(self, plan: Plan) -> int:
        if "id" in plan.wanted:
            return len(self._by_id(plan))
        if plan.text or "task" in plan.wanted:
            return len(self._search(plan))
        return self.total(self.queues(plan), self.statuses(plan))

    def rows(self, plan: Plan) -> list[Any]:
        if "id" in plan.wanted:
            return self._by_id(plan)[plan.start : plan.stop]
        if plan.text or "task" in plan.wanted:
            found = self._search(plan)[plan.start : plan.stop]
        else:
            found = self._listed(plan)
        return self._read(found, set(self.statuses(plan)))

    # -- by id --------------------------------------------------------------------------------------

    def _by_id(self, plan: Plan) -> list[Any]:
        ids = sorted(plan.wanted["id"])
        key = (*self.queues(plan), *ids)
        found = self._fetched.get(key)
        if found is None:
            found = self._fetched[key] = self._fetch(self.queues(plan), ids)
        statuses, tasks = plan.wanted.get("state"), plan.wanted.get("task")
        jobs = [
            job
            for job in found
            if (statuses is None or job.state in statuses) and (tasks is None or job.task in tasks)
        ]
        far = self._far(plan)
        return sorted(jobs, key=lambda job: (job.nearness, job.id), reverse=not far)

    def _fetch(self, queues: list[str], ids: list[str]) -> list[Any]:
        found: dict[str, Any] = {}
        for alias in queues:
            for view in self._views(alias, ids):
                if view is None:
                    continue
                if view.id in found:
                    found[view.id].also_in.append(alias)
                else:
                    found[view.id] = self._make(alias, view)
        return list(found.values())

    def _views(self, alias: str, ids: list[str]) -> list[JobView | None]:
        own = broker_of(alias)
        if len(ids) == 1:  # the page of a job shows all of it; a list does not
            return list(own.store.run(inspector.job(own.keys, ids[0])))
        parts = [inspector.rows(own.keys, ids[at : at + ROWS]) for at in range(0, len(ids), ROWS)]
        return [view for part in own.store.run_many(parts) for view in part]

    # -- by place -----------------------------------------------------------------------------------

    def _listed(self, plan: Plan) -> list[tuple[str, Spot]]:
        queues, far = self.queues(plan), self._far(plan)
        stop = self.count(plan) if plan.stop is None else plan.stop
        if len(queues) == 1:
            spots = self._spots(queues[0], plan, plan.start, stop - plan.start, far)
            return [(queues[0], spot) for spot in spots]
        heads = [[(alias, spot) for spot in self._spots(alias, plan, 0, stop, far)] for alias in queues]
        return list(islice(merge(*heads, key=lambda one: -one[1].key), plan.start, stop))

    def _spots(self, alias: str, plan: Plan, offset: int, limit: int, far: bool, **keep: str) -> list[Spot]:
        """Spots of one queue. Reads no further than there are jobs, STRETCH at a time in one round trip."""
        own = broker_of(alias)
        statuses = self.statuses(plan)
        end = min(offset + limit, self.total([alias], statuses))
        where = inspector.places(statuses, own.options.priorities)
        calls = [
            inspector.stretch(own.keys, where, at, min(STRETCH, end - at), far=far, **keep)
            for at in range(offset, end, STRETCH)
        ]
        spots = [spot for part in own.store.run_many(calls) for spot in part.spots] if calls else []
        # Jobs that moved between two scripts may show twice.
        return list({spot.id: spot for spot in spots}.values())

    def _search(self, plan: Plan) -> list[tuple[str, Spot]]:
        """Jobs of some tasks or with some text, among the SEARCHED nearest to now of each queue."""
        queues, far = self.queues(plan), self._far(plan)
        tasks = tuple(sorted(plan.wanted.get("task", ("",))))
        key = (*queues, *self.statuses(plan), *tasks, plan.text, far)
        if key not in self._found:
            found = [
                (alias, spot)
                for alias in queues
                for task in tasks
                for spot in self._spots(alias, plan, 0, SEARCHED, far, task=task, text=plan.text)
            ]
            self._found[key] = sorted(found, key=lambda one: -one[1].key)
            there = [self.total([alias], self.statuses(plan)) for alias in queues]
            looked = sum(min(SEARCHED, number) for number in there)
            self.searched = (looked, sum(there)) if looked < sum(there) else None
        return self._found[key]

    def _read(self, found: list[tuple[str, Spot]], statuses: set[JobStatus]) -> list[Any]:
        """The jobs at these spots. Those that have gone or moved on since are left out."""
        views: dict[Place, JobView] = {}
        for alias in dict.fromkeys(alias for alias, _ in found):
            own, ids = broker_of(alias), [spot.id for where, spot in found if where == alias]
            calls = [inspector.rows(own.keys, ids[at : at + ROWS]) for at in range(0, len(ids), ROWS)]
            for part in own.store.run_many(calls):
                views |= {(alias, view.id): view for view in part if view is not None}
        places = dict.fromkeys((alias, spot.id) for alias, spot in found)
        return [
            self._make(place[0], views[place])
            for place in places
            if place in views and (views[place].status is None or views[place].status in statuses)
        ]

    def tasks(self, queues: Iterable[str], statuses: Iterable[JobStatus]) -> dict[str, int]:
        """Task -> how many, among the TALLIED jobs nearest to now of each queue; the most frequent first."""
        out: dict[str, int] = {}
        chosen = list(statuses)
        for alias in queues:
            own = broker_of(alias)
            where = inspector.places(chosen, own.options.priorities)
            calls = [
                inspector.names(own.keys, where, at, min(STRETCH, TALLIED - at))
                for at in range(0, TALLIED, STRETCH)
            ]
            for part in own.store.run_many(calls):
                for name, number in part.items():
                    out[name] = out.get(name, 0) + number
        return dict(sorted(out.items(), key=lambda one: (-one[1], one[0])))


class FewSource:
    """Rows that are few enough to be read all at once, then chosen and ordered here."""

    allowed = None

    def __init__(self, load: Callable[[], list[models.Model]]) -> None:
        self._load = load
        self._all: list[models.Model] | None = None

    def _chosen(self, plan: Plan) -> list[models.Model]:
        if self._all is None:
            self._all = self._load()
        found = [
            row
            for row in self._all
            if all(getattr(row, field) in values for field, values in plan.wanted.items())
            and plan.text.lower() in str(row.pk).lower()
        ]
        for field, descending in reversed(plan.order):
            found.sort(
                key=lambda row: (getattr(row, field) is not None, getattr(row, field)), reverse=descending
            )
        return found

    def count(self, plan: Plan) -> int:
        return len(self._chosen(plan))

    def rows(self, plan: Plan) -> list[Any]:
        return self._chosen(plan)[plan.start : plan.stop]


def workers_of(alias: str) -> list[WorkerView]:
    """Every worker of one queue: two round trips."""
    own = broker_of(alias)
    leases = own.store.run(inspector.workers(own.keys))
    return list(own.store.run_many([inspector.worker(own.keys, id, end) for id, end in leases]))
