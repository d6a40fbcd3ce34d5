"""Kept logs: log records made inside a job of a task with ``keep_logs`` go to its reports as well."""

from __future__ import annotations

import logging
import traceback

from ardiq.core.context import JobContext, current_job
from ardiq.core.registry import Definition
from ardiq.core.reports import line_text

ALL, DISCREET = "all", "discreet"


class _Keeper(logging.Handler):
    """Stands on the root logger beside whatever the project has there."""

    def handle(self, record: logging.LogRecord) -> bool:
        # Without the lock of a handler: a job may be interrupted at any bytecode, also while it holds one.
        kept = bool(self.filter(record))
        if kept:
            self.emit(record)
        return kept

    def emit(self, record: logging.LogRecord) -> None:
        job = current_job()
        # What ardiq itself says of a job is in its result already.
        if job is None or not job.kept_logs or job.reports is None or record.name == "ardiq":
            return
        try:
            line = line_text(int(record.created * 1000), record.levelname, record.name, _words(record, job))
        except Exception:
            self.handleError(record)
        else:
            job.reports.log(job, line)


def _words(record: logging.LogRecord, job: JobContext) -> str:
    words = record.getMessage()
    if not record.exc_info or record.exc_info[1] is None:
        return words
    error = record.exc_info[1]
    if job.kept_logs == DISCREET:
        shown = "".join(traceback.format_tb(error.__traceback__)) + type(error).__name__
    else:
        shown = "".join(traceback.format_exception(error, limit=-20))
    return f"{words}\n{shown}".rstrip("\n")


_keeper = _Keeper(logging.INFO)


def keep(job: JobContext, definition: Definition) -> None:
    """Keep what this job logs. The handler stands on the root logger from the first such job on."""
    job.kept_logs = DISCREET if definition.sensitive else ALL
    root = logging.getLogger()
    if _keeper not in root.handlers:
        root.addHandler(_keeper)
