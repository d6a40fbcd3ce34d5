"""The list of queues: what waits and since when, how fast it goes; pausing, emptying and moving."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, pgettext

from ardiq.adminui.base import LIST
from ardiq.adminui.controlling import NotedChangeList
from ardiq.adminui.filters import number
from ardiq.adminui.marks import mark, told_pause
from ardiq.adminui.queuedeeds import DEEDS
from ardiq.adminui.queueparts import QueueParts, since
from ardiq.adminui.text import plain
from ardiq.core.job import JobStatus
from ardiq.models import Queue


class QueueAdmin(QueueParts):
    """The queues of settings."""

    list_display = [
        "name", "state_now", "waiting_now", "oldest_wait", "scheduled_now", "running_now", "failed_now",
        "rate_now", "workers_now",
    ]  # fmt: skip
    actions = ["pause_selected", "resume_selected"]
    deeds = DEEDS
    live_regions = f"{LIST}, #queue_form fieldset"

    def get_queryset(self, request: HttpRequest) -> Any:
        every: Any = super().get_queryset(request)
        return every.filter(name__in=self.queues(request))

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[NotedChangeList]:
        return NotedChangeList

    def notes(self, rows: Sequence[Queue]) -> list[str]:
        return [told_pause(one, row.name) for row in rows for one in row.seen.pauses]

    # -- actions --------------------------------------------------------------------------------------

    def has_pause_permission(self, request: HttpRequest) -> bool:
        return self.may(request, self.deeds[0])

    @admin.action(permissions=["pause"], description=gettext_lazy("Pause selected queues"))
    def pause_selected(self, request: HttpRequest, queryset: Any) -> HttpResponse:
        return self.ask_about(request, "pause", queryset)

    @admin.action(permissions=["pause"], description=gettext_lazy("Resume selected queues"))
    def resume_selected(self, request: HttpRequest, queryset: Any) -> HttpResponse:
        return self.ask_about(request, "resume", queryset)

    def facts(self, row: Queue) -> str:
        return _("%(waiting)s wait, %(running)s run") % {
            "waiting": number(row.waiting), "running": number(row.running),
        }  # fmt: skip

    # -- columns and fields ---------------------------------------------------------------------------

    def _jobs(self, queue: Queue, status: JobStatus, count: int) -> str | SafeString:
        """A link to the jobs, for who may see them."""
        if not count or not queue.sees_jobs:
            return number(count)
        return self.jobs_link(number(count), queue=queue.name, state=status.value)

    @admin.display(description=gettext_lazy("state"), ordering="paused")
    def state_now(self, queue: Queue) -> SafeString:
        if not queue.seen.pauses:
            if queue.waiting and not queue.workers:
                return mark("bad", _("Nobody works here"))
            return mark("good", pgettext("a queue", "Runs"))
        label = _("Paused") if queue.paused else _("Lanes are paused")
        return format_html(
            '{} <span class="ardiq-why">{}</span>',
            mark("warn", label), _("; ").join(told_pause(one) for one in queue.seen.pauses),
        )  # fmt: skip

    @admin.display(description=gettext_lazy("waiting"), ordering="waiting")
    def waiting_now(self, queue: Queue) -> SafeString:
        """All that wait, and where there are several lanes, how many in each, highest first."""
        total = self._jobs(queue, JobStatus.QUEUED, queue.waiting)
        if len(queue.lanes) < 2:
            return format_html("{}", total)
        lanes = format_html_join(
            ", ", "{} {}", ((plain(lane), number(count)) for lane, count in reversed(queue.lanes.items()))
        )
        return format_html('{} <span class="ardiq-quiet ardiq-lanes">({})</span>', total, lanes)

    @admin.display(description=gettext_lazy("oldest wait"), ordering="oldest")
    def oldest_wait(self, queue: Queue) -> str:
        return since(queue, queue.seen.heads.oldest)

    @admin.display(description=gettext_lazy("scheduled"), ordering="scheduled")
    def scheduled_now(self, queue: Queue) -> str | SafeString:
        return self._jobs(queue, JobStatus.SCHEDULED, queue.scheduled)

    @admin.display(description=gettext_lazy("running"), ordering="running")
    def running_now(self, queue: Queue) -> str | SafeString:
        return self._jobs(queue, JobStatus.RUNNING, queue.running)

    @admin.display(description=gettext_lazy("failed"), ordering="failed")
    def failed_now(self, queue: Queue) -> str | SafeString:
        return self._jobs(queue, JobStatus.FAILED, queue.failed)

    @admin.display(description=gettext_lazy("per minute"))
    def rate_now(self, queue: Queue) -> SafeString:
        """How many jobs ended in the last whole minute, and how many of them failed."""
        tally = queue.seen.minute.total
        bad = _("%s failed") % number(tally.failed) if tally.failed else ""
        return format_html('{} <span class="ardiq-error">{}</span>', number(tally.ended), bad)

    @admin.display(description=gettext_lazy("workers"), ordering="workers")
    def workers_now(self, queue: Queue) -> str:
        return number(queue.workers)
