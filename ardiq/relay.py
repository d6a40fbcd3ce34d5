"""The relay: pushes what was left in the outbox, in every worker process, one relay at a time per database.

A row is left when Redis was away or full at commit, or when the process died between the commit and the
push. Rows younger than GRACE belong to whoever wrote them. The oldest row decides who relays: where the
database can skip locked rows, a relay that cannot lock that one leaves the rest alone. Elsewhere (SQLite) two
relays may push the same row, which makes one job; no transaction is held meanwhile.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from django.db import DatabaseError, InterfaceError, close_old_connections, connections, router, transaction
from django.db.models import F
from django.db.models.functions import Now
from django.utils import timezone

from ardiq import outbox, owners
from ardiq.connection import broker, is_new
from ardiq.core.options import Options
from ardiq.signals import announce, job_enqueued
from ardiq.tables import Once, Outbox
from ardiq.worker import faults

GRACE = timedelta(seconds=5)
BATCH = 100  # rows of one transaction
ROUNDS = 50  # batches of one turn
POLL = 1.0  # seconds between looks where the outbox is in use
RARELY = 30.0  # seconds between looks where nothing here says that it is
UNKNOWN = 600.0  # seconds between looks for a table that is not there, and between purges
LONGEST = 5.0  # seconds of back-off while Redis or a database is away
PURGED = 1_000  # marks of one statement

log = logging.getLogger("ardiq.worker")


def in_use(options: Options) -> bool:
    """Whether anything in this process says that the queue has durable jobs, or tasks that run once."""
    definitions = [owner.registry[name] for owner in owners.of(options.queue) for name in owner.registry]
    return options.durable or any(one.durable or one.once for one in definitions)


class Relay:
    """The relay of one queue. Its methods are called in one thread, and never raise."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._broker = broker(options)
        self._missing: dict[str, float] = {}  # alias -> when its table is looked for again
        self._known: set[str] = set()
        self._troubled: set[str] = set()  # what has been logged and has not worked since
        self._failures = 0
        self._purge_at = 0.0
        self._news: list[tuple[str, str, str]] = []  # jobs that are new in Redis: id, name, lane

    # -- life -------------------------------------------------------------------------------------

    def run(self, stop: threading.Event) -> None:
        """Sweep until ``stop``."""
        pause = 0.0 if in_use(self._options) else RARELY * random.uniform(0.3, 1)  # noqa: S311 - spreads
        while not stop.wait(pause):
            found = self.turn(GRACE)
            if self._failures:
                pause = min(LONGEST / 1.25, 0.5 * 2 ** min(self._failures, 8))
            else:
                pause = POLL if found or in_use(self._options) else RARELY
            pause *= random.uniform(0.75, 1.25)  # noqa: S311 - spreads workers
        connections.close_all()

    def once(self) -> None:
        """One sweep of everything that is committed, for a worker that ends when nothing is due."""
        self.turn(timedelta(0))
        connections.close_all()

    def here(self) -> int:
        """Push everything in the thread of the caller and in its transaction, as a test wants it. Answers how
        many rows. Raises DatabaseError."""
        pushed = sum(self._sweep(alias, timedelta(0)) for alias in connections if self._has_tables(alias))
        self._announce()
        return pushed

    def turn(self, grace: timedelta) -> int:
        """Push what is due in every database. Answers how many rows; failures are logged and counted."""
        close_old_connections()
        purge = time.monotonic() >= self._purge_at
        pushed, failures = 0, self._failures
        for alias in list(connections):
            with self._noted(alias):
                if not self._has_tables(alias):
                    continue
                if purge:
                    self._purge(alias)
                for _ in range(ROUNDS):
                    count = self._sweep(alias, grace)
                    self._announce()
                    pushed += count
                    if count < BATCH:
                        break
        if purge:
            self._purge_at = time.monotonic() + UNKNOWN
        if self._failures == failures:
            self._failures = 0
        close_old_connections()
        return pushed

    @contextmanager
    def _noted(self, alias: str) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            self._failures += 1
            known = isinstance(error, (DatabaseError, InterfaceError))
            self._trouble(alias, f"The outbox of the database {alias!r} cannot be read", error, not known)
        else:
            self._troubled.discard(alias)

    def _trouble(self, subject: str, what: str, error: Exception, surprise: bool = False) -> None:
        """Say it once, until it has worked again."""
        level = logging.DEBUG if subject in self._troubled else logging.WARNING
        # A database that nobody here is known to need may be forbidden, or not there at all.
        level = level if in_use(self._options) else logging.DEBUG
        log.log(level, "%s; it is tried again. %s", what, error, exc_info=surprise)
        self._troubled.add(subject)

    def _has_tables(self, alias: str) -> bool:
        if alias in self._known:
            return True
        if connections.settings[alias]["ENGINE"].endswith(".dummy"):
            return False
        if time.monotonic() < self._missing.get(alias, 0.0):
            return False
        if router.allow_migrate_model(alias, Outbox) and _exists(alias):
            self._known.add(alias)
            return True
        self._missing[alias] = time.monotonic() + UNKNOWN
        return False

    # -- sweeping ---------------------------------------------------------------------------------

    def _sweep(self, alias: str, grace: timedelta) -> int:
        """Push one batch. Answers how many rows have left the outbox."""
        ids = self._due(alias, grace)
        if not ids:
            return 0
        if not connections[alias].features.has_select_for_update_skip_locked:
            return self._push(alias, ids, locked=False)
        with transaction.atomic(using=alias):
            return self._push(alias, ids, locked=True)

    def _due(self, alias: str, grace: timedelta) -> list[str]:
        rows = Outbox.objects.using(alias).filter(
            queue=self._options.queue, lane__in=self._options.priorities
        )
        seen = rows.order_by("id").annotate(now=Now()).values_list("id", "size", "created", "now")[:BATCH]
        ids: list[str] = []
        total = 0
        for id, size, created, now in seen:
            if now - created < grace:
                continue
            if ids and total + size > outbox.MOST_BYTES:
                break
            ids.append(id)
            total += size
        return ids

    def _push(self, alias: str, ids: list[str], locked: bool) -> int:
        query = Outbox.objects.using(alias).filter(id__in=ids).order_by("id").annotate(now=Now())
        rows: list[Any] = list(query.select_for_update(skip_locked=True) if locked else query)
        if not rows or (locked and rows[0].id != ids[0]):
            return 0  # another relay is at it, or they were pushed at commit after all
        jobs = [outbox.job_of(row, (row.now - row.created) // timedelta(milliseconds=1)) for row in rows]
        if faults.armed:
            faults.hit("before_push")
        answers, error = self._broker.submit_in_order(jobs)
        stored = len(answers)
        if faults.armed and stored:
            faults.hit("after_push")
        if error is not None:
            self._failures += 1
            self._trouble("redis", f"{len(rows) - stored} jobs wait in the outbox of {alias!r}", error)
            left = Outbox.objects.using(alias).filter(id__in=[row.id for row in rows[stored:]])
            left.update(attempts=F("attempts") + 1, error=str(error)[:300])
        else:
            self._troubled.discard("redis")
        if stored:
            outbox.delete([row.id for row in rows[:stored]], alias)
            log.info("Jobs that were pushed out of the outbox of the database %s: %d.", alias, stored)
        # Behind what may fail: the same rows come again then, with the same answers.
        if job_enqueued.receivers:
            new = (row for row, answer in zip(rows, answers, strict=False) if is_new(answer))
            self._news += [(row.job, row.task, row.lane) for row in new]
        return stored

    def _announce(self) -> None:
        """Send ``job_enqueued``, with no rows locked: receivers may take their time, and use the ORM."""
        news, self._news = self._news, []
        if news:
            announce(self._options.queue, news)

    # -- upkeep -----------------------------------------------------------------------------------

    def _purge(self, alias: str) -> None:
        """Forget old marks of tasks that run once, and say of rows that no worker will run why."""
        queue = self._options.queue
        old = timezone.now() - timedelta(milliseconds=self._options.once_ttl_ms)
        marks = Once.objects.using(alias)
        for _ in range(ROUNDS):
            ids = list(marks.filter(queue=queue, created__lt=old).values_list("id", flat=True)[:PURGED])
            marks.filter(id__in=ids)._raw_delete(alias)
            if len(ids) < PURGED:
                break
        lost = (
            Outbox.objects.using(alias)
            .filter(queue=queue, error="")
            .exclude(lane__in=self._options.priorities)
        )
        lost.update(error=f"This is no lane of {queue}; name it in PRIORITIES, or delete the row.")


def _exists(alias: str) -> bool:
    return {Outbox._meta.db_table, Once._meta.db_table} <= set(connections[alias].introspection.table_names())


@contextmanager
def relaying(queues: Iterable[Options]) -> Iterator[None]:
    """Relays of these queues, each in a thread of its own, for as long as this lasts."""
    stop = threading.Event()
    for options in queues:
        name = f"ardiq-relay-{options.queue}"
        threading.Thread(target=Relay(options).run, args=(stop,), name=name, daemon=True).start()
    try:
        yield
    finally:
        stop.set()
