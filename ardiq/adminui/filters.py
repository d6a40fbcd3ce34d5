"""Filters of the job list. Their numbers are either counts that Redis keeps, or say what was counted."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.admin.options import IncorrectLookupParameters
from django.http import HttpRequest
from django.utils import formats
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from ardiq.adminui.census import TALLIED
from ardiq.adminui.plan import Plan
from ardiq.adminui.sought import NOTHING, WORKER, sought_in
from ardiq.adminui.sources import JobSource
from ardiq.adminui.text import plain
from ardiq.core.job import JobStatus
from ardiq.models import STATES, Job

TASKS_SHOWN = 20


def source_of(request: HttpRequest, admin: Any) -> JobSource:
    """The one source of a request, so that its filters, list and counts share what they read. It knows
    only the queues that the user may see, and whether the user may read what jobs were given."""
    source: JobSource | None = getattr(request, "_ardiq_jobs", None)
    if source is None:
        user: Any = request.user
        may_read = user.has_perm("ardiq.view_job_payload")

        def make(queue: str, view: Any) -> Job:
            job = Job.of(queue, view)
            job.may_read = may_read
            return job

        try:
            sought = sought_in(request.GET.dict())
        except ValueError:
            sought = NOTHING  # the filter that reads it tells
        source = JobSource(make, admin.queues(request), sought, admin.sees(request, "worker"))
        request._ardiq_jobs = source  # type: ignore[attr-defined]
    return source


def number(value: int) -> str:
    return formats.number_format(value, 0, force_grouping=True)


def chosen(request: HttpRequest, *fields: str) -> Plan:
    """What filters have chosen, as far as ``fields`` go."""
    given = {field: frozenset([request.GET[field]]) for field in fields if field in request.GET}
    return Plan(given, (), 0, None, False, "")


class JobFilter(admin.SimpleListFilter):
    """Filters by exact values of one field."""

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        value = self.value()
        return queryset if value is None else queryset.filter(**{str(self.parameter_name): value})


def _searched(request: HttpRequest) -> bool:
    """Whether jobs are looked at one by one: nobody counts those."""
    return any(request.GET.get(name) for name in ("task", "q", "worker", "tries"))


class StateFilter(JobFilter):
    title = gettext_lazy("state")
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        if _searched(request):
            return [(state, str(label)) for state, label in STATES]
        source = source_of(request, model_admin)
        queues = source.queues(chosen(request, "queue"))
        counts = [source.numbers(alias) for alias in queues]
        return [
            (state, f"{label} ({number(sum(one[JobStatus(state)] for one in counts))})")
            for state, label in STATES
        ]


class QueueFilter(JobFilter):
    title = gettext_lazy("queue")
    parameter_name = "queue"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        aliases = model_admin.queues(request)
        if _searched(request):
            return [(alias, alias) for alias in aliases]
        source = source_of(request, model_admin)
        statuses = source.statuses(chosen(request, "state"))
        return [(alias, f"{alias} ({number(source.total([alias], statuses))})") for alias in aliases]

    def has_output(self) -> bool:
        return len(self.lookup_choices) > 1 or self.value() is not None


class TaskFilter(JobFilter):
    title: Any = gettext_lazy("task")
    parameter_name = "task"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        source = source_of(request, model_admin)
        plan = chosen(request, "state", "queue")
        queues, statuses = source.queues(plan), source.statuses(plan)
        if any(source.total([alias], statuses) > TALLIED for alias in queues):
            self.title = _("task, among the newest %(number)s") % {"number": number(TALLIED * len(queues))}
        found = list(source.tasks(queues, statuses).items())
        out = [(name, f"{plain(name)} ({number(count)})") for name, count in found[:TASKS_SHOWN]]
        if len(found) > TASKS_SHOWN:
            more = len(found) - TASKS_SHOWN
            text = ngettext("%(more)s more: search by name", "%(more)s more: search by name", more)
            self.title = f"{self.title} ({text % {'more': more}})"
        wanted = request.GET.get("task")
        if wanted and wanted not in dict(out):
            out.insert(0, (wanted, plain(wanted, 200)))
        return out


class SoughtFilter(admin.SimpleListFilter):
    """Of what is no field of the model: the source of the request has read it (sought.py)."""

    others: tuple[str, ...] = ()  # parameters beside its own

    def __init__(self, request: HttpRequest, params: Any, model: Any, model_admin: Any) -> None:
        self.request = request
        for name in self.others:
            params.pop(name, None)
        super().__init__(request, params, model, model_admin)
        try:
            sought_in(request.GET.dict())
        except ValueError as problem:
            raise IncorrectLookupParameters from problem

    def lookups(self, request: HttpRequest, model_admin: Any) -> Any:
        return []

    def expected_parameters(self) -> list[str | None]:
        return [self.parameter_name, *self.others]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        return queryset


class TimeFilter(SoughtFilter):
    """The last minutes, hours or days, or a range; O(log N) for each list."""

    title = gettext_lazy("time")
    parameter_name = "when"
    others = ("since", "until")
    template = "admin/ardiq/job/_time_filter.html"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [
            ("15m", _("Last 15 minutes")),
            ("1h", _("Last hour")),
            ("1d", _("Last 24 hours")),
            ("7d", _("Last 7 days")),
        ]

    def choices(self, changelist: Any) -> Any:
        ranged = any(self.request.GET.get(name) for name in self.others)
        for choice in super().choices(changelist):
            choice["selected"] = choice["selected"] and not ranged
            yield choice

    @property
    def kept(self) -> list[tuple[str, str]]:
        """What else the address asks for, to come along with a range."""
        gone = {self.parameter_name, *self.others, "p", "from", "e", "_changelist_filters"}
        return [(name, str(value)) for name, value in self.request.GET.items() if name not in gone]

    @property
    def range(self) -> dict[str, str]:
        return {name: self.request.GET.get(name, "")[:40] for name in self.others}


class TriesFilter(SoughtFilter):
    title = gettext_lazy("attempts")
    parameter_name = "tries"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("more", _("More than one"))]


class WorkerFilter(SoughtFilter):
    """The jobs of a worker: of a living one, for who may see workers, or of that whose link was followed."""

    title = gettext_lazy("worker")
    parameter_name = "worker"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        source, wanted = source_of(request, model_admin), request.GET.get(self.parameter_name, "")
        living = source.workers(source.queues(chosen(request, "queue")))
        names = {id[:8]: name for id, name in living.items() if WORKER.match(id[:8])}
        if wanted:
            names.setdefault(wanted, "")
        told = [
            (id, f"{plain(name, 100)} ({plain(id, 20)})" if name else plain(id, 20))
            for id, name in names.items()
        ]
        return sorted(told, key=lambda one: one[1])


class FromFilter(SoughtFilter):
    """Where a search that goes on begins: no filter to see, but a parameter that lists know."""

    title = "from"
    parameter_name = "from"

    def has_output(self) -> bool:
        return False
