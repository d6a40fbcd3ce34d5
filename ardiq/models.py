"""Models that lie in no database: Django's admin, permissions and log entries know them, Redis has them.

Those that do lie in one are in tables.py; Django looks for all of them here.
"""

from __future__ import annotations

from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

from django.db import NotSupportedError, models
from django.utils.translation import gettext_lazy as _

from ardiq import conf
from ardiq.adminui.queryset import RedisManager
from ardiq.adminui.reading import Reading
from ardiq.adminui.sources import FewSource, JobSource, broker_of, workers_of
from ardiq.adminui.text import plain
from ardiq.adminui.times import moment
from ardiq.core.job import ID_MOST, JobStatus
from ardiq.store.inspector import JobView, WorkerView
from ardiq.tables import Once, Outbox

__all__ = ["Job", "Once", "Outbox", "Queue", "RedisModel", "Worker"]

if TYPE_CHECKING:
    Text = models.CharField[str, str]
    Whole = models.PositiveIntegerField[int, int]
    When = models.DateTimeField[datetime | None, datetime | None]

STATES = (
    (JobStatus.SCHEDULED.value, _("Scheduled")),
    (JobStatus.QUEUED.value, _("Queued")),
    (JobStatus.RUNNING.value, _("Running")),
    (JobStatus.SUCCEEDED.value, _("Succeeded")),
    (JobStatus.FAILED.value, _("Failed")),
    (JobStatus.ABORTED.value, _("Aborted")),
    (JobStatus.EXPIRED.value, _("Expired")),
)


class RedisModel(models.Model):
    """Read through its manager, changed only through tasks and jobs."""

    objects: ClassVar[Any] = RedisManager()

    class Meta:
        abstract = True
        managed = False
        base_manager_name = "objects"

    @classmethod
    def make_source(cls) -> Any:
        raise NotImplementedError

    def save(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise NotSupportedError(
            f"A {self._meta.verbose_name} lies in Redis and is not saved; enqueue a task."
        )

    def delete(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise NotSupportedError(
            f"A {self._meta.verbose_name} lies in Redis; a job is deleted with ardiq's Job.delete_sync()."
        )

    def read(self) -> None:
        """Mark as read, as Django does with rows: not new, and from no database in particular."""
        self._state.adding = False
        self._state.db = None


class Job(RedisModel):
    """A job. Where two queues have a job of the same id, the one of the queue that settings name first is
    meant, and ``also_in`` names the other queues."""

    id: Text = models.CharField(_("ID"), primary_key=True, max_length=ID_MOST)
    task: Text = models.CharField(_("task"), max_length=200)
    queue: Text = models.CharField(_("queue"), max_length=100)
    lane: Text = models.CharField(_("lane"), max_length=100)
    state: Text = models.CharField(_("state"), max_length=20, choices=STATES)
    attempts: Whole = models.PositiveIntegerField(_("attempts"), default=0)
    crashes: Whole = models.PositiveIntegerField(_("crashes"), default=0)
    enqueued: When = models.DateTimeField(_("enqueued"), null=True)
    at: When = models.DateTimeField(_("when"), null=True)

    view: JobView
    may_read = False
    """Whether whoever looks at it may see its arguments, result and errors; set by the admin."""

    class Meta(RedisModel.Meta):
        verbose_name = _("job")
        verbose_name_plural = _("jobs")
        ordering = ("-at",)
        default_permissions = ("view", "delete")
        permissions = (
            ("view_job_payload", "Can see arguments, results and errors of jobs"),
            ("retry_job", "Can run jobs again"),
            ("abort_job", "Can abort jobs"),
        )

    def __str__(self) -> str:
        return plain(f"{self.task or _('unreadable job')} ({self.short_id})", 300)

    @classmethod
    def make_source(cls) -> JobSource:
        return JobSource(cls.of)

    @classmethod
    def of(cls, queue: str, view: JobView) -> Job:
        record, state = view.record, view.status.value if view.status else ""
        job = cls(id=view.id, queue=queue, state=state)
        if record is not None:
            job.task, job.lane, job.attempts = record.name, record.lane, record.attempts
            job.crashes, job.enqueued, job.at = record.crashes, moment(record.enqueued), moment(record.at)
        job.view = view
        job.read()
        return job

    @property
    def short_id(self) -> str:
        return self.id if len(self.id) <= 16 else f"{self.id[:8]}…"

    @property
    def status(self) -> JobStatus | None:
        return self.view.status

    @property
    def nearness(self) -> int:
        """Orders as lists do: the larger the nearer to now (browse.lua mirrors what is still to come)."""
        at = self.view.record.at if self.view.record else 0
        return -at if self.status is JobStatus.SCHEDULED else at

    @cached_property
    def also_in(self) -> list[str]:
        return []

    @cached_property
    def reading(self) -> Reading:
        return Reading(self.queue, broker_of(self.queue).codec, self.view)


class Queue(RedisModel):
    """A queue of settings, with the numbers of one moment."""

    name: Text = models.CharField(_("name"), primary_key=True, max_length=100)
    waiting: Whole = models.PositiveIntegerField(_("waiting"), default=0)
    scheduled: Whole = models.PositiveIntegerField(_("scheduled"), default=0)
    running: Whole = models.PositiveIntegerField(_("running"), default=0)
    failed: Whole = models.PositiveIntegerField(_("failed"), default=0)
    workers: Whole = models.PositiveIntegerField(_("workers"), default=0)

    lanes: dict[str, int]

    class Meta(RedisModel.Meta):
        verbose_name = _("queue")
        verbose_name_plural = _("queues")
        ordering = ("name",)
        default_permissions = ("view",)

    def __str__(self) -> str:
        return self.name

    @classmethod
    def make_source(cls) -> FewSource:
        return FewSource(lambda: [cls.of(alias) for alias in conf.aliases()])

    @classmethod
    def of(cls, alias: str) -> Queue:
        counts = JobSource(Job.of).counts(alias)
        queue = cls(
            name=alias,
            waiting=counts.statuses[JobStatus.QUEUED],
            scheduled=counts.statuses[JobStatus.SCHEDULED],
            running=counts.statuses[JobStatus.RUNNING],
            failed=counts.statuses[JobStatus.FAILED],
            workers=counts.workers,
        )
        queue.lanes = counts.lanes
        queue.read()
        return queue


class Worker(RedisModel):
    """A worker that lives, or whose lease has run out and who has not been cleared away yet."""

    id: Text = models.CharField(_("ID"), primary_key=True, max_length=100)
    name: Text = models.CharField(_("name"), max_length=200)
    host: Text = models.CharField(_("host"), max_length=200)
    pid: Text = models.CharField(_("process"), max_length=20)
    queue: Text = models.CharField(_("queue"), max_length=100)
    since: When = models.DateTimeField(_("since"), null=True)
    seen: When = models.DateTimeField(_("seen"), null=True)
    running: Whole = models.PositiveIntegerField(_("running"), default=0)
    processed: Whole = models.PositiveIntegerField(_("processed"), default=0)

    view: WorkerView

    class Meta(RedisModel.Meta):
        verbose_name = _("worker")
        verbose_name_plural = _("workers")
        ordering = ("queue", "name")
        default_permissions = ("view",)

    def __str__(self) -> str:
        return plain(self.name or self.id, 200)

    @classmethod
    def make_source(cls) -> FewSource:
        return FewSource(
            lambda: [cls.of(alias, view) for alias in conf.aliases() for view in workers_of(alias)]
        )

    @classmethod
    def of(cls, queue: str, view: WorkerView) -> Worker:
        about = view.about
        worker = cls(
            id=view.id,
            name=about.get("name", ""),
            host=about.get("host", ""),
            pid=plain(about.get("pid", ""), 20),  # a column as it is
            queue=queue,
            since=moment(view.number("since")),
            seen=moment(view.number("seen") or view.number("since")),
            running=view.number("running"),
            processed=view.number("processed"),
        )
        worker.view = view
        worker.read()
        return worker
