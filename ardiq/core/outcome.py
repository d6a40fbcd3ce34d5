"""How a job ended, between the worker that writes it and everybody who reads it.

Exceptions travel as text: the name of their type, their message, their traceback. A reader never
resolves a class by a name from Redis (FAULTS S1).
"""

from __future__ import annotations

import traceback as tracebacks
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ardiq.core.codec import Codec
from ardiq.core.errors import BadPayload, TaskError
from ardiq.core.job import JobRecord, JobStatus

MESSAGE_MOST = 2_048  # characters of an exception's message that are kept
TRACEBACK_MOST = 16_384  # characters of a traceback that are kept: its end, where the error is
HISTORY_MOST = 20  # attempts that are kept: the latest

OUTCOME_ROOT = ("result", "started", "worker", "error")  # how paths of what cannot be encoded begin
OUTCOME, HISTORY, CALL = "outcome", "history", "call"


@dataclass(frozen=True, slots=True)
class Failure:
    """An exception as text. ``type`` is its dotted name."""

    type: str
    message: str
    traceback: str = ""

    @classmethod
    def of(cls, error: BaseException, with_traceback: bool = True) -> Failure:
        """Describe an exception, whatever its ``__str__`` and ``__repr__`` do."""
        kind = type(error)
        name = (
            kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
        )
        text = ""
        if with_traceback:
            try:
                text = "".join(tracebacks.format_exception(error, limit=-40))
            except Exception as worse:
                text = f"(its traceback cannot be formatted: {type(worse).__name__})"
        return cls(name, _clean(_message(error))[:MESSAGE_MOST], _clean(text)[-TRACEBACK_MOST:])


def _message(error: BaseException) -> str:
    try:
        return str(error)
    except Exception as worse:
        return f"(its message cannot be shown: __str__ raised {type(worse).__name__})"


def shown(error: BaseException) -> str:
    """``repr(error)``, whatever it does, within bounds."""
    try:
        return _clean(repr(error))[:MESSAGE_MOST]
    except Exception:
        return f"{type(error).__name__}({_clean(_message(error))[:MESSAGE_MOST]!r})"


def _clean(text: str) -> str:
    # Lone surrogates cannot be stored as UTF-8.
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


ABORTED = Failure("ardiq.Aborted", "The job was aborted.")


@dataclass(frozen=True, slots=True)
class Attempt:
    """One run of a job. Times in epoch ms; ``error`` is None for the one that succeeded."""

    number: int
    started: int
    ended: int
    worker: str
    error: Failure | None

    @property
    def duration_ms(self) -> int:
        return max(0, self.ended - self.started)


@dataclass(frozen=True, slots=True)
class TaskResult:
    """What became of a job. Times in epoch ms; ``tries`` counts the runs that were charged to it."""

    success: bool
    value: Any
    tries: int
    enqueue_time: int
    start: int
    finish: int
    status: JobStatus
    worker: str = ""
    error: Failure | None = None

    @property
    def duration_ms(self) -> int:
        return max(0, self.finish - self.start) if self.start else 0

    @property
    def aborted(self) -> bool:
        return self.status is JobStatus.ABORTED

    def raise_for_error(self) -> TaskResult:
        """Return the result itself, or raise TaskError with what the task raised, as text."""
        if self.error is not None and not self.success:
            raise TaskError(self.error.type, self.error.message, self.error.traceback)
        return self


def pack_outcome(
    codec: Codec, id: str, value: Any, started: int, worker: str, error: Failure | None = None
) -> bytes:
    """Encode an outcome. Raises EncodeError when the value cannot be encoded."""
    body: list[Any] = [value, started, worker]
    if error is not None:
        body.append([error.type, error.message, error.traceback])
    return codec.encode(OUTCOME, id.encode(), body, OUTCOME_ROOT[: len(body)])


def read_result(codec: Codec, record: JobRecord) -> TaskResult:
    """The result in the record of an ended job. A tampered or unreadable one is a failure that says so."""
    success = record.status is JobStatus.SUCCEEDED
    try:
        value, started, worker, *rest = _outcome(codec, record)
        error = Failure(*rest[0]) if rest else None
    except (BadPayload, TypeError, ValueError) as bad:
        success, value, started, worker = False, shown(bad), 0, record.worker
        error = Failure.of(bad, with_traceback=False)
    return TaskResult(
        success, value, record.attempts, record.enqueued, started, record.at, record.status, worker, error
    )


def _outcome(codec: Codec, record: JobRecord) -> Sequence[Any]:
    body = codec.decode(OUTCOME, record.id.encode(), record.outcome)
    if not isinstance(body, list) or not 3 <= len(body) <= 4:
        raise BadPayload(f"The outcome of job {record.id} has an unknown shape.")
    return body


def read_history(codec: Codec, record: JobRecord) -> list[Attempt]:
    """The attempts that did not end the job, oldest first; empty when they cannot be read."""
    if not record.history:
        return []
    try:
        rows: Any = codec.decode(HISTORY, record.id.encode(), record.history)
        return [
            Attempt(number, started, ended, worker, Failure(*error))
            for number, started, ended, worker, error in rows
        ]
    except (BadPayload, TypeError, ValueError):
        return []


def _texts(error: Failure | None, most: int) -> list[str]:
    return [error.type, error.message, error.traceback[-most:]] if error else ["", "", ""]


def pack_history(codec: Codec, id: str, attempts: Sequence[Attempt]) -> bytes:
    kept = attempts[-HISTORY_MOST:]
    # Twenty full tracebacks would outgrow the job itself: only the latest keeps its whole text.
    last = len(kept) - 1
    rows = [
        [
            one.number,
            one.started,
            one.ended,
            one.worker,
            _texts(one.error, TRACEBACK_MOST if n == last else 2_048),
        ]
        for n, one in enumerate(kept)
    ]
    return codec.encode(HISTORY, id.encode(), rows)


def call_subject(id: str, name: str) -> bytes:
    """What the signature of a call is bound to besides its queue: nobody can pass it off as another job's."""
    return f"{id}|{name}".encode()


def read_call(codec: Codec, record: JobRecord) -> tuple[list[Any], dict[str, Any], dict[str, Any], str]:
    """(args, kwargs, meta, problem) of the stored call; ``problem`` says why it cannot be read."""
    try:
        call: Any = codec.decode(CALL, call_subject(record.id, record.name), record.call)
        args, kwargs, *rest = call
        return list(args), dict(kwargs), dict(rest[0]) if rest else {}, ""
    except (BadPayload, TypeError, ValueError) as error:
        return [], {}, {}, f"{type(error).__name__}: {error}"


def planned(record: JobRecord, meta: dict[str, Any]) -> int | None:
    """When the caller wanted the job to run, epoch ms; None for at once."""
    if meta.get("delay_ms"):
        return record.enqueued + int(meta["delay_ms"])
    return meta.get("schedule_ms")
