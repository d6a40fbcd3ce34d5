"""Waiting awake for a reply that is about to come.

A caller that goes to sleep for a reply of a local server sleeps for 20 us and takes 40 more to be woken
up again; polling that long instead more than halves a round trip (docs/explanation/speed.md). Where
replies take longer than the window, because the network or the machine is slow or busy, it is no use,
and stops by itself after a few vain tries.
"""

from __future__ import annotations

# Seconds to stay awake for one reply. A push comes back in 60 to 90 us on a fast machine and in 120 to 180 on
# one of a third of its speed, where a window of 100 us was used up in vain each time.
WINDOW = 0.0003
LUCK = 8  # vain tries until it is given up
AGAIN = 128  # calls after which it is tried again


class Awake:
    """Remembers whether staying awake has been worth it. It never is unless ``on``."""

    __slots__ = ("_luck", "_skipped", "on")

    def __init__(self, on: bool = True) -> None:
        self.on = on
        self._luck = LUCK
        self._skipped = 0

    def worth_it(self) -> bool:
        if not self.on:
            return False
        if self._luck > 0:
            return True
        self._skipped += 1
        return self._skipped % AGAIN == 0

    def learn(self, in_time: bool) -> None:
        """Whether the reply came while the caller was awake."""
        self._luck = min(self._luck + 1, LUCK) if in_time else max(self._luck - 2, 0)
