"""Asking for jobs and remembering them: what the views, the importer and the demo have in common."""

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any

from ardiq import Job, JobStatus, enqueue_many_sync, queue
from library.models import AskedJob, Document, Photo, Report
from library.tasks import checksum, palette, text_statistics, thumbnail

Subject = Document | Photo | Report


def _row(job: Job, kind: str, about: Subject | None) -> AskedJob:
    link = {type(about).__name__.lower(): about} if about is not None else {}
    return AskedJob(job_id=job.id, kind=kind, **link)


# Conflicts are ignored because a job that was not created anew (same task_id, or an identical call that
# still waits) was remembered when it was.


def remember(job: Job, kind: str, about: Subject | None = None) -> Job:
    AskedJob.objects.bulk_create([_row(job, kind, about)], ignore_conflicts=True)
    return job


async def aremember(job: Job, kind: str, about: Subject | None = None) -> Job:
    await AskedJob.objects.abulk_create([_row(job, kind, about)], ignore_conflicts=True)
    return job


def process(items: Iterable[Document | Photo]) -> list[Job]:
    """Enqueue all that can be found out about these items, in one round trip for the lot."""
    wanted = [(task, argument, item) for item in items for task, argument in _questions_about(item)]
    jobs = enqueue_many_sync(task.prepare(argument) for task, argument, _ in wanted)
    AskedJob.objects.bulk_create(
        (_row(job, task.name, item) for job, (task, _, item) in zip(jobs, wanted, strict=True)),
        ignore_conflicts=True,
    )
    return jobs


def _questions_about(item: Document | Photo) -> list[tuple[Any, Any]]:
    """Each task that this item needs, with its argument: most take the id, one takes the row itself."""
    if isinstance(item, Document):
        return [(text_statistics, item.pk), (checksum, item)]
    return [(thumbnail, item.pk), (palette, item.pk), (checksum, item)]


def pending(status: JobStatus) -> bool:
    """Whether something is still to come. A job that is not found has no future either."""
    return not status.finished and status != JobStatus.NOT_FOUND


async def states(asked: Sequence[AskedJob]) -> list[tuple[AskedJob, JobStatus]]:
    """Each job with its status, asked for all at once; the client sends what is asked together together."""
    found = await asyncio.gather(*(queue().status(row.job_id) for row in asked))
    return list(zip(asked, found, strict=True))
