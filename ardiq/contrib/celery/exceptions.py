"""The exceptions of ``celery.exceptions`` that mean the same here."""

from __future__ import annotations

import builtins

from ardiq.core.errors import ArdiqError, JobTimedOut, Retry, TaskError

__all__ = ["MaxRetriesExceededError", "Retry", "SoftTimeLimitExceeded", "TaskRevokedError", "TimeoutError"]

TimeoutError = builtins.TimeoutError

SoftTimeLimitExceeded = JobTimedOut
"""Raised inside the thread of a task. Other than Celery's it is no Exception: ``except Exception`` lets it
pass."""


class MaxRetriesExceededError(ArdiqError):
    """The task asked to be retried and has no retries left."""


class TaskRevokedError(TaskError):
    """The job was aborted, or expired, and has no result."""
