"""ardiq: a task queue for Django on Redis or Valkey.

The names below are loaded when first used, so that importing this package (as INSTALLED_APPS does)
needs no settings and costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ardiq.version import __version__

if TYPE_CHECKING:
    from ardiq import errors
    from ardiq.api import Ardiq
    from ardiq.core.context import JobContext, current_job
    from ardiq.core.errors import ArdiqError, BrokerError, NotEnqueued, Retry, TaskError
    from ardiq.core.job import JobStatus, id_for
    from ardiq.core.outcome import TaskResult
    from ardiq.core.reports import LogLine, Progress
    from ardiq.core.statistics import Statistics
    from ardiq.deadletters import FailureGroup
    from ardiq.results import Job, JobInfo
    from ardiq.shortcuts import (
        cron,
        enqueue_many,
        enqueue_many_sync,
        jobs_for,
        jobs_for_sync,
        queue,
        ref,
        send,
        send_sync,
        statistics,
        statistics_sync,
        task,
    )

_HOMES = {
    "ardiq.api": ("Ardiq",),
    "ardiq.core.context": ("JobContext", "current_job"),
    "ardiq.core.errors": ("ArdiqError", "BrokerError", "NotEnqueued", "Retry", "TaskError"),
    "ardiq.core.job": ("JobStatus", "id_for"),
    "ardiq.core.outcome": ("TaskResult",),
    "ardiq.core.reports": ("LogLine", "Progress"),
    "ardiq.core.statistics": ("Statistics",),
    "ardiq.deadletters": ("FailureGroup",),
    "ardiq.results": ("Job", "JobInfo"),
    "ardiq.shortcuts": (
        "cron", "enqueue_many", "enqueue_many_sync", "jobs_for", "jobs_for_sync", "queue", "ref", "send",
        "send_sync", "statistics", "statistics_sync", "task",
    ),
}  # fmt: skip
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "Ardiq",
    "ArdiqError",
    "BrokerError",
    "FailureGroup",
    "Job",
    "JobContext",
    "JobInfo",
    "JobStatus",
    "LogLine",
    "NotEnqueued",
    "Progress",
    "Retry",
    "Statistics",
    "TaskError",
    "TaskResult",
    "__version__",
    "cron",
    "current_job",
    "enqueue_many",
    "enqueue_many_sync",
    "errors",
    "id_for",
    "jobs_for",
    "jobs_for_sync",
    "queue",
    "ref",
    "send",
    "send_sync",
    "statistics",
    "statistics_sync",
    "task",
]


def __getattr__(name: str) -> Any:
    if name == "errors":
        return import_module("ardiq.errors")
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module 'ardiq' has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(home), name)
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
