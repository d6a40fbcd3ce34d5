"""Recurring tasks of the queues in settings, as far as this process knows their code."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import models
from django.utils.translation import gettext_lazy as _

from ardiq import conf
from ardiq.adminui.text import plain
from ardiq.adminui.times import moment
from ardiq.models.base import RedisModel

if TYPE_CHECKING:
    from ardiq.adminui.seeing import SeenSchedule
    from ardiq.adminui.sources import FewSource
    from ardiq.models.base import Flag, Text, When


class Schedule(RedisModel):
    """A recurring task. Its id is its queue, a colon and its name: two queues may have one of a name."""

    id: Text = models.CharField(_("ID"), primary_key=True, max_length=301)
    name: Text = models.CharField(_("name"), max_length=200)
    queue: Text = models.CharField(_("queue"), max_length=100)
    timetable: Text = models.CharField(_("timetable"), max_length=200)
    enabled: Flag = models.BooleanField(_("enabled"), default=True)
    next_at: When = models.DateTimeField(_("next run"), null=True)
    last_at: When = models.DateTimeField(_("last run"), null=True)

    seen: SeenSchedule

    class Meta(RedisModel.Meta):
        verbose_name = _("schedule")
        verbose_name_plural = _("schedules")
        ordering = ("name", "queue")
        default_permissions = ("view", "change")
        permissions = (("run_schedule", "Can run schedules now"),)

    def __str__(self) -> str:
        return plain(self.name, 200)

    @classmethod
    def make_source(cls) -> FewSource:
        from ardiq.adminui import seeing
        from ardiq.adminui.sources import FewSource

        return FewSource(
            lambda: [
                cls.of(alias, one)
                for alias, found in seeing.schedules(conf.aliases()).items()
                for one in found
            ]
        )

    @classmethod
    def of(cls, queue: str, seen: SeenSchedule) -> Schedule:
        schedule = cls(
            id=f"{queue}:{seen.recurrence.name}",
            name=seen.recurrence.name,
            queue=queue,
            timetable=seen.recurrence.timetable.spelt,
            enabled=not seen.state.paused,
            next_at=moment(seen.next_at),
            last_at=moment(seen.last_at),
        )
        schedule.seen = seen
        schedule.read()
        return schedule
