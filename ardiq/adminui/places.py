"""Queues and workers: few rows, read only."""

from __future__ import annotations

import time
from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from ardiq.adminui import times
from ardiq.adminui.base import RedisAdmin
from ardiq.adminui.filters import number
from ardiq.adminui.text import plain
from ardiq.core.job import JobStatus
from ardiq.models import Queue, Worker


class QueueAdmin(RedisAdmin):
    """The queues of settings."""

    list_display = ["name", "waiting_now", "scheduled_now", "running_now", "failed_now", "workers_now"]
    fields = ["name", "waiting_now", "scheduled_now", "running_now", "failed_now", "workers_now"]

    def get_queryset(self, request: HttpRequest) -> Any:
        every: Any = super().get_queryset(request)
        return every.filter(name__in=self.queues(request))

    def _jobs(self, queue: Queue, status: JobStatus, count: int) -> str | SafeString:
        return self.jobs_link(number(count), queue=queue.name, state=status.value) if count else "0"

    @admin.display(description=gettext_lazy("waiting"))
    def waiting_now(self, queue: Queue) -> SafeString:
        """All that wait, and where there are several lanes, how many in each, highest first."""
        total = self._jobs(queue, JobStatus.QUEUED, queue.waiting)
        if len(queue.lanes) < 2:
            return format_html("{}", total)
        lanes = format_html_join(
            ", ", "{} {}", ((plain(lane), number(count)) for lane, count in reversed(queue.lanes.items()))
        )
        return format_html('{} <span class="ardiq-quiet">({})</span>', total, lanes)

    @admin.display(description=gettext_lazy("scheduled"))
    def scheduled_now(self, queue: Queue) -> str | SafeString:
        return self._jobs(queue, JobStatus.SCHEDULED, queue.scheduled)

    @admin.display(description=gettext_lazy("running"))
    def running_now(self, queue: Queue) -> str | SafeString:
        return self._jobs(queue, JobStatus.RUNNING, queue.running)

    @admin.display(description=gettext_lazy("failed"))
    def failed_now(self, queue: Queue) -> str | SafeString:
        return self._jobs(queue, JobStatus.FAILED, queue.failed)

    @admin.display(description=gettext_lazy("workers"))
    def workers_now(self, queue: Queue) -> str:
        if not queue.workers and queue.waiting:
            return _("none: nobody runs these jobs")
        return number(queue.workers)


class WorkerAdmin(RedisAdmin):
    """The workers that hold a lease, and those whose lease has run out."""

    list_display = ["label", "host_name", "pid", "queue", "since_when", "last_seen", "busy", "processed"]
    fields = [
        "label", "worker_id", "host_name", "pid", "queue", "lanes", "since_when", "last_seen", "busy",
        "processed", "versions",
    ]  # fmt: skip

    def get_queryset(self, request: HttpRequest) -> Any:
        every: Any = super().get_queryset(request)
        return every.filter(queue__in=self.queues(request))

    @admin.display(description=gettext_lazy("name"))
    def label(self, worker: Worker) -> str:
        return plain(worker.name, 200) or plain(worker.id[:8])

    @admin.display(description=gettext_lazy("ID"))
    def worker_id(self, worker: Worker) -> str:
        return plain(worker.id)

    @admin.display(description=gettext_lazy("host"))
    def host_name(self, worker: Worker) -> str:
        return plain(worker.host, 200)

    @admin.display(description=gettext_lazy("lanes"))
    def lanes(self, worker: Worker) -> str:
        return plain(worker.view.about.get("lanes", ""), 500).replace(",", ", ")

    @admin.display(description=gettext_lazy("since"))
    def since_when(self, worker: Worker) -> str:
        return times.both(worker.view.number("since"))

    @admin.display(description=gettext_lazy("seen"))
    def last_seen(self, worker: Worker) -> str | SafeString:
        seen = times.both(worker.view.number("seen") or worker.view.number("since"))
        if worker.view.lease_end < time.time() * 1000:
            return format_html("{} ({})", seen, _("lost: its jobs go back to the queue"))
        return seen

    @admin.display(description=gettext_lazy("running"))
    def busy(self, worker: Worker) -> str:
        most: Any = worker.view.about.get("concurrency")
        return _("%(running)s of %(most)s") % {"running": worker.running, "most": plain(most or "?", 20)}

    @admin.display(description=gettext_lazy("versions"))
    def versions(self, worker: Worker) -> str:
        about = worker.view.about
        return plain(f"ardiq {about.get('version', '?')}, Python {about.get('python', '?')}", 200)
