"""What becomes of a job once its run has ended: judge -> settle -> tell.

The decision itself is pure (core/retry.py); here it is turned into what Redis must hold, and told.
"""

from __future__ import annotations

import inspect
import logging
import time
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, Protocol

from ardiq.core import events
from ardiq.core.codec import Codec
from ardiq.core.errors import ArdiqError, EncodeError, Retry, TooLarge
from ardiq.core.events import Event, Events
from ardiq.core.fingerprint import fingerprint, frames_of, mark
from ardiq.core.job import JobStatus
from ardiq.core.options import Options
from ardiq.core.outcome import (
    ABORTED,
    Attempt,
    Failure,
    pack_history,
    pack_outcome,
    pack_parked,
    parked_since,
    read_history,
    shown,
)
from ardiq.core.registry import Definition
from ardiq.core.retry import Action, Ending, Outcome, Policy, Verdict, judge
from ardiq.store import verbs
from ardiq.worker.held import Clock, Held
from ardiq.worker.log import one_line
from ardiq.worker.reserve import Reserve

log = logging.getLogger("ardiq")

_hook_threads = Reserve("ardiq-hook", 32)

ErrorHook = Callable[..., Any]


class Settlements(Protocol):
    """Where verdicts go: to the settler of a worker, or from a process of its own to its parent."""

    def add(self, held: Held, settlement: verbs.Settlement) -> None: ...
    def measure(self, held: Held) -> None:
        """The run of a job that is ``measured`` has ended."""


class Judge:
    """Judges the runs of one worker. ``hooks`` names the error hooks in force."""

    def __init__(
        self,
        name: str,
        options: Options,
        codec: Codec,
        clock: Clock,
        settler: Settlements,
        hooks: Callable[[], Iterable[ErrorHook]],
        events: Events,
    ) -> None:
        self.name, self._options, self._codec, self._clock = name, options, codec, clock
        self._settler, self._hooks, self.events = settler, hooks, events
        self._policies: dict[str, Policy] = {}

    def conclude(self, held: Held, outcome: Outcome) -> Coroutine[Any, Any, None] | None:
        """Judge an outcome and hand its settlement over. When error hooks must run first, that is left
        to the coroutine which is returned."""
        held.over = True
        if held.measured and outcome.ending is not Ending.HANDED_BACK:
            self._settler.measure(held)
        try:
            if outcome.ending is Ending.RETURNED:
                return self._returned(held, outcome.value)
            return self._judged(held, outcome)
        except Exception as error:
            # A record that is broken, a memory that is full: this job fails, and no other one suffers.
            self._settler.add(held, self._unjudged(held, error))
            return None

    def _unjudged(self, held: Held, error: Exception) -> verbs.Settlement:
        log.exception("The end of job %s could not be judged; it fails.", one_line(held.record.id))
        return self._failed(held, error, held.record.attempts + 1, with_traceback=False)

    def _judged(self, held: Held, outcome: Outcome) -> Coroutine[Any, Any, None] | None:
        record = held.record
        now = self._clock.now()
        since = record.enqueued
        if outcome.ending is Ending.UNKNOWN:
            # Not since it was enqueued: it may have been wanted for next week, or had to wait for its turn.
            since = parked_since(self._codec, record) or now
        waited = now - since
        try:
            verdict = judge(outcome, record.attempts, self._policy(held.definition), waited)
        except Exception:
            log.exception("The backoff_ms of %s raised; the default is used.", record.name)
            verdict = judge(
                outcome, record.attempts, Policy(self._policy(held.definition).max_retries), waited
            )
        last = verdict.action is Action.FAIL
        failed = last or (verdict.action is Action.RETRY and not isinstance(outcome.error, Retry))
        if failed and outcome.error is not None and (hooks := tuple(self._hooks())):
            return self._after_hooks(
                hooks, held, outcome.error, lambda: self._settlement(held, outcome, verdict)
            )
        self._settler.add(held, self._settlement(held, outcome, verdict))
        return None

    async def _after_hooks(
        self,
        hooks: tuple[ErrorHook, ...],
        held: Held,
        error: BaseException,
        settle: Callable[[], verbs.Settlement],
    ) -> None:
        for hook in hooks:
            try:
                if inspect.iscoroutinefunction(hook):
                    await hook(error, held.context)
                elif inspect.isawaitable(left := await _hook_threads.run(hook, error, held.context)):
                    await left
            except BaseException:
                # Even an exit: the verdict must reach the settler whatever a hook does.
                log.exception("An on_error hook raised; job %s is not affected.", one_line(held.record.id))
        try:
            settlement = settle()
        except Exception as worse:
            settlement = self._unjudged(held, worse)
        self._settler.add(held, settlement)

    def _policy(self, definition: Definition | None) -> Policy:
        if definition is None:
            return Policy()
        policy = self._policies.get(definition.name)
        if policy is None:
            policy = self._policies[definition.name] = definition.policy(self._options)
        return policy

    # -- settle -----------------------------------------------------------------------------------

    def settled_elsewhere(self, held: Held, settlement: verbs.Settlement) -> None:
        """Take over what the process that ran the job alone has judged."""
        if held.measured:
            self._settler.measure(held)
        self._settler.add(held, settlement)

    def _settlement(self, held: Held, outcome: Outcome, verdict: Verdict) -> verbs.Settlement:
        action, record = verdict.action, held.record
        attempts = record.attempts + verdict.charged
        error = outcome.error or ArdiqError()
        if action is Action.RETRY:
            self.tell(events.RETRIED, held, error=error, delay_ms=verdict.delay_ms)
            return verbs.retried(record, held.claim, attempts, verdict.delay_ms, self._history(held, error))
        if action is Action.PARK:
            self.tell(events.PARKED, held, error=outcome.error, delay_ms=verdict.delay_ms)
            history = self._parked(held, error) if outcome.ending is Ending.UNKNOWN else record.history
            return verbs.parked(record, held.claim, verdict.delay_ms, history)
        if action is Action.GIVE_BACK:
            return verbs.given_back(record, held.claim)
        if action is Action.ABORT:
            skipped = outcome.ending is Ending.MISSING
            self.tell(events.ABORTED, held, error=error if skipped else None)
            attempts = attempts if held.began else record.attempts
            failure = Failure.of(error, with_traceback=False) if skipped else ABORTED
            return self._ended(held, JobStatus.ABORTED, attempts, "aborted", failure)
        if action is Action.EXPIRE:
            self.tell(events.EXPIRED, held, error=error)
            return self._ended(held, JobStatus.EXPIRED, attempts, "expired", Failure.of(error, False))
        self.tell(events.FAILED, held, error=error)
        held.error = error
        return self._failed(held, error, attempts, ran=outcome.ending is Ending.RAISED)

    def _returned(self, held: Held, value: Any) -> Coroutine[Any, Any, None] | None:
        """A success, unless its result cannot be stored (E6)."""
        record = held.record
        attempts = record.attempts + 1
        try:
            blob = self.packed(held, value)
        except (EncodeError, TooLarge) as error:
            self.tell(events.FAILED, held, error=error)
            failed = self._failed(held, error, attempts, with_traceback=False)
            if hooks := tuple(self._hooks()):
                return self._after_hooks(hooks, held, error, lambda: failed)
            self._settler.add(held, failed)
            return None
        if events.SUCCEEDED in self.events.wanted:
            self.tell(events.SUCCEEDED, held)
        ttl, status = self._ttl(held, JobStatus.SUCCEEDED), JobStatus.SUCCEEDED
        token = held.lease.token
        self._settler.add(held, verbs.finished(record, held.claim, status, attempts, ttl, token, blob))
        return None

    def _failed(
        self,
        held: Held,
        error: BaseException,
        attempts: int,
        *,
        ran: bool = False,
        with_traceback: bool = True,
    ) -> verbs.Settlement:
        """A dead letter. ``ran``: whether it was the task that raised."""
        failure = Failure.of(error, with_traceback)
        return self._ended(
            held, JobStatus.FAILED, attempts, shown(error), failure, self._mark(held, error, failure, ran)
        )

    def _mark(self, held: Held, error: BaseException, failure: Failure, ran: bool) -> str:
        """The group that a failure belongs to. Without one it is a failure all the same."""
        try:
            found = fingerprint(failure.type, frames_of(error), held.record.name, ran=ran)
        except Exception:
            log.exception("The failure of job %s has no fingerprint.", one_line(held.record.id))
            return ""
        discreet = held.definition is not None and held.definition.sensitive
        return mark(found, "" if discreet else failure.message)

    def packed(self, held: Held, value: Any) -> bytes:
        """The outcome of a success. Raises EncodeError or TooLarge for a value that cannot be stored."""
        blob = pack_outcome(self._codec, held.record, JobStatus.SUCCEEDED, value, held.started, self.name)
        if len(blob) > self._options.max_result_bytes:
            raise TooLarge(
                f"The result takes {len(blob):,} bytes, more than MAX_RESULT_BYTES "
                f"({self._options.max_result_bytes:,}); store it elsewhere and return a reference."
            )
        return blob

    def _ended(
        self, held: Held, status: JobStatus, attempts: int, value: str, failure: Failure, mark: str = ""
    ) -> verbs.Settlement:
        blob = pack_outcome(self._codec, held.record, status, value, held.started, self.name, failure)
        ttl = self._ttl(held, status)
        return verbs.finished(
            held.record, held.claim, status, attempts, ttl, held.lease.token, blob, mark=mark
        )

    def _ttl(self, held: Held, status: JobStatus) -> int:
        if status is JobStatus.FAILED:
            return self._options.failed_ttl_ms
        own = held.definition.result_ttl_ms if held.definition else None
        return self._options.result_ttl_ms if own is None else own

    def _history(self, held: Held, error: BaseException) -> bytes:
        attempts = read_history(self._codec, held.record)
        number = held.record.attempts + 1
        attempts.append(Attempt(number, held.started, self._clock.now(), self.name, Failure.of(error)))
        return pack_history(self._codec, held.record, attempts)

    def _parked(self, held: Held, error: BaseException) -> bytes:
        record, now = held.record, self._clock.now()
        since = parked_since(self._codec, record) or now
        failure = Failure.of(error, with_traceback=False)
        return pack_parked(self._codec, record, since, now, self.name, failure)

    # -- tell -------------------------------------------------------------------------------------

    def tell(self, kind: str, held: Held, *, error: BaseException | None = None, delay_ms: int = 0) -> None:
        """Emit an event about a job, when anybody listens."""
        if kind not in self.events.wanted:
            return
        record = held.record
        duration = (time.monotonic() - held.began) * 1000 if held.began else 0.0
        self.events.emit(
            Event(
                kind, record.id, record.name, self._options.queue, record.lane, self.name,
                record.attempts + 1, duration, delay_ms, error,
                bool(held.definition and held.definition.sensitive),
            )
        )  # fmt: skip
