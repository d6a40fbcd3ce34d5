"""What running jobs report: gathered from all threads, written twice a second.

Nothing here blocks a job. What a job has told last is written before its verdict, and nothing after it.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Iterable

from ardiq.core.context import JobContext
from ardiq.core.errors import BrokerError, QueueFull
from ardiq.core.reports import LINES_MOST, LOGS_MOST, progress_text
from ardiq.store import reports
from ardiq.store.async_client import AsyncStore
from ardiq.store.keys import Keys
from ardiq.store.refusals import Refused
from ardiq.store.verbs import Settlement
from ardiq.worker.held import Held

PERIOD = 0.5  # seconds between writes of one job's reports
KEEP_MS = 604_800_000  # how long reports of a job outlive the last of them while it has not ended: a week
FOR_EVER_MS = 315_360_000_000  # ten years; nothing that a job reports is without an end

log = logging.getLogger("ardiq.worker")

Progress = tuple[float, float | None, str]


class _Told:
    """What one job has told. Only the loop touches ``sent`` and ``unsent``, so that nothing needs a lock:
    an exception may be thrown into the thread of a job at any bytecode."""

    __slots__ = ("lines", "progress", "sent", "unsent")

    def __init__(self) -> None:
        self.progress: Progress | None = None
        self.sent: Progress | None = None
        self.lines: deque[str] = deque(maxlen=LINES_MOST)
        self.unsent: list[str] = []

    def gather(self) -> tuple[Progress | None, str, str]:
        """(what ``sent`` becomes, its text, the lines), of what has not been written."""
        while self.lines:
            self.unsent.append(self.lines.popleft())
        del self.unsent[:-LINES_MOST]
        latest = self.progress
        text = "" if latest is None or latest is self.sent else progress_text(*latest)
        return latest, text, _latest(self.unsent)


def _latest(lines: list[str]) -> str:
    """The last of the lines, as many as a job may keep."""
    kept: list[str] = []
    room = LOGS_MOST // 2
    for line in reversed(lines):
        room -= len(line.encode()) + 1
        if room < 0:
            break
        kept.append(line + "\n")
    return "".join(reversed(kept))


class WorkerReports:
    """The ``Reports`` of a worker (core/context.py). ``told`` is empty while no job reports anything."""

    def __init__(self, store: AsyncStore, keys: Keys, failed_ttl_ms: int) -> None:
        self.told: dict[JobContext, _Told] = {}
        self._store, self._keys = store, keys
        self._keep_ms = max(KEEP_MS, failed_ttl_ms)
        self._writing = asyncio.Lock()
        self._refused = False

    # -- called by jobs, in any thread --------------------------------------------------------------

    def progress(self, job: JobContext, done: float, total: float | None, message: str) -> None:
        self._of(job).progress = (done, total, message)

    def log(self, job: JobContext, line: str) -> None:
        self._of(job).lines.append(line)

    def _of(self, job: JobContext) -> _Told:
        return self.told.get(job) or self.told.setdefault(job, _Told())

    # -- on the loop ------------------------------------------------------------------------------

    async def run(self) -> None:
        """Write what has gathered, for ever."""
        while True:
            await asyncio.sleep(PERIOD)
            if self.told:
                await self._write([(job, self._keep_ms) for job in list(self.told)], all=False)

    async def leave(self, batch: Iterable[tuple[Held, Settlement]]) -> None:
        """Write what jobs have told last, and let it live as long as their records will. Never raises."""
        ending = [
            (held.context, self._ttl(settlement))
            for held, settlement in batch
            if held.context is not None and held.context in self.told
        ]
        if ending:
            await self._write(ending, all=True)

    def forget(self, batch: Iterable[tuple[Held, Settlement]]) -> None:
        """Verdicts of these have left, or never will."""
        for held, _ in batch:
            if held.context is not None:
                self.told.pop(held.context, None)

    def _ttl(self, settlement: Settlement) -> int:
        verb, ms = settlement[2], settlement[4]
        if verb in (b"Q", b"D"):
            return self._keep_ms + ms
        return FOR_EVER_MS if ms < 0 else ms

    async def _write(self, jobs: list[tuple[JobContext, int]], all: bool) -> None:
        """``all``: also of jobs that have told nothing new, whose reports are to live on as they should."""
        async with self._writing:
            of: dict[str, list[tuple[JobContext, int]]] = {}
            for job, ttl in jobs:
                of.setdefault(job.fence.rpartition(":")[0], []).append((job, ttl))
            for worker, group in of.items():
                for at in range(0, len(group), reports.MOST):
                    await self._write_some(worker, group[at : at + reports.MOST], all)

    async def _write_some(self, worker: str, jobs: list[tuple[JobContext, int]], all: bool) -> None:
        rows: list[reports.Report] = []
        latest: dict[JobContext, Progress | None] = {}
        for job, ttl in jobs:
            told = self.told.get(job)
            if told is None:
                continue
            progress, text, lines = told.gather()
            if text or lines or all:
                latest[job] = progress
                rows.append((job.id, int(job.fence.rpartition(":")[2]), ttl, text, lines))
        if not rows:
            return
        try:
            foreign = await self._store.run(reports.report(self._keys, worker, rows))
        except (Refused, QueueFull) as error:
            # A full server, or a user without the rights: the job goes on without.
            if not self._refused:
                log.warning("What jobs report is not kept. %s", error)
            # Nothing is kept here either: of a job that has ended nobody would ever take it away.
            self._refused, foreign = True, [job.id for job in latest]
        except BrokerError:
            return  # it is kept here, and written once Redis is back
        else:
            self._refused = False
        for job, progress in latest.items():
            told = self.told.get(job)
            if told is not None and job.id not in foreign:
                told.sent = progress
                told.unsent.clear()
            elif told is not None:
                del self.told[job]
