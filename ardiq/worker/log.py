"""Log lines about jobs: a listener of events, the only place that words them.

Fields are the same in every line (H8): job_id, task, queue, lane, worker, attempt, duration_ms. Never
arguments or results; the text of an exception is the task's own affair and is shown as it came.
"""

from __future__ import annotations

import logging
from typing import Any

from ardiq.core import events
from ardiq.core.context import current_job
from ardiq.core.errors import Retry
from ardiq.core.events import Event

log = logging.getLogger("ardiq")

_WORDS = {
    events.STARTED: (logging.DEBUG, "started"),
    events.SUCCEEDED: (logging.INFO, "succeeded"),
    events.RETRIED: (logging.WARNING, "failed and will be retried"),
    events.FAILED: (logging.ERROR, "failed"),
    events.ABORTED: (logging.WARNING, "was aborted"),
    events.EXPIRED: (logging.WARNING, "expired before it started"),
    events.PARKED: (logging.WARNING, "is parked: no worker here knows its task"),
    events.CRASHED: (logging.WARNING, "killed its process"),
    events.REFUSED: (logging.WARNING, "had been taken over; what came of it here is dropped"),
}


def wanted(kind: str) -> bool:
    """Whether a line about such an event would be read."""
    level, _ = _WORDS.get(kind, (logging.DEBUG, ""))
    return log.isEnabledFor(level)


def one_line(text: str, most: int = 200) -> str:
    """Text without what could forge or garble a log line."""
    return "".join(char if char.isprintable() else f"\\x{ord(char):02x}" for char in text)[:most]


def write(event: Event) -> None:
    """Write one event, if anybody reads it: a formatted line costs twice a whole no-op."""
    level, words = _WORDS.get(event.kind, (logging.DEBUG, event.kind))
    error = event.error
    if event.kind == events.RETRIED and isinstance(error, Retry):
        level, words = logging.INFO, "asked to be retried"
    if not log.isEnabledFor(level):
        return
    text = f"{event.name} {one_line(event.id)} {words}"
    if event.duration_ms:
        text += f" after {event.duration_ms:.0f} ms"
    if event.delay_ms:
        text += f", due in {event.delay_ms / 1000:g} s"
    if error is not None:
        text += f" ({type(error).__name__}: {one_line(_words_of(error))})"
    shown = error if event.kind == events.FAILED and error is not None and error.__traceback__ else None
    told = (type(shown), shown, shown.__traceback__) if shown is not None else None
    record = log.makeRecord(log.name, level, __file__, 0, "%s", (text,), told)
    # Not by extra=, which refuses the fields that carry_job_ids has put on every record already.
    record.__dict__.update(fields(event))
    log.handle(record)


def _words_of(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:
        return "its message cannot be shown"


def fields(event: Event) -> dict[str, Any]:
    return {
        "job_id": event.id,
        "task": event.name,
        "queue": event.queue,
        "lane": event.lane,
        "worker": event.worker,
        "attempt": event.attempt,
        "duration_ms": round(event.duration_ms, 3),
    }


def carry_job_ids() -> None:
    """From now on every log record made inside a job has its ``job_id`` and ``task``; "" elsewhere."""
    make = logging.getLogRecordFactory()
    if getattr(make, "carries_job_ids", False):
        return

    def record_of(*args: Any, **kwargs: Any) -> logging.LogRecord:
        record = make(*args, **kwargs)
        job = current_job()
        record.job_id = job.id if job else ""
        record.task = job.name if job else ""
        return record

    record_of.carries_job_ids = True  # type: ignore[attr-defined]
    logging.setLogRecordFactory(record_of)
