"""Log lines about jobs: a listener of events, the only place that words them.

Fields are the same in every line (H8): job_id, task, queue, lane, worker, attempt, duration_ms. Never
arguments or results; the text of an exception is the task's own affair, and is shown unless the task has
``sensitive`` arguments. Nothing that comes from a job can begin a line or steer a terminal (FAULTS S9).
"""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

from ardiq.core import events
from ardiq.core.context import current_job
from ardiq.core.errors import Retry, TaskError
from ardiq.core.events import Event

BLOCK_MOST = 16_384  # characters of a traceback in a log: its end, where the error is

log = logging.getLogger("ardiq")

_WORDS = {
    events.STARTED: (logging.DEBUG, "started"),
    events.SUCCEEDED: (logging.INFO, "succeeded"),
    events.RETRIED: (logging.WARNING, "failed and will be retried"),
    events.FAILED: (logging.ERROR, "failed"),
    events.ABORTED: (logging.WARNING, "was aborted"),
    events.EXPIRED: (logging.WARNING, "expired before it started"),
    events.PARKED: (logging.WARNING, "is parked: no worker here can run it just now"),
    events.CRASHED: (logging.WARNING, "killed its process"),
    events.LOST: (logging.WARNING, "is stopped: the lease ran out; it will run again"),
    events.REFUSED: (logging.WARNING, "had been taken over; what came of it here is dropped"),
}


def shield() -> None:
    """Let no handler or filter of the project raise into what a worker does, such as one that opens its file
    when there is none left to be had: the record goes to stderr instead."""
    for name in ("ardiq", "ardiq.worker", "asyncio"):
        logger = logging.getLogger(name)
        if "handle" not in vars(logger):
            logger.handle = partial(_handled, logger.handle)  # type: ignore[method-assign]


def _handled(handle: Callable[[logging.LogRecord], None], record: logging.LogRecord) -> None:
    try:
        handle(record)
    except Exception:
        with suppress(Exception):
            if logging.lastResort is not None:
                logging.lastResort.handle(record)


def wanted(kind: str) -> bool:
    """Whether a line about such an event would be read."""
    level, _ = _WORDS.get(kind, (logging.DEBUG, ""))
    return log.isEnabledFor(level)


def one_line(text: str, most: int = 200) -> str:
    """Text without what could forge or garble a log line."""
    if text.isprintable():
        return text[:most]
    return "".join(char if char.isprintable() else f"\\x{ord(char):02x}" for char in text)[:most]


def block(text: str) -> str:
    """Text of several lines, none of which begins where a line of the log does."""
    kept = text[-BLOCK_MOST:].rstrip("\n").split("\n")
    return "\n".join(f"  {one_line(line, BLOCK_MOST)}" for line in kept)


def write(event: Event) -> None:
    """Write one event, if anybody reads it: a formatted line costs twice a whole no-op."""
    level, words = _WORDS.get(event.kind, (logging.DEBUG, event.kind))
    error = event.error
    if event.kind == events.RETRIED and isinstance(error, Retry):
        level, words = logging.INFO, "asked to be retried"
    if not log.isEnabledFor(level):
        return
    text = f"{one_line(event.name)} {one_line(event.id)} {words}"
    text += _times(event)
    if error is not None:
        name, words = _told(error)
        words = "not shown, the task has sensitive arguments" if event.discreet else words
        text += f" ({one_line(name)}: {one_line(words)})"
    record = log.makeRecord(log.name, level, __file__, 0, "%s", (text,), None)
    if event.kind == events.FAILED and error is not None:
        if error.__traceback__:
            _add_traceback(record, error, event.discreet)
        elif isinstance(error, TaskError) and error.traceback:
            record.exc_info, record.exc_text = (type(error), error, None), block(error.traceback)
    # Not by extra=, which refuses the fields that carry_job_ids has put on every record already.
    record.__dict__.update(fields(event))
    log.handle(record)


def _times(event: Event) -> str:
    """How long it ran, and when it comes again."""
    ran, comes = f"{event.duration_ms:.0f} ms", f" in {event.delay_ms / 1000:g} s" if event.delay_ms else ""
    if event.kind == events.RETRIED:
        return f"{comes}; it ran {ran}" if event.duration_ms else comes
    return (f" after {ran}" if event.duration_ms else "") + (f", due{comes}" if comes else "")


def _add_traceback(record: logging.LogRecord, error: BaseException, discreet: bool) -> None:
    """The text that formatters print is made here; what reports errors by itself finds the exception."""
    if discreet:
        lines = traceback.format_tb(error.__traceback__)
    else:
        record.exc_info = (type(error), error, error.__traceback__)
        try:
            lines = traceback.format_exception(error, limit=-40)
        except Exception as worse:
            lines = [f"(its traceback cannot be formatted: {type(worse).__name__})"]
    record.exc_text = block("".join(lines))


def _told(error: BaseException) -> tuple[str, str]:
    """The name of its class and its message. A TaskError that nobody has raised here stands for an error of
    another process."""
    if isinstance(error, TaskError) and error.__traceback__ is None:
        return error.type.rpartition(".")[2], error.message
    try:
        return type(error).__name__, str(error)
    except Exception:
        return type(error).__name__, "its message cannot be shown"


def fields(event: Event) -> dict[str, Any]:
    return {
        "job_id": one_line(event.id),
        "task": one_line(event.name),
        "queue": event.queue,
        "lane": one_line(event.lane),
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
        record.job_id = one_line(job.id) if job else ""
        record.task = one_line(job.name) if job else ""
        return record

    record_of.carries_job_ids = True  # type: ignore[attr-defined]
    logging.setLogRecordFactory(record_of)
