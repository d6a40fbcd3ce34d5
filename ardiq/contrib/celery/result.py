"""The handle of a call: ``celery.result.AsyncResult``."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, NoReturn

from ardiq import conf
from ardiq.contrib.celery import states
from ardiq.contrib.celery.exceptions import TaskRevokedError
from ardiq.core.context import current_job
from ardiq.core.errors import TaskError
from ardiq.core.job import JobStatus
from ardiq.core.outcome import TaskResult
from ardiq.results import Job, JobInfo
from ardiq.shortcuts import queue as queue_of

__all__ = ["AsyncResult"]

ONE_WAIT = 3_600.0  # seconds; who waits for ever does it an hour at a time

STATES = {
    JobStatus.SCHEDULED: "PENDING",
    JobStatus.QUEUED: "PENDING",
    JobStatus.RUNNING: "STARTED",
    JobStatus.SUCCEEDED: "SUCCESS",
    JobStatus.FAILED: "FAILURE",
    JobStatus.ABORTED: "REVOKED",
    JobStatus.EXPIRED: "REVOKED",
    JobStatus.NOT_FOUND: "PENDING",
}


class AsyncResult:
    """A job by its id. ``queue`` is the alias where it lies; without one, all queues of settings are asked.

    Raises BrokerError from everything that looks when Redis cannot be reached.
    """

    def __init__(
        self, id: str, backend: Any = None, task_name: Any = None, app: Any = None, parent: Any = None,
        *, queue: str | None = None, job: Job[Any] | None = None, kept: bool = True,
    ) -> None:  # fmt: skip
        self.id = id
        self.parent = parent
        self._job = job if job is not None or queue is None else queue_of(queue).job(id)
        self._kept = kept

    @property
    def task_id(self) -> str:
        return self.id

    def __repr__(self) -> str:
        return f"<AsyncResult {self.id}>"

    def __str__(self) -> str:
        return self.id

    def __eq__(self, other: object) -> bool:
        return isinstance(other, AsyncResult) and self.id == other.id

    def __hash__(self) -> int:
        return hash(self.id)

    @property
    def job(self) -> Job[Any]:
        """The handle of ardiq, which can do more."""
        if self._job is None:
            found = [queue_of(alias).job(self.id) for alias in conf.known_aliases()]
            known = (one for one in found if one.status_sync() is not JobStatus.NOT_FOUND)
            self._job = next(known, None)
            return self._job or found[0]
        return self._job

    # -- where it stands --------------------------------------------------------------------------

    @property
    def info_now(self) -> JobInfo | None:
        return self.job.info_sync()

    @property
    def status(self) -> str:
        """PENDING, STARTED or what ``update_state`` said, RETRY, SUCCESS, FAILURE or REVOKED (aborted, or
        expired). An unknown job is PENDING, as with Celery."""
        info = self.info_now
        if info is None:
            return "PENDING"
        if info.status is JobStatus.RUNNING and info.progress is not None:
            return states.read(info.progress)[0] or "STARTED"
        return "RETRY" if info.status is JobStatus.SCHEDULED and info.tries else STATES[info.status]

    state = status

    def ready(self) -> bool:
        return self.job.status_sync().finished

    def successful(self) -> bool:
        return self.job.status_sync() is JobStatus.SUCCEEDED

    def failed(self) -> bool:
        return self.job.status_sync() is JobStatus.FAILED

    @property
    def result(self) -> Any:
        """What the task returned, or a TaskError that says what it raised, also while it waits to be retried.
        While it runs, the meta of its latest ``update_state``, or None."""
        info = self.info_now
        if info is None:
            return None
        if info.result is not None:
            return info.result.value if info.result.success else _error(info.result)
        if info.status is JobStatus.RUNNING:
            return states.read(info.progress)[1] if info.progress is not None else None
        raised = info.attempts[-1].error if info.attempts else None
        return TaskError(raised.type, raised.message, raised.traceback) if raised is not None else None

    info = result

    @property
    def traceback(self) -> str | None:
        found = self.job.result_sync()
        return found.error.traceback if found is not None and found.error is not None else None

    @property
    def date_done(self) -> datetime | None:
        found = self.job.result_sync()
        return datetime.fromtimestamp(found.finish / 1000, UTC) if found is not None else None

    # -- waiting and stopping ---------------------------------------------------------------------

    def get(
        self,
        timeout: float | None = None,
        propagate: bool = True,
        interval: Any = None,
        no_ack: Any = None,
        follow_parents: Any = None,
        disable_sync_subtasks: bool = True,
    ) -> Any:
        """Wait for the result; ``timeout`` in seconds, None for ever. Being told of it needs no interval.

        Raises TaskError with type, message and traceback of what the task raised, TaskRevokedError for a job
        that was aborted or has expired, TimeoutError, LookupError for one that is not there (any more, or
        before the commit of its transaction), and RuntimeError inside a task, which would hold a slot.
        """
        if disable_sync_subtasks and current_job() is not None:
            raise RuntimeError(
                "Never call result.get() within a task: it holds a slot that the other task may need; "
                "enqueue what follows from the task that comes first, or await job.result() in an async one."
            )
        found = self._wait(timeout)
        if found is None:
            if not self._kept:
                return None
            raise LookupError(
                f"There is no job {self.id}: its transaction has not committed, or its result is not kept "
                "(any more)."
            )
        if not found.success and propagate:
            raise _error(found)
        return found.value if found.success else _error(found)

    wait = get

    def _wait(self, timeout: float | None) -> TaskResult | None:
        if timeout is not None:
            return self.job.result_sync(timeout=timeout)
        while True:
            try:
                return self.job.result_sync(timeout=ONE_WAIT)
            except TimeoutError:
                continue

    def revoke(
        self, connection: Any = None, terminate: bool = False, signal: Any = None, wait: Any = None,
        timeout: Any = None,
    ) -> None:  # fmt: skip
        """Stop it where it waits; one that runs only with ``terminate``."""
        job = self.job
        if terminate or job.status_sync() is not JobStatus.RUNNING:
            job.abort_sync()

    def forget(self) -> None:
        """Delete it with its result, unless it runs."""
        self.job.delete_sync()

    def then(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise NotImplementedError("then(): enqueue what follows at the end of the task.")


def _error(found: TaskResult) -> TaskError:
    kind = TaskError if found.status is JobStatus.FAILED else TaskRevokedError
    error = found.error
    return kind(error.type, error.message, error.traceback) if error else kind(str(found.status), "")
