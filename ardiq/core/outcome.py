"""How a job ended, between the worker that writes it and everybody who reads it.

Exceptions travel as text: the name of their type, their message, their traceback. A reader never
resolves a class by a name from Redis (FAULTS S1).
"""

from __future__ import annotations

import traceback as tracebacks
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ardiq.core.codec import FORMAT, Codec
from ardiq.core.errors import ArdiqError, BadPayload, BadSignature, NewerPayload, TaskError
from ardiq.core.job import BYTES_OF, JobRecord, JobStatus

MESSAGE_MOST = 2_048  # characters of an exception's message that are kept
TRACEBACK_MOST = 16_384  # characters of a traceback that are kept: its end, where the error is
HISTORY_MOST = 20  # attempts that are kept: the latest
PARKED = 0  # number of the entry of a history that tells since when the job is parked

OUTCOME_ROOT = ("result", "started", "worker", "error")  # how paths of what cannot be encoded begin
OUTCOME, HISTORY, CALL, ABORT = "outcome", "history", "call", "abort"


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


def outcome_subject(id: str, name: str, status: JobStatus) -> bytes:
    """What the signature of an outcome is bound to: nobody can make a failure of a success, or pass it off
    as the outcome of another job. A name holds no newline, so that no two subjects are spelt alike."""
    return f"{id}\n{name}\n".encode("utf-8", "surrogateescape") + BYTES_OF[status]


def history_subject(id: str, name: str) -> bytes:
    return _named(id, name)


def _named(id: str, name: str) -> bytes:
    return f"{id}\n{name}".encode("utf-8", "surrogateescape")


def pack_outcome(
    codec: Codec,
    record: JobRecord,
    status: JobStatus,
    value: Any,
    started: int,
    worker: str,
    error: Failure | None = None,
) -> bytes:
    """Encode how a job ended. Raises EncodeError when the value cannot be encoded."""
    body: list[Any] = [value, started, worker]
    if error is not None:
        body.append([error.type, error.message, error.traceback])
    subject = outcome_subject(record.id, record.name, status)
    return codec.encode(OUTCOME, subject, body, OUTCOME_ROOT[: len(body)])


def pack_abort(codec: Codec, id: str) -> bytes:
    """The outcome of a job that is aborted before it starts; whoever aborts it knows only its id."""
    error = ABORTED
    body = ["aborted", 0, "", [error.type, error.message, error.traceback]]
    return codec.encode(ABORT, id.encode("utf-8", "surrogateescape"), body)


def pack_superseded(codec: Codec, by: str, name: str, unique: str) -> bytes:
    """The outcome of whichever job of this task and unique hash the job ``by`` will find waiting."""
    body = ["aborted", 0, "", ["ardiq.Superseded", f"A later call took its place: job {by}.", ""]]
    return codec.encode(ABORT, _named(name, unique), body)


def read_result(codec: Codec, record: JobRecord) -> TaskResult:
    """The result in the record of an ended job. A tampered or unreadable one is a failure that says so."""
    success = record.status is JobStatus.SUCCEEDED
    try:
        value, started, worker, *rest = _outcome(codec, record)
        error = _failure(rest[0]) if rest else None
    except (ArdiqError, TypeError, ValueError) as bad:
        success, value, started, worker = False, shown(bad), 0, record.worker
        error = Failure.of(bad, with_traceback=False)
    return TaskResult(
        success, value, record.attempts, record.enqueued, started, record.at, record.status, worker, error
    )


def kept_value(codec: Codec, record: JobRecord, blob: bytes) -> Any:
    """The value in the outcome of a success that was kept elsewhere. Raises BadSignature or BadPayload."""
    body: Any = codec.decode(OUTCOME, outcome_subject(record.id, record.name, JobStatus.SUCCEEDED), blob)
    return body[0]


def _outcome(codec: Codec, record: JobRecord) -> Sequence[Any]:
    readings = [(OUTCOME, outcome_subject(record.id, record.name, record.status))]
    if record.status is JobStatus.ABORTED:
        readings += [(ABORT, _alone(record)), (ABORT, _named(record.name, record.unique))]
    body = _read(codec, record.outcome, *readings, (OUTCOME, _alone(record)))
    if not isinstance(body, list) or not 3 <= len(body) <= 4 or not _are(body[1:3], int, str):
        raise BadPayload(f"The outcome of job {record.id} has an unknown shape.")
    if record.status is JobStatus.SUCCEEDED and len(body) == 4:
        # What 0.1.0 has signed is not bound to the status, which anybody who can write may change.
        raise BadPayload(f"Job {record.id} is said to have succeeded, but its outcome is an error.")
    return body


def _alone(record: JobRecord) -> bytes:
    """What 0.1.0 bound outcomes and histories to: they are still there after an upgrade, and must be read."""
    return record.id.encode("utf-8", "surrogateescape")


def _read(codec: Codec, blob: bytes, *readings: tuple[str, bytes]) -> Any:
    """The body of a blob, by the first (kind, subject) that its signature fits."""
    for kind, subject in readings[:-1]:
        try:
            return codec.decode(kind, subject, blob)
        except BadSignature:
            continue
    kind, subject = readings[-1]
    return codec.decode(kind, subject, blob)


def _are(values: Sequence[Any], *kinds: type) -> bool:
    return len(values) == len(kinds) and all(map(isinstance, values, kinds))


def _failure(texts: Any) -> Failure:
    if not _are(texts, str, str, str):
        raise BadPayload("An error is stored in an unknown shape.")
    return Failure(*texts)


def read_history(codec: Codec, record: JobRecord) -> list[Attempt]:
    """The attempts that did not end the job, oldest first; empty when they cannot be read."""
    return [one for one in _rows(codec, record) if one.number != PARKED]


def parked_since(codec: Codec, record: JobRecord) -> int | None:
    """When no worker was found first that can run the job, epoch ms; None when it has not been parked since
    its last attempt."""
    rows = _rows(codec, record)
    return rows[-1].started if rows and rows[-1].number == PARKED else None


def pack_parked(codec: Codec, record: JobRecord, since: int, now: int, worker: str, error: Failure) -> bytes:
    """The history of a job that is parked: the next attempt takes the place of this mark."""
    return pack_history(
        codec, record, [*read_history(codec, record), Attempt(PARKED, since, now, worker, error)]
    )


def _rows(codec: Codec, record: JobRecord) -> list[Attempt]:
    if not record.history:
        return []
    try:
        subject = history_subject(record.id, record.name)
        rows: Any = _read(codec, record.history, (HISTORY, subject), (HISTORY, _alone(record)))
        return [_attempt(*row) for row in rows]
    except (ArdiqError, TypeError, ValueError):
        return []


def _attempt(number: Any, started: Any, ended: Any, worker: Any, error: Any) -> Attempt:
    if not _are((number, started, ended, worker), int, int, int, str):
        raise BadPayload("An attempt is stored in an unknown shape.")
    return Attempt(number, started, ended, worker, _failure(error))


def _texts(error: Failure | None, most: int) -> list[str]:
    return [error.type, error.message, error.traceback[-most:]] if error else ["", "", ""]


def pack_history(codec: Codec, record: JobRecord, attempts: Sequence[Attempt]) -> bytes:
    kept = attempts[-HISTORY_MOST:]
    # Twenty full tracebacks would outgrow the job itself: only the latest keeps its whole text.
    last = max((n for n, one in enumerate(kept) if one.number != PARKED), default=0)
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
    return codec.encode(HISTORY, history_subject(record.id, record.name), rows)


def call_subject(id: str, name: str) -> bytes:
    """What the signature of a call is bound to besides its queue: nobody can pass it off as another job's."""
    return f"{id}|{name}".encode("utf-8", "surrogateescape")


def read_call(codec: Codec, record: JobRecord) -> tuple[list[Any], dict[str, Any], dict[str, Any], str]:
    """(args, kwargs, meta, problem) of the stored call; ``problem`` says why it cannot be read."""
    try:
        call: Any = codec.decode(CALL, call_subject(record.id, record.name), record.call)
        args, kwargs, *rest = call
        return list(args), dict(kwargs), dict(rest[0]) if rest else {}, ""
    except (ArdiqError, TypeError, ValueError) as error:
        return [], {}, {}, f"{type(error).__name__}: {error}"


def check_format(meta: dict[str, Any]) -> None:
    """Raise NewerPayload for a call whose options tell, as ``format``, that a later release must run it."""
    if meta.get("format", FORMAT) > FORMAT:
        raise NewerPayload(f"this call is of format {meta['format']}, and this release runs format {FORMAT}.")
