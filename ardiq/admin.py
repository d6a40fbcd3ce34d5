"""Registers the pages of the task queue. For a site of your own: ``site.register(Job, JobAdmin)``.

``JobsMixin`` shows the jobs of an object on its own page.
"""

from __future__ import annotations

from django.contrib import admin

from ardiq.adminui.attached import JobsMixin
from ardiq.adminui.dashboard import DashboardAdmin
from ardiq.adminui.jobs import JobAdmin
from ardiq.adminui.outbox import OutboxAdmin
from ardiq.adminui.queues import QueueAdmin
from ardiq.adminui.schedules import ScheduleAdmin
from ardiq.adminui.workers import WorkerAdmin
from ardiq.models import Dashboard, Job, Outbox, Queue, Schedule, Worker

__all__ = [
    "DashboardAdmin", "JobAdmin", "JobsMixin", "OutboxAdmin", "QueueAdmin", "ScheduleAdmin", "WorkerAdmin",
]  # fmt: skip

admin.site.register(Dashboard, DashboardAdmin)
admin.site.register(Job, JobAdmin)
admin.site.register(Queue, QueueAdmin)
admin.site.register(Worker, WorkerAdmin)
admin.site.register(Schedule, ScheduleAdmin)
admin.site.register(Outbox, OutboxAdmin)
