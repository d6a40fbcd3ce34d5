"""Group commit: finished jobs gather while the last batch is on its way, and leave together.

A finished job frees its slot at once; until its verdict is committed it stays held, so that a worker
that dies loses nothing but the knowledge that these runs had ended (R12).
"""

from __future__ import annotations

import asyncio
import random
from bisect import bisect_right
from collections.abc import Callable
from itertools import accumulate, takewhile

from ardiq.core.errors import BrokerError
from ardiq.core.options import Options
from ardiq.store import verbs
from ardiq.store.async_client import AsyncStore
from ardiq.store.keys import Keys
from ardiq.store.verbs import Settlement
from ardiq.worker import faults
from ardiq.worker.held import Held
from ardiq.worker.lease import Lease
from ardiq.worker.outage import Outage
from ardiq.worker.reports import WorkerReports
from ardiq.worker.statistics import Statistics

MOST_BYTES = 4_194_304  # of one settle, unless one verdict alone is larger
MOST_UNFLUSHED = 2_000  # jobs; beyond this the worker claims no more until Redis answers

Batch = list[tuple[Held, Settlement]]
Follow = Callable[[Batch, dict[str, str], int], None]
"""Hears of a batch that was settled, of what in it was refused, and the time of the server."""


class Settler:
    """``settled`` is told of each batch that has left: its jobs, those refused, if the lease was lost."""

    def __init__(
        self,
        store: AsyncStore,
        keys: Keys,
        options: Options,
        listed_ms: Callable[[], int],
        settled: Callable[[Batch, dict[str, str], bool], None],
        outage: Outage,
        reports: WorkerReports,
        statistics: Statistics,
    ) -> None:
        self._store, self._keys, self._options = store, keys, options
        self._listed_ms, self._settled, self._outage = listed_ms, settled, outage
        self._reports, self._statistics = reports, statistics
        self._pending: list[tuple[Held, Settlement]] = []
        self._some = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()

    def __len__(self) -> int:
        return len(self._pending)

    @property
    def full(self) -> bool:
        return len(self._pending) >= MOST_UNFLUSHED

    def add(self, held: Held, settlement: Settlement) -> None:
        self._pending.append((held, settlement))
        if len(self._pending) == 1:
            self._idle.clear()
            self._some.set()

    def measure(self, held: Held) -> None:
        self._statistics.measure(held)

    async def run(self) -> None:
        """Commit for ever. A lost connection is repeated until it is answered, or the lease is lost."""
        pause = 0.1
        while True:
            await self._some.wait()
            batch = self._batch()
            lease = batch[0][0].lease
            try:
                refused = {}
                if not lease.lost:
                    refused = await self._commit(lease, batch)
                    self._outage.over()
                pause = 0.1
            except BrokerError as error:
                self._outage.noticed(error)
                await asyncio.sleep(random.uniform(pause / 2, pause))  # noqa: S311 - spreads reconnects
                pause = min(pause * 2, 2.0)
                continue
            del self._pending[: len(batch)]
            if self._reports.told:
                self._reports.forget(batch)
            if not self._pending:
                self._some.clear()
                self._idle.set()
            self._statistics.settled(batch, refused, lease.lost)
            self._settled(batch, refused, lease.lost)

    def _batch(self) -> Batch:
        """The first verdicts that belong to one lease: a settle speaks for one worker. No more of them than
        a slow network takes in before its silence counts as death."""
        lease = self._pending[0][0].lease
        batch = self._pending[: verbs.CHUNK]
        if len({held.lease for held, _ in batch}) > 1:
            batch = list(takewhile(lambda one: one[0].lease is lease, batch))
        sizes = list(accumulate([len(settlement[5]) for _, settlement in batch]))
        return batch if sizes[-1] <= MOST_BYTES else batch[: max(bisect_right(sizes, MOST_BYTES), 1)]

    async def _commit(self, lease: Lease, batch: Batch) -> dict[str, str]:
        call = verbs.settle(
            self._keys,
            lease.token,
            [settlement for _, settlement in batch],
            listed_ms=self._listed_ms(),
            failed_ms=max(self._options.failed_ttl_ms, 0),
            failed_most=self._options.failed_max,
        )
        if faults.armed:
            faults.hit("before_flush")
        if self._reports.told:
            await self._reports.leave(batch)
        refused: dict[str, str] = await self._store.run(call)
        if faults.armed:
            faults.hit("after_flush")
        return refused

    async def flush(self, timeout: float) -> bool:
        """Wait until all has left, at most ``timeout`` seconds. Answers whether it has."""
        try:
            async with asyncio.timeout(timeout):
                await self._idle.wait()
        except TimeoutError:
            return False
        return True
