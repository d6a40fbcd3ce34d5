"""One cell while it runs: a server, a system's workers, its jobs, and a clock that keeps workers alive."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from faults.fleet import Fleet
from faults.journal import Journal
from faults.peers import SLOTS, Peer
from faults.server import DurableServer

NODES = 2
TOTAL = NODES * SLOTS
ENDED = ("succeeded", "failed")  # states that no side leaves again


class Field:
    def __init__(self, peer: Peer, server: DurableServer, folder: Path, jobs: int) -> None:
        self.peer, self.server, self.jobs = peer, server, jobs
        self.journal = Journal(folder / "journal")
        self.fleet = Fleet(peer, server.url, self.journal.path)

    def enqueue(self, calls: list[tuple[str, int, float]]) -> list[str]:
        """Body, number and seconds of each job."""
        return list(self._call("enqueue", calls))

    def outcomes(self, ids: list[str]) -> list[tuple[str, Any]]:
        return [(state, value) for state, value in self._call("outcomes", ids)]

    def _call(self, function: str, *given: Any) -> Any:
        return self.peer.call(self.server.url, self.journal.path, function, *given)

    def watch(self, condition: Callable[[], Any], seconds: float) -> bool:
        """Wait for a condition, at most so long, while exited workers are started again."""
        deadline = time.monotonic() + seconds
        while True:
            self.fleet.keep()
            if condition():
                return True
            if time.monotonic() > deadline:
                return False
            time.sleep(0.01)

    def pause(self, seconds: float) -> None:
        self.watch(lambda: False, seconds)

    def ended(self, ids: list[str], seconds: float) -> list[tuple[str, Any]]:
        """The outcomes once every job has one, or after so many seconds."""
        deadline = time.monotonic() + seconds
        everything = len(ids)
        self.watch(lambda: len(self.journal.count("end")) >= everything, seconds)
        while True:
            found = self.outcomes(ids)
            if all(state in ENDED for state, _ in found) or time.monotonic() > deadline:
                return found
            self.pause(3)
