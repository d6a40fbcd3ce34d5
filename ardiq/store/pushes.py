"""Jobs that wait in an outbox, as ``verbs.enqueue`` takes them when they are pushed."""

from __future__ import annotations

from ardiq.core.job import tail
from ardiq.store.keys import Keys
from ardiq.store.newjobs import NewJob
from ardiq.store.scripts import Call


def unfolded(job: NewJob) -> tuple[str, str, str, bytes]:
    """Id, lane, options and tail of a job: also of a plain one, whose record comes in two parts."""
    id, lane, options, rest = job
    return (id, lane, ";;", tail(options, rest)) if isinstance(options, bytes) else (id, lane, options, rest)


def name_in(tail: bytes) -> str:
    """The name of the task in a tail."""
    return tail.split(b"\n", 2)[1].decode()


def told(keys: Keys, row: str) -> Call:
    """What came of the push of a row was told, and the row is still there: its next push is no news."""
    return Call(("SET", keys.pushed(row), "", "XX", "KEEPTTL"), bool)


def pushed(job: tuple[str, str, str, bytes], row: str, age_ms: int) -> NewJob:
    """The job out of this row, enqueued ``age_ms`` ago: a delay or an expiry counts from there, and the same
    row never makes a second job for as long as enqueue.lua remembers it."""
    id, lane, options, rest = job
    return (id, lane, f"o{row},{max(0, age_ms)}|{options}", rest)
