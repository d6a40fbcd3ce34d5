"""The handle of a job, and what it can tell: result, status, info; and abort, replay, delete, move.

Every method is a coroutine with a twin for sync code whose name ends in ``_sync``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from ardiq.connection import Broker
from ardiq.core.errors import BadPayload
from ardiq.core.headers import read_headers
from ardiq.core.job import LETTERS, JobRecord, JobStatus
from ardiq.core.outcome import (
    Attempt,
    TaskResult,
    pack_abort,
    read_call,
    read_history,
    read_result,
)
from ardiq.core.reference import Reference, read_subject
from ardiq.core.reports import LogLine, Progress, read_logs, read_progress
from ardiq.core.wishes import planned, span
from ardiq.moving import Movable
from ardiq.store import letters, reports, verbs
from ardiq.store.scripts import Call

R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class JobInfo:
    """All that is known of a job. Times in epoch ms, None where they do not apply."""

    id: str
    name: str
    args: list[Any]
    kwargs: dict[str, Any]
    queue: str
    lane: str
    status: JobStatus
    tries: int
    crashes: int
    enqueue_time: int
    scheduled_at: int | None
    expires_at: int | None
    started_at: int | None
    finished_at: int | None
    worker: str
    attempts: list[Attempt]
    result: TaskResult | None
    headers: dict[str, str]
    progress: Progress | None = None
    subject: Reference | None = None
    problem: str = ""
    """Why args and kwargs are empty, when the stored call cannot be read."""


def job_info(broker: Broker, record: JobRecord, progress: bytes | None = None) -> JobInfo:
    """Read a record for people. Never raises: what cannot be read is told in ``problem``."""
    args, kwargs, meta, problem = read_call(broker.codec, record)
    result = read_result(broker.codec, record) if record.status.finished else None
    expire = span(meta, "expire_ms")
    running = record.status is JobStatus.RUNNING
    return JobInfo(
        id=record.id,
        name=record.name,
        args=args,
        kwargs=kwargs,
        queue=broker.options.queue,
        lane=record.lane,
        status=record.status,
        tries=record.attempts,
        crashes=record.crashes,
        enqueue_time=record.enqueued,
        scheduled_at=record.at
        if record.status is JobStatus.SCHEDULED
        else planned(record, meta, result.start if result else 0),
        expires_at=record.enqueued + expire if expire else None,
        started_at=record.at if running else (result.start or None) if result else None,
        finished_at=result.finish if result else None,
        worker=(result.worker if result else "") or (record.worker if running else ""),
        attempts=_attempts(broker, record, result),
        result=result,
        headers=dict(read_headers(meta) or {}),
        progress=read_progress(progress, record),
        subject=read_subject(meta),
        problem=problem,
    )


def _attempts(broker: Broker, record: JobRecord, result: TaskResult | None) -> list[Attempt]:
    """Every run that is known of, the one that ended the job included."""
    attempts = read_history(broker.codec, record)
    if result is not None and result.start:
        number = attempts[-1].number + 1 if attempts else 1
        attempts.append(Attempt(number, result.start, result.finish, result.worker, result.error))
    return attempts


class Job(Movable, Generic[R]):
    """A job by its id. ``created`` is False when an existing job was found instead of a new one made."""

    __slots__ = ("_broker", "created", "id")

    def __init__(self, id: str, broker: Broker, created: bool = True) -> None:
        self.id = id
        self.created = created
        self._broker = broker

    @property
    def queue(self) -> str:
        return self._broker.options.queue

    def __repr__(self) -> str:
        return f"<Job {self.id} in {self.queue}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Job) and (self.id, self.queue) == (other.id, other.queue)

    def __hash__(self) -> int:
        return hash((self.id, self.queue))

    async def _run(self, call: Call) -> Any:
        return await self._broker.here().store.run(call)

    def _run_sync(self, call: Call) -> Any:
        return self._broker.store.run(call)

    # -- result -----------------------------------------------------------------------------------

    async def result(self, timeout: float | None = None) -> TaskResult | None:
        """The result, or None when there is none yet. With ``timeout`` (seconds) wait for it.

        Raises TimeoutError when the job has not ended within ``timeout``, BrokerError when Redis
        cannot be reached. None also for an unknown job, or one whose result is no longer kept.
        """
        if timeout is None:
            return self._result(await self._run(self._read()))
        _check_timeout(timeout)
        try:
            return self._result([await self._broker.here().waiter.wait(self.id, timeout)])
        except TimeoutError:
            raise self._late(timeout) from None

    def result_sync(self, timeout: float | None = None) -> TaskResult | None:
        """``result`` for sync code."""
        if timeout is None:
            return self._result(self._run_sync(self._read()))
        _check_timeout(timeout)
        try:
            return self._result([self._broker.waiter.wait(self.id, timeout)])
        except TimeoutError:
            raise self._late(timeout) from None

    def _late(self, timeout: float) -> TimeoutError:
        return TimeoutError(f"Job {self.id} has not ended within {timeout:g} s.")

    def _read(self) -> Call:
        return verbs.read(self._broker.keys, [self.id])

    def _record(self, raws: list[bytes | None]) -> JobRecord | None:
        try:
            return JobRecord(self.id, raws[0]) if raws[0] else None
        except (ValueError, IndexError) as error:
            raise self._unreadable(str(error)) from error

    def _unreadable(self, why: str) -> BadPayload:
        return BadPayload(f"The record of job {self.id} cannot be read ({why}); delete() removes it.")

    def _result(self, raws: list[bytes | None]) -> TaskResult | None:
        record = self._record(raws)
        if record is None or not record.status.finished:
            return None
        return read_result(self._broker.codec, record)

    # -- status and info --------------------------------------------------------------------------

    async def status(self) -> JobStatus:
        """Where the job stands now; ``not_found`` when it is unknown or no longer kept."""
        return self._status(await self._run(self._read()))

    def status_sync(self) -> JobStatus:
        """``status`` for sync code."""
        return self._status(self._run_sync(self._read()))

    def _status(self, raws: list[bytes | None]) -> JobStatus:
        raw = raws[0]
        if not raw:
            return JobStatus.NOT_FOUND
        status = LETTERS.get(chr(raw[0]))
        if status is None:
            raise self._unreadable(f"unknown status letter {raw[:1]!r}")
        return status

    async def info(self) -> JobInfo | None:
        """All that is known of the job; None when it is unknown or no longer kept."""
        return self._info(await self._run(self._read_with_progress()))

    def info_sync(self) -> JobInfo | None:
        """``info`` for sync code."""
        return self._info(self._run_sync(self._read_with_progress()))

    def _info(self, raws: list[bytes | None]) -> JobInfo | None:
        record = self._record(raws)
        return job_info(self._broker, record, raws[1]) if record else None

    # -- progress and logs ------------------------------------------------------------------------

    async def progress(self) -> Progress | None:
        """How far the job is, as it told last; None when it told nothing, or is not known any more."""
        return self._progress(await self._run(self._read_with_progress()))

    def progress_sync(self) -> Progress | None:
        """``progress`` for sync code."""
        return self._progress(self._run_sync(self._read_with_progress()))

    def _read_with_progress(self) -> Call:
        return reports.with_progress(self._broker.keys, self.id)

    def _progress(self, raws: list[bytes | None]) -> Progress | None:
        record = self._record(raws)
        return read_progress(raws[1], record) if record else None

    async def logs(self) -> list[LogLine]:
        """What the job has logged, the oldest line first, if its task has ``keep_logs``; kept as long as
        its result, and of very many lines the latest."""
        return self._logs(await self._run(reports.with_logs(self._broker.keys, self.id)))

    def logs_sync(self) -> list[LogLine]:
        """``logs`` for sync code."""
        return self._logs(self._run_sync(reports.with_logs(self._broker.keys, self.id)))

    def _logs(self, raws: list[bytes | None]) -> list[LogLine]:
        record = self._record(raws)
        return read_logs(raws[1], record) if record else []

    # -- abort, replay, delete --------------------------------------------------------------------

    async def abort(self) -> bool:
        """Stop the job. True if there was something to stop: a waiting job has ended when this returns,
        a running one is told to. False for one that has ended, is unknown, or was told already."""
        done: bool = await self._run(self._abort())
        return done

    def abort_sync(self) -> bool:
        """``abort`` for sync code."""
        done: bool = self._run_sync(self._abort())
        return done

    def _abort(self) -> Call:
        return abort_call(self._broker, self.id)

    async def replay(self) -> bool:
        """Run an ended job again under its id with a fresh budget; its old outcome goes. False if it lives,
        is unknown, or its unique slot is taken by another job."""
        return self._first(await self._run(letters.replay(self._broker.keys, [self.id])), _queued)

    def replay_sync(self) -> bool:
        """``replay`` for sync code."""
        return self._first(self._run_sync(letters.replay(self._broker.keys, [self.id])), _queued)

    async def delete(self) -> bool:
        """Forget a job that does not run, its result with it. False if it runs or is unknown."""
        return self._first(await self._run(letters.delete(self._broker.keys, [self.id])), bool)

    def delete_sync(self) -> bool:
        """``delete`` for sync code."""
        return self._first(self._run_sync(letters.delete(self._broker.keys, [self.id])), bool)

    def _first(self, answers: dict[str, Any], test: Callable[[Any], bool]) -> bool:
        return test(answers[self.id])


def _check_timeout(timeout: object) -> None:
    if isinstance(timeout, bool) or not isinstance(timeout, (int, float)) or not timeout >= 0:
        raise TypeError(f"timeout={timeout!r}: give a number of seconds, 0 or more, or None not to wait.")


def _queued(answer: str) -> bool:
    return answer == "queued"


def abort_call(broker: Broker, id: str) -> Call:
    outcome = pack_abort(broker.codec, id)
    return verbs.abort(broker.keys, id, broker.options.result_ttl_ms, outcome)
