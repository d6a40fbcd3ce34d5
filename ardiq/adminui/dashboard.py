"""The dashboard: how all queues stand on one page, and what needs somebody."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.utils.translation import gettext as _

from ardiq.adminui import figures, live, times
from ardiq.adminui.badges import LABELS
from ardiq.adminui.base import RedisAdmin, shielded
from ardiq.adminui.doing import DoingAdmin
from ardiq.adminui.figures import milliseconds, number
from ardiq.adminui.reading import Reading
from ardiq.adminui.snapshot import Failures, Snapshot, snapshots
from ardiq.adminui.text import folds, plain
from ardiq.alerts import PAUSES, SCHEDULES, WORKERS, alerts, name_of
from ardiq.core.job import JobStatus
from ardiq.core.outcome import Failure
from ardiq.models import Job, Queue, RedisModel, Schedule, Worker
from ardiq.store.browsing import STATUSES
from ardiq.store.inspector import WorkerView

GROUPS = 5  # of failures that are shown
NEXT = 5  # schedules


class DashboardAdmin(RedisAdmin):
    """One page. Parts of it are for those who may see their objects on other pages, too."""

    live_regions = "#ardiq-dashboard"

    @shielded
    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        minutes = figures.minutes_in(request)
        queues = self.queues(request)
        chosen = {}
        if (wanted := request.GET.get("queue")) in queues:
            queues = [str(wanted)]
            chosen = {"queue": queues[0]}
        found = snapshots(queues, minutes)
        template = "_dashboard.html" if live.wanted(request) else "dashboard.html"
        return self.framed(
            request,
            template,
            _("Task queue"),
            minutes=minutes,
            live_only=live.wanted(request),
            ranges=[figures.range_of(each, **chosen) for each in figures.RANGES],
            **Page(self, request, found).context(),
        )

    @shielded
    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        """There is no object; whoever asks for one is led to the one page."""
        if request.method not in ("GET", "HEAD"):
            raise PermissionDenied
        return HttpResponseRedirect(self.url("changelist"))


class Page:
    """The context of one view, made of what its user may see."""

    def __init__(self, admin: DashboardAdmin, request: HttpRequest, found: list[Snapshot]) -> None:
        self.admin, self.request, self.found = admin, request, found
        self.now = max((one.seen.now for one in found), default=0)

    def may(self, what: str) -> bool:
        user: Any = self.request.user
        return bool(user.has_perm(f"ardiq.{what}"))

    def context(self) -> dict[str, Any]:
        counts = [one.seen.counts for one in self.found]
        named = self.named()
        return {
            "tiles": self.tiles(),
            "alerts": [(one.queue, alert) for one in self.found for alert in alerts(one.seen, named)],
            "charts": figures.charts([one.statistics for one in self.found]),
            "queues": [self.queue(one) for one in self.found],
            "workers": self.workers() if self.may("view_worker") else None,
            "failures": self.failures() if self.may("view_job") else None,
            "slowest": self.slowest() if self.may("view_job") else None,
            "schedules": self.schedules() if self.may("view_schedule") else None,
            "nothing": not any(one.total for one in counts),
            "several": len(self.found) > 1,
            "as_of": times.clock(self.now, seconds=True),
        }

    def named(self) -> frozenset[str]:
        """What alerts may name. Who has paused a queue stands above the list of jobs, too."""
        told = {
            PAUSES: self.may("view_queue") or self.may("view_job"),
            WORKERS: self.may("view_worker"),
            SCHEDULES: self.may("view_schedule"),
        }
        return frozenset(name for name, may in told.items() if may)

    def link(self, model: type[RedisModel], id: str) -> str:
        """The address of a page; '' where a site of the project does not have it."""
        if not self.admin.admin_site.is_registered(model):
            return ""
        return self.admin.url("change", id, model=model._meta.model_name or "")

    def jobs(self, **filters: str) -> str:
        """The address of the list of jobs, '' for those who may not see it."""
        if not self.may("view_job") or not self.admin.admin_site.is_registered(Job):
            return ""
        if len(self.found) == 1:
            filters.setdefault("queue", self.found[0].queue)
        return f"{self.admin.url('changelist', model='job')}?{urlencode(filters)}"

    def tiles(self) -> list[dict[str, Any]]:
        shown = []
        for status in (JobStatus.QUEUED, JobStatus.SCHEDULED, *STATUSES[2:]):
            count = sum(one.seen.counts.statuses[status] for one in self.found)
            state = status.value
            shown.append({
                "state": state, "label": LABELS[state], "count": number(count), "url": self.jobs(state=state),
            })  # fmt: skip
        return shown

    def queue(self, one: Snapshot) -> dict[str, Any]:
        seen, statuses = one.seen, one.seen.counts.statuses
        oldest = seen.heads.oldest
        page = self.link(Queue, one.queue) if self.may("view_queue") else ""
        return {
            "name": one.queue, "url": page,
            "waiting": number(statuses[JobStatus.QUEUED]),
            "oldest": times.span((seen.now - oldest) / 1000) if oldest else times.NOTHING,
            "running": number(statuses[JobStatus.RUNNING]),
            "failed": number(one.statistics.total.failed), "workers": number(len(seen.working())),
            "paused": [pause.lane for pause in seen.pauses],
        }  # fmt: skip

    def workers(self) -> list[dict[str, Any]]:
        return [self.worker(one, worker) for one in self.found for worker in one.seen.working()]

    def worker(self, one: Snapshot, worker: WorkerView) -> dict[str, Any]:
        concurrency = worker.number("concurrency")
        state = _("silent") if one.seen.silent(worker) else _("blocked") if one.seen.stuck(worker) else ""
        doing = {"quiet": _("quiet"), "stopping": _("stopping")}.get(worker.doing, "")
        return {
            "name": name_of(worker), "url": self.link(Worker, worker.id),
            "queue": one.queue, "running": worker.number("running"), "most": concurrency,
            "beat": times.both(worker.beat), "state": state or doing or _("working"), "ill": bool(state),
        }  # fmt: skip

    def failures(self) -> list[dict[str, Any]]:
        """The groups of the latest failures, with the latest traceback for those who may read it."""
        payload = self.may("view_job_payload")
        every = [failures for one in self.found for failures in one.failures if failures.group.count]
        every.sort(key=lambda one: -one.group.last)
        shown = []
        for one in every[:GROUPS]:
            group, error = one.group, _error(one.reading()) if payload else None
            tasks = [plain(task) for task in group.tasks if task]
            shown.append({
                "count": number(group.count), "type": plain(group.type, 200),
                "where": plain(group.where, 300),
                "tasks": tasks, "queue": one.queue, "last": times.both(group.last),
                # As the page of its job tells it: the one of the group is not masked.
                "message": plain(error.message, 300) if error else "",
                "latest": self.link(Job, group.job) if one.latest else "",
                "folds": folds(error.traceback) if error else [],
                "url": self.jobs(state="failed", queue=one.queue, **({"task": tasks[0]} if tasks else {})),
                "retry": self.retry(one),
            })  # fmt: skip
        return shown

    def retry(self, one: Failures) -> str:
        """The address that runs a whole group again, '' for those who may not. The admin of jobs decides,
        which a project may have replaced."""
        site = self.admin.admin_site
        own = site.get_model_admin(Job) if site.is_registered(Job) else None
        if not isinstance(own, DoingAdmin) or not own.has_retry_permission(self.request):
            return ""
        return self.admin.url("group", one.queue, one.group.fingerprint, model="job")

    def slowest(self) -> list[dict[str, Any]]:
        return [self.slow(one) for one in figures.slowest([one.statistics for one in self.found])]

    def slow(self, task: figures.TaskFigures) -> dict[str, Any]:
        run = task.tally.run
        return {
            "name": plain(task.name), "url": self.jobs(task=task.name), "runs": number(run.count),
            "p50": milliseconds(run.p50_ms), "p95": milliseconds(run.p95_ms),
        }  # fmt: skip

    def schedules(self) -> list[dict[str, Any]]:
        every = [(one.queue, standing) for one in self.found for standing in one.seen.schedules]
        due = sorted((pair for pair in every if pair[1].next_at), key=lambda pair: pair[1].next_at)
        return [
            {
                "name": plain(standing.recurrence.name), "queue": queue, "late": standing.late,
                "url": self.link(Schedule, f"{queue}:{standing.recurrence.name}"),
                "next": times.both(standing.next_at),
            }
            for queue, standing in due[:NEXT]
        ]  # fmt: skip


def _error(reading: Reading | None) -> Failure | None:
    """What went wrong with the latest job, without secrets."""
    error = reading.error if reading is not None else None
    return reading.masked(error) if reading is not None and error is not None else None
