"""One job: admit -> perform -> judge -> settle -> tell.

Only ``perform`` may meet exceptions of user code, only ``conclude`` writes, and neither contains a log
line: what happened is told as an event.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import time
from collections.abc import Callable, Iterable
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from contextvars import copy_context
from typing import Any, Protocol

from ardiq.core import events, reference
from ardiq.core.codec import Codec
from ardiq.core.context import JobContext, running
from ardiq.core.errors import ArdiqError, BadPayload, EncodeError, Interrupt, JobAborted, JobHandedBack, Retry, TooLarge
from ardiq.core.events import Event, Events
from ardiq.core.job import FLAG_STARTED, JobStatus
from ardiq.core.options import Options
from ardiq.core.outcome import (
    CALL,
    Attempt,
    Failure,
    call_subject,
    pack_history,
    pack_outcome,
    read_history,
    shown,
)
from ardiq.core.registry import Definition
from ardiq.core.retry import Action, Ending, Outcome, Policy, Verdict, judge
from ardiq.store import verbs
from ardiq.worker.held import Clock, Held, Stop
from ardiq.worker.settler import Settler

log = logging.getLogger("ardiq")

ErrorHook = Callable[..., Any]


class Expired(ArdiqError):
    """The job did not start within its window."""


class Crashed(ArdiqError):
    """The job was running whenever its worker died."""


class Around(Protocol):
    """What surrounds user code: the only thing a worker knows of the framework that it serves."""

    def sync_job(self) -> AbstractContextManager[None]: ...
    def async_job(self) -> AbstractAsyncContextManager[None]: ...
    def thread_ends(self) -> None: ...
    def resolve(self, args: list[Any], kwargs: dict[str, Any]) -> tuple[list[Any], dict[str, Any]]: ...
    async def resolve_async(
        self, args: list[Any], kwargs: dict[str, Any]
    ) -> tuple[list[Any], dict[str, Any]]: ...


class Runner:
    """Runs jobs of one queue. ``find`` knows tasks by name; ``finished`` is told when a slot is free."""

    def __init__(
        self,
        *,
        name: str,
        options: Options,
        codec: Codec,
        clock: Clock,
        settler: Settler,
        around: Around | None,
        find: Callable[[str], Definition | None],
        hooks: Callable[[], Iterable[ErrorHook]],
        events: Events,
    ) -> None:
        self._name = name
        self._options = options
        self._codec = codec
        self._clock = clock
        self._settler = settler
        self._around = around
        self._find = find
        self._hooks = hooks
        self._events = events
        self._policies: dict[str, Policy] = {}

    # -- admit ------------------------------------------------------------------------------------

    def admit(self, held: Held) -> tuple[list[Any], dict[str, Any]] | Outcome:
        """The decoded call, or how the job ends without having run."""
        record = held.record
        if held.marked or held.stop is Stop.ABORT:
            return Outcome(Ending.ABORTED)
        if held.stop is not None:
            return Outcome(Ending.HANDED_BACK)
        if record.crashes >= self._options.crash_limit:
            times = f"{record.crashes} times; CRASH_LIMIT is {self._options.crash_limit}"
            return Outcome(Ending.CRASHED, error=Crashed(f"The worker died while it ran this job, {times}."))
        definition = held.definition = self._find(record.name)
        if definition is None:
            return Outcome(Ending.UNKNOWN, error=ArdiqError(f"No worker knows a task named {record.name!r}."))
        reference.seen.clear()
        try:
            call: Any = self._codec.decode(CALL, call_subject(record.id, record.name), record.call)
            args, kwargs = call[0], call[1]
            if len(call) > 2 and self._expired(held, call[2]):
                return Outcome(Ending.EXPIRED, error=Expired(f"Not started within {call[2]['expire_ms']:,} ms."))
            definition.check(args, kwargs)
        except (BadPayload, TypeError, ValueError, IndexError, KeyError) as error:
            return Outcome(Ending.REFUSED, error=error)
        self._begin(held, definition)
        return args, kwargs

    def _expired(self, held: Held, meta: dict[str, Any]) -> bool:
        record, window = held.record, meta.get("expire_ms")
        if not window or record.attempts or record.crashes or record.flags & FLAG_STARTED:
            return False
        return bool(self._clock.now() > record.enqueued + window)

    def _begin(self, held: Held, definition: Definition) -> None:
        record = held.record
        record.flags |= FLAG_STARTED
        held.began = time.monotonic()
        held.started = self._clock.now()
        deadline = held.started + int(definition.timeout * 1000) if definition.timeout else None
        held.context = JobContext(
            record.id,
            record.name,
            record.attempts + 1,
            self._options.queue,
            record.lane,
            deadline,
            f"{held.lease.token}:{held.claim}",
        )
        if self._events:
            self._tell(events.STARTED, held)

    # -- perform ----------------------------------------------------------------------------------

    async def perform(self, held: Held, finished: Callable[[Held], None]) -> None:
        """Run an async task to its verdict, in a context of its own."""
        try:
            call = self.admit(held)
            if type(call) is Outcome:
                outcome = call
            else:
                outcome = await self._run_async(held, *call)
            await self.conclude(held, outcome)
        finally:
            finished(held)

    async def _run_async(self, held: Held, args: list[Any], kwargs: dict[str, Any]) -> Outcome:
        definition = held.definition
        assert definition is not None
        running.set(held.context)
        try:
            if self._around is None:
                value = await self._within(definition, args, kwargs)
            else:
                async with self._around.async_job():
                    if reference.seen:
                        args, kwargs = await self._around.resolve_async(args, kwargs)
                    value = await self._within(definition, args, kwargs)
        except asyncio.CancelledError as error:
            return self._stopped(held) or Outcome(Ending.RAISED, error=error)
        except _OutOfTime as error:
            return Outcome(Ending.TIMED_OUT, error=TimeoutError(str(error)))
        except BaseException as error:
            return self._stopped(held, aborted_only=True) or Outcome(Ending.RAISED, error=error)
        return self._stopped(held, aborted_only=True) or Outcome(Ending.RETURNED, value)

    async def _within(self, definition: Definition, args: list[Any], kwargs: dict[str, Any]) -> Any:
        if definition.timeout is None:
            return await definition.fn(*args, **kwargs)
        try:
            async with asyncio.timeout(definition.timeout) as scope:
                return await definition.fn(*args, **kwargs)
        except TimeoutError:
            if scope.expired():
                raise _OutOfTime(f"timed out after {definition.timeout:g}s") from None
            raise

    def _stopped(self, held: Held, aborted_only: bool = False) -> Outcome | None:
        """How a job ended that was told to stop; one told to hand back may still have finished in time."""
        if held.stop is Stop.ABORT:
            return Outcome(Ending.ABORTED)
        if held.stop is None or aborted_only:
            return None
        return Outcome(Ending.HANDED_BACK)

    def perform_sync(self, held: Held, args: list[Any], kwargs: dict[str, Any]) -> Outcome:
        """Run a sync task in the calling thread, in a context of its own. Never raises an Exception."""
        return copy_context().run(self._run_sync, held, args, kwargs)

    def _run_sync(self, held: Held, args: list[Any], kwargs: dict[str, Any]) -> Outcome:
        definition = held.definition
        assert definition is not None
        running.set(held.context)
        try:
            if self._around is None:
                return Outcome(Ending.RETURNED, definition.fn(*args, **kwargs))
            with self._around.sync_job():
                args, kwargs = self._around.resolve(args, kwargs)
                return Outcome(Ending.RETURNED, definition.fn(*args, **kwargs))
        except Interrupt as error:
            return self.interrupted(held, error)
        except BaseException as error:
            return Outcome(Ending.RAISED, error=error)

    def interrupted(self, held: Held, error: Interrupt) -> Outcome:
        if isinstance(error, JobAborted) or held.stop is Stop.ABORT:
            return Outcome(Ending.ABORTED)
        if isinstance(error, JobHandedBack):
            return Outcome(Ending.HANDED_BACK)
        timeout = held.definition.timeout if held.definition else 0
        return Outcome(Ending.TIMED_OUT, error=TimeoutError(f"timed out after {timeout:g}s"))

    # -- judge, settle, tell ----------------------------------------------------------------------

    async def conclude(self, held: Held, outcome: Outcome) -> None:
        """Judge an outcome and hand its settlement over; hooks of failures run first."""
        record = held.record
        policy = self._policy(held.definition)
        verdict = judge(outcome, record.attempts, policy, self._clock.now() - record.enqueued)
        last = verdict.action is Action.FAIL
        if outcome.error is not None and (last or verdict.action is Action.RETRY):
            if last or not isinstance(outcome.error, Retry):
                await self._call_hooks(held, outcome.error)
        self._settler.add(held, self._settlement(held, outcome, verdict))

    def _policy(self, definition: Definition | None) -> Policy:
        if definition is None:
            return Policy()
        policy = self._policies.get(definition.name)
        if policy is None:
            policy = self._policies[definition.name] = definition.policy(self._options)
        return policy

    def _settlement(self, held: Held, outcome: Outcome, verdict: Verdict) -> verbs.Settlement:
        action, record = verdict.action, held.record
        attempts = record.attempts + verdict.charged
        if action is Action.SUCCEED:
            return self._success(held, outcome, attempts)
        if action is Action.RETRY:
            assert outcome.error is not None
            self._tell(events.RETRIED, held, error=outcome.error, delay_ms=verdict.delay_ms)
            return verbs.retried(record, held.claim, attempts, verdict.delay_ms, self._history(held, outcome.error))
        if action is Action.PARK:
            self._tell(events.PARKED, held, delay_ms=verdict.delay_ms)
            return verbs.retried(record, held.claim, attempts, verdict.delay_ms, record.history)
        if action is Action.GIVE_BACK:
            return verbs.given_back(record, held.claim)
        if action is Action.ABORT:
            self._tell(events.ABORTED, held)
            failure = Failure("ardiq.Aborted", "The job was aborted.")
            return self._ended(held, JobStatus.ABORTED, attempts if held.started else record.attempts, "aborted", failure)
        error = outcome.error or ArdiqError()
        if action is Action.EXPIRE:
            self._tell(events.EXPIRED, held, error=error)
            return self._ended(held, JobStatus.EXPIRED, attempts, "expired", Failure("ardiq.Expired", str(error)))
        self._tell(events.FAILED, held, error=error)
        return self._ended(held, JobStatus.FAILED, attempts, shown(error), Failure.of(error))

    def _success(self, held: Held, outcome: Outcome, attempts: int) -> verbs.Settlement:
        record = held.record
        try:
            blob = pack_outcome(self._codec, record.id, outcome.value, held.started, self._name)
            if len(blob) > self._options.max_result_bytes:
                raise TooLarge(
                    f"The result takes {len(blob):,} bytes, more than MAX_RESULT_BYTES "
                    f"({self._options.max_result_bytes:,}); store it elsewhere and return a reference."
                )
        except (EncodeError, TooLarge) as error:
            self._tell(events.FAILED, held, error=error)
            return self._ended(held, JobStatus.FAILED, attempts, shown(error), Failure.of(error, with_traceback=False))
        if self._events:
            self._tell(events.SUCCEEDED, held)
        ttl = self._ttl(held, JobStatus.SUCCEEDED)
        return verbs.finished(record, held.claim, JobStatus.SUCCEEDED, attempts, ttl, held.lease.token, blob)

    def _ended(self, held: Held, status: JobStatus, attempts: int, value: str, failure: Failure) -> verbs.Settlement:
        blob = pack_outcome(self._codec, held.record.id, value, held.started, self._name, failure)
        return verbs.finished(
            held.record, held.claim, status, attempts, self._ttl(held, status), held.lease.token, blob
        )

    def _ttl(self, held: Held, status: JobStatus) -> int:
        if status is JobStatus.FAILED:
            return self._options.failed_ttl_ms
        own = held.definition.result_ttl_ms if held.definition else None
        return self._options.result_ttl_ms if own is None else own

    def _history(self, held: Held, error: BaseException) -> bytes:
        attempts = read_history(self._codec, held.record)
        number = held.record.attempts + 1
        attempts.append(Attempt(number, held.started, self._clock.now(), self._name, Failure.of(error)))
        return pack_history(self._codec, held.record.id, attempts)

    async def _call_hooks(self, held: Held, error: BaseException) -> None:
        for hook in self._hooks():
            try:
                if inspect.iscoroutinefunction(hook):
                    await hook(error, held.context)
                else:
                    await asyncio.to_thread(hook, error, held.context)
            except Exception:
                log.exception("An on_error hook raised; job %s is not affected.", held.record.id)

    def _tell(self, kind: str, held: Held, *, error: BaseException | None = None, delay_ms: int = 0) -> None:
        if not self._events:
            return
        record = held.record
        duration = (time.monotonic() - held.began) * 1000 if held.began else 0.0
        self._events.emit(
            Event(
                kind,
                record.id,
                record.name,
                self._options.queue,
                record.lane,
                self._name,
                record.attempts + 1,
                duration,
                delay_ms,
                error,
            )
        )


class _OutOfTime(Exception):
    """The timeout of the task itself, told apart from a TimeoutError that its code raised."""
