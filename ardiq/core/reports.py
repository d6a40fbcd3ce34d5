"""What a running job tells of itself, between the worker that writes it and everybody who reads it.

Both texts begin with the life of their job, its enqueue time in hex: a job that is replayed, or made anew
under the same id, shows nothing of the life before. They are data for people and are not signed; whoever
can write to Redis can change them, and nothing is decided by them.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from ardiq.core.job import JobRecord, JobStatus

LINE_MOST = 2_000  # characters of a log line that are kept
LINES_MOST = 500  # lines that are kept: the latest
LOGS_MOST = 65_536  # bytes of all the lines of a job that are kept, about
_STAMP = 11  # hex digits of a time in ms


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a job is, as it told last. ``at`` in epoch ms; ``total`` is None when it told none."""

    done: float
    total: float | None
    message: str
    at: int

    @property
    def fraction(self) -> float | None:
        """From 0.0 to 1.0; None without a total."""
        if self.total is None:
            return None
        return min(1.0, self.done / self.total) if self.total else 1.0

    @property
    def percent(self) -> int | None:
        """Whole percent; 100 only when all is done. None without a total."""
        fraction = self.fraction
        return None if fraction is None else int(fraction * 100)


@dataclass(frozen=True, slots=True)
class LogLine:
    """One log record of a job. ``at`` in epoch ms; ``level`` is a name such as INFO."""

    at: int
    level: str
    logger: str
    message: str


def _clean(text: str) -> str:
    # Lone surrogates cannot be stored as UTF-8.
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def progress_text(done: float, total: float | None, message: str) -> str:
    return json.dumps([done, total, _clean(message)], ensure_ascii=False)


def line_text(at: int, level: str, logger: str, message: str) -> str:
    """A line without its newline; JSON spells those of the message."""
    return json.dumps([at, level, _clean(logger)[:200], _clean(message)[:LINE_MOST]], ensure_ascii=False)


def _life(record: JobRecord) -> bytes:
    return record.raw[7:18]


def read_progress(raw: bytes | None, record: JobRecord) -> Progress | None:
    """The progress of this run of a job, or of its last one when it does not run. None for what is missing,
    of another life, or no report of ours."""
    if not raw or raw[:_STAMP] != _life(record):
        return None
    try:
        at = int(raw[_STAMP : 2 * _STAMP], 16)
        done, total, message = json.loads(raw[2 * _STAMP :])
    except (ValueError, TypeError, RecursionError):
        return None
    if not (_number(done) and (total is None or _number(total)) and isinstance(message, str)):
        return None
    if record.status is JobStatus.RUNNING and at < record.at:
        return None  # of the run before
    return Progress(done, total, message, at)


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < float("inf")


def read_logs(raw: bytes | None, record: JobRecord) -> list[LogLine]:
    """The kept lines of a job, the oldest first; those of an earlier life, and what is no line, left out."""
    if not raw or raw[:_STAMP] != _life(record):
        return []
    lines = (_line(text) for text in raw[_STAMP + 1 :].split(b"\n")[-LINES_MOST - 1 :] if text)
    return [line for line in lines if line is not None][-LINES_MOST:]


def _line(text: bytes) -> LogLine | None:
    try:
        at, level, logger, message = json.loads(text)
    except (ValueError, TypeError, RecursionError):
        return None
    good = isinstance(at, int) and all(isinstance(one, str) for one in (level, logger, message))
    return LogLine(at, level, logger, message) if good else None
