"""django-debug-toolbar: a panel with the jobs that a request has enqueued.

``pip install "django-ardiq[toolbar]"``, and ``"ardiq.contrib.debug_toolbar.JobsPanel"`` in
``DEBUG_TOOLBAR_PANELS``.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any

from debug_toolbar.panels import Panel
from django.urls import NoReverseMatch, reverse
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from ardiq.core.following import Ended, Run, Sending, Sent
from ardiq.following import follow

MOST = 500  # jobs of one request that are shown

_seen: ContextVar[list[dict[str, Any]] | None] = ContextVar("ardiq_toolbar", default=None)


class Watch:
    """The follower (core/following.py): notes what is enqueued where a panel looks."""

    def send(self, sending: Sending) -> tuple[Mapping[str, str], Sent]:
        seen = _seen.get()
        if seen is None:
            return {}, lambda size: None
        row: dict[str, Any] = {
            "id": sending.id, "task": sending.name, "queue": sending.queue, "lane": sending.lane,
            "delayed": sending.delayed, "size": None,
        }  # fmt: skip
        seen.append(row)
        return {}, lambda size: row.update(size=size)

    def run(self, run: Run) -> Ended:
        return lambda error: None


_watch = Watch()


def _page(id: str) -> str:
    """The page of a job in the admin, if there is one."""
    try:
        return reverse("admin:ardiq_job_change", args=[id])
    except NoReverseMatch:
        return ""


class JobsPanel(Panel):
    """Jobs that were enqueued while the request was answered, also those that leave at its commit."""

    is_async = True
    title = _("Jobs")
    nav_title = _("Jobs")
    template = "ardiq/debug_toolbar_panel.html"

    @property
    def nav_subtitle(self) -> str:
        count = self.get_stats().get("count", 0)
        return ngettext("%(count)d job enqueued", "%(count)d jobs enqueued", count) % {"count": count}

    def enable_instrumentation(self) -> None:
        follow(_watch)
        self._token = _seen.set([])

    def disable_instrumentation(self) -> None:
        self._jobs = _seen.get() or []
        _seen.set(None)

    def generate_stats(self, request: Any, response: Any) -> None:
        jobs = getattr(self, "_jobs", None) or _seen.get() or []
        rows = [row | {"page": _page(row["id"])} for row in jobs[:MOST]]
        self.record_stats({"jobs": rows, "count": len(jobs), "left_out": len(jobs) - len(rows)})
