"""The page of one job: what it was asked to do, what came of it, when, and in how many attempts."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.admin.utils import quote
from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from ardiq import references
from ardiq.adminui import times
from ardiq.adminui.doing import DoingAdmin
from ardiq.adminui.text import dump, frames, plain, pretty
from ardiq.core.job import JobStatus
from ardiq.core.redact import MASK
from ardiq.core.reference import Reference
from ardiq.models import STATES, Job

LABELS = dict(STATES)


def badge(state: str) -> SafeString:
    """The state as text in a border; the colour of the border says it once more."""
    label = LABELS.get(state, _("unreadable"))
    return format_html('<span class="ardiq-state ardiq-state-{}">{}</span>', state or "unreadable", label)


class JobPage(DoingAdmin):
    """Read-only fields, each a method here."""

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        if obj is None:
            return []
        facts: list[tuple[str, ...]] = [
            ("task_link", "badge_now"),
            ("queue_link", "full_id"),
            ("tries_made", "worker_name"),
        ]
        if obj.reading.subject is not None:
            obj.subject_address = self._subject_address(request, obj.reading.subject)
            if obj.may_read or obj.subject_address:
                facts = [*facts, ("subject_link",)]
        timing = (_("Times"), {"fields": ["times"]})
        if not obj.may_read:
            return [(None, {"fields": [*facts, "not_shown"]}), timing]
        outcome = [(_("Error"), ["failure"])] if obj.reading.error else []
        if obj.reading.result is not None and obj.reading.result.success:
            outcome = [(_("Result"), ["value"])]
        return [
            (None, {"fields": facts}),
            (_("Call"), {"fields": ["arguments"]}),
            *([(_("Progress"), {"fields": ["how_far"]})] if obj.view.progress else []),
            *((title, {"fields": fields}) for title, fields in outcome),
            timing,
            (_("Attempts"), {"fields": ["runs"]}),
        ]

    @admin.display(description=gettext_lazy("ID"))
    def full_id(self, job: Job) -> SafeString:
        return format_html("<code>{}</code>", plain(job.id))

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

    def _subject_address(self, request: HttpRequest, subject: Reference) -> str:
        """The page of an object; '' without one, or for who may not see it."""
        model = references.model_of(subject.label)
        for one in (model, model and model._meta.concrete_model):
            pages = self.admin_site._registry.get(one) if one else None
            if one and pages and pages.has_view_or_change_permission(request):
                name = f"admin:{one._meta.app_label}_{one._meta.model_name}_change"
                return reverse(name, args=[quote(subject.pk)], current_app=self.admin_site.name)
        return ""

    @admin.display(description=gettext_lazy("about"))
    def subject_link(self, job: Job) -> str | SafeString:
        subject = job.reading.subject
        if subject is None:
            return times.NOTHING
        model = references.model_of(subject.label)
        text = plain(f"{model._meta.verbose_name if model else subject.label} {subject.pk}", 300)
        return format_html('<a href="{}">{}</a>', job.subject_address, text) if job.subject_address else text

    @admin.display(description=gettext_lazy("attempts"))
    def tries_made(self, job: Job) -> str:
        if not job.crashes:
            return str(job.attempts)
        return _("%(attempts)s, and %(crashes)s times its worker died") % {
            "attempts": job.attempts, "crashes": job.crashes,
        }  # fmt: skip

    @admin.display(description=gettext_lazy("worker"))
    def worker_name(self, job: Job) -> str:
        """Its name where a run has told it, else the start of the id of the worker that holds the job."""
        record, runs = job.view.record, job.reading.runs
        if record is None or not runs:
            return times.NOTHING
        return plain(runs[-1].worker, 200) or times.NOTHING

    @admin.display(description=gettext_lazy("call and result"))
    def not_shown(self, job: Job) -> str:
        return _("You have no permission to see arguments, results and errors.")

    @admin.display(description=gettext_lazy("arguments"))
    def arguments(self, job: Job) -> SafeString:
        rows = [
            (plain(name, 200), MASK if value == MASK else pretty(value))
            for name, value in job.reading.arguments
        ]
        problem = plain(job.reading.problem)
        raw = job.reading.unread
        return self._part(
            "arguments",
            rows=rows,
            problem=problem,
            size=job.view.size,
            dump=None if raw is None else dump(raw),
        )

    @admin.display(description=gettext_lazy("progress"))
    def how_far(self, job: Job) -> SafeString:
        """As the task has told it last: numbers, its words, when."""
        told = job.view.progress
        if told is None:
            return format_html("{}", times.NOTHING)
        done = f"{told.done:,.12g}"
        count = _("%s done") % done
        if told.total is not None:
            count = _("%(done)s of %(total)s (%(percent)d %%)") % {
                "done": done, "total": f"{told.total:,.12g}", "percent": told.percent,
            }  # fmt: skip
        words = f": {plain(job.reading.hide(told.message))}" if told.message else ""
        return format_html(
            '{}{} <span class="ardiq-quiet">({})</span>', count, words, times.relative(told.at)
        )

    @admin.display(description=gettext_lazy("result"))
    def value(self, job: Job) -> SafeString:
        result = job.reading.result
        shown = pretty(job.reading.masked_value(result.value)) if result else ""
        return self._part("value", text=job.reading.hide(shown))

    @admin.display(description=gettext_lazy("error"))
    def failure(self, job: Job) -> SafeString:
        return self._part("failure", **self._failure(job, job.reading.error))

    @admin.display(description=gettext_lazy("attempts"))
    def runs(self, job: Job) -> SafeString:
        runs = list(job.reading.runs)
        rows = [
            {
                "number": run.number,
                "badge": badge(run.status),
                "started": times.absolute(run.started),
                "duration": times.duration(run.duration_ms),
                "worker": plain(run.worker, 200),
                # The error of the job is shown in full above.
                "last": run is runs[-1] and run.error is job.reading.error,
                **self._failure(job, run.error),
            }
            for run in runs
        ]
        return self._part("runs", rows=rows)

    def _failure(self, job: Job, error: Any) -> dict[str, Any]:
        if error is None:
            return {"type": "", "message": "", "frames": []}
        error = job.reading.masked(error)
        return {
            "type": plain(error.type, 300),
            "message": plain(error.message),
            "frames": frames(error.traceback),
        }

    def _part(self, name: str, **context: Any) -> SafeString:
        return render_to_string(f"admin/ardiq/job/_{name}.html", context)

    @admin.display(description=gettext_lazy("times"))
    def times(self, job: Job) -> SafeString:
        """From enqueued to ended, with what lay between."""
        reading, record = job.reading, job.view.record
        if record is None:
            return format_html("{}", times.NOTHING)
        scheduled, ended = record.status is JobStatus.SCHEDULED, record.status.finished
        moments = [
            (_("enqueued"), record.enqueued),
            (_("to run at"), record.at if scheduled else reading.due),
            (_("must start before"), reading.expires),
            (_("first started"), reading.first_start if len(reading.runs) > 1 else None),
            (_("started"), reading.last_start),
            (_("ended"), record.at if ended else None),
        ]
        spans = [(_("waited"), reading.wait_ms), (_("ran"), reading.ran_ms)]
        rows = [(label, times.absolute(ms), times.relative(ms)) for label, ms in moments if ms]
        rows += [(label, times.duration(ms), "") for label, ms in spans if ms is not None]
        return self._part("times", rows=rows)

    def render_change_form(
        self, request: HttpRequest, context: Any, *args: Any, **kwargs: Any
    ) -> HttpResponse:
        if kwargs.get("obj") is not None:
            context["ardiq_tools"] = self.tools(request, kwargs["obj"])
        return super().render_change_form(request, context, *args, **kwargs)
