"""Jobs, of every queue in settings."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from django.db import models
from django.utils.translation import gettext_lazy as _

from ardiq.adminui.text import plain
from ardiq.adminui.times import moment
from ardiq.core.job import ID_MOST, JobStatus
from ardiq.models.base import RedisModel

if TYPE_CHECKING:
    from ardiq.adminui.reading import Reading
    from ardiq.adminui.sources import JobSource
    from ardiq.models.base import Text, When, Whole
    from ardiq.store.inspector import JobView

STATES = (
    (JobStatus.SCHEDULED.value, _("Scheduled")),
    (JobStatus.QUEUED.value, _("Queued")),
    (JobStatus.RUNNING.value, _("Running")),
    (JobStatus.SUCCEEDED.value, _("Succeeded")),
    (JobStatus.FAILED.value, _("Failed")),
    (JobStatus.ABORTED.value, _("Aborted")),
    (JobStatus.EXPIRED.value, _("Expired")),
)


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
    subject_address = ""
    """Where whoever looks at it finds its subject; set by the admin."""

    class Meta(RedisModel.Meta):
        verbose_name = _("job")
        verbose_name_plural = _("jobs")
        ordering = ("-at",)
        default_permissions = ("view", "add", "delete")
        permissions = (
            ("view_job_payload", "Can see arguments, results and errors of jobs"),
            ("retry_job", "Can run jobs again"),
            ("abort_job", "Can abort jobs"),
            ("export_job", "Can export jobs"),
        )

    def __str__(self) -> str:
        task = self.task or str(_("unreadable job"))  # not in the f-string: xgettext cannot read those
        return plain(f"{task} ({self.short_id})", 300)

    @classmethod
    def make_source(cls) -> JobSource:
        from ardiq.adminui.sources import JobSource

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

    why: list[Any]
    worker: str
    by: str
    rows: list[Any]
    schedule: Any
    """Of the page of one job: why it does not run, its worker, who filled the form, links to rows
    that it was given, its recurring task."""

    @cached_property
    def also_in(self) -> list[str]:
        return []

    @cached_property
    def reading(self) -> Reading:
        from ardiq.adminui.asking import broker_of
        from ardiq.adminui.reading import Reading

        return Reading(self.queue, broker_of(self.queue).codec, self.view)
