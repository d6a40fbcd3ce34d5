"""What can be done with a job that waits: another lane, another time, or now."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any

from ardiq.connection import Broker
from ardiq.core.job import FLAG_STARTED, JobRecord
from ardiq.core.outcome import read_call
from ardiq.core.wishes import span
from ardiq.overrides import PLAIN, CallOptions, checked
from ardiq.store import moving
from ardiq.store.scripts import Call

TIMES = ("delay_ms", "delay", "schedule_ms", "schedule")


class Movable:
    """The half of ``Job`` that moves it. A retry's wait counts as scheduled, and is moved like a delay.

    Each answers whether the job waits, there and then: True also when there was nothing to change, False
    for one that runs, has ended, was told to abort, or is unknown.
    """

    __slots__ = ()

    id: str
    _broker: Broker

    async def _run(self, call: Call) -> Any:
        raise NotImplementedError

    def _run_sync(self, call: Call) -> Any:
        raise NotImplementedError

    def _read(self) -> Call:
        raise NotImplementedError

    def _record(self, raws: list[bytes | None]) -> JobRecord | None:
        raise NotImplementedError

    async def reprioritise(self, priority: str) -> bool:
        """Move a waiting job to the end of another lane. Raises ValueError for a lane that there is not."""
        return bool(await self._run(self._to_lane(priority)))

    def reprioritise_sync(self, priority: str) -> bool:
        """``reprioritise`` for sync code."""
        return bool(self._run_sync(self._to_lane(priority)))

    async def reschedule(
        self,
        *,
        delay_ms: int | None = None,
        delay: timedelta | None = None,
        schedule_ms: int | None = None,
        schedule: datetime | None = None,
    ) -> bool:
        """Give a waiting job another time: ``delay_ms`` or ``delay`` from now, ``schedule_ms`` (epoch ms) or
        ``schedule`` (an aware datetime); one in the past means now. Its window to expire in stays as it is:
        ValueError for a time beyond that, since the job would never run. Raises TypeError unless one time is
        given, TypeError or ValueError for a wrong one."""
        wanted = self._wanted(delay_ms, delay, schedule_ms, schedule)
        self._check_window(await self._run(self._read()), wanted)
        return bool(await self._run(self._to_time(wanted)))

    def reschedule_sync(
        self,
        *,
        delay_ms: int | None = None,
        delay: timedelta | None = None,
        schedule_ms: int | None = None,
        schedule: datetime | None = None,
    ) -> bool:
        """``reschedule`` for sync code."""
        wanted = self._wanted(delay_ms, delay, schedule_ms, schedule)
        self._check_window(self._run_sync(self._read()), wanted)
        return bool(self._run_sync(self._to_time(wanted)))

    async def run_now(self) -> bool:
        """Make a scheduled job ready, at the end of its lane. One that is ready keeps its turn; one whose
        window to expire in is over ends as expired once a worker looks at it."""
        return bool(await self._run(self._move(due=moving.NOW)))

    def run_now_sync(self) -> bool:
        """``run_now`` for sync code."""
        return bool(self._run_sync(self._move(due=moving.NOW)))

    def _to_lane(self, priority: str) -> Call:
        return self._move(lane=self._broker.options.check_lane(priority))

    def _wanted(self, *times: Any) -> CallOptions:
        given = {name: time for name, time in zip(TIMES, times, strict=True) if time is not None}
        if len(given) != 1:
            raise TypeError(
                f"reschedule() takes one of {', '.join(TIMES)}; got {', '.join(given) or 'none'}."
            )
        return checked(PLAIN, **given)

    def _check_window(self, raws: list[bytes | None], wanted: CallOptions) -> None:
        """A courtesy, by the clock of this machine; what decides is the time of the server at the start."""
        record = self._record(raws)
        if record is None or record.status.finished or record.attempts or record.crashes:
            return
        expire = span(read_call(self._broker.codec, record)[2], "expire_ms")
        if not expire or record.flags & FLAG_STARTED:
            return
        due, end = wanted.schedule_ms or int(time.time() * 1000) + wanted.delay_ms, record.enqueued + expire
        if due > end:
            raise ValueError(
                f"Job {self.id} has expire_ms={expire:,}, so it is to start by {_utc(end)}; "
                f"at {_utc(due)} it would expire. Enqueue it anew, with a window that fits."
            )

    def _to_time(self, wanted: CallOptions) -> Call:
        return self._move(due=moving.due(wanted.delay_ms, wanted.schedule_ms))

    def _move(self, lane: str = "", due: str = "") -> Call:
        return moving.move(self._broker.keys, self.id, lane=lane, due=due)


def _utc(ms: int) -> str:
    return f"{datetime.fromtimestamp(ms / 1000, UTC):%Y-%m-%d %H:%M:%S} UTC"
