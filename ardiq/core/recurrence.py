"""A recurring task: its timetable, and what happens to occurrences that nobody was there for. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import islice, takewhile
from typing import Literal

from ardiq.core.cron import Timetable

Misfire = Literal["latest", "skip", "all"]
Overlap = Literal["skip", "queue"]

GRACE_MS = 60_000  # an occurrence that is later than this was missed
MOST_MISSED = 100  # missed occurrences that misfire="all" makes up for


@dataclass(frozen=True)
class Recurrence:
    """``misfire``: of occurrences missed while no worker ran, fire the ``latest``, none (``skip``) or
    ``all``, the latest 100 at most. ``overlap``: what to do while the last one still waits or runs."""

    name: str
    timetable: Timetable
    misfire: Misfire = "latest"
    overlap: Overlap = "skip"

    @classmethod
    def checked(
        cls, name: str, timetable: Timetable, misfire: object = "latest", overlap: object = "skip"
    ) -> Recurrence:
        """Build one. Raises ValueError for a policy that does not exist."""
        if misfire not in ("latest", "skip", "all"):
            raise ValueError(f"misfire={misfire!r}: give 'latest', 'skip' or 'all'.")
        if overlap not in ("skip", "queue"):
            raise ValueError(f"overlap={overlap!r}: give 'skip' or 'queue'.")
        return cls(name, timetable, misfire, overlap)

    def in_zone(self, zone: str) -> Recurrence:
        return replace(self, timetable=self.timetable.in_zone(zone))

    def due(self, mark_ms: int, now_ms: int) -> list[int]:
        """The occurrences after ``mark_ms`` that are to be fired at ``now_ms``, oldest first."""
        if self.misfire == "all":
            # From the latest back, so that years of a timetable of seconds take no longer than its hundred.
            past = takewhile(lambda at: at > mark_ms, self.timetable.until(now_ms))
            return list(islice(past, MOST_MISSED))[::-1]
        latest = self.timetable.last_until(now_ms)
        if latest <= mark_ms or (self.misfire == "skip" and now_ms - latest > GRACE_MS):
            return []
        return [latest]

    def next_after(self, now_ms: int) -> int:
        """Epoch ms; 0 for never."""
        return self.timetable.next_after(now_ms)
