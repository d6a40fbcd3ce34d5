"""Jobs of a list as a file, a page at a time: what the user may see of them, masked like on the pages."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponseBase, StreamingHttpResponse
from django.utils.functional import Promise, lazystr
from django.utils.text import format_lazy
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from ardiq.adminui import audit
from ardiq.adminui.base import RedisAdmin
from ardiq.adminui.filters import number
from ardiq.adminui.lists import told_search
from ardiq.adminui.text import plain, pretty
from ardiq.models import Job

MOST = 10_000  # jobs of one file
PAGE = 500  # jobs that are read at once
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")  # what a spreadsheet takes for a formula, or looks behind
OPEN = ("id", "task", "queue", "lane", "state", "attempts", "crashes", "enqueued", "at", "wait_ms", "ran_ms",
        "error")  # fmt: skip
CLOSED = ("arguments", "message", "result")


class Echo:
    """A file that gives back what is written to it."""

    def write(self, text: str) -> str:
        return text


class Most:
    """How many jobs a file takes, in the words of whoever looks when they look."""

    def __str__(self) -> str:
        return _("(up to %s)") % number(MOST)


def _bounded(text: Promise) -> Any:
    """The name of an action, with its bound."""
    return format_lazy("{} {}", text, lazystr(Most()))


class ExportAdmin(RedisAdmin):
    """Exports of the list of jobs. A file is no change: it needs no page that asks first, but is logged."""

    def has_export_permission(self, request: HttpRequest) -> bool:
        user: Any = request.user
        return self.has_view_permission(request) and user.has_perm("ardiq.export_job")

    @admin.action(permissions=["export"], description=_bounded(gettext_lazy("Export selected jobs as CSV")))
    def export_csv(self, request: HttpRequest, queryset: Any) -> HttpResponseBase | None:
        return self._export(request, queryset, "csv", _csv, "text/csv; charset=utf-8")

    @admin.action(permissions=["export"], description=_bounded(gettext_lazy("Export selected jobs as JSON")))
    def export_json(self, request: HttpRequest, queryset: Any) -> HttpResponseBase | None:
        return self._export(request, queryset, "json", _json, "application/json")

    def _export(
        self, request: HttpRequest, queryset: Any, kind: str, write: Any, content_type: str
    ) -> HttpResponseBase | None:
        first = list(queryset[:PAGE])  # here and now: an error in the middle of a file could not be shielded
        if not first:
            self.message_user(request, _("The selected jobs are gone."), messages.WARNING)
            return None
        total = queryset.count()
        count = min(total, MOST)
        self._note(request, kind, first, count)
        self._tell_bounds(request, queryset, count, total)
        fields = [*OPEN, *(CLOSED if first[0].may_read else ())]
        response = StreamingHttpResponse(
            write(fields, _jobs(queryset, first, count)), content_type=content_type
        )
        response["Content-Disposition"] = f'attachment; filename="{_file(kind, count, total)}"'
        response["X-Content-Type-Options"] = "nosniff"
        response["X-Ardiq-Jobs"] = str(count)
        return response

    def _tell_bounds(self, request: HttpRequest, queryset: Any, count: int, total: int) -> None:
        """What is not in the file. A download leads to no page, so that the next one says it."""
        if total > count:
            text = _("The file has the first %(count)s of %(total)s jobs, in the order of the list.")
            words = {"count": number(count), "total": number(total)}
            self.message_user(request, text % words, messages.WARNING)
        source, plan = queryset.source, queryset.plan
        if "id" not in plan.wanted and source.searches(plan) and source.searched:
            self.message_user(request, told_search(source.searched), messages.WARNING)

    def _note(self, request: HttpRequest, kind: str, first: list[Job], count: int) -> None:
        user: Any = request.user
        queues = Counter(job.queue for job in first)
        for queue in queues:
            words = (
                _("Exported as %s, among others of the list.") if len(queues) > 1 else _("Exported as %s.")
            )
            audit.summary(user, queue, words % kind.upper(), count)
        detail = {"kind": kind, "query": request.GET.urlencode(), "payload": first[0].may_read}
        audit.send(
            user, Job, "export", queue=first[0].queue if len(queues) == 1 else "", count=count,
            ids=tuple(job.pk for job in first[: audit.EACH_MOST]), detail=detail,
        )  # fmt: skip


def _file(kind: str, count: int, total: int) -> str:
    """The name of the file, which says when it does not have all."""
    return f"jobs-first-{count}-of-{total}.{kind}" if total > count else f"jobs.{kind}"


def _jobs(queryset: Any, first: list[Job], count: int) -> Iterator[Job]:
    yield from first
    for at in range(PAGE, count, PAGE):
        yield from queryset[at : min(at + PAGE, count)]


def row(job: Job, fields: list[str]) -> dict[str, Any]:
    """What is told of a job: times in ISO 8601 and UTC, spans in ms."""
    reading, error = job.reading, job.reading.error
    out: dict[str, Any] = {
        "id": plain(job.id), "task": plain(job.task), "queue": job.queue, "lane": plain(job.lane),
        "state": job.state, "attempts": job.attempts, "crashes": job.crashes,
        "enqueued": _iso(job.view.record.enqueued if job.view.record else 0),
        "at": _iso(job.view.record.at if job.view.record else 0),
        "wait_ms": reading.wait_ms, "ran_ms": reading.ran_ms, "error": plain(error.type) if error else "",
    }  # fmt: skip
    if "arguments" in fields:
        result = reading.result
        out["arguments"] = pretty(dict(reading.arguments))
        out["message"] = plain(reading.masked(error).message) if error else ""
        good = result is not None and result.success
        out["result"] = reading.hide(pretty(reading.masked_value(result.value))) if result and good else ""
    return out


def _iso(ms: int) -> str:
    try:
        return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds") if ms else ""
    except (ValueError, OverflowError, OSError):
        return ""


def cell(value: Any) -> Any:
    """A cell that no spreadsheet takes for a formula."""
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value


def _csv(fields: list[str], jobs: Iterator[Job]) -> Iterator[str]:
    writer: Any = csv.writer(Echo())
    yield writer.writerow(fields)
    for job in jobs:
        found = row(job, fields)
        yield writer.writerow([cell(found[name]) for name in fields])


def _json(fields: list[str], jobs: Iterator[Job]) -> Iterator[str]:
    yield "["
    for index, job in enumerate(jobs):
        yield (",\n" if index else "\n") + json.dumps(row(job, fields), ensure_ascii=False)
    yield "\n]\n"
