"""current_job(): what the running code may know of the job that it runs for."""

from __future__ import annotations

from contextvars import ContextVar


class JobContext:
    """The job that runs here. ``attempt`` counts from 1; ``deadline`` is epoch ms, None without a timeout.

    ``lease_lost`` turns True when the worker may no longer believe that the job is its own; ``fence``
    differs between any two runs of a job, for conditional writes elsewhere.
    """

    __slots__ = ("_claim", "_worker", "attempt", "deadline", "id", "lane", "lease_lost", "name", "queue")

    def __init__(
        self,
        id: str,
        name: str,
        attempt: int,
        queue: str,
        lane: str,
        deadline: int | None = None,
        worker: str = "",
        claim: int = 0,
    ) -> None:
        self.id, self.name, self.attempt = id, name, attempt
        self.queue, self.lane, self.deadline = queue, lane, deadline
        self.lease_lost = False
        self._worker, self._claim = worker, claim

    @property
    def fence(self) -> str:
        return f"{self._worker}:{self._claim}"

    def __repr__(self) -> str:
        return f"<JobContext {self.id} {self.name}, attempt {self.attempt}>"


running: ContextVar[JobContext | None] = ContextVar("ardiq_job", default=None)


def current_job() -> JobContext | None:
    """The job whose task calls this, in the task and all it calls; None outside of one."""
    return running.get()
