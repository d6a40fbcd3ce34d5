"""What calls cost: CPU time of the server's process, and time on the clock of the client beside it.

CPU time, unlike time on a clock, stays much the same while other programs run. It is that of the whole
process, so that reading a call and writing its answer are in it; what it takes to ask is taken off.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from harness.server import Server

from ardiq.store.client import Store
from ardiq.store.scripts import Call


@dataclass(frozen=True)
class Reading:
    """Microseconds; of a server under callgrind instructions instead, and no wall clock."""

    server: float
    wall: float


class Meter:
    """Runs calls in one round trip and reads what they took."""

    def __init__(self, server: Server, store: Store) -> None:
        self._server, self._store = server, store
        self._own = 0.0
        self._own = median(self.take([])[0].server for _ in range(50))

    def take(self, calls: Sequence[Call]) -> tuple[Reading, list[Any]]:
        before = self._server.cpu_seconds()
        start = time.perf_counter()
        replies = self._store.run_many(calls)
        wall = time.perf_counter() - start
        server = self._server.cpu_seconds() - before
        return Reading(server * 1e6 - self._own, wall * 1e6), replies
