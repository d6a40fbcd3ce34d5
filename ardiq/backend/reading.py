"""From a job to the TaskResult that Django wants of it. Pure, but for the classes that it makes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from django.conf import settings
from django.utils import timezone

import ardiq.errors  # noqa: F401 - so that the errors of ardiq can be found by their names
from ardiq.backend.finding import lying_at
from ardiq.backend.origin import Task, TaskError, TaskResult, TaskResultStatus, normalize_json
from ardiq.core.codec import Codec
from ardiq.core.context import Facts
from ardiq.core.job import JobRecord, JobStatus
from ardiq.core.outcome import Attempt, Failure, read_history, read_result

MARK = "django"  # where the options of a call say in what its task differs from the one in the module

STATUSES = {
    JobStatus.SCHEDULED: TaskResultStatus.READY,
    JobStatus.QUEUED: TaskResultStatus.READY,
    JobStatus.RUNNING: TaskResultStatus.RUNNING,
    JobStatus.SUCCEEDED: TaskResultStatus.SUCCESSFUL,
    JobStatus.FAILED: TaskResultStatus.FAILED,
    JobStatus.ABORTED: TaskResultStatus.FAILED,
    JobStatus.EXPIRED: TaskResultStatus.FAILED,
}
ENDED = (TaskResultStatus.SUCCESSFUL, TaskResultStatus.FAILED)

# Failures that are recorded under names which are no classes, or not those that Django's backends record.
CLASSES = {
    "ardiq.Aborted": "ardiq.errors.JobAborted",
    "ardiq.Superseded": "ardiq.errors.JobAborted",
    "ardiq.backend.performing.Unfit": "builtins.TypeError",
}
UNKNOWN = "unknown"  # the worker of a run that is not remembered: of very many, the latest are

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class ArdiqTaskError(TaskError):  # type: ignore[misc]  # Django's is frozen as well
    """An error of a task."""

    @property
    def exception_class(self) -> type[BaseException]:
        """The class, if its module is loaded here: no name from Redis is imported. Raises ImportError, or
        ValueError for what is no exception."""
        path = self.exception_class_path
        found = lying_at(path)
        if found is None:
            raise ImportError(f"{path!r} is not to be found in the modules that are loaded here.")
        if not (isinstance(found, type) and issubclass(found, BaseException)):
            raise ValueError(f"{path!r} does not reference a valid exception.")
        return found


def moment(ms: int) -> datetime:
    """A time as Django tells it: aware under USE_TZ."""
    found = _EPOCH + timedelta(milliseconds=ms)
    return found if settings.USE_TZ else timezone.make_naive(found)


def task_result(
    task: Task,
    record: JobRecord,
    codec: Codec,
    call: tuple[Sequence[Any], Mapping[str, Any]],
    facts: Facts | None = None,
) -> TaskResult:
    """The result of a job; ``facts`` of one that runs in this process."""
    status = STATUSES[record.status]
    attempts = read_history(codec, record)
    errors: list[TaskError] = [_error(one.error) for one in attempts if one.error]
    ended, value = None, None
    if status in ENDED:
        result = read_result(codec, record)
        ended, value = result.finish, result.value
        if result.start:
            attempts.append(Attempt(0, result.start, result.finish, result.worker, result.error))
        if result.error is not None:
            errors.append(_error(result.error))
            status = TaskResultStatus.FAILED
    elif facts is not None:
        status = TaskResultStatus.RUNNING
        attempts.append(Attempt(0, facts.started, 0, facts.worker, None))
    elif status is TaskResultStatus.RUNNING:
        attempts.append(Attempt(0, record.at, 0, record.worker, None))
    begun = record.attempts + (status is TaskResultStatus.RUNNING)
    found: TaskResult[..., Any] = TaskResult(
        task=task,
        id=record.id,
        status=status,
        enqueued_at=moment(record.enqueued),
        started_at=moment(attempts[0].started) if attempts else None,
        last_attempted_at=moment(attempts[-1].started) if attempts else None,
        finished_at=moment(ended) if ended is not None else None,
        args=[],
        kwargs={},
        backend=task.backend,
        errors=errors,
        worker_ids=[UNKNOWN] * (begun - len(attempts)) + [one.worker for one in attempts],
    )
    # Not by Django, which refuses what is no JSON: whoever sends a task by its name may give anything.
    object.__setattr__(found, "args", [_as_json(value) for value in call[0]])
    object.__setattr__(found, "kwargs", {name: _as_json(value) for name, value in call[1].items()})
    if status is TaskResultStatus.SUCCESSFUL:
        object.__setattr__(found, "_return_value", value)
    return found


def _as_json(value: Any) -> Any:
    """As Django shows an argument; as it is, if it is no JSON."""
    try:
        return normalize_json(value)
    except (TypeError, ValueError):
        return value


def _error(failure: Failure) -> ArdiqTaskError:
    path = CLASSES.get(failure.type) or (failure.type if "." in failure.type else f"builtins.{failure.type}")
    text = failure.traceback or f"{path}: {failure.message}\n"
    return ArdiqTaskError(exception_class_path=path, traceback=text)


def differences(task: Task, base: Task | None) -> dict[str, Any]:
    """What travels with a call of a task that is not quite the one which its path leads to."""
    found: dict[str, Any] = {}
    if base is None or task.priority != base.priority:
        found["priority"] = int(task.priority)
    if base is None or task.backend != base.backend:
        found["backend"] = task.backend
    after = task.run_after
    if isinstance(after, timedelta):
        found["run_after"] = after.total_seconds()
    elif after is not None:
        found["run_after"] = after.isoformat()
    return found


def as_called(base: Task, queue: str, backend: str, meta: Mapping[str, Any]) -> Task:
    """The task that was enqueued, from the one that its path leads to."""
    mark = meta.get(MARK)
    said: dict[str, Any] = dict(mark) if isinstance(mark, dict) else {}
    changes = {"backend": said.get("backend", backend), "priority": said.get("priority", base.priority)}
    after: Any = said.get("run_after")
    if isinstance(after, str):
        after = datetime.fromisoformat(after)
    elif after is not None:
        after = timedelta(seconds=after)
    changes |= {"queue_name": queue, "run_after": after}
    different = any(getattr(base, name) != value for name, value in changes.items())
    return replace(base, **changes) if different else base
