"""What a job's page links to: its rows, jobs that it repeats or that repeat it, its schedule."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote as url_quote

from django.contrib.admin.utils import quote
from django.http import HttpRequest
from django.urls import NoReverseMatch, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from ardiq import owners, references
from ardiq.adminui.text import plain
from ardiq.core.reference import Reference
from ardiq.models import Job

ROWS_MOST = 20  # rows of one job that are linked


def references_in(value: Any, depth: int = 5) -> Iterator[Reference]:
    """Every reference to a row in some arguments."""
    if isinstance(value, Reference):
        yield value
    elif depth and isinstance(value, dict):
        for item in value.values():
            yield from references_in(item, depth - 1)
    elif depth and isinstance(value, (list, tuple, set, frozenset)):
        for item in value:
            yield from references_in(item, depth - 1)


def row_links(site: Any, request: HttpRequest, values: Any) -> list[SafeString]:
    """Links to the pages of rows, as far as this site has them and the user may see them. No row is read."""
    found = []
    for one in dict.fromkeys(list(references_in(values))):
        address = row_address(site, request, one)
        if address:
            found.append(format_html('<a href="{}">{}</a>', address, row_name(one)))
        if len(found) == ROWS_MOST:
            break
    return found


def row_address(site: Any, request: HttpRequest, one: Reference) -> str:
    """The page of a row; '' without one, or for who may not see it."""
    model = references.model_of(one.label)
    for known in (model, model and model._meta.concrete_model):
        pages = site._registry.get(known) if known else None
        if known and pages and pages.has_view_or_change_permission(request):
            name = f"admin:{known._meta.app_label}_{known._meta.model_name}_change"
            return reverse(name, args=[quote(one.pk)], current_app=site.name)
    return ""


def row_name(one: Reference) -> str:
    """What a row is called where nobody has read it."""
    model = references.model_of(one.label)
    return plain(f"{model._meta.verbose_name if model else one.label} {one.pk}", 300)


def job_links(admin: Any, ids: Any) -> list[SafeString]:
    """Links to the pages of jobs, which need not be there any more."""
    return [
        format_html(
            '<a href="{}"><code>{}</code></a>', admin.url("change", quote(id), model="job"), plain(id)
        )
        for id in ids
    ]


def schedule_link(site: Any, request: HttpRequest, job: Job) -> SafeString | None:
    """The recurring tasks, when the task of a job is one of them."""
    if not any(one.name == job.task for owner in owners.of(job.queue) for one in owner.recurrences()):
        return None
    user: Any = request.user
    shown = plain(job.task)
    try:
        address = reverse("admin:ardiq_schedule_changelist", current_app=site.name)
    except NoReverseMatch:
        return format_html("{}", shown)
    if not user.has_perm("ardiq.view_schedule"):
        return format_html("{}", shown)
    return format_html('<a href="{}?q={}">{}</a>', address, url_quote(job.task), shown)


def trace_id(headers: dict[str, str]) -> str:
    """The id of a trace among headers (W3C trace context), '' without one."""
    parts = headers.get("traceparent", "").split("-")
    good = len(parts) >= 4 and len(parts[1]) == 32 and all(one in "0123456789abcdef" for one in parts[1])
    return parts[1] if good else ""
