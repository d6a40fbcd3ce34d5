"""Looking into a queue: jobs by their ids, how many wait, and what became of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, cast

from django.db.models import Model

from ardiq import references
from ardiq.connection import Broker
from ardiq.core.job import JobStatus, check_id
from ardiq.core.options import Options
from ardiq.core.outcome import TaskResult
from ardiq.core.statistics import Statistics
from ardiq.results import Job, JobInfo, job_info
from ardiq.store import inspector, letters, statistics, verbs
from ardiq.store.inspector import Attached, JobView

MOST = 500  # jobs that one question may be about
ATTACHED_MOST = 200  # jobs of an object that one question answers


class Window:
    """What an ``Ardiq`` knows of the jobs of its queue. Each method has a twin for sync code."""

    @property
    def options(self) -> Options:
        raise NotImplementedError

    @property
    def broker(self) -> Broker:
        raise NotImplementedError

    def check_lane(self, lane: str) -> str:
        raise NotImplementedError

    # -- one job ----------------------------------------------------------------------------------

    def job(self, id: str) -> Job[Any]:
        """The handle of a job by its id; asks nothing of Redis. Raises TypeError for an id that is no str."""
        return Job(check_id(id), self.broker)

    async def result(self, id: str, timeout: float | None = None) -> TaskResult | None:
        return await self.job(id).result(timeout)

    async def status(self, id: str) -> JobStatus:
        return await self.job(id).status()

    async def info(self, id: str) -> JobInfo | None:
        return await self.job(id).info()

    async def abort(self, id: str) -> bool:
        return await self.job(id).abort()

    def result_sync(self, id: str, timeout: float | None = None) -> TaskResult | None:
        return self.job(id).result_sync(timeout)

    def status_sync(self, id: str) -> JobStatus:
        return self.job(id).status_sync()

    def info_sync(self, id: str) -> JobInfo | None:
        return self.job(id).info_sync()

    def abort_sync(self, id: str) -> bool:
        return self.job(id).abort_sync()

    # -- many jobs --------------------------------------------------------------------------------

    async def statuses(self, ids: Iterable[str]) -> dict[str, JobStatus]:
        """Where many jobs stand, in one round trip; at most 500 ids."""
        ids = _few(ids)
        return _statuses(ids, await self.broker.here().store.run(inspector.rows(self.broker.keys, ids)))

    def statuses_sync(self, ids: Iterable[str]) -> dict[str, JobStatus]:
        """``statuses`` for sync code."""
        ids = _few(ids)
        return _statuses(ids, self.broker.store.run(inspector.rows(self.broker.keys, ids)))

    async def queue_size(self, priority: str | None = None) -> int:
        """Jobs that are ready and wait for a worker, in one lane or in all."""
        lengths = await self.broker.here().store.run_many(self._lengths(priority))
        return sum(cast("list[int]", lengths))

    def queue_size_sync(self, priority: str | None = None) -> int:
        """``queue_size`` for sync code."""
        return sum(self.broker.store.run_many(self._lengths(priority)))

    def _lengths(self, priority: str | None) -> list[Any]:
        lanes = self.options.priorities if priority is None else (self.check_lane(priority),)
        return [verbs.length(self.broker.keys, lane) for lane in lanes]

    # -- all of them ------------------------------------------------------------------------------

    async def statistics(self, minutes: int = 60) -> Statistics:
        """How jobs ended in the latest ``minutes``, how long they ran and waited: in all, per minute, lane
        and task. Beyond 180 minutes in steps of ten, up to three days (4,320).

        One round trip. Raises TypeError or ValueError for another number, BrokerError when Redis cannot be
        reached.
        """
        steps = statistics.statistics(self.broker.keys, minutes)
        return await letters.drive_async(self.broker.here().store, steps)

    def statistics_sync(self, minutes: int = 60) -> Statistics:
        """``statistics`` for sync code."""
        return letters.drive(self.broker.store, statistics.statistics(self.broker.keys, minutes))

    # -- jobs of an object ------------------------------------------------------------------------

    async def jobs_for(self, instance: Model, most: int = 50) -> list[JobInfo]:
        """Jobs whose subject is this object, the newest first, ``most`` up to 200 of them. Arguments and
        results above 64 KiB are left out. Raises ValueError for an instance that has not been saved."""
        hash = attached_hash(instance)
        call = inspector.attached(self.broker.keys, hash, _most(most))
        return _infos(self.broker, hash, await self.broker.here().store.run(call))

    def jobs_for_sync(self, instance: Model, most: int = 50) -> list[JobInfo]:
        """``jobs_for`` for sync code."""
        hash = attached_hash(instance)
        call = inspector.attached(self.broker.keys, hash, _most(most))
        return _infos(self.broker, hash, self.broker.store.run(call))


def attached_hash(instance: Model) -> str:
    """The name of the list of an object. Raises TypeError or ValueError for what can be no subject."""
    subject = references.subject(instance, "jobs_for(...)")
    if subject is None:
        raise TypeError("jobs_for(None): give a model instance.")
    return references.subject_hash(subject)


def _most(most: int) -> int:
    if isinstance(most, bool) or not isinstance(most, int) or not 1 <= most <= ATTACHED_MOST:
        raise ValueError(f"most={most!r}: give a number from 1 to {ATTACHED_MOST}.")
    return most


def _infos(broker: Broker, hash: str, attached: Attached) -> list[JobInfo]:
    found = [(view, job_info(broker, view.record)) for view in attached.views if view.record is not None]
    return [
        replace(info, problem="Left out of a list, because it is large.") if view.cut else info
        for view, info in found
        # The id may have begun another life, for another object.
        if info.subject is None or references.subject_hash(info.subject) == hash
    ]


def listed(ids: Iterable[str]) -> list[str]:
    """The ids as a list. Raises TypeError for one id alone, which is iterable, too."""
    if isinstance(ids, str):
        raise TypeError(f"ids={ids!r}: give a list of ids.")
    return list(ids)


def _few(ids: Iterable[str]) -> Sequence[str]:
    ids = listed(ids)
    if len(ids) > MOST:
        raise ValueError(f"{len(ids):,} ids were given; ask about at most {MOST} at once.")
    return ids


def _statuses(ids: Sequence[str], views: list[JobView | None]) -> dict[str, JobStatus]:
    found = (view.status if view is not None else None for view in views)
    return {id: status or JobStatus.NOT_FOUND for id, status in zip(ids, found, strict=True)}
