"""An action on all jobs of a filter, by workers: asking, starting, telling how far it is, cancelling."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.core.exceptions import BadRequest, PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.urls import URLPattern, path
from django.utils.translation import gettext as _

from ardiq import operations
from ardiq.adminui import audit, times
from ardiq.adminui.actions import ACTIONS, Action
from ardiq.adminui.asking import broker_of, together
from ardiq.adminui.badges import LABELS
from ardiq.adminui.base import RedisAdmin, shielded
from ardiq.adminui.filters import number
from ardiq.adminui.plan import plan_of
from ardiq.adminui.sought import path_in
from ardiq.adminui.sources import JobSource
from ardiq.adminui.text import plain
from ardiq.core.errors import QueueFull
from ardiq.models import Job
from ardiq.operations import Order
from ardiq.store import bulks
from ardiq.store.bulks import CANCELLED, DONE, RUNNING, Bulk

LISTED = 20  # operations of each queue that the page shows
SPREAD_MOST = 10_080  # minutes that retried jobs are spread over at most: a week
RATE_MOST = 100_000  # jobs a second


class BulkAdmin(RedisAdmin):
    """Bulk operations of jobs. The page that asks is the answer to an action of the list."""

    def may(self, request: HttpRequest, action: Action) -> bool:
        """Whether the user may do this: seeing jobs is part of it."""
        user: Any = request.user
        return self.has_view_permission(request) and user.has_perm(action.permission)

    def bulk_urls(self) -> list[URLPattern]:
        """They go before those of one job, whose patterns take any beginning."""
        wrap = self.admin_site.admin_view
        return [
            path("_bulk/", wrap(self.bulks_view), name="ardiq_job_bulks"),
            path("_bulk/start/<str:name>/", wrap(self.start_view), name="ardiq_job_bulk_start"),
            path("_bulk/cancel/<str:name>/", wrap(self.cancel_view), name="ardiq_job_bulk_cancel"),
        ]

    def ask_about_all(self, request: HttpRequest, action: Action, queryset: Any) -> HttpResponse:
        """Confirm an action on all jobs of a filter."""
        plan, source = plan_of(queryset.query, queryset.source.allowed), queryset.source
        queues, statuses = source.queues(plan), source.statuses(plan)
        groups = []
        for status in statuses:
            count = source.total(queues, [status])
            why = "" if status in action.states else str(action.skipped(status))
            if count:
                row = {"state": status.value, "label": LABELS[status.value], "count": number(count)}
                groups.append({**row, "why": why})
        return self.framed(
            request,
            "bulk_confirm.html",
            action.title,
            action=action,
            groups=groups,
            looked_at=source.searches(plan),
            queues=queues,
            spread_most=SPREAD_MOST,
            do_url=self.url("bulk_start", action.name),
            cancel_url=self.list_url(request),
            query=request.GET.urlencode(),
        )

    def takes_all(self, queryset: Any) -> bool:
        """Whether a bulk operation can find the jobs of this queryset: not those with an argument."""
        plan = plan_of(queryset.query, queryset.source.allowed)
        return "id" not in plan.wanted and path_in(plan.text) is None and not plan.nothing

    @shielded
    def start_view(self, request: HttpRequest, name: str) -> HttpResponse:
        """Start what was confirmed, one operation for each queue."""
        action = ACTIONS.get(name)
        if not self.has_view_permission(request) or action is None or not self.may(request, action):
            raise PermissionDenied
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        if action.name not in operations.WORK:
            raise BadRequest("There is no such operation on many jobs.")
        per_second = whole(request, "per_second", RATE_MOST)
        minutes = whole(request, "minutes", SPREAD_MOST) if action.paced else 0
        changelist = self.get_changelist_instance(request)
        if not self.takes_all(changelist.queryset):
            raise BadRequest("These jobs are not those of a filter.")
        plan = plan_of(changelist.queryset.query, changelist.queryset.source.allowed)
        self._start(request, action, changelist.queryset.source, plan, per_second, minutes)
        return HttpResponseRedirect(self.url("bulks"))

    def _start(
        self, request: HttpRequest, action: Action, source: JobSource, plan: Any, rate: int, minutes: int
    ) -> None:
        statuses = [status for status in source.statuses(plan) if status in action.states]
        tasks = sorted(plan.wanted.get("task", ("",)))
        user: Any = request.user
        for queue in source.queues(plan):
            total = source.total([queue], statuses)
            if not total or len(tasks) != 1:
                continue
            order = Order(
                action.name, statuses, source.sought.keep(tasks[0], plan.text), total, user.get_username(),
                rate, minutes * 60_000 / total,
            )  # fmt: skip
            try:
                id = operations.start(broker_of(queue), order)
            except QueueFull as error:
                self.message_user(request, plain(error, 300), messages.ERROR)
                continue
            words = _("%(title)s: a bulk operation on jobs of a filter.") % {"title": action.title}
            audit.summary(user, queue, words, total)
            detail = {"operation": id, "query": request.GET.urlencode()}
            audit.send(user, Job, action.name, queue=queue, count=total, ids=(), detail=detail)

    @shielded
    def bulks_view(self, request: HttpRequest) -> HttpResponse:
        """The latest operations of the queues that the user may see, and how far they are."""
        listed = together(self.queues(request), lambda own: [bulks.latest(own.keys, LISTED)])
        found = together(listed, lambda own: [bulks.read(own.keys, id) for id in listed[own.keys.queue][0]])
        rows = [self._row(request, queue, one) for queue, some in found.items() for one in some if one]
        rows.sort(key=lambda row: row["at"], reverse=True)
        return self.framed(
            request,
            "bulks.html",
            _("Bulk operations"),
            rows=rows,
            busy=any(row["running"] for row in rows),
        )

    def _row(self, request: HttpRequest, queue: str, one: Bulk) -> dict[str, Any]:
        action = ACTIONS.get(one.text("action"))
        total, looked = one.number("total"), one.number("looked")
        running = one.state == RUNNING
        states = {RUNNING: _("Running"), DONE: _("Done"), CANCELLED: _("Cancelled")}
        statuses = [LABELS.get(state, state) for state in one.text("statuses").split(",")]
        return {
            "id": one.id,
            "at": one.number("started"),
            "title": action.title if action else plain(one.text("action"), 40),
            "queue": queue,
            "of": ", ".join(map(str, statuses)),
            "by": plain(one.text("by"), 150),
            "started": times.both(one.number("started")),
            "seen": times.both(one.number("seen")),
            "state": states.get(one.state, plain(one.state, 20)),
            "running": running,
            "looked": min(looked, total),
            "total": total,
            "counts": _("%(looked)s of %(total)s looked at, %(done)s done") % {
                "looked": number(looked), "total": number(total), "done": number(one.number("done")),
            },
            "may_cancel": running and action is not None and self.may(request, action),
        }  # fmt: skip

    @shielded
    def cancel_view(self, request: HttpRequest, name: str) -> HttpResponse:
        """Cancel an operation: ``name`` is its id. Whoever may do such a thing may stop it."""
        if request.method != "POST":
            raise PermissionDenied
        queue = request.POST.get("queue", "")
        if queue not in self.queues(request):
            raise PermissionDenied
        own = broker_of(queue)
        found = next((one for one in operations.latest(own, 100) if one.id == name), None)
        action = ACTIONS.get(found.text("action")) if found else None
        if found is None or action is None or not self.may(request, action):
            raise PermissionDenied
        if operations.cancel(own, name):
            self.message_user(request, _("It stops behind the jobs that it is working on."), messages.SUCCESS)
            count = found.number("total")
            audit.summary(request.user, queue, _("Bulk operation cancelled."), count)
            detail = {"operation": name, "cancelled": action.name}
            audit.send(request.user, Job, "cancel", queue=queue, count=count, ids=(), detail=detail)
        return HttpResponseRedirect(self.url("bulks"))


def whole(request: HttpRequest, name: str, most: int) -> int:
    """A number of a form, 0 for none. Raises BadRequest for what is no such number."""
    text = request.POST.get(name, "") or "0"
    if not (text.isascii() and text.isdigit()) or int(text[:9]) > most:
        raise BadRequest(f"{name} is no whole number, or too large.")
    return int(text)
