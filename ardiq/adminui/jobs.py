"""The list of jobs: its columns, its search, and which jobs a user sees in it."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.views.main import ChangeList
from django.forms import Script
from django.http import HttpRequest, HttpResponse, QueryDict
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from ardiq import conf
from ardiq.adminui import times, tries
from ardiq.adminui.badges import badge
from ardiq.adminui.base import LIST
from ardiq.adminui.filters import (
    FromFilter,
    QueueFilter,
    StateFilter,
    TaskFilter,
    TimeFilter,
    TriesFilter,
    WorkerFilter,
    source_of,
)
from ardiq.adminui.lists import JobChangeList, ShallowPaginator
from ardiq.adminui.page import JobPage
from ardiq.adminui.sought import NAMES, path_in
from ardiq.adminui.text import plain
from ardiq.models import Job


class JobAdmin(JobPage):
    """Jobs of every queue, nearest to now first."""

    list_display = ["short", "task_name", "badge", "tries", "when", "wait", "ran", "error"]
    list_filter = [
        StateFilter, QueueFilter, TimeFilter, TaskFilter, TriesFilter, WorkerFilter, FromFilter,
    ]  # fmt: skip
    search_fields = ["id", "task"]
    actions = [
        "retry_selected",
        "again_selected",
        "run_selected",
        "abort_selected",
        "delete_selected",
        "export_csv",
        "export_json",
    ]
    paginator = ShallowPaginator
    ordering = ["-at"]

    # Of one job: as long as it has not ended.
    live_regions = (
        f"{LIST}, #ardiq-bulks, "
        "#job_form:has(.ardiq-state-running, .ardiq-state-queued, .ardiq-state-scheduled) fieldset"
    )

    class Media:
        js = [Script("ardiq/copy.js", type="module")]

    # -- which jobs -----------------------------------------------------------------------------------

    def get_queryset(self, request: HttpRequest) -> Any:
        source = source_of(request, self)
        every: Any = super().get_queryset(request)
        return every.reading(source)

    def get_search_results(self, request: HttpRequest, queryset: Any, search_term: str) -> tuple[Any, bool]:
        """A whole id, which costs nothing; or an argument, as ``kwargs.user=42``, for who may see arguments;
        or else the start of an id or a part of a task's name."""
        term = search_term.strip()
        if not term:
            return queryset, False
        if path_in(term):
            user: Any = request.user
            if user.has_perm("ardiq.view_job_payload"):
                return queryset.search(term), False
            text = _("You have no permission to see arguments, and so none to search in them.")
            self.message_user(request, text, messages.WARNING)
            return queryset.none(), False
        exact = queryset.filter(pk=term)
        return (exact if exact.exists() else queryset.search(term)), False

    def lookup_allowed(self, lookup: str, value: Any, request: HttpRequest | None = None) -> bool:
        field, _sep, kind = lookup.partition("__")
        return lookup in NAMES or (field in {"id", "state", "queue", "task"} and kind in {"", "exact", "in"})

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return JobChangeList

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        """The job; of the queue by which the list was filtered, where two queues have one of this id."""
        job = super().get_object(request, object_id, from_field)
        queue = QueryDict(request.GET.get("_changelist_filters", "")).get("queue", "")
        if job is not None and queue in job.also_in:
            return self.get_queryset(request).filter(queue=queue, pk=object_id).first()
        return job

    def _get_obj_does_not_exist_redirect(
        self, request: HttpRequest, opts: Any, object_id: str
    ) -> HttpResponse:
        ttls = [conf.options(alias).result_ttl_ms for alias in self.queues(request)]
        if ttls and min(ttls) >= 0:
            text = _("Jobs that have succeeded are kept for %(span)s, unless their task says otherwise.")
            self.message_user(request, text % {"span": times.span(max(ttls) / 1000)}, messages.INFO)
        gone: HttpResponse = super()._get_obj_does_not_exist_redirect(request, opts, object_id)  # type: ignore[misc]
        return gone

    # -- columns of the list --------------------------------------------------------------------------

    @admin.display(description=gettext_lazy("ID"))
    def short(self, job: Job) -> SafeString:
        return format_html('<code title="{}">{}</code>', plain(job.id), plain(job.short_id))

    @admin.display(description=gettext_lazy("task"))
    def task_name(self, job: Job) -> SafeString:
        """With its queue and lane in the same cell: a ninth column would not fit beside the filters."""
        place = f"{job.queue} / {plain(job.lane)}" if job.lane not in ("", "default") else job.queue
        return format_html(
            '{} <span class="ardiq-place">{}</span>', plain(job.task, 200) or times.NOTHING, place
        )

    @admin.display(description=gettext_lazy("state"))
    def badge(self, job: Job) -> SafeString:
        return badge(job.state)

    @admin.display(description=gettext_lazy("att."))
    def tries(self, job: Job) -> str:
        return tries.told(job.reading)

    @admin.display(description=gettext_lazy("when"), ordering="at")
    def when(self, job: Job) -> str:
        return times.both(job.view.record.at if job.view.record else None)

    @admin.display(description=gettext_lazy("wait"))
    def wait(self, job: Job) -> str:
        return times.duration(job.reading.wait_ms)

    @admin.display(description=gettext_lazy("ran"))
    def ran(self, job: Job) -> str:
        return times.duration(job.reading.ran_ms)

    @admin.display(description=gettext_lazy("error"))
    def error(self, job: Job) -> str | SafeString:
        """The type of the error; its message may hold data and needs the permission to see payloads."""
        if job.view.record is None:
            return plain(job.view.problem, 80)
        error = job.reading.error
        if error is None:
            return times.NOTHING
        kind = error.type.rpartition(".")[2]
        message = job.reading.masked(error).message if job.may_read else ""
        return format_html(
            '<span class="ardiq-clamp">{}</span>', plain(f"{kind}: {message}" if message else kind, 80)
        )
