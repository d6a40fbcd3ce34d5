"""One job, read for people: its call, its result, its attempts and its times, with secrets masked.

Nothing here raises for what lies in Redis: what cannot be read is told in ``problem``.
"""

from __future__ import annotations

import logging
import re
import time
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from ardiq import conf, owners
from ardiq.adminui.hiding import cleansed, private_names
from ardiq.core.codec import Codec
from ardiq.core.errors import BadPayload, BadSignature, JobCrashed, JobExpired, NewerPayload, UnknownTask
from ardiq.core.headers import read_headers
from ardiq.core.job import KEPT, JobRecord, JobStatus
from ardiq.core.outcome import (
    ABORTED,
    Attempt,
    Failure,
    TaskResult,
    read_call,
    read_history,
    read_result,
)
from ardiq.core.propagate import ENQUEUED_BY
from ardiq.core.redact import MASK, masked, masked_call, masked_text
from ardiq.core.reference import Reference, read_subject
from ardiq.core.registry import Definition
from ardiq.core.wishes import planned, span
from ardiq.origin import Origin, read_origin
from ardiq.store.inspector import JobView

log = logging.getLogger("ardiq")
# What a worker says of a job that it cannot read or run; it quotes nothing. A task may raise others of ours,
# such as Retry and TaskError, with any text.
_SPEAKABLE = {ABORTED.type} | {
    f"{kind.__module__}.{kind.__qualname__}"
    for kind in (BadPayload, BadSignature, NewerPayload, UnknownTask, JobExpired, JobCrashed)
}


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a job, also the last one. Times in epoch ms, None where it has not got there."""

    number: int
    status: JobStatus
    started: int | None
    ended: int | None
    worker: str
    error: Failure | None

    @property
    def duration_ms(self) -> int | None:
        return max(0, self.ended - self.started) if self.started and self.ended else None


def definition(queue: str, name: str) -> Definition | None:
    """What this process knows of a task: the web process need not have it."""
    for owner in owners.of(queue):
        if found := owner.registry.get(name):
            return found
    return None


class Reading:
    """Reads lazily: a list needs the times of fifty jobs, but not their arguments."""

    def __init__(self, queue: str, codec: Codec, view: JobView) -> None:
        self.queue = queue
        self.view = view
        self._codec = codec

    @property
    def record(self) -> JobRecord | None:
        return self.view.record

    # -- the call -----------------------------------------------------------------------------------

    @cached_property
    def _call(self) -> tuple[list[Any], dict[str, Any], dict[str, Any], str]:
        if self.record is None:
            return [], {}, {}, self.view.problem
        return read_call(self._codec, self.record)

    @property
    def problem(self) -> str:
        return self._call[3]

    @cached_property
    def _known(self) -> Definition | None:
        return definition(self.queue, self.record.name) if self.record else None

    @cached_property
    def _private(self) -> re.Pattern[str]:
        return private_names(self._known.sensitive if self._known else ())

    @cached_property
    def _named(self) -> tuple[list[tuple[str, Any]], set[str]]:
        args, kwargs, _, _ = self._call
        return masked_call(self._known.signature if self._known else None, args, kwargs, self._private)

    @property
    def unread(self) -> bytes | None:
        """The beginning of what could not be read, for people who want to know who wrote it. None where
        nothing is wrong, or where the task is known to take secrets."""
        if not self.problem:
            return None
        if self.record is None:
            return self.view.raw
        known = self._known
        if known and (known.sensitive or any(map(self._private.search, known.signature.parameters))):
            return None
        return self.record.call[:KEPT]

    @cached_property
    def subject(self) -> Reference | None:
        """The object that the job is about."""
        return read_subject(self._call[2])

    @property
    def arguments(self) -> list[tuple[str, Any]]:
        """(name, value) of each argument, secrets masked; a position has a number for a name where the
        signature is not known here."""
        return [(name, self._redacted(name, cleansed(name, value))) for name, value in self._named[0]]

    def _redacted(self, name: str, value: Any) -> Any:
        """As the REDACTOR of settings shows it, if the queue is there. One that raises hides."""
        redactor = conf.options(self.queue).redactor if self.queue in conf.aliases() else None
        if redactor is None or value == MASK:
            return value
        try:
            return redactor(name, value)
        except Exception:
            log.exception("The REDACTOR of queue %s raised; the value is masked.", self.queue)
            return MASK

    @cached_property
    def _secrets(self) -> set[str]:
        """Texts that messages and tracebacks must not tell either."""
        known, secrets = self._named
        return secrets | {str(value) for name, value in known if self._redacted(name, value) != value}

    @property
    def positional(self) -> int:
        """How many arguments were given by position."""
        return len(self._call[0])

    @property
    def values(self) -> list[Any]:
        """The arguments as they are, for whoever looks for something in them."""
        return [*self._call[0], *self._call[1].values()]

    @property
    def headers(self) -> dict[str, str]:
        """Those that travel with the job, secrets masked."""
        found = read_headers(self._call[2]) or {}
        return {name: MASK if self._private.search(name) else self.hide(text) for name, text in found.items()}

    @property
    def origin(self) -> Origin:
        """Who enqueued it, and in which request, where the job tells; without the secrets of its call."""
        context = self._call[2].get("context")
        found = read_origin(context.get(ENQUEUED_BY) if isinstance(context, dict) else None)
        return {name: self.hide(text) for name, text in found.items()}

    @property
    def parent(self) -> str:
        """The id of the job that this one repeats, '' for none."""
        found = self._call[2].get("parent")
        return found if isinstance(found, str) else ""

    def masked_value(self, value: object) -> object:
        """A result without what stands under secret-sounding keys."""
        return self._redacted("", cleansed("", masked(value, self._private)))

    def masked(self, error: Failure) -> Failure:
        """An error without the secrets that the call was given."""
        if self.problem and error.type in _SPEAKABLE:
            return error
        return Failure(error.type, self.hide(error.message), self.hide(error.traceback))

    def hide(self, text: str) -> str:
        """A message or a traceback without the secrets that the call was given."""
        if self.problem:
            return MASK  # the call cannot be read, so that nothing is known of its secrets
        return masked_text(text, self._secrets)

    # -- what became of it --------------------------------------------------------------------------

    @cached_property
    def result(self) -> TaskResult | None:
        record = self.record
        if record is None or not record.status.finished or (self.view.cut and not record.outcome):
            return None
        return read_result(self._codec, record)

    @cached_property
    def history(self) -> list[Attempt]:
        return read_history(self._codec, self.record) if self.record else []

    @property
    def error(self) -> Failure | None:
        """What went wrong last: of the job when it has ended, else of its latest attempt."""
        if self.result is not None:
            return self.result.error
        return self.history[-1].error if self.history else None

    @cached_property
    def runs(self) -> list[Run]:
        record, result = self.record, self.result
        out = [
            Run(one.number, JobStatus.FAILED, one.started, one.ended, one.worker, one.error)
            for one in self.history
        ]
        if record is None:
            return out
        number = out[-1].number + 1 if out else max(1, record.attempts)
        if record.status is JobStatus.RUNNING:
            out.append(Run(record.attempts + 1, record.status, record.at, None, record.worker, None))
        elif result is not None and result.start:
            out.append(Run(number, record.status, result.start, result.finish, result.worker, result.error))
        return out

    # -- times, epoch ms ----------------------------------------------------------------------------

    @property
    def due(self) -> int | None:
        """When the caller wanted it to run, if not at once."""
        result = self.result
        return planned(self.record, self._call[2], result.start if result else 0) if self.record else None

    @property
    def expires(self) -> int | None:
        expire = span(self._call[2], "expire_ms")
        return self.record.enqueued + expire if self.record and expire else None

    @property
    def first_start(self) -> int | None:
        return self.runs[0].started if self.runs and self.runs[0].number == 1 else None

    @property
    def last_start(self) -> int | None:
        return self.runs[-1].started if self.runs else None

    @property
    def wait_ms(self) -> int | None:
        """From when it could first run until it first did, or until now."""
        if self.record is None:
            return None
        start = self.first_start
        if start is None and self.record.status is JobStatus.QUEUED:
            start = int(time.time() * 1000)
        ready = max(self.record.enqueued, self.due or 0)
        if start is None:
            return None
        # A replayed job keeps the delay of its first life, which is over.
        return max(0, start - (ready if ready <= start else self.record.enqueued))

    @property
    def ran_ms(self) -> int | None:
        """How long the last run took, or has taken so far."""
        run = self.runs[-1] if self.runs else None
        if run is None or run.started is None:
            return None
        return run.duration_ms if run.ended else max(0, int(time.time() * 1000) - run.started)
