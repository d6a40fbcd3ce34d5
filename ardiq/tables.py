"""The tables of ardiq in the project's own databases: the outbox, and the marks of tasks that run once.

Both are written in transactions of the project, so they must lie in the database whose transaction it is:
``manage.py migrate ardiq --database <alias>`` for each one that is named with ``using``. Whoever uses neither
never meets them.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from django.db import models
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _

from ardiq.core.job import ID_MOST

if TYPE_CHECKING:
    Text = models.CharField[str, str]
    Whole = models.PositiveIntegerField[int, int]
    When = models.DateTimeField[datetime, datetime]


class Outbox(models.Model):
    """A job that was promised to a transaction and that Redis has not acknowledged yet.

    ``id`` orders rows by the time of their writing, and tells Redis a repeated push from another call.
    ``options`` and ``tail`` are what store/verbs.py makes of a call, signed as in Redis. ``created`` is by
    the clock of the database, as every time that it is compared with.
    """

    id: Text = models.CharField(_("ID"), primary_key=True, max_length=32)
    queue: Text = models.CharField(_("queue"), max_length=100)
    job: Text = models.CharField(_("job"), max_length=ID_MOST)
    task: Text = models.CharField(_("task"), max_length=200)
    lane: Text = models.CharField(_("lane"), max_length=100)
    options: Text = models.CharField(max_length=500)
    tail: models.BinaryField[bytes, bytes] = models.BinaryField()
    size: Whole = models.PositiveIntegerField(_("size"))
    created: When = models.DateTimeField(_("enqueued"), db_default=Now())
    attempts: Whole = models.PositiveIntegerField(_("attempts"), default=0)
    error: Text = models.CharField(_("last error"), max_length=300, default="")

    class Meta:
        app_label = "ardiq"
        verbose_name = _("job in the outbox")
        verbose_name_plural = _("outbox")
        ordering = ("id",)
        default_permissions = ("view",)
        indexes = (models.Index(fields=["queue", "id"], name="ardiq_outbox_queue"),)

    def __str__(self) -> str:
        return f"{self.task} ({self.job})"


class Once(models.Model):
    """One life of a job whose effects are in this database, and what it returned.

    ``id`` is the digest of queue, job id and the moment in which that life began.
    """

    id: Text = models.CharField(primary_key=True, max_length=32)
    queue: Text = models.CharField(max_length=100)
    job: Text = models.CharField(max_length=ID_MOST)
    result: models.BinaryField[bytes, bytes] = models.BinaryField()
    created: When = models.DateTimeField(db_default=Now())

    class Meta:
        app_label = "ardiq"
        verbose_name = _("task run once")
        verbose_name_plural = _("tasks run once")
        default_permissions = ()
        indexes = (models.Index(fields=["queue", "created"], name="ardiq_once_created"),)

    def __str__(self) -> str:
        return self.job
