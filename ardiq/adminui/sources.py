"""Where rows come from: jobs a page at a time, queues and workers all at once, for they are few.

A source remembers what it has read, so that one page of the admin asks for the same thing once: make a
new one for each request. Each step is one round trip to each server concerned, however many queues it has.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from heapq import merge
from itertools import islice
from math import ceil
from typing import Any

from django.db import models

from ardiq import conf
from ardiq.adminui.asking import broker_of, together
from ardiq.adminui.census import Census
from ardiq.adminui.plan import Plan, refuse
from ardiq.adminui.reading import Reading
from ardiq.adminui.sought import NOTHING, Path, Sought, path_in
from ardiq.connection import Broker
from ardiq.core.job import JobStatus
from ardiq.store import browsing, inspector
from ardiq.store.browsing import STRETCH, Keep, Spot
from ardiq.store.inspector import LARGEST, JobView
from ardiq.store.scripts import Call

SEARCHED = 10_000  # newest jobs of a queue that a filter by task or a search looks at
ROWS = 100  # jobs that one script reads for a list
READ = 2_000  # jobs whose calls a search for an argument reads in one round trip
READS = 10  # most round trips for that; above so many jobs each reads more
SMALL = 4_096  # bytes of a call that such a search reads at most

Place = tuple[str, str]  # queue, id
Found = tuple[str, Spot]  # queue, and where in it


@dataclass(frozen=True, slots=True)
class Searched:
    """How many jobs a search has looked at, behind those ``before``, of how many. ``more``: how many of each
    queue a search that goes on leaves out, 0 at the end."""

    before: int
    looked: int
    there: int
    more: int


class JobSource(Census):
    """Jobs of some queues, by default of every one in settings."""

    allowed = frozenset({"id", "queue", "state", "task"})

    def __init__(
        self,
        make: Callable[[str, JobView], Any],
        aliases: list[str] | None = None,
        sought: Sought = NOTHING,
        crew: bool = False,
    ) -> None:
        super().__init__(conf.aliases() if aliases is None else aliases, sought, crew)
        self._make = make
        self._fetched: dict[tuple[str, ...], list[Any]] = {}
        self._found: dict[Any, list[Found]] = {}
        self.searched: Searched | None = None
        """Of the last search that could not look at all jobs."""
        self.unread = 0
        """Jobs that a search for an argument could not look into, because their calls are large."""

    # -- what a plan asks for -----------------------------------------------------------------------

    def _far(self, plan: Plan) -> bool:
        """Whether the order is turned round. Lists have one order: by time, what comes after it is moot."""
        if not plan.order or ("id" in plan.wanted and plan.order[0][0] == "id"):
            return False
        field, descending = plan.order[0]
        if field != "at" or not {name for name, _ in plan.order} <= {"at", "id"}:
            refuse(f"Ordering by {', '.join(name for name, _ in plan.order)}")
        return not descending

    def searches(self, plan: Plan) -> bool:
        """Whether jobs have to be looked at one by one."""
        return bool(plan.text or "task" in plan.wanted or self.sought.residual)

    def count(self, plan: Plan) -> int:
        if "id" in plan.wanted:
            return len(self._by_id(plan))
        if self.searches(plan):
            return len(self._search(plan))
        return self.total(self.queues(plan), self.statuses(plan))

    def rows(self, plan: Plan) -> list[Any]:
        if "id" in plan.wanted:
            return self._by_id(plan)[plan.start : plan.stop]
        searched = self.searches(plan)
        found = self._search(plan)[plan.start : plan.stop] if searched else self._listed(plan)
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
        for alias, parts in together(queues, lambda own: _whole(own, ids)).items():
            for view in (view for part in parts for view in part if view is not None):
                if view.id in found:
                    found[view.id].also_in.append(alias)
                else:
                    found[view.id] = self._make(alias, view)
        return list(found.values())

    # -- by place -----------------------------------------------------------------------------------

    def _listed(self, plan: Plan) -> list[Found]:
        queues, far = self.queues(plan), self._far(plan)
        stop = self.count(plan) if plan.stop is None else plan.stop
        stop = max(stop, plan.start)
        # Of one queue the page alone; a page of several may lie anywhere in the beginnings of all.
        start = plan.start if len(queues) == 1 else 0
        found = self._spots(queues, plan, start, stop - start, far, [self.sought.keep()])
        heads = [[(alias, spot) for spot in found[alias]] for alias in queues]
        merged = merge(*heads, key=lambda one: -one[1].key)
        return list(islice(merged, plan.start - start, stop - start))

    def _spots(
        self, queues: list[str], plan: Plan, offset: int, limit: int, far: bool, keeps: Sequence[Keep]
    ) -> dict[str, list[Spot]]:
        """Spots of each queue. Reads no further than there are jobs, STRETCH at a time."""
        statuses = self.statuses(plan)

        def calls(own: Broker) -> list[Call]:
            end = min(offset + limit, self.total([own.keys.queue], statuses))
            where = browsing.places(statuses, own.options.priorities)
            return [
                browsing.stretch(own.keys, where, at, min(STRETCH, end - at), far=far, keep=keep)
                for keep in keeps
                for at in range(offset, end, STRETCH)
            ]

        # Jobs that moved between two scripts may show twice.
        return {
            alias: list({spot.id: spot for part in parts for spot in part.spots}.values())
            for alias, parts in together(queues, calls).items()
        }

    def _search(self, plan: Plan) -> list[Found]:
        """Jobs of some tasks, with some text or argument, or of a worker, among SEARCHED of each queue: those
        nearest to now, behind the ones that an earlier search has seen."""
        queues, far = self.queues(plan), self._far(plan)
        tasks = tuple(sorted(plan.wanted.get("task", ("",))))
        key = (*queues, *self.statuses(plan), *tasks, plan.text, far)
        if key not in self._found:
            start, path = self.sought.start, path_in(plan.text)
            text = "" if path else plan.text
            self.unread = 0
            keeps = [self.sought.keep(task, text) for task in tasks]
            spots = self._spots(queues, plan, start, SEARCHED, far, keeps)
            found = [(alias, spot) for alias in queues for spot in spots[alias]]
            if path is not None:
                found = self._with_argument(path, found)
            self._found[key] = sorted(found, key=lambda one: -one[1].key)
            there = [self.total([alias], self.statuses(plan)) for alias in queues]
            looked = sum(max(0, min(SEARCHED, number - start)) for number in there)
            before = sum(min(start, number) for number in there)
            more = any(number > start + SEARCHED for number in there)
            whole = looked == sum(there)
            self.searched = (
                None if whole else Searched(before, looked, sum(there), start + SEARCHED if more else 0)
            )
        return self._found[key]

    def _with_argument(self, path: Path, found: list[Found]) -> list[Found]:
        """Those whose call has a value in some place. Calls above SMALL bytes are not read, but counted."""
        out, most = [], max(READ, ceil(len(found) / READS))
        for at in range(0, len(found), most):
            some = found[at : at + most]
            views = self._views(some, SMALL)
            for alias, spot in some:
                view = views.get((alias, spot.id))
                if view is None or view.record is None:
                    continue
                if view.cut and not view.record.call:
                    self.unread += 1
                elif path.fits(Reading(alias, broker_of(alias).codec, view)):
                    out.append((alias, spot))
        return out

    def _views(self, found: list[Found], largest: int = LARGEST) -> dict[Place, JobView]:
        ids: dict[str, list[str]] = {}
        for alias, spot in found:
            ids.setdefault(alias, []).append(spot.id)
        answers = together(ids, lambda own: _rows(own, ids[own.keys.queue], largest))
        return {
            (alias, view.id): view
            for alias, parts in answers.items()
            for part in parts
            for view in part
            if view is not None
        }

    def _read(self, found: list[Found], statuses: set[JobStatus]) -> list[Any]:
        """The jobs at these spots. Those that have gone or moved on since are left out."""
        views = self._views(found)
        places = dict.fromkeys((alias, spot.id) for alias, spot in found)
        return [
            self._make(place[0], views[place])
            for place in places
            if place in views and (views[place].status is None or views[place].status in statuses)
        ]


def _rows(own: Broker, ids: list[str], largest: int = LARGEST) -> list[Call]:
    return [inspector.rows(own.keys, ids[at : at + ROWS], largest) for at in range(0, len(ids), ROWS)]


def _whole(own: Broker, ids: list[str]) -> list[Call]:
    """The page of a job shows all of it; a list does not."""
    return [inspector.job(own.keys, ids[0])] if len(ids) == 1 else _rows(own, ids)


class FewSource:
    """Rows that are few enough to be read all at once, then chosen and ordered here."""

    allowed = None

    def __init__(self, load: Callable[[], list[models.Model]]) -> None:
        self._load = load
        self._all: list[models.Model] | None = None

    def marked(self, **marks: bool) -> FewSource:
        """The same rows with these attributes: what whoever looks at them may see."""

        def load() -> list[models.Model]:
            rows = self._load()
            for row in rows:
                vars(row).update(marks)
            return rows

        return FewSource(load)

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
