"""The pages of workers: what they are, what they do now, what they did last, and telling them what to do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.contrib import admin
from django.contrib.admin.utils import quote
from django.http import HttpRequest, HttpResponse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, pgettext_lazy

from ardiq.adminui import seeing, times
from ardiq.adminui.asking import broker_of
from ardiq.adminui.badges import badge
from ardiq.adminui.base import LIST, RedisAdmin
from ardiq.adminui.controlling import ControlAdmin, Deed, NotedChangeList, OfQueue, Text
from ardiq.adminui.filters import number
from ardiq.adminui.marks import mark, table
from ardiq.adminui.seeing import SeenWorker
from ardiq.adminui.text import plain
from ardiq.models import WORKER_STATES, Worker
from ardiq.store import controls
from ardiq.store.inspector import JobView

LABELS = dict(WORKER_STATES)
KINDS = {"alive": "good", "quiet": "warn", "stopping": "warn", "stale": "bad"}


def _tell(order: controls.Order, text: Text) -> Any:
    def perform(worker: Worker, data: dict[str, Any], who: str) -> str:
        own = broker_of(worker.queue)
        return str(text) if own.store.run(controls.order(own.keys, worker.id, order, who)) else ""

    return perform


def _fits(*states: str) -> Any:
    texts = {
        "alive": _("it takes jobs"), "quiet": _("it is quiet already"), "stopping": _("it is stopping"),
        "stale": _("it has not been heard of"),
    }  # fmt: skip
    return lambda worker: "" if worker.state in states else texts[worker.state]


DEEDS = (
    Deed(
        "quiet", "control_worker", pgettext_lazy("tell a worker", "Quiet"), gettext_lazy("Quiet workers"),
        gettext_lazy(
            "It finishes what it runs and takes no more, until it is told to work again. What it has taken "
            "and not begun goes back to the queue."
        ),
        _tell("quiet", gettext_lazy("Told to be quiet.")), lambda worker: _fits("alive")(worker),
    ),
    Deed(
        "work", "control_worker", gettext_lazy("Work again"), gettext_lazy("Let workers take jobs again"),
        gettext_lazy("It takes jobs again, as it did before it was told to be quiet."),
        _tell("work", gettext_lazy("Told to take jobs again.")), lambda worker: _fits("quiet")(worker),
    ),
    Deed(
        "stop", "control_worker", gettext_lazy("Stop"), gettext_lazy("Stop workers"),
        gettext_lazy(
            "Its process ends as by SIGTERM: what runs may end within the grace period, the rest goes back "
            "to the queue. That stops all workers of the process, also those of other queues. Nobody but a "
            "process manager starts it again."
        ),
        _tell("stop", gettext_lazy("Told to stop.")), lambda worker: _fits("alive", "quiet")(worker),
        destroys=True,
    ),
)  # fmt: skip


def state_mark(state: str) -> SafeString:
    return mark(KINDS.get(state, "quiet"), LABELS.get(state, plain(state, 20)))


def busy(view: Any) -> str:
    most = view.about.get("concurrency")
    return _("%(running)s of %(most)s") % {"running": view.number("running"), "most": plain(most or "?", 20)}


def brief(page: RedisAdmin, seen: SeenWorker) -> tuple[Any, ...]:
    """A worker in a table of another page: a link, its state, how busy it is, when it was seen."""
    name = plain(seen.view.about.get("name", ""), 200) or plain(seen.view.id[:8])
    link = format_html('<a href="{}">{}</a>', page.url("change", quote(seen.view.id), model="worker"), name)
    return link, state_mark(seen.state), busy(seen.view), times.both(seen.view.beat)


class WorkerAdmin(ControlAdmin):
    """The workers that hold a lease, and those whose lease has run out."""

    list_display = [
        "label", "state_now", "queue", "busy_now", "processed_now", "memory", "versions", "last_seen",
    ]  # fmt: skip
    list_filter = ["state", OfQueue]
    actions = ["quiet_selected", "work_selected", "stop_selected"]
    ordering = ["name"]  # by one column: each takes room for its arrows
    deeds = DEEDS
    live_regions = f"{LIST}, #worker_form fieldset"

    def get_queryset(self, request: HttpRequest) -> Any:
        every: Any = super().get_queryset(request)
        return every.filter(queue__in=self.queues(request))

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[NotedChangeList]:
        return NotedChangeList

    def notes(self, rows: Sequence[Worker]) -> list[str]:
        """Workers of several releases are a deployment that has not been finished."""
        found = []
        alive = [row.view.about for row in rows if row.state != "stale"]
        for field, name in (("version", "ardiq"), ("django", "Django"), ("python", "Python")):
            versions = sorted({plain(about[field], 50) for about in alive if about.get(field)})
            if len(versions) > 1:
                found.append(
                    _("Workers run %(name)s %(versions)s: finish the deployment, or restart the old ones.")
                    % {"name": name, "versions": _(" and ").join(versions)}
                )
        return found

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        parts = [
            (None, {"fields": [("state_now", "queue"), ("host_name", "pid"), "worker_id"]}),
            (_("Work"), {"fields": [("busy_now", "processed_now"), "now_running", "last_ended"]}),
            (_("Process"), {"fields": [("since_when", "last_seen"), "memory", "versions", "options"]}),
        ]
        if not self.sees(request, "job"):
            parts[1][1]["fields"] = [("busy_now", "processed_now")]
        return parts

    # -- actions --------------------------------------------------------------------------------------

    def has_control_permission(self, request: HttpRequest) -> bool:
        return self.may(request, self.deeds[0])

    @admin.action(permissions=["control"], description=gettext_lazy("Quiet selected workers"))
    def quiet_selected(self, request: HttpRequest, queryset: Any) -> HttpResponse:
        return self.ask_about(request, "quiet", queryset)

    @admin.action(permissions=["control"], description=gettext_lazy("Let selected workers take jobs again"))
    def work_selected(self, request: HttpRequest, queryset: Any) -> HttpResponse:
        return self.ask_about(request, "work", queryset)

    @admin.action(permissions=["control"], description=gettext_lazy("Stop selected workers"))
    def stop_selected(self, request: HttpRequest, queryset: Any) -> HttpResponse:
        return self.ask_about(request, "stop", queryset)

    def facts(self, row: Worker) -> str:
        return _("%(queue)s, %(running)s running") % {"queue": row.queue, "running": number(row.running)}

    # -- columns and fields ---------------------------------------------------------------------------

    @admin.display(description=gettext_lazy("name"), ordering="name")
    def label(self, worker: Worker) -> SafeString:
        """With its host and process in the same cell, as a job with its queue and lane."""
        place = " · ".join(part for part in (plain(worker.host, 200), plain(worker.pid, 20)) if part)
        name = plain(worker.name, 200) or plain(worker.id[:8])
        return format_html('{} <span class="ardiq-place">{}</span>', name, place)

    @admin.display(description=gettext_lazy("state"), ordering="state")
    def state_now(self, worker: Worker) -> SafeString:
        shown, about = state_mark(worker.state), worker.view.about
        if worker.state == "stale":
            return format_html(
                '{} <span class="ardiq-why">{}</span>', shown, _("its jobs go back to the queue")
            )
        if by := about.get("ordered_by") if worker.state in ("quiet", "stopping") else "":
            words = {"by": plain(by, 150), "when": times.relative(worker.view.number("ordered_at"))}
            told = _("told by %(by)s, %(when)s") % words
            return format_html('{} <span class="ardiq-why">{}</span>', shown, told)
        return shown

    @admin.display(description=gettext_lazy("ID"))
    def worker_id(self, worker: Worker) -> SafeString:
        return format_html("<code>{}</code>", plain(worker.id))

    @admin.display(description=gettext_lazy("host"), ordering="host")
    def host_name(self, worker: Worker) -> str:
        return plain(worker.host, 200)

    @admin.display(description=gettext_lazy("running"), ordering="running")
    def busy_now(self, worker: Worker) -> str:
        return busy(worker.view)

    @admin.display(description=gettext_lazy("done"), ordering="processed")
    def processed_now(self, worker: Worker) -> str:
        return number(worker.processed)

    @admin.display(description=gettext_lazy("memory"))
    def memory(self, worker: Worker) -> str:
        rss = worker.view.number("rss")
        return _("%s MB") % number(rss) if rss else times.NOTHING

    @admin.display(description=gettext_lazy("started"), ordering="since")
    def since_when(self, worker: Worker) -> str | SafeString:
        return times.both(worker.view.number("since"))

    @admin.display(description=gettext_lazy("seen"), ordering="seen")
    def last_seen(self, worker: Worker) -> str | SafeString:
        return times.both(worker.view.beat)

    @admin.display(description=gettext_lazy("versions"))
    def versions(self, worker: Worker) -> str:
        about = worker.view.about
        told = (("ardiq", "version"), ("Django", "django"), ("Python", "python"))
        return ", ".join(f"{name} {plain(about[field], 50)}" for name, field in told if about.get(field))

    @admin.display(description=gettext_lazy("options"))
    def options(self, worker: Worker) -> SafeString:
        names = ("concurrency", "threads", "prefetch", "lease_ms", "grace_ms", "lanes")
        about = worker.view.about
        rows = [(name, plain(about[name], 500).replace(",", ", ")) for name in names if about.get(name)]
        return table([_("option"), _("value")], rows, times.NOTHING)

    def read_more(self, request: HttpRequest, row: Worker) -> None:
        row.work = seeing.work_of(row.queue, row.id) if row.sees_jobs else seeing.Work([], [])

    def _job(self, view: JobView) -> SafeString:
        address = self.url("change", quote(view.id), model="job")
        task = plain(view.record.name, 200) if view.record else ""
        return format_html('<a href="{}"><code>{}</code></a> {}', address, plain(view.id[:8], 20), task)

    @admin.display(description=gettext_lazy("holds now"))
    def now_running(self, worker: Worker) -> SafeString:
        """What it has taken, longest first: it runs, or is about to."""
        rows = [
            (
                self._job(view),
                plain(view.record.lane),
                times.duration(max(0, worker.seen_at - view.record.at)),
            )
            for view in worker.work.held
            if view.record is not None
        ]
        return table([_("job"), _("lane"), _("for")], rows, _("Nothing."))

    @admin.display(description=gettext_lazy("ended last"))
    def last_ended(self, worker: Worker) -> SafeString:
        rows = [
            (self._job(view), badge(view.status.value if view.status else ""), times.both(view.record.at))
            for view in worker.work.ended
            if view.record is not None
        ]
        empty = _("None among the %s jobs of the queue that ended last.") % number(seeing.LOOKED)
        found = table([_("job"), _("state"), _("when")], rows, empty)
        every = self.jobs_link(_("All jobs of this worker"), worker=worker.id[:8], queue=worker.queue)
        return format_html('{}<p class="ardiq-more">{}</p>', found, every)
