"""The larger parts of a job's page: arguments, progress, log, result, error, attempts; and downloads."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from django.contrib import admin
from django.contrib.admin.utils import quote, unquote
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.urls import URLPattern, path
from django.utils import formats
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from ardiq.adminui import times
from ardiq.adminui.badges import badge
from ardiq.adminui.base import shielded
from ardiq.adminui.enqueue import EnqueueAdmin
from ardiq.adminui.text import LONGEST, dump, folds, plain, pretty
from ardiq.adminui.timeline import steps
from ardiq.core.redact import MASK
from ardiq.models import Job

WHOLE = 100_000_000  # characters of a value that a download takes: more than MAX_RESULT_BYTES allows


def part(name: str, **context: Any) -> SafeString:
    return render_to_string(f"admin/ardiq/job/_{name}.html", context)


class JobParts(EnqueueAdmin):
    """Read-only fields that only those see who may see payloads."""

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        own = path(
            "<path:object_id>/download/<str:what>/", wrap(self.download_view), name="ardiq_job_download"
        )
        return [own, *super().get_urls()]

    @shielded
    def download_view(self, request: HttpRequest, object_id: str, what: str) -> HttpResponse:
        """A result or the arguments as a file of text, whole, masked like on the page."""
        user: Any = request.user
        if not user.has_perm("ardiq.view_job_payload"):
            raise PermissionDenied
        job = self.get_object(request, unquote(object_id))
        text = self._whole(job, what) if job is not None else None
        if text is None:
            raise Http404
        response = HttpResponse(text, content_type="text/plain; charset=utf-8")
        response["Content-Disposition"] = f'attachment; filename="{what}.txt"'
        response["X-Content-Type-Options"] = "nosniff"
        return response

    def _whole(self, job: Job, what: str) -> str | None:
        if what == "arguments":
            return pretty(dict(job.reading.arguments), WHOLE)
        if what == "result" and job.reading.result is not None and job.reading.result.success:
            return self._result(job)
        return None

    def _result(self, job: Job) -> str:
        result = job.reading.result
        shown = pretty(job.reading.masked_value(result.value), WHOLE) if result else ""
        return job.reading.hide(shown)

    @admin.display(description=gettext_lazy("arguments"))
    def arguments(self, job: Job) -> SafeString:
        rows = [
            (plain(name, 200), MASK if value == MASK else pretty(value))
            for name, value in job.reading.arguments
        ]
        raw = job.reading.unread
        return part(
            "arguments",
            rows=rows,
            problem=plain(job.reading.problem),
            size=job.view.size,
            dump=None if raw is None else dump(raw),
            download=self.url("download", quote(job.pk), "arguments")
            if any(len(text) > LONGEST for _name, text in rows)
            else "",
        )

    @admin.display(description=gettext_lazy("progress"))
    def how_far(self, job: Job) -> SafeString:
        """As the task has told it last: numbers, its words, when."""
        told = job.view.progress
        if told is None:
            return format_html("{}", times.NOTHING)
        done = _told(told.done)
        count = _("%s done") % done
        if told.total is not None:
            count = _("%(done)s of %(total)s (%(percent)d %%)") % {
                "done": done, "total": _told(told.total), "percent": told.percent,
            }  # fmt: skip
        words = f": {plain(job.reading.hide(told.message))}" if told.message else ""
        return part("progress", percent=told.percent, text=f"{count}{words}", when=times.relative(told.at))

    @admin.display(description=gettext_lazy("log"))
    def log_lines(self, job: Job) -> SafeString:
        rows = [
            (times.absolute(line.at), plain(line.level, 20), plain(line.logger, 200),
             plain(job.reading.hide(line.message)))
            for line in job.view.logs
        ]  # fmt: skip
        return part("logs", rows=rows)

    @admin.display(description=gettext_lazy("result"))
    def value(self, job: Job) -> SafeString:
        text = self._result(job)
        cut = len(text) > LONGEST
        return part(
            "value",
            text=f"{text[:LONGEST]}…" if cut else text,
            cut=cut,
            size=len(job.view.record.outcome) if job.view.record else 0,
            download=self.url("download", quote(job.pk), "result"),
        )

    @admin.display(description=gettext_lazy("error"))
    def failure(self, job: Job) -> SafeString:
        return part("failure", **self._failure(job, job.reading.error))

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
            for run in reversed(runs)
        ]
        return part("runs", rows=rows)

    def _failure(self, job: Job, error: Any) -> dict[str, Any]:
        if error is None:
            return {"type": "", "message": "", "folds": []}
        error = job.reading.masked(error)
        return {
            "type": plain(error.type, 300),
            "message": plain(error.message),
            "folds": folds(error.traceback),
        }

    @admin.display(description=gettext_lazy("timeline"))
    def times(self, job: Job) -> SafeString:
        """From enqueued to ended, with what lay between."""
        return part("times", steps=steps(job.reading), badges=badge)


def _told(amount: float) -> str:
    """A number of a task's progress, with the separators of the language."""
    return formats.number_format(Decimal(f"{amount:.12g}"), force_grouping=True)
