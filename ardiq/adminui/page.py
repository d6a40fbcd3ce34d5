"""The page of one job: where it stands, why it does not run, its life, its call, and what came of it."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from django.contrib import admin
from django.contrib.admin.utils import quote
from django.http import HttpRequest, HttpResponse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from ardiq import conf
from ardiq.adminui import seeing, times, tries
from ardiq.adminui.asking import broker_of
from ardiq.adminui.audit import by_form
from ardiq.adminui.badges import badge
from ardiq.adminui.enqueue import offered
from ardiq.adminui.links import (
    job_links,
    row_address,
    row_links,
    row_name,
    schedule_link,
    trace_id,
)
from ardiq.adminui.parts import JobParts, part
from ardiq.adminui.reading import definition
from ardiq.adminui.sought import WORKER
from ardiq.adminui.text import plain
from ardiq.adminui.waiting import reasons
from ardiq.core.job import JobStatus
from ardiq.models import Job


class JobPage(JobParts):
    """Read-only fields, each a method here or in JobParts."""

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        if obj is None:
            return []
        # Read while the view runs: an error while the page is rendered could not be shielded.
        obj.why = reasons(obj.reading)
        obj.worker = self._worker(request, obj)
        obj.by = by_form(obj) if self._may_be_by_form(obj) else ""
        obj.rows = row_links(self.admin_site, request, obj.reading.values) if obj.may_read else []
        if obj.reading.subject is not None:
            obj.subject_address = row_address(self.admin_site, request, obj.reading.subject)
        obj.schedule = schedule_link(self.admin_site, request, obj)
        sets: list[tuple[Any, list[Any]]] = [(None, self._facts(obj))]
        if obj.why:
            sets.append((_("Why it is not running"), ["why_not"]))
        sets.append((_("Timeline"), ["times"]))
        if obj.may_read:
            sets += self._payload(obj)
        if related := self._related_fields(obj):
            sets.append((_("Related"), related))
        return [(title, {"fields": fields}) for title, fields in sets]

    def _may_be_by_form(self, job: Job) -> bool:
        """Whether its page can say so, and the form offers its task, or may have in another process."""
        if not job.may_read or job.reading.origin:
            return False
        return job.task in offered(job.queue) or definition(job.queue, job.task) is None

    def _worker(self, request: HttpRequest, job: Job) -> str:
        """Its name where a run has told it; of one that holds the job the start of its id as well, and that
        alone for who may not see workers."""
        record, runs = job.view.record, job.reading.runs
        if record is None or not runs:
            return ""
        if not self.sees(request, "worker"):
            return record.worker
        if record.status is JobStatus.RUNNING:
            return seeing.called(broker_of(job.queue), runs[-1].worker)
        return runs[-1].worker

    def _facts(self, job: Job) -> list[Any]:
        facts: list[Any] = [
            ("task_link", "badge_now"),
            ("queue_link", "full_id"),
            ("tries_made", "worker_name"),
        ]
        if job.may_read and (job.reading.origin or job.by):
            facts.append("enqueued_by")
        if job.reading.subject is not None and (job.may_read or job.subject_address):
            facts.append(("subject_link",))
        return facts if job.may_read else [*facts, "not_shown"]

    def _payload(self, job: Job) -> list[tuple[Any, list[Any]]]:
        reading = job.reading
        sets = [(_("Call"), ["arguments", *(["row_links"] if job.rows else [])])]
        if job.view.progress:
            sets.append((_("Progress"), ["how_far"]))
        if reading.error:
            sets.append((_("Error"), ["failure"]))
        if reading.result is not None and reading.result.success:
            sets.append((_("Result"), ["value"]))
        if reading.runs:
            sets.append((_("Attempts"), ["runs"]))
        if job.view.logs:
            sets.append((_("Log"), ["log_lines"]))
        return sets

    def _related_fields(self, job: Job) -> list[str]:
        reading = job.reading
        return [
            name
            for name, there in (
                ("repeats", reading.parent),
                ("repeated_by", job.view.again),
                ("schedule_name", job.schedule),
                ("unique_slot", reading.record and reading.record.unique),
                ("trace", job.may_read and trace_id(reading.headers)),
                ("header_table", job.may_read and reading.headers),
            )
            if there
        ]

    @admin.display(description=gettext_lazy("ID"))
    def full_id(self, job: Job) -> SafeString:
        return format_html('<code data-ardiq-copy="{}">{}</code>', _("Copy"), plain(job.id))

    @admin.display(description=gettext_lazy("state"))
    def badge_now(self, job: Job) -> SafeString:
        return self.jobs_link_to(badge(job.state), state=job.state)

    @admin.display(description=gettext_lazy("task"))
    def task_link(self, job: Job) -> SafeString:
        return self.jobs_link(job.task, task=job.task)

    @admin.display(description=gettext_lazy("queue"))
    def queue_link(self, job: Job) -> SafeString:
        also = _(" (there is another job of this id in %s)") % ", ".join(job.also_in) if job.also_in else ""
        lane = _("lane %s") % plain(job.lane) + also
        return format_html("{}, {}", self.jobs_link(job.queue, queue=job.queue), lane)

    @admin.display(description=gettext_lazy("about"))
    def subject_link(self, job: Job) -> str | SafeString:
        subject = job.reading.subject
        if subject is None:
            return times.NOTHING
        text = row_name(subject)
        return format_html('<a href="{}">{}</a>', job.subject_address, text) if job.subject_address else text

    @admin.display(description=gettext_lazy("enqueued by"))
    def enqueued_by(self, job: Job) -> str:
        """The user and the request, as far as they are known; who filled the form of the admin is."""
        told = job.reading.origin
        if not told:
            return _("%s, by the form") % plain(job.by, 150)
        return ", ".join(plain(told[name]) for name in ("user", "request") if name in told)

    @admin.display(description=gettext_lazy("attempts"))
    def tries_made(self, job: Job) -> str:
        if not job.crashes:
            return tries.told(job.reading)
        died = ngettext("its worker died once", "its worker died %(count)d times", job.crashes)
        return f"{tries.told(job.reading)}; {died % {'count': job.crashes}}"

    @admin.display(description=gettext_lazy("worker"))
    def worker_name(self, job: Job) -> str | SafeString:
        """A link to the jobs of the worker that holds it, or ended it."""
        record, shown = job.view.record, plain(job.worker, 200) if job.worker else times.NOTHING
        if record is None or not job.worker or not WORKER.match(record.worker):
            return shown
        return self.jobs_link(shown, worker=record.worker, queue=job.queue)

    @admin.display(description=gettext_lazy("call and result"))
    def not_shown(self, job: Job) -> str:
        return _("You have no permission to see arguments, results and errors.")

    @admin.display(description=gettext_lazy("reasons"))
    def why_not(self, job: Job) -> SafeString:
        return part("why", reasons=job.why)

    # -- related --------------------------------------------------------------------------------------

    @admin.display(description=gettext_lazy("repeats"))
    def repeats(self, job: Job) -> SafeString:
        return part("links", links=job_links(self, [job.reading.parent]))

    @admin.display(description=gettext_lazy("repeated by"))
    def repeated_by(self, job: Job) -> SafeString:
        return part("links", links=job_links(self, reversed(job.view.again)))

    @admin.display(description=gettext_lazy("recurring task"))
    def schedule_name(self, job: Job) -> SafeString:
        return format_html("{}", job.schedule)

    @admin.display(description=gettext_lazy("unique slot"))
    def unique_slot(self, job: Job) -> SafeString:
        record = job.view.record
        return format_html("<code>{}</code>", plain(record.unique if record else "", 200))

    @admin.display(description=gettext_lazy("trace"))
    def trace(self, job: Job) -> SafeString:
        shown, address = trace_id(job.reading.headers), conf.options(job.queue).trace_url
        if not address:
            return format_html("<code>{}</code>", shown)
        return format_html('<a href="{}"><code>{}</code></a>', address.replace("{trace}", shown), shown)

    @admin.display(description=gettext_lazy("headers"))
    def header_table(self, job: Job) -> SafeString:
        rows = [(plain(name, 200), plain(text, 4_096)) for name, text in job.reading.headers.items()]
        return part("headers", rows=rows)

    @admin.display(description=gettext_lazy("rows"))
    def row_links(self, job: Job) -> SafeString:
        return part("links", links=job.rows)

    def render_change_form(
        self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any
    ) -> HttpResponse:
        job = kwargs.get("obj")
        if job is not None:
            context["ardiq_tools"] = self.tools(request, job)
            if self.has_add_permission(request) and job.may_read and job.task in offered(job.queue):
                address = f"{self.url('add')}?{urlencode({'from': job.pk, 'queue': job.queue})}"
                tool = {"name": "duplicate", "text": _("Duplicate…"), "url": address}
                context["ardiq_tools"].append(tool)
            context["ardiq_quoted"] = quote(job.pk)
        return super().render_change_form(request, context, *args, **kwargs)
