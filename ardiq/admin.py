"""Registers the pages of the task queue. For a site of your own: ``site.register(Job, JobAdmin)``.

``JobsMixin`` shows the jobs of an object on its own page.

Every process of a project with an admin imports this file, and workers never show a page: the code of the
pages is loaded when somebody asks for one of them.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.core.exceptions import ImproperlyConfigured
from django.utils.functional import SimpleLazyObject
from django.utils.module_loading import import_string

from ardiq import conf, models

if TYPE_CHECKING:
    from ardiq.adminui.attached import JobsMixin
    from ardiq.adminui.dashboard import DashboardAdmin
    from ardiq.adminui.jobs import JobAdmin
    from ardiq.adminui.outbox import OutboxAdmin
    from ardiq.adminui.queues import QueueAdmin
    from ardiq.adminui.schedules import ScheduleAdmin
    from ardiq.adminui.workers import WorkerAdmin

__all__ = [
    "DashboardAdmin", "JobAdmin", "JobsMixin", "OutboxAdmin", "QueueAdmin", "ScheduleAdmin", "WorkerAdmin",
]  # fmt: skip

PAGES = {
    models.Dashboard: "ardiq.adminui.dashboard.DashboardAdmin",
    models.Job: "ardiq.adminui.jobs.JobAdmin",
    models.Queue: "ardiq.adminui.queues.QueueAdmin",
    models.Worker: "ardiq.adminui.workers.WorkerAdmin",
    models.Schedule: "ardiq.adminui.schedules.ScheduleAdmin",
    models.Outbox: "ardiq.adminui.outbox.OutboxAdmin",
}
_PLACES = {place.rpartition(".")[2]: place for place in ("ardiq.adminui.attached.JobsMixin", *PAGES.values())}


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return import_string(_PLACES[name])


def later(place: str) -> Callable[..., Any]:
    """In the place of an admin class: the site keeps what becomes one at its first use."""
    return lambda model, site: SimpleLazyObject(lambda: import_string(place)(model, site))


def wanted() -> bool:
    """ADMIN of the queue that settings name first. What is wrong with settings is told by the checks."""
    with suppress(ImproperlyConfigured):
        for alias in conf.aliases()[:1]:
            return not conf.says(alias, "ADMIN") or conf.options(alias).admin
    return True


if wanted():
    for _model, _place in PAGES.items():
        admin.site.register(_model, later(_place))  # type: ignore[arg-type]
