"""The pages of recurring tasks: when they run, how the last run ended, switching off, running now."""

from __future__ import annotations

import inspect
from datetime import datetime
from itertools import islice
from typing import Any
from zoneinfo import ZoneInfo

from django.contrib import admin
from django.contrib.admin.utils import quote
from django.http import HttpRequest, HttpResponse
from django.utils import formats
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.text import capfirst
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from ardiq.adminui import outcomes, times
from ardiq.adminui.asking import broker_of
from ardiq.adminui.controlling import ControlAdmin, Deed, OfQueue
from ardiq.adminui.marks import mark, table
from ardiq.adminui.text import plain
from ardiq.adminui.words import in_words
from ardiq.models import Schedule
from ardiq.store import recurring

NEXT = 5  # runs to come that are shown

POLICIES = {
    "latest": gettext_lazy("of occurrences that were missed the latest is made up for"),
    "skip": gettext_lazy("occurrences that were missed are left out"),
    "all": gettext_lazy("occurrences that were missed are made up for, the latest 100 at most"),
}
OVERLAPS = {
    "skip": gettext_lazy("left out while the last job still waits or runs"),
    "queue": gettext_lazy("enqueued behind the last job when that still waits or runs"),
}


def _disable(schedule: Schedule, data: dict[str, Any], who: str) -> str:
    own = broker_of(schedule.queue)
    return _("Disabled.") if own.store.run(recurring.pause(own.keys, schedule.name, who)) else ""


def _enable(schedule: Schedule, data: dict[str, Any], who: str) -> str:
    own = broker_of(schedule.queue)
    return _("Enabled.") if own.store.run(recurring.resume(own.keys, schedule.name)) else ""


def _run(schedule: Schedule, data: dict[str, Any], who: str) -> str:
    job = schedule.seen.owner.tasks[schedule.name].enqueue_sync()
    text = _("Enqueued as job %s.") if job.created else _("An identical job waits or runs already: %s.")
    return str(text % job.id)


DEEDS = (
    Deed(
        "run", "run_schedule", gettext_lazy("Run now"), gettext_lazy("Run schedules now"),
        gettext_lazy("It is enqueued once, now, whatever its timetable says, disabled or not."),
        _run, lambda schedule: "",
    ),
    Deed(
        "disable", "change_schedule", gettext_lazy("Disable"), gettext_lazy("Disable schedules"),
        gettext_lazy("It is enqueued no more until it is enabled again. What waits or runs of it goes on."),
        _disable, lambda schedule: "" if schedule.enabled else _("it is disabled already"),
    ),
    Deed(
        "enable", "change_schedule", gettext_lazy("Enable"), gettext_lazy("Enable schedules"),
        gettext_lazy("It is enqueued by its timetable again. Occurrences that fell into the pause are over."),
        _enable, lambda schedule: _("it is enabled") if schedule.enabled else "",
    ),
)  # fmt: skip


class ScheduleAdmin(ControlAdmin):
    """The recurring tasks whose code this process has."""

    list_display = ["label", "in_words", "enabled_now", "next_run", "last_run", "strip", "queue"]
    list_filter = ["enabled", OfQueue]
    search_fields = ["id"]
    actions = ["run_selected", "disable_selected", "enable_selected"]
    deeds = DEEDS

    def get_queryset(self, request: HttpRequest) -> Any:
        every: Any = super().get_queryset(request)
        return every.filter(queue__in=self.queues(request))

    def get_search_results(self, request: HttpRequest, queryset: Any, search_term: str) -> tuple[Any, bool]:
        term = search_term.strip()
        return (queryset.search(term) if term else queryset), False

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        return [
            (None, {"fields": ["in_words", "expression", ("enabled_now", "queue"), "source", "no_edits"]}),
            (_("Next runs"), {"fields": ["next_runs", "policies"]}),
            (_("Last runs"), {"fields": ["runs_made"]}),
        ]

    def get_list_display(self, request: HttpRequest) -> list[Any]:
        names: list[Any] = list(super().get_list_display(request))
        return names if len(self.queues(request)) > 1 else [name for name in names if name != "queue"]

    # -- actions --------------------------------------------------------------------------------------

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Of its own, as for all that lies in Redis: for Django, who may change a thing may see it."""
        user: Any = request.user
        return bool(user.has_perm("ardiq.view_schedule"))

    def has_run_permission(self, request: HttpRequest) -> bool:
        return self.may(request, self.deeds[0])

    def has_switch_permission(self, request: HttpRequest) -> bool:
        """``change_schedule``; Django's own name for it would make the page a form."""
        return self.may(request, self.deeds[1])

    @admin.action(permissions=["run"], description=gettext_lazy("Run selected schedules now"))
    def run_selected(self, request: HttpRequest, queryset: Any) -> HttpResponse:
        return self.ask_about(request, "run", queryset)

    @admin.action(permissions=["switch"], description=gettext_lazy("Disable selected schedules"))
    def disable_selected(self, request: HttpRequest, queryset: Any) -> HttpResponse:
        return self.ask_about(request, "disable", queryset)

    @admin.action(permissions=["switch"], description=gettext_lazy("Enable selected schedules"))
    def enable_selected(self, request: HttpRequest, queryset: Any) -> HttpResponse:
        return self.ask_about(request, "enable", queryset)

    def facts(self, row: Schedule) -> str:
        return in_words(row.seen.recurrence.timetable)

    # -- columns and fields ---------------------------------------------------------------------------

    @admin.display(description=gettext_lazy("name"), ordering="name")
    def label(self, schedule: Schedule) -> SafeString:
        """May be broken at its dots."""
        *before, last = plain(schedule.name, 200).split(".")
        return format_html("{}{}", format_html_join("", "{}.<wbr>", ((part,) for part in before)), last)

    @admin.display(description=gettext_lazy("timetable"), ordering="timetable")
    def in_words(self, schedule: Schedule) -> SafeString:
        """In words; as it is spelt in the title."""
        timetable = schedule.seen.recurrence.timetable
        zone = f" ({timetable.zone})" if timetable.zone else ""
        told, spelt = in_words(timetable), plain(timetable.spelt, 200)
        shown = format_html("<code>{}</code>", told) if told == spelt else told
        return format_html('<span title="{}{}">{}</span>', spelt, zone, shown)

    @admin.display(description=gettext_lazy("expression"))
    def expression(self, schedule: Schedule) -> SafeString:
        timetable = schedule.seen.recurrence.timetable
        zone = (
            _("in the time zone %s") % timetable.zone if timetable.zone else _("counted from the epoch, UTC")
        )
        return format_html("<code>{}</code>, {}", plain(timetable.spelt), zone)

    @admin.display(description=gettext_lazy("state"), ordering="enabled")
    def enabled_now(self, schedule: Schedule) -> SafeString:
        if schedule.enabled:
            return mark("good", _("Enabled"))
        by = plain(schedule.seen.state.paused_by, 150)
        told = _("defined in code, disabled here by %s") % by if by else _("defined in code, disabled here")
        return format_html('{} <span class="ardiq-why">{}</span>', mark("warn", _("Disabled")), told)

    @admin.display(description=gettext_lazy("next run"), ordering="next_at")
    def next_run(self, schedule: Schedule) -> str | SafeString:
        return times.both(schedule.seen.next_at)

    @admin.display(description=gettext_lazy("last run"), ordering="last_at")
    def last_run(self, schedule: Schedule) -> SafeString:
        """When it was, and how it ended, which leads to its job those who may see jobs."""
        state = schedule.seen.state
        if not state.last_id:
            return format_html("{}", times.NOTHING)
        when, shown = times.both(schedule.seen.last_at), outcomes.ending(state.ended_status)
        if not schedule.sees_jobs:
            return format_html("{} {}", when, shown)
        address = self.url("change", quote(state.last_id), model="job")
        return format_html('{} <a href="{}">{}</a>', when, address, shown)

    @admin.display(description=gettext_lazy("last outcomes"))
    def strip(self, schedule: Schedule) -> SafeString:
        return outcomes.strip(schedule.seen.fired)

    @admin.display(description=gettext_lazy("last runs"))
    def runs_made(self, schedule: Schedule) -> SafeString:
        """And where all jobs of the task are, also those that were enqueued by hand."""
        if not schedule.sees_jobs:
            return outcomes.ends(schedule.seen.fired)
        every = self.jobs_link(_("All jobs of this task"), queue=schedule.queue, task=schedule.name)
        return outcomes.runs(self, schedule.seen.fired, every)

    @admin.display(description=gettext_lazy("next runs"))
    def next_runs(self, schedule: Schedule) -> SafeString:
        """In the time zone of the timetable, with its offset: that shows when clocks change."""
        seen, timetable = schedule.seen, schedule.seen.recurrence.timetable
        if not seen.next_at:
            return format_html("{}", _("None while it is disabled.") if seen.state.paused else times.NOTHING)
        found = list(islice(timetable.after(seen.next_at - 1), NEXT))
        moments = [datetime.fromtimestamp(at / 1000, ZoneInfo(timetable.zone or "UTC")) for at in found]
        rows = []
        for n, (at, local) in enumerate(zip(found, moments, strict=True)):
            turned = n and local.utcoffset() != moments[n - 1].utcoffset()
            note = mark("warn", _("clocks have changed")) if turned else ""
            day = f"{formats.date_format(local, 'D')} {formats.date_format(local, 'DATE_FORMAT')}"
            when = f"{day}, {local:%H:%M:%S %Z}"
            rows.append((when, format_html("{} {}", times.relative(at), note)))
        return table([_("when"), _("in")], rows)

    @admin.display(description=gettext_lazy("policies"))
    def policies(self, schedule: Schedule) -> str:
        one = schedule.seen.recurrence
        return capfirst(_("; ").join((str(POLICIES[one.misfire]), str(OVERLAPS[one.overlap]))))

    @admin.display(description=gettext_lazy("source"))
    def source(self, schedule: Schedule) -> SafeString:
        """File and line of its function, below the path that it was imported from."""
        fn: Any = inspect.unwrap(schedule.seen.owner.registry[schedule.name].fn)
        module, code = getattr(fn, "__module__", "") or "", getattr(fn, "__code__", None)
        line = f":{code.co_firstlineno}" if code is not None else ""
        return format_html("<code>{}.py{}</code>", plain(module.replace(".", "/"), 300), line)

    @admin.display(description=gettext_lazy("changing it"))
    def no_edits(self, schedule: Schedule) -> str:
        return _(
            "A timetable is part of the code of its task. It is not changed here: the next deployment would "
            "bring the old one back, and nobody would know. Disabling lasts until somebody enables it again."
        )
