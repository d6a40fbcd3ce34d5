"""Queues, with the numbers of one moment."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import models
from django.utils.translation import gettext_lazy as _

from ardiq import conf
from ardiq.adminui.times import moment
from ardiq.core.job import JobStatus
from ardiq.models.base import RedisModel

if TYPE_CHECKING:
    from ardiq.adminui.seeing import Closer, SeenQueue
    from ardiq.adminui.sources import FewSource
    from ardiq.models.base import Flag, Text, When, Whole


class Queue(RedisModel):
    """A queue of settings, with the numbers of one moment."""

    name: Text = models.CharField(_("name"), primary_key=True, max_length=100)
    waiting: Whole = models.PositiveIntegerField(_("waiting"), default=0)
    scheduled: Whole = models.PositiveIntegerField(_("scheduled"), default=0)
    running: Whole = models.PositiveIntegerField(_("running"), default=0)
    failed: Whole = models.PositiveIntegerField(_("failed"), default=0)
    workers: Whole = models.PositiveIntegerField(_("workers"), default=0)
    oldest: When = models.DateTimeField(_("oldest waits since"), null=True)
    paused: Flag = models.BooleanField(_("paused"), default=False)

    lanes: dict[str, int]
    seen: SeenQueue
    closer: Closer
    minutes: int
    """Seen closer, with the figures of so many minutes: only where one queue is looked at."""

    class Meta(RedisModel.Meta):
        verbose_name = _("queue")
        verbose_name_plural = _("queues")
        ordering = ("name",)
        default_permissions = ("view",)
        permissions = (
            ("pause_queue", "Can pause and resume queues"),
            ("purge_queue", "Can purge queues and move what waits in them"),
        )

    def __str__(self) -> str:
        return self.name

    @property
    def queue(self) -> str:
        """Its own name, where objects of several kinds are asked for their queue."""
        return self.name

    @classmethod
    def make_source(cls) -> FewSource:
        from ardiq.adminui import seeing
        from ardiq.adminui.sources import FewSource

        return FewSource(lambda: [cls.of(*one) for one in seeing.queues(conf.aliases()).items()])

    @classmethod
    def of(cls, alias: str, seen: SeenQueue) -> Queue:
        statuses = seen.counts.statuses
        queue = cls(
            name=alias,
            waiting=statuses[JobStatus.QUEUED],
            scheduled=statuses[JobStatus.SCHEDULED],
            running=statuses[JobStatus.RUNNING],
            failed=statuses[JobStatus.FAILED],
            workers=seen.counts.workers,
            oldest=moment(seen.heads.oldest),
            paused=seen.pause is not None,
        )
        queue.lanes, queue.seen = seen.counts.lanes, seen
        queue.read()
        return queue
