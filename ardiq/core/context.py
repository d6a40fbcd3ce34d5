"""current_job(): what the running code may know of the job that it runs for."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(slots=True)
class JobContext:
    """The job that runs here. ``attempt`` counts from 1; ``deadline`` is epoch ms, None without a timeout.

    ``lease_lost`` turns True when the worker may no longer believe that the job is its own; ``fence``
    differs between any two runs of a job, for conditional writes elsewhere.
    """

    id: str
    name: str
    attempt: int
    queue: str
    lane: str
    deadline: int | None = None
    fence: str = ""
    lease_lost: bool = False


running: ContextVar[JobContext | None] = ContextVar("ardiq_job", default=None)


def current_job() -> JobContext | None:
    """The job whose task calls this, in the task and all it calls; None outside of one."""
    return running.get()
