"""Workers, of every queue in settings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import models
from django.utils.translation import gettext_lazy as _

from ardiq import conf
from ardiq.adminui.text import plain
from ardiq.adminui.times import moment
from ardiq.models.base import RedisModel

if TYPE_CHECKING:
    from ardiq.adminui.seeing import SeenWorker, Work
    from ardiq.adminui.sources import FewSource
    from ardiq.models.base import Text, When, Whole
    from ardiq.store.inspector import WorkerView


WORKER_STATES = (
    ("alive", _("Alive")),
    ("quiet", _("Quiet")),
    ("stopping", _("Stopping")),
    ("stale", _("Stale")),
)


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
    state: Text = models.CharField(_("state"), max_length=20, choices=WORKER_STATES, default="alive")

    view: WorkerView
    work: Work
    seen_at: int
    """Now, by the clock of its server, ms."""

    class Meta(RedisModel.Meta):
        verbose_name = _("worker")
        verbose_name_plural = _("workers")
        ordering = ("queue", "name")
        default_permissions = ("view",)
        permissions = (("control_worker", "Can quiet and stop workers"),)

    def __str__(self) -> str:
        return plain(self.name or self.id, 200)

    @classmethod
    def make_source(cls) -> FewSource:
        from ardiq.adminui import seeing
        from ardiq.adminui.sources import FewSource

        return FewSource(
            lambda: [
                cls.of(alias, one) for alias, found in seeing.workers(conf.aliases()).items() for one in found
            ]
        )

    @classmethod
    def of(cls, queue: str, seen: SeenWorker) -> Worker:
        view, about = seen.view, seen.view.about
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
            state=seen.state,
        )
        worker.view, worker.seen_at = view, seen.now
        worker.read()
        return worker
