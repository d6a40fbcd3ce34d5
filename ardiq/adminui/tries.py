"""Attempts as a fraction: how many a job has made, of how many it may make."""

from __future__ import annotations

from ardiq import conf
from ardiq.adminui.reading import Reading, definition
from ardiq.core.job import JobStatus
from ardiq.core.registry import MOST_RETRIES


def made(reading: Reading) -> int:
    """Attempts that have ended and were charged, and the one that runs."""
    record = reading.record
    return record.attempts + (record.status is JobStatus.RUNNING) if record else 0


def most(reading: Reading) -> int | None:
    """How many the policy of its task allows. None where this process does not know the task, where there is
    no end to them, and where the job has made more: then its worker goes, or went, by another policy."""
    record = reading.record
    known = definition(reading.queue, record.name) if record else None
    if known is None or reading.queue not in conf.aliases():
        return None
    retries = known.policy(conf.options(reading.queue)).max_retries
    return retries + 1 if made(reading) - 1 <= retries < MOST_RETRIES else None


def told(reading: Reading) -> str:
    """'2/4', or '2' where nobody knows of how many."""
    bound = most(reading)
    return str(made(reading)) if bound is None else f"{made(reading)}/{bound}"
