"""The page of one queue: its lanes, who works on it, how it has been, its newest jobs, its settings."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.admin.utils import quote
from django.http import HttpRequest
from django.template.loader import render_to_string
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from ardiq import conf
from ardiq.adminui import figures, seeing, times
from ardiq.adminui.badges import badge
from ardiq.adminui.controlling import ControlAdmin
from ardiq.adminui.filters import number
from ardiq.adminui.marks import table, told_pause
from ardiq.adminui.text import plain
from ardiq.adminui.workers import brief
from ardiq.models import Queue
from ardiq.store.inspector import JobView

# What of its settings tells how it works. None of them is a secret, nor holds one.
SETTINGS = (
    "priorities",
    "default_priority",
    "lane_weights",
    "lane_limits",
    "concurrency",
    "max_queued",
    "max_retries",
    "backoff_ms",
    "max_backoff_ms",
    "crash_limit",
    "lease_ms",
    "grace_ms",
    "result_ttl_ms",
    "failed_ttl_ms",
    "failed_max",
    "max_payload_bytes",
    "max_result_bytes",
    "enqueue_on_commit",
    "durable",
    "signing",
)


def since(queue: Queue, at: int) -> str:
    return times.span((queue.seen.heads.now - at) / 1000) if at else times.NOTHING


class QueueParts(ControlAdmin):
    """Read-only fields of one queue."""

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        facts = ["state_now", ("waiting_now", "oldest_wait"), ("scheduled_now", "running_now", "failed_now")]
        sets = [
            (None, {"fields": facts}),
            (_("Lanes"), {"fields": ["lanes_now"]}),
        ]
        if self.sees(request, "worker"):
            sets.append((_("Workers"), {"fields": ["workers_here"]}))
        sets.append((_("Figures"), {"fields": ["charts_now"]}))
        if self.sees(request, "job"):
            sets.append((_("Newest jobs"), {"fields": ["newest_jobs"]}))
        return [*sets, (_("Settings"), {"fields": ["settings_here"], "classes": ["collapse"]})]

    def read_more(self, request: HttpRequest, row: Queue) -> None:
        row.minutes = figures.minutes_in(request)
        row.closer = seeing.closer(row.name, row.minutes)

    @admin.display(description=gettext_lazy("lanes"))
    def lanes_now(self, queue: Queue) -> SafeString:
        """Highest first, each with what waits in it and since when."""
        paused = {one.lane: one for one in queue.seen.pauses}
        rows = [
            (
                plain(lane), number(count), since(queue, queue.seen.heads.lanes.get(lane, 0)),
                told_pause(paused[lane]) if lane in paused else "",
            )
            for lane, count in reversed(queue.lanes.items())
        ]  # fmt: skip
        return table([_("lane"), _("waiting"), _("oldest wait"), _("state")], rows)

    @admin.display(description=gettext_lazy("workers"))
    def workers_here(self, queue: Queue) -> SafeString:
        heads = [_("worker"), _("state"), _("running"), _("seen")]
        empty = _("None: jobs of this queue wait until one is started.")
        return table(heads, [brief(self, one) for one in queue.closer.workers], empty)

    @admin.display(description=gettext_lazy("figures"))
    def charts_now(self, queue: Queue) -> SafeString:
        return render_to_string(
            "admin/ardiq/_figures.html",
            {
                "charts": figures.charts([queue.closer.figures]),
                "ranges": [figures.range_of(each) for each in figures.RANGES],
                "minutes": queue.minutes,
            },
        )

    @admin.display(description=gettext_lazy("jobs"))
    def newest_jobs(self, queue: Queue) -> SafeString:
        rows = [
            (
                self._job(view),
                badge(view.status.value if view.status else ""),
                times.both(view.record.at if view.record else None),
            )
            for view in queue.closer.newest
        ]
        found = table([_("job"), _("state"), _("when")], rows, _("There are none."))
        every = self.jobs_link(_("All jobs of this queue"), queue=queue.name)
        return format_html('{}<p class="ardiq-more">{}</p>', found, every) if rows else found

    def _job(self, view: JobView) -> SafeString:
        """A link by its id; its task and lane below it."""
        address = self.url("change", quote(view.id), model="job")
        place = (
            f"{plain(view.record.name, 200)} / {plain(view.record.lane)}" if view.record else times.NOTHING
        )
        return format_html(
            '<a href="{}"><code>{}</code></a> <span class="ardiq-place">{}</span>',
            address, plain(view.id[:8], 20), place,
        )  # fmt: skip

    @admin.display(description=gettext_lazy("settings"))
    def settings_here(self, queue: Queue) -> SafeString:
        """Those of this process: a worker may have been started with others, and tells on its page."""
        options = conf.options(queue.name)
        rows = [
            (format_html("<code>{}</code>", name.upper()), _spelt(getattr(options, name)))
            for name in SETTINGS
        ]  # fmt: skip
        return table([_("option"), _("value")], rows)


def _spelt(value: Any) -> str:
    if value is None:
        return times.NOTHING
    if isinstance(value, bool):
        return _("yes") if value else _("no")
    if isinstance(value, int):
        return number(value)
    if isinstance(value, dict):
        return ", ".join(f"{plain(lane)} {number(most)}" for lane, most in value.items())
    if isinstance(value, tuple):
        return ", ".join(plain(one) for one in value)
    return plain(getattr(value, "__qualname__", value), 200)
