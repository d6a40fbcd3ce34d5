"""Reads for people: what the admin, commands and metrics may know of a queue, a page at a time.

Every function returns a Call, so that sync and async clients can run it, and every Call answers frozen
values, never a raw reply. Nothing here reads a whole collection; lists of jobs are browsed (browsing.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ardiq.core.job import KEPT, LETTERS, JobRecord, JobStatus
from ardiq.core.reports import LogLine, Progress, read_logs, read_progress
from ardiq.store import verbs
from ardiq.store.again import read_again
from ardiq.store.browsing import STATUSES, STRETCH
from ardiq.store.keys import Keys
from ardiq.store.reports import with_all
from ardiq.store.scripts import Call, id_text, script

LARGEST = 65_536  # bytes of a call, a history or an outcome that a list still fetches
HEADS = 50  # ids at the head of a lane among which a job that waits is looked for
FAR = 50_000  # ids of a lane among which the place of one is looked for: a millisecond or two
TIDIED = 500  # most dead ids that one look drops from each list


@dataclass(frozen=True, slots=True)
class Counts:
    """How many jobs of each status there are, how many wait in each lane, and how many workers live."""

    statuses: dict[JobStatus, int]
    lanes: dict[str, int]
    workers: int

    @property
    def total(self) -> int:
        return sum(self.statuses.values())


@dataclass(frozen=True, slots=True)
class Heads:
    """Since when the first job of each lane has been ready, and when the next scheduled one is due; epoch ms,
    0 where there is none. ``now`` by the clock of the server."""

    now: int
    next_due: int
    lanes: dict[str, int]

    @property
    def oldest(self) -> int:
        """Since when the job that waits longest has been ready, 0 where none waits."""
        return min(filter(None, self.lanes.values()), default=0)


@dataclass(frozen=True, slots=True)
class JobView:
    """A job as it lies in Redis. ``record`` is None, and ``problem`` says why, when it cannot be parsed;
    ``raw`` is then how it begins. ``cut`` tells that large parts were left out of it. ``size`` in bytes."""

    id: str
    status: JobStatus | None
    size: int
    record: JobRecord | None
    problem: str = ""
    cut: bool = False
    raw: bytes = b""
    progress: Progress | None = None
    """This and the following only where one job is looked at."""
    logs: tuple[LogLine, ...] = ()
    again: tuple[str, ...] = ()
    """Ids of the jobs that were made of it by running it again, the latest last."""


@dataclass(frozen=True, slots=True)
class WorkerView:
    """A worker. Times in epoch ms by the clock of the server; ``about`` is what it tells of itself."""

    id: str
    lease_end: int
    about: dict[str, str] = field(default_factory=dict)

    def number(self, name: str) -> int:
        text = self.about.get(name, "")
        return int(text) if text.isdigit() else 0

    @property
    def doing(self) -> str:
        """'quiet' or 'stopping', as it was told or tells of itself; '' for one that takes jobs."""
        state, order = self.about.get("state", ""), self.about.get("order", "")
        if order == "stop" or state == "stopping":
            return "stopping"
        return "quiet" if (order or state) == "quiet" else ""

    @property
    def beat(self) -> int:
        """When it last renewed its lease."""
        return self.number("seen") or self.number("since")

    @property
    def turned(self) -> int:
        """When its event loop is last known to have turned: the thread that renews tells how long ago."""
        return self.beat - self.number("behind")


def counts(keys: Keys, lanes: Sequence[str]) -> Call:
    """Counts of one moment, O(lanes + workers)."""
    call = verbs.counts(keys, lanes)
    return Call(call.command, lambda reply: _counts(reply, lanes), call.script)


def _counts(reply: list[int], lanes: Sequence[str]) -> Counts:
    scheduled, running, succeeded, failed, aborted, expired, workers, *lengths = reply
    numbers = (scheduled, sum(lengths), running, succeeded, failed, aborted, expired)
    return Counts(dict(zip(STATUSES, numbers, strict=True)), dict(zip(lanes, lengths, strict=True)), workers)


def heads(keys: Keys, lanes: Sequence[str]) -> Call:
    """Heads of one moment. Of a lane whose first HEADS ids are all stale nothing is told."""
    return script("heads").call(
        keys.prefix,
        [HEADS, *lanes],
        lambda reply: Heads(reply[0], reply[1], dict(zip(lanes, reply[2:], strict=True))),
    )


def tidy(keys: Keys) -> Call:
    """Drop a bounded number of listed ids whose record has expired. Answers how many."""
    return script("tidy").call(keys.prefix, [TIDIED], int)


def rows(keys: Keys, ids: Sequence[str], largest: int = LARGEST) -> Call:
    """What a list shows of jobs: their records without parts above ``largest`` bytes; None for none."""

    def decode(reply: list[Any]) -> list[JobView | None]:
        found = zip(ids, reply[::2], reply[1::2], strict=True)
        return [view(id, raw, size) if size else None for id, size, raw in found]

    return script("rows").call(keys.prefix, [largest, *ids], decode)


@dataclass(frozen=True, slots=True)
class Attached:
    """The newest jobs of an object, and how many it lists; of those a few may be gone."""

    total: int
    views: tuple[JobView, ...]


def attached(keys: Keys, subject: str, most: int) -> Call:
    """The newest jobs about an object, by its hash; ``most`` up to STRETCH, parts above LARGEST left out."""

    def decode(reply: list[Any]) -> Attached:
        found = zip(reply[1::3], reply[2::3], reply[3::3], strict=True)
        return Attached(reply[0], tuple(view(id_text(id), raw, size) for id, size, raw in found))

    return script("attached").call(keys.prefix, [subject, min(most, STRETCH), LARGEST], decode)


def jobs(keys: Keys, ids: Sequence[str]) -> Call:
    """Whole jobs, whatever their size; None where there is none."""
    call = verbs.read(keys, ids)
    return Call(
        call.command,
        lambda reply: [view(id, raw, len(raw)) if raw else None for id, raw in zip(ids, reply, strict=True)],
    )


def job(keys: Keys, id: str) -> Call:
    """One whole job with what it reports, in a list; [None] where there is none."""
    call = with_all(keys, id)

    def decode(reply: list[bytes | None]) -> list[JobView | None]:
        raw, told, lines, again = reply
        found = view(id, raw, len(raw)) if raw else None
        if found is None or found.record is None:
            return [found]
        return [
            replace(
                found,
                progress=read_progress(told, found.record),
                logs=tuple(read_logs(lines, found.record)),
                again=read_again(again),
            )
        ]

    return Call(call.command, decode)


def ahead(keys: Keys, lane: str, id: str) -> Call:
    """How many ids are before this one in its lane, None when it is not among the first FAR."""
    return Call(("LPOS", keys.lane(lane), id, "MAXLEN", FAR), lambda reply: reply)


def held(keys: Keys, worker: str, most: int) -> Call:
    """Ids of what a worker holds, ``most`` or a few more at most."""

    def decode(reply: Any) -> list[str]:
        return [id.decode("utf-8", "backslashreplace") for id in reply[1][::2]][:most]

    return Call(("HSCAN", keys.held(worker), 0, "COUNT", most), decode)


def view(id: str, raw: bytes, size: int) -> JobView:
    """Read a record. Never raises: what cannot be read is told."""
    status = LETTERS.get(chr(raw[0])) if raw else None
    try:
        record = JobRecord(id, raw)
        # Cut out of the bytes when asked for: a broken one must be found here and not on a page.
        _ = record.crashes, record.enqueued, record.at, record.worker
        return JobView(id, status, size, record, cut=len(raw) < size)
    except (ValueError, IndexError) as error:
        return JobView(id, status, size, None, str(error) or type(error).__name__, raw=raw[:KEPT])


def workers(keys: Keys) -> Call:
    """(worker, end of its lease) of those that live and those not yet reaped; at most verbs.MOST_WORKERS."""
    return verbs.workers(keys)


def worker(keys: Keys, id: str, lease_end: int) -> Call:
    """One of them, seen closer."""
    call = verbs.worker_info(keys, id)
    return Call(call.command, lambda reply: WorkerView(id, lease_end, call.decode(reply)))
