"""What can be done with a job that waits: another lane, another time, or now."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from ardiq.connection import Broker
from ardiq.overrides import PLAIN, checked
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
        ``schedule`` (an aware datetime); one in the past means now. Its window to expire in stays as it is.
        Raises TypeError unless one time is given, TypeError or ValueError for a wrong one."""
        return bool(await self._run(self._to_time(delay_ms, delay, schedule_ms, schedule)))

    def reschedule_sync(
        self,
        *,
        delay_ms: int | None = None,
        delay: timedelta | None = None,
        schedule_ms: int | None = None,
        schedule: datetime | None = None,
    ) -> bool:
        """``reschedule`` for sync code."""
        return bool(self._run_sync(self._to_time(delay_ms, delay, schedule_ms, schedule)))

    async def run_now(self) -> bool:
        """Make a scheduled job ready, at the end of its lane. One that is ready keeps its turn."""
        return bool(await self._run(self._move(due=moving.NOW)))

    def run_now_sync(self) -> bool:
        """``run_now`` for sync code."""
        return bool(self._run_sync(self._move(due=moving.NOW)))

    def _to_lane(self, priority: str) -> Call:
        return self._move(lane=self._broker.options.check_lane(priority))

    def _to_time(self, *times: Any) -> Call:
        given = {name: time for name, time in zip(TIMES, times, strict=True) if time is not None}
        if len(given) != 1:
            raise TypeError(
                f"reschedule() takes one of {', '.join(TIMES)}; got {', '.join(given) or 'none'}."
            )
        wanted = checked(PLAIN, **given)
        return self._move(due=moving.due(wanted.delay_ms, wanted.schedule_ms))

    def _move(self, **where: str) -> Call:
        return moving.move(self._broker.keys, self.id, **where)
