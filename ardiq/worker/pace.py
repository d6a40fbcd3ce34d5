"""How many jobs to hold: what runs, and about 20 ms of work beyond it by the measured rate.

So a worker of no-ops takes them by the hundred, and a worker of slow tasks never hoards one that
another worker could start (DESIGN 7.3).
"""

from __future__ import annotations

import time
from typing import Literal

AHEAD = 0.02  # seconds of work to hold beyond what runs
MOST = 200  # jobs to hold beyond what runs
FORGET = 1.0  # seconds of idleness after which the last rate says nothing about the next jobs


class Pace:
    """Counts what ends and says how much to hold."""

    def __init__(self, concurrency: int, prefetch: int | Literal["auto"]) -> None:
        self._concurrency = concurrency
        self._fixed = None if prefetch == "auto" else prefetch
        self._rate = 0.0
        self.done = 0  # since the last measurement; whoever ends jobs adds them
        self._since = time.monotonic()
        self._last_end = 0.0

    def measure(self) -> None:
        """Take the rate since the last measurement; for the claim, which is when it matters.

        Not over a moment: slow jobs that happen to end together would look like a thousand quick ones.
        """
        now = time.monotonic()
        if now - self._since < AHEAD:
            return
        if self.done:
            rate = self.done / (now - self._since)
            self._rate = rate if rate > self._rate else (self._rate + rate) / 2
            self._last_end = now
        elif now - self._last_end > FORGET:
            self._rate = 0.0
        self.done = 0
        self._since = now

    def rest(self) -> None:
        """Time in which the worker had nothing to do is not time that its jobs took."""
        self._since = time.monotonic()

    def slow_down(self) -> None:
        """Held jobs did not get to run: whatever was measured does not hold any more."""
        self._rate = 0.0

    @property
    def adapts(self) -> bool:
        return self._fixed is None

    @property
    def extra(self) -> int:
        """Jobs to hold beyond the running ones."""
        return min(MOST, int(self._rate * AHEAD)) if self._fixed is None else self._fixed

    @property
    def hold(self) -> int:
        return self._concurrency + self.extra
