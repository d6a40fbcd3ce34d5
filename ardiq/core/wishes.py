"""What a call asked for besides its arguments, in numbers: read from the options that travel with it."""

from __future__ import annotations

from typing import Any

from ardiq.core.job import FLAG_STARTED, JobRecord, JobStatus


def planned(record: JobRecord, meta: dict[str, Any], started: int = 0) -> int | None:
    """When the job was to run first, epoch ms; None for at once. ``started``: of one that has ended, or 0.

    Until then the record says so, whoever has moved it. Afterwards it is what the call had asked for, unless
    the job was ready, or ran, before that: then somebody has moved it to an earlier time.
    """
    waits = record.status is JobStatus.SCHEDULED
    if waits and not (record.attempts or record.flags & FLAG_STARTED):
        return record.at
    delay = span(meta, "delay_ms")
    wanted = record.enqueued + delay if delay else span(meta, "schedule_ms")
    ready = started if record.status.finished else 0 if waits else record.at
    return None if wanted and 0 < ready < wanted else wanted


def span(meta: dict[str, Any], name: str) -> int | None:
    """A number of ms among the options of a call; None without one, and for what is none."""
    value = meta.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None
