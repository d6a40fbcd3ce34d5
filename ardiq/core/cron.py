"""When recurring work is due: by a cron expression in a time zone, or by a fixed period.

Expressions are read and stepped by cronsim, which follows Debian's cron: a local time that a change to
summer time skips fires at the first instant after the gap, one that comes twice fires once, and work that is
due every hour or oftener keeps its pace. Pure: the time comes in, as epoch ms.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

from ardiq.core.retry import TEN_YEARS_MS

NICKNAMES = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
SHORTEST_MS = 1_000


class Timetable:
    """The occurrences of one recurring task. Built by ``cron`` or ``every``; equal when they say the same."""

    def __init__(self, spelt: str, expression: str = "", zone: str = "", every_ms: int = 0) -> None:
        self.spelt = spelt
        self.zone = zone
        self._expression, self._every_ms = expression, every_ms
        self._tz: tzinfo = ZoneInfo(zone) if zone else UTC

    @property
    def expression(self) -> str:
        """What a nickname stands for, or the expression itself; '' for a fixed period."""
        return self._expression

    @property
    def every_ms(self) -> int:
        """The fixed period, 0 for an expression."""
        return self._every_ms

    def in_zone(self, zone: str) -> Timetable:
        """The same in this zone, unless it has one of its own or needs none."""
        if self.zone or self._every_ms:
            return self
        return Timetable(self.spelt, self._expression, zone)

    def __repr__(self) -> str:
        return f"<Timetable {self.spelt}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Timetable) and (self.spelt, self.zone) == (other.spelt, other.zone)

    def __hash__(self) -> int:
        return hash((self.spelt, self.zone))

    @classmethod
    def cron(cls, expression: str, zone: str = "") -> Timetable:
        """Read an expression of five fields (six with seconds first), or a nickname such as ``@daily``.
        Without a zone it is in UTC until ``in_zone`` says otherwise.

        Raises ValueError that says what is wrong, also for an expression that never comes true.
        """
        if not isinstance(expression, str):
            raise TypeError(f"cron {expression!r}: give an expression such as '*/5 * * * *'.")
        plain = NICKNAMES.get(expression.strip().lower(), expression.strip())
        try:
            ZoneInfo(zone or "UTC")
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError(f"tz {zone!r}: give the name of a time zone, such as 'Europe/Paris'.") from None
        try:
            next(CronSim(plain, datetime(2024, 1, 1, tzinfo=UTC)))
        except CronSimError as error:
            raise ValueError(
                f"cron {expression!r}: {error}; write minute hour day-of-month month day-of-week, "
                "as in '*/5 * * * *'."
            ) from error
        except StopIteration:
            raise ValueError(f"cron {expression!r}: this date never comes.") from None
        return cls(expression.strip(), plain, zone)

    @classmethod
    def every(cls, period: float | timedelta) -> Timetable:
        """A fixed period in seconds, counted from the epoch, so that all workers agree without a word."""
        if isinstance(period, bool) or not isinstance(period, (int, float, timedelta)):
            raise TypeError(f"every={period!r}: give seconds or a timedelta.")
        seconds = period.total_seconds() if isinstance(period, timedelta) else period
        ms = round(seconds * 1000)
        if not SHORTEST_MS <= ms <= TEN_YEARS_MS:
            raise ValueError(f"every={period!r}: give a second at least and ten years at most.")
        return cls(f"every {seconds:g}s", every_ms=ms)

    def next_after(self, now_ms: int) -> int:
        """The first occurrence after a moment; 0 when there is none in the next decades."""
        return next(self.after(now_ms), 0)

    def after(self, now_ms: int) -> Iterator[int]:
        """All occurrences after a moment, soonest first."""
        if self._every_ms:
            at = now_ms // self._every_ms * self._every_ms
            while True:
                at += self._every_ms
                yield at
        for when in CronSim(self._expression, _local(now_ms, self._tz)):
            at = int(when.timestamp() * 1000)
            # Around a change of the clock, stepping in local time may name a moment that is over.
            if at > now_ms:
                yield at

    def last_until(self, now_ms: int) -> int:
        """The latest occurrence up to and with a moment; 0 when there was none in the last decades."""
        if self._every_ms:
            return now_ms // self._every_ms * self._every_ms
        for when in CronSim(self._expression, _local(now_ms + 1, self._tz), reverse=True):
            at = int(when.timestamp() * 1000)
            if at <= now_ms:
                return at
        return 0

    def until(self, now_ms: int) -> Iterator[int]:
        """All occurrences up to and with a moment, latest first."""
        while at := self.last_until(now_ms):
            yield at
            now_ms = at - 1


def _local(ms: int, tz: tzinfo) -> datetime:
    return datetime.fromtimestamp(ms / 1000, tz)
