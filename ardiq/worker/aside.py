"""Jobs that wait for a process: they stand aside, so that what is behind them goes first meanwhile."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable
from itertools import chain

from ardiq.store import verbs
from ardiq.worker.apart import Apart
from ardiq.worker.held import Held
from ardiq.worker.processes import Processes
from ardiq.worker.suspects import Suspects

STALE = 0.25  # seconds that a held job may wait for a slot or a process before others may have it


class Aside:
    """``awaited``: one of them waits for a slot only."""

    def __init__(self, suspects: Suspects | None, processes: Processes | None) -> None:
        self._suspects, self._processes = suspects, processes
        self._jobs: deque[Held] = deque()
        self._scarce: set[str] = set()  # tasks for the pool, as far as they have come by
        self.awaited = False

    def __len__(self) -> int:
        return len(self._jobs)

    def __contains__(self, held: Held) -> bool:
        return held in self._jobs

    def for_pool(self, held: Held) -> None:
        """This is a task for one of the few processes of the pool."""
        self._scarce.add(held.record.name)

    def apart(self, held: Held) -> Apart:
        """Who runs it."""
        suspects = self._suspects
        found = suspects if suspects is not None and suspects.wants(held) else self._processes
        assert found is not None
        return found

    def add(self, held: Held) -> bool:
        """Always True: it is taken care of."""
        self._jobs.append(held)
        self.awaited |= self.apart(held).room
        return True

    def start(self, start: Callable[[Held], bool]) -> None:
        """Start those that can."""
        self._jobs = deque(held for held in tuple(self._jobs) if not start(held))
        self.awaited = any(self.apart(held).room for held in self._jobs)

    def remove(self, held: Held) -> None:
        self._jobs.remove(held)
        self.awaited = self.awaited and bool(self._jobs)

    def withdraw(self) -> list[Held]:
        """Take back all of them."""
        back = list(self._jobs)
        self._jobs.clear()
        self.awaited = False
        return back

    def withdraw_unplaced(self, hoards: bool) -> list[Held]:
        """Take back those that wait too long for the pool. ``hoards``: who waits for a slot may stay."""
        pool, now = self._processes, time.monotonic()
        if pool is None or not self._jobs or (hoards and pool.room):
            return []
        mine = [held for held in self._jobs if self.apart(held) is pool]
        if not mine or now - mine[0].claimed <= STALE:
            return []
        pool.pace.slow_down()
        self._jobs = deque(held for held in self._jobs if held not in mine)
        self.awaited = self.awaited and bool(self._jobs)
        return mine

    def scarce(self, most: int, waiting: Iterable[Held]) -> str:
        """What a claim for ``most`` jobs must be told: the tasks for which the pool has not as much room."""
        if not self._scarce or self._processes is None:
            return ""
        spare = self._processes.spare - sum(
            held.record.name in self._scarce for held in chain(waiting, self._jobs)
        )
        return "" if spare >= most else verbs.scarce(spare, self._scarce)
