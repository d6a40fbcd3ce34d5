"""How much one worker process does before a fresh one takes over: so many jobs, or so much memory."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Collection, Iterable
from typing import Any

from ardiq.worker.held import Held

# Now, not when it is needed: that is when no file can be opened any more, not even that of a module.
resource: Any = None  # on Windows, where this module must still be importable
with contextlib.suppress(ImportError):
    import resource

LOOK = 1.0  # seconds between looks at the memory
MB = 1024 * 1024


class Limits:
    """Shared by the workers of a process. ``reached`` says why they are to drain, once they are."""

    def __init__(self, jobs: int | None = None, rss_mb: int | None = None) -> None:
        self.jobs, self.rss_mb = jobs, rss_mb
        self.reached = ""
        self.told = False
        """Whether somebody has told one worker of this process to stop: all of them do."""
        self._ran = 0
        self._holding: list[Collection[str]] = []
        self._looked = time.monotonic()

    def holds(self, held: Collection[str]) -> None:
        """Reckon with what a worker holds, now and later: it may run before anybody looks again."""
        self._holding.append(held)

    def count(self, batch: Iterable[Held]) -> None:
        """These have ended, or went back without a start."""
        if self.jobs is not None:
            self._ran += sum(1 for held in batch if held.began)

    def left(self, want: int) -> int:
        """How many of the ``want`` jobs may still be claimed."""
        if self.jobs is None:
            return want
        return max(0, min(want, self.jobs - self._ran - sum(map(len, self._holding))))

    def check(self) -> str:
        """Why to drain now; empty while all is well. Cheap enough for every tick."""
        if not self.reached and self.jobs is not None and self._ran >= self.jobs:
            ran = "1 job has" if self._ran == 1 else f"{self._ran:,} jobs have"
            self.reached = f"{ran} run, and --max-jobs is {self.jobs:,}"
        if not self.reached and self.rss_mb is not None and time.monotonic() - self._looked > LOOK:
            self._looked = time.monotonic()
            resident = resident_mb()
            if resident > self.rss_mb:
                self.reached = f"{resident:,} MB of memory are in use, and --max-rss is {self.rss_mb:,}"
        return self.reached

    def outgrown(self, pid: int) -> bool:
        """Whether a child takes more memory than any one process of this worker may."""
        return self.rss_mb is not None and (_statm_mb(pid) or 0) > self.rss_mb


def _statm_mb(pid: int | str) -> int | None:
    with contextlib.suppress(OSError, ValueError, IndexError), open(f"/proc/{pid}/statm") as stream:
        return int(stream.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") // MB
    return None


def resident_mb() -> int:
    """Resident memory of this process; where the system does not tell, the most that it has been so far."""
    if (resident := _statm_mb("self")) is not None:
        return resident
    if resource is None:
        return 0
    most: int = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most // MB if sys.platform == "darwin" else most // 1024
