"""current_job(): what the running code may know of the job that it runs for, and tell of it."""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar
from numbers import Integral, Real
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

from ardiq.core.job import JobRecord
from ardiq.core.redact import shown

MESSAGE_MOST = 200  # characters of a progress message that are kept
DONE_MOST = 2**53  # beyond it a float no longer counts in ones

NO_HEADERS: Mapping[str, str] = MappingProxyType({})


class Reports(Protocol):
    """Where a running job's progress and log lines go. Callable from any thread; never raises or blocks."""

    def progress(self, job: JobContext, done: float, total: float | None, message: str) -> None: ...
    def log(self, job: JobContext, line: str) -> None: ...


class Facts(NamedTuple):
    """What a worker knows of a run, for a task that describes it to others: the record that it claimed, its
    own name, when the run began (epoch ms), and the options that came with the call."""

    record: JobRecord
    worker: str
    started: int
    meta: Mapping[str, Any]


class JobContext:
    """The job that runs here. ``attempt`` counts from 1; ``deadline`` is epoch ms, None without a timeout.

    ``lease_lost`` turns True when the worker may no longer believe that the job is its own; ``fence``
    differs between any two runs of a job, for conditional writes elsewhere. ``headers`` are those that the
    job was enqueued with.
    """

    __slots__ = (
        "_claim", "_worker", "attempt", "deadline", "facts", "headers", "id", "kept_logs", "lane",
        "lease_lost", "name", "queue", "reports",
    )  # fmt: skip

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
        reports: Reports | None = None,
    ) -> None:
        self.id, self.name, self.attempt = id, name, attempt
        self.queue, self.lane, self.deadline = queue, lane, deadline
        self.lease_lost = False
        self.headers = NO_HEADERS
        self.facts: Facts | None = None
        self.reports, self.kept_logs = reports, ""
        self._worker, self._claim = worker, claim

    @property
    def fence(self) -> str:
        return f"{self._worker}:{self._claim}"

    def progress(self, done: float, total: float | None = None, message: str = "") -> None:
        """Tell how far the job is: ``done`` of ``total`` of whatever it counts, and a few words.

        Returns at once, from any thread; about two reports a second are written, the latest always is. A
        message is cut to 200 characters. Raises TypeError or ValueError for what is no number from 0 on.
        """
        done = _number("done", done)
        total = None if total is None else _number("total", total)
        if not isinstance(message, str):
            raise TypeError(f"message={shown(message)}: give a str.")
        if self.reports is not None:
            self.reports.progress(self, done, total, message[:MESSAGE_MOST])

    def __repr__(self) -> str:
        return f"<JobContext {self.id} {self.name}, attempt {self.attempt}>"


def _number(name: str, value: object) -> float:
    if not isinstance(value, Real) or isinstance(value, bool):
        raise TypeError(f"{name}={shown(value)}: give a number.")
    number = int(value) if isinstance(value, Integral) else float(value)
    if not 0 <= number <= DONE_MOST:  # neither is NaN
        raise ValueError(f"{name}={shown(value)}: give a number from 0 to {DONE_MOST:,}.")
    return number


running: ContextVar[JobContext | None] = ContextVar("ardiq_job", default=None)


def current_job() -> JobContext | None:
    """The job whose task calls this, in the task and all it calls; None outside of one."""
    return running.get()
