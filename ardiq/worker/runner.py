"""One job: admit -> perform, and then to the judge (judge.py): judge -> settle -> tell.

Only here may exceptions of user code be met. No log line: what happened is told as an event.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextvars import Context
from typing import Any

from ardiq.core import events, reference
from ardiq.core.codec import Codec
from ardiq.core.context import Facts, JobContext, Reports, running
from ardiq.core.errors import (
    Interrupt,
    JobCrashed,
    JobExpired,
    MissingRow,
    NewerPayload,
    UnknownTask,
)
from ardiq.core.following import followers
from ardiq.core.headers import read_headers
from ardiq.core.job import FLAG_STARTED, JobRecord
from ardiq.core.options import Options
from ardiq.core.outcome import CALL, call_subject, check_format
from ardiq.core.registry import Definition
from ardiq.core.retry import Ending, Outcome
from ardiq.core.shortage import is_short
from ardiq.worker import faults, keeping
from ardiq.worker.around import Around
from ardiq.worker.effects import run_once
from ardiq.worker.following import follow, followed
from ardiq.worker.held import Clock, Held, Stop
from ardiq.worker.judge import Judge


class Runner:
    """Runs the jobs of one queue; what comes of them is the judge's affair."""

    def __init__(
        self,
        options: Options,
        codec: Codec,
        clock: Clock,
        around: Around | None,
        judge: Judge,
        reports: Reports | None = None,
    ) -> None:
        self._options, self._codec, self._clock = options, codec, clock
        self._around, self._judge, self._reports = around, judge, reports

    # -- admit ------------------------------------------------------------------------------------

    def admit(self, held: Held) -> tuple[list[Any], dict[str, Any]] | Outcome:
        """The decoded call, or how the job ends without having run."""
        turned_away = self.turned_away(held)
        if turned_away is not None:
            return turned_away
        record, definition = held.record, held.definition
        assert definition is not None
        reference.seen.list.clear()
        try:
            call: Any = self._codec.decode(CALL, call_subject(record.id, record.name), record.call)
            args, kwargs = call[0], call[1]
            if len(call) > 2:
                held.meta = call[2]
                check_format(call[2])
                if self._expired(held, call[2]):
                    return Outcome(
                        Ending.EXPIRED, error=JobExpired(f"Not started within {call[2]['expire_ms']:,} ms.")
                    )
            definition.check(args, kwargs)
        except NewerPayload as error:
            return Outcome(Ending.UNKNOWN, error=error)
        except Exception as error:
            # Whatever an extension or a deserializer raises: the worker must not be the one to suffer. What
            # this process is short of, such as a file to read a time zone from, is no fault of the job.
            return Outcome(Ending.PUT_OFF if is_short(error) else Ending.REFUSED, error=error)
        held.refers = bool(reference.seen.list)
        if faults.armed:
            faults.hit("before_start")
        self.begin(held, definition)
        return args, kwargs

    def turned_away(self, held: Held) -> Outcome | None:
        """How the job ends without a look at its call; None when it may run."""
        record = held.record
        if held.marked or held.stop is Stop.ABORT:
            return Outcome(Ending.ABORTED)
        if held.stop is not None:
            return Outcome(Ending.HANDED_BACK)
        if held.definition is None:
            words = (
                f"No worker knows a task named {record.name!r}; is it in the tasks.py of an installed app?"
            )
            return Outcome(Ending.UNKNOWN, error=UnknownTask(words))
        if record.raw[5:7] != b"00":
            return self._crashed(record)
        return None

    def _crashed(self, record: JobRecord) -> Outcome | None:
        try:
            crashes = record.crashes
        except ValueError as error:
            return Outcome(Ending.REFUSED, error=error)
        if crashes < self._options.crash_limit:
            return None
        times = f"{crashes} times; CRASH_LIMIT is {self._options.crash_limit}"
        return Outcome(Ending.CRASHED, error=JobCrashed(f"The worker died while it ran this job, {times}."))

    def _expired(self, held: Held, meta: dict[str, Any]) -> bool:
        record, window = held.record, meta.get("expire_ms")
        if not window or record.attempts or record.crashes or record.flags & FLAG_STARTED:
            return False
        return bool(self._clock.now() > record.enqueued + window)

    def begin(self, held: Held, definition: Definition) -> None:
        """From here on the job counts as started: its expiry window is over, and it has a context."""
        record = held.record
        record.flags |= FLAG_STARTED
        held.began = began = time.monotonic()
        held.started = self._clock.at(began)
        deadline = held.started + int(definition.timeout * 1000) if definition.timeout else None
        held.context = JobContext(
            record.id,
            record.name,
            record.attempts + 1,
            self._options.queue,
            record.lane,
            deadline,
            held.lease.token,
            held.claim,
            self._reports,
        )
        if definition.equipped or held.meta:
            self._equip(held, held.context, definition)
        if events.STARTED in self._judge.events.wanted:
            self._judge.tell(events.STARTED, held)

    def _equip(self, held: Held, job: JobContext, definition: Definition) -> None:
        """What few jobs have: headers, kept logs, facts."""
        meta = held.meta or {}
        if definition.described:
            job.facts = Facts(held.record, self._judge.name, held.started, meta)
        if headers := read_headers(meta):
            job.headers = headers
        if meta.get("keep_logs", definition.keep_logs) is True:
            keeping.keep(job, definition)

    # -- perform ----------------------------------------------------------------------------------

    async def perform(self, held: Held, finished: Callable[[Held], None]) -> None:
        """Run an async task to its verdict, in a context of its own."""
        try:
            try:
                call = self.admit(held)
                if isinstance(call, Outcome):
                    outcome = call
                elif followers:
                    outcome = await follow(self._run_async, self._judge.name, held, *call)
                else:
                    outcome = await self._run_async(held, *call)
                if faults.armed and held.began:
                    faults.hit("after_task")
            except Exception as error:
                # The runner answers for user code; should it fail itself, the job must not be held for ever.
                outcome = Outcome(Ending.REFUSED, error=error)
            # From here on nothing may cancel: a verdict that is made must reach the settler.
            held.over = True
            hooks = self._judge.conclude(held, outcome)
            if hooks is not None:
                await hooks
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
                begun = self._around.begin_async()
                try:
                    if held.meta:
                        self._put_context(held.meta)
                    if held.refers:
                        try:
                            args, kwargs = await self._around.resolve_async(args, kwargs)
                        except MissingRow as error:
                            return Outcome(Ending.MISSING, error=error)
                    if definition.timeout is None:
                        value = await definition.fn(*args, **kwargs)
                    else:
                        value = await self._within(definition, args, kwargs)
                finally:
                    ending = self._around.end_async(begun)
                    if ending is not None:
                        await ending
        except asyncio.CancelledError as error:
            return self._stopped(held) or Outcome(Ending.RAISED, error=error)
        except _OutOfTime as error:
            return Outcome(Ending.TIMED_OUT, error=TimeoutError(str(error)))
        except BaseException as error:
            return self._stopped(held, aborted_only=True) or Outcome(Ending.RAISED, error=error)
        return self._stopped(held, aborted_only=True) or Outcome(Ending.RETURNED, value)

    def _put_context(self, meta: dict[str, Any]) -> None:
        context = meta.get("context")
        if isinstance(context, dict) and self._around is not None:
            self._around.put(self._options.propagate, context)

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
        outcome = Context().run(followed(self._run_sync, self._judge.name), held, args, kwargs)
        if faults.armed:
            faults.hit("after_task")
        return outcome

    def _run_sync(self, held: Held, args: list[Any], kwargs: dict[str, Any]) -> Outcome:
        definition = held.definition
        assert definition is not None
        running.set(held.context)
        try:
            if self._around is None:
                if definition.once:
                    return self._once(held, args, kwargs)
                return Outcome(Ending.RETURNED, definition.fn(*args, **kwargs))
            with self._around.sync_job():
                if held.meta:
                    self._put_context(held.meta)
                if held.refers:
                    try:
                        args, kwargs = self._around.resolve(args, kwargs)
                    except MissingRow as error:
                        return Outcome(Ending.MISSING, error=error)
                if definition.once:
                    return self._once(held, args, kwargs)
                return Outcome(Ending.RETURNED, definition.fn(*args, **kwargs))
        except Interrupt as error:
            return Outcome.interrupted(error, held.timeout)
        except BaseException as error:
            return Outcome(Ending.RAISED, error=error)

    def _once(self, held: Held, args: list[Any], kwargs: dict[str, Any]) -> Outcome:
        queue = self._options.queue
        value = run_once(self._around, self._judge, self._codec, held, queue, args, kwargs)
        return Outcome(Ending.RETURNED, value)


class _OutOfTime(Exception):
    """The timeout of the task itself, told apart from a TimeoutError that its code raised."""
