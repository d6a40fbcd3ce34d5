"""Recurring tasks: at the time of each occurrence every worker offers it to Redis, and one of them is taken.

No leader is elected and no lock is held. The mark in Redis says up to where a task has fired, and it only
rises.
"""

from __future__ import annotations

import asyncio
import logging
import random
from typing import Protocol

from ardiq.core import events
from ardiq.core.errors import BrokerError
from ardiq.core.events import Event, Events
from ardiq.core.job import BYTES_OF, ENDED
from ardiq.core.recurrence import Recurrence
from ardiq.store import recurring
from ardiq.store.async_client import AsyncStore
from ardiq.store.keys import Keys
from ardiq.store.recurring import Offer
from ardiq.worker.held import Clock
from ardiq.worker.settler import Batch

LONGEST_SLEEP = 30.0  # seconds; the clock of the server may be set while a worker sleeps
SETTLES = 0.02  # seconds beyond a due time, so that its clock has surely reached it
STUMBLED = 5.0  # seconds
AT_ONCE = 100  # occurrences in one script

_ENDED = {BYTES_OF[status]: status.value for status in ENDED}

log = logging.getLogger("ardiq.worker")


class Timetables(Protocol):
    """The recurring tasks that this process knows."""

    def recurrences(self) -> list[Recurrence]: ...
    def make(self, recurrence: Recurrence) -> tuple[str, str, str, bytes]:
        """The job of an occurrence: its id, its lane, and its record behind the worker field."""


class Schedule:
    """Runs until it is cancelled."""

    def __init__(
        self, store: AsyncStore, keys: Keys, clock: Clock, timetables: Timetables, events: Events
    ) -> None:
        self._store, self._keys, self._clock, self._timetables = store, keys, clock, timetables
        self._events = events
        self._recurrences: list[Recurrence] = []
        self._marks: dict[str, int] = {}
        self._names: frozenset[str] = frozenset()
        self._noting: set[asyncio.Task[None]] = set()

    def settled(self, batch: Batch) -> None:
        """Note for people how jobs of recurring tasks ended."""
        if not self._names:
            return
        for held, settlement in batch:
            status = _ENDED.get(settlement[2])
            if status is not None and held.record.name in self._names:
                task = asyncio.ensure_future(self._note(held.record.name, held.record.id, status))
                self._noting.add(task)
                task.add_done_callback(self._noting.discard)

    async def _note(self, name: str, id: str, status: str) -> None:
        try:
            await self._store.run(recurring.ended(self._keys, name, id, status, self._clock.now()))
        except BrokerError as error:
            log.debug("The end of %s is not noted: %s", name, error)

    async def run(self) -> None:
        while True:
            self._recurrences = self._timetables.recurrences()
            self._names = frozenset(one.name for one in self._recurrences)
            try:
                await self._begin()
                await self._fire()
            except BrokerError as error:
                log.debug("Recurring tasks wait for Redis: %s", error)
                self._marks.clear()  # it may come back empty, or with the marks of another primary
                await asyncio.sleep(random.uniform(0.5, 1.5))  # noqa: S311 - spreads reconnects
                continue
            except Exception:
                # The other jobs of this worker can be done without, and the next try may do.
                log.exception("Recurring tasks stumbled; they are looked at again.")
                self._marks.clear()
                await asyncio.sleep(STUMBLED)
                continue
            await asyncio.sleep(self._until_next())

    async def _begin(self) -> None:
        names = [one.name for one in self._recurrences if one.name not in self._marks]
        if names:
            now, marks = await self._store.run(recurring.marks(self._keys, names))
            self._clock.set(now)
            self._marks.update(zip(names, marks, strict=True))

    async def _fire(self) -> None:
        now = self._clock.now()
        due = [(one, at) for one in self._recurrences for at in one.due(self._marks[one.name], now)]
        for start in range(0, len(due), AT_ONCE):
            part, offers = self._made(due[start : start + AT_ONCE])
            if not offers:
                continue
            now, answers = await self._store.run(recurring.offer(self._keys, offers))
            self._clock.set(now)
            for (one, at), offer, answer in zip(part, offers, answers, strict=True):
                if answer != "early":
                    self._marks[one.name] = max(at, self._marks[one.name])
                if answer == "busy":
                    log.info("%s is skipped this time: the last one has not ended.", one.name)
                if answer == "fired" and events.ENQUEUED in self._events.wanted:
                    id, lane = offer[3:5]
                    self._events.emit(Event(events.ENQUEUED, id, one.name, self._keys.queue, lane))

    def _made(self, due: list[tuple[Recurrence, int]]) -> tuple[list[tuple[Recurrence, int]], list[Offer]]:
        """What of it can be offered, and the offers. Code of the project runs here, such as key functions."""
        part: list[tuple[Recurrence, int]] = []
        offers: list[Offer] = []
        for one, at in due:
            try:
                offers.append((one.name, at, one.overlap, *self._timetables.make(one)))
            except Exception:
                log.exception("No job can be made of recurring task %s; it is left out this time.", one.name)
                self._marks[one.name] = max(at, self._marks[one.name])
            else:
                part.append((one, at))
        return part, offers

    def _until_next(self) -> float:
        now = self._clock.now()
        coming = [at for one in self._recurrences if (at := one.next_after(now))]
        if not coming:
            return LONGEST_SLEEP
        return min(LONGEST_SLEEP, max(0.0, (min(coming) - now) / 1000) + SETTLES)
