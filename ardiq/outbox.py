"""Durable enqueue: the job is a row of the caller's transaction before it is one of Redis.

The row is written with the data that the job is about, and commits or vanishes with it. At commit the job is
pushed and its row deleted; should any of that fail, a worker does it (relay.py). A push can be repeated:
Redis knows the row that it came from.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from asgiref.sync import sync_to_async
from django.db import DEFAULT_DB_ALIAS, DatabaseError, InterfaceError, connections, transaction

from ardiq import transactions
from ardiq.connection import Answer, Broker, is_new
from ardiq.core.errors import BrokerError, QueueFull
from ardiq.signals import announce, job_enqueued
from ardiq.store import verbs
from ardiq.store.newjobs import NewJob
from ardiq.store.pushes import name_in, pushed, told, unfolded

if TYPE_CHECKING:
    from ardiq.tables import Outbox

log = logging.getLogger("ardiq")

MOST_BYTES = 4_194_304  # of one statement, as far as rows can be parted: databases limit a packet
AVOIDED = 5.0  # seconds in which nothing is pushed at commit after Redis could not be reached

Hearer = Callable[[Answer], None]
"""Hears what came of a row; must not raise."""

_avoided: WeakKeyDictionary[Broker, float] = WeakKeyDictionary()
_last_id = 0


def new_row_id() -> str:
    """32 hex digits that sort by time, and within a process by the order of the calls."""
    global _last_id
    _last_id = max(_last_id + 1, time.time_ns() // 1000)
    return f"{_last_id:014x}{secrets.token_hex(9)}"


def _table() -> type[Outbox]:
    # Not before Django is set up, and tasks may be defined without it.
    from ardiq.tables import Outbox

    return Outbox


def row_of(queue: str, job: NewJob) -> Outbox:
    id, lane, options, tail = unfolded(job)
    return _table()(
        id=new_row_id(), queue=queue, job=id, task=name_in(tail), lane=lane, options=options, tail=tail,
        size=len(tail),
    )  # fmt: skip


def job_of(row: Outbox, age_ms: int) -> NewJob:
    return pushed((row.job, row.lane, row.options, bytes(row.tail)), row.id, age_ms)


@dataclass(eq=False)
class Parcel:
    """Rows of one queue that were written together. Pushing never raises: what fails is left to the relay."""

    broker: Broker
    using: str
    rows: list[Outbox]
    written: list[float]
    """When each row was written, by the monotonic clock."""
    hearers: list[Hearer | None]
    """Who is told, for each row, when a commit pushes it; whoever pushes it himself has the answers."""
    waits: bool = False
    """Whether it is not to be pushed by whoever wrote it: a commit does that, or the relay."""

    def push(self) -> list[Answer]:
        """Push and delete from sync code. Answers for each row; True for all when they stay for the relay."""
        if self._is_avoided():
            return self._unanswered()
        answers: list[Answer] = []
        error: Exception | None
        try:
            answers, error = self.broker.submit_in_order([job for jobs in self._chunks() for job in jobs])
        except Exception as surprise:
            error = surprise
        if error is not None:
            self._stays(error, len(answers))
        self._announce(answers, self._delete(len(answers)))
        return answers + self._unanswered()[len(answers) :]

    async def push_async(self) -> list[Answer]:
        """``push`` on an event loop; the database is asked in the thread for it."""
        if self._is_avoided():
            return self._unanswered()
        answers: list[Answer] = []
        here = self.broker.here()
        try:
            for jobs in self._chunks():
                answers += await here.store.run(verbs.enqueue(self.broker.keys, jobs, self.broker.limit))
        except Exception as error:
            self._stays(error, len(answers))
        gone = await sync_to_async(self._delete, thread_sensitive=True)(len(answers))
        if job_enqueued.receivers:
            await sync_to_async(self._announce)(answers, gone)
        return answers + self._unanswered()[len(answers) :]

    def _chunks(self) -> Iterator[list[NewJob]]:
        now = time.monotonic()
        for start in range(0, len(self.rows), verbs.CHUNK):
            part = slice(start, start + verbs.CHUNK)
            both = zip(self.rows[part], self.written[part], strict=True)
            yield [job_of(row, int((now - written) * 1000)) for row, written in both]

    def _unanswered(self) -> list[Answer]:
        return [True] * len(self.rows)

    def _is_avoided(self) -> bool:
        """Whether Redis was away a moment ago: a request must not wait for it at each of its jobs."""
        return _avoided.get(self.broker, 0.0) > time.monotonic()

    def _stays(self, error: Exception, pushed: int) -> None:
        if isinstance(error, BrokerError) and not isinstance(error, QueueFull):
            _avoided[self.broker] = time.monotonic() + AVOIDED
        what = f"{self.rows[pushed].task} {self.rows[pushed].job}"
        others = len(self.rows) - pushed - 1
        more = f" and {others:,} more" if others else ""
        # Anything but a broker that is away is a surprise, and tells where it comes from.
        surprise = None if isinstance(error, BrokerError) else error
        log.warning("%s%s: left in the outbox for a worker to push. %s", what, more, error, exc_info=surprise)

    def _announce(self, answers: list[Answer], gone: int) -> None:
        """Tell of what is new. The relay that meets rows which are not gone shall not tell of them again."""
        if not job_enqueued.receivers:
            return
        new = (row for row, answer in zip(self.rows, answers, strict=False) if is_new(answer))
        announce(self.broker.options.queue, ((row.job, row.task, row.lane) for row in new))
        for start in range(gone, len(answers), verbs.CHUNK):
            rows = self.rows[start : min(start + verbs.CHUNK, len(answers))]
            with suppress(BrokerError):
                self.broker.store.run_many([told(self.broker.keys, row.id) for row in rows])

    def _delete(self, count: int) -> int:
        """Delete the first rows. Answers how many of them are gone; the relay pushes the others again, which
        makes no second job."""
        gone = 0
        try:
            for rows in _parted(self.rows[:count]):
                delete([row.id for row in rows], self.using)
                gone += len(rows)
        except (DatabaseError, InterfaceError) as error:
            log.warning("Rows of the outbox that were pushed could not be deleted: %s", error)
        return gone


def _push_together(parcels: list[Parcel]) -> tuple[int, None]:
    """Push what one commit has written, in one round trip to Redis and one to the database."""
    rows, written, hearers = (
        [one for parcel in parcels for one in getattr(parcel, name)]
        for name in ("rows", "written", "hearers")
    )
    answers = Parcel(parcels[0].broker, parcels[0].using, rows, written, hearers).push()
    for hear, answer in zip(hearers, answers, strict=True):
        if hear is not None:
            hear(answer)
    return len(parcels), None


def delete(ids: Sequence[str], using: str) -> None:
    """Delete rows, in one statement and no transaction around it."""
    _table().objects.using(using).filter(id__in=ids)._raw_delete(using)


def _parted(rows: Sequence[Outbox]) -> Iterator[list[Outbox]]:
    part: list[Outbox] = []
    size = 0
    for row in rows:
        if part and (len(part) == verbs.CHUNK or size + row.size > MOST_BYTES):
            yield part
            part, size = [], 0
        part.append(row)
        size += row.size
    if part:
        yield part


def write(broker: Broker, jobs: Sequence[NewJob], using: str | None, hear: Hearer | None = None) -> Parcel:
    """Write the rows of jobs, all or none, in the transaction that is open here or in one of their own.

    ``hear`` is told the answer for each row when the commit of that transaction has pushed it, or left it to
    the relay. A parcel that does not wait for a commit is to be pushed by the caller, now. Raises
    DatabaseError.
    """
    table, alias = _table(), using or DEFAULT_DB_ALIAS
    rows = [row_of(broker.options.queue, job) for job in jobs]
    parcel = Parcel(broker, alias, rows, [time.monotonic()] * len(rows), [hear] * len(rows))
    try:
        if len(parcel.rows) == 1:
            parcel.rows[0].save(using=alias, force_insert=True)
        else:
            with transaction.atomic(using=alias):
                for part in _parted(parcel.rows):
                    table.objects.using(alias).bulk_create(part)
    except DatabaseError as error:
        error.add_note(
            f"A durable enqueue writes to the table {table._meta.db_table} of the database {alias!r}; "
            f"if it is missing: manage.py migrate ardiq --database {alias}"
        )
        raise
    connection = connections[alias]
    if transactions.is_open(alias):
        leaving = transactions.Leaving(parcel, _push_together, "", group=("outbox", broker, alias))
        transactions.at_commit(leaving, alias)
        parcel.waits = True
    elif not connection.in_atomic_block and not connection.get_autocommit():
        # A transaction by hand: nobody tells of its commit. The relay sees the row then.
        parcel.waits = True
    return parcel


def put(broker: Broker, jobs: Sequence[NewJob], using: str | None) -> list[Answer]:
    """Enqueue durably from sync code. Answers for each job; True for all while they are on their way."""
    parcel = write(broker, jobs, using)
    return parcel._unanswered() if parcel.waits else parcel.push()


async def put_async(broker: Broker, jobs: Sequence[NewJob], using: str | None) -> list[Answer]:
    """``put`` on an event loop. The row is written in the thread where Django's async ORM writes, so that a
    transaction which is open there holds it."""
    parcel = await sync_to_async(write, thread_sensitive=True)(broker, jobs, using)
    return parcel._unanswered() if parcel.waits else await parcel.push_async()
