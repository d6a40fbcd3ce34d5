"""Group commit: what leaves in one batch."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from ardiq.core.job import JobRecord
from ardiq.core.options import Options
from ardiq.store.keys import Keys
from ardiq.store.scripts import Call
from ardiq.worker.held import Clock, Held
from ardiq.worker.lease import Lease
from ardiq.worker.outage import Outage
from ardiq.worker.reports import WorkerReports
from ardiq.worker.settler import MOST_BYTES, Settler
from ardiq.worker.statistics import Statistics


class Store:
    """Remembers how many verdicts came in each call."""

    def __init__(self) -> None:
        self.batches: list[int] = []

    async def run(self, call: Call) -> dict[str, str]:
        self.batches.append(sum(part == b"S" for part in call.command))
        return {}


def held(lease: Lease) -> Any:
    return Held(JobRecord.unreadable("a", b"", "default"), 1, lease, 0.0, False)


@pytest.mark.parametrize(
    ("sizes", "batches"),
    [
        ([10] * 501, [500, 1]),
        ([MOST_BYTES // 2] * 5, [2, 2, 1]),
        ([MOST_BYTES * 2, 10, 10], [1, 2]),
        ([10, MOST_BYTES * 2, 10], [1, 1, 1]),
    ],
)
def test_a_batch_is_small_enough_for_a_slow_network(sizes: list[int], batches: list[int]) -> None:
    """R12: silence for longer than it takes to send it would count as a lost connection, again and again."""

    async def main() -> list[int]:
        store, lease = Store(), Lease(1_000)
        settler = Settler(
            store, Keys("q"), Options("q"), lambda: 0, lambda *told: None, Outage(),  # type: ignore[arg-type]
            WorkerReports(store, Keys("q"), 0), Statistics(store, Keys("q"), Clock(), ()),  # type: ignore[arg-type]
        )  # fmt: skip
        for n, size in enumerate(sizes):
            settler.add(held(lease), (str(n), 1, b"S", b"", 0, b"x" * size, ""))
        running = asyncio.ensure_future(settler.run())
        assert await settler.flush(5)
        running.cancel()
        return store.batches

    assert asyncio.run(main()) == batches


def test_verdicts_of_two_leases_leave_apart() -> None:
    """R3: a settle speaks for one worker."""

    async def main() -> list[int]:
        store = Store()
        settler = Settler(
            store, Keys("q"), Options("q"), lambda: 0, lambda *told: None, Outage(),  # type: ignore[arg-type]
            WorkerReports(store, Keys("q"), 0), Statistics(store, Keys("q"), Clock(), ()),  # type: ignore[arg-type]
        )  # fmt: skip
        for n, lease in enumerate([Lease(1_000)] * 2 + [Lease(1_000)]):
            settler.add(held(lease), (str(n), 1, b"S", b"", 0, b"", ""))
        running = asyncio.ensure_future(settler.run())
        assert await settler.flush(5)
        running.cancel()
        return store.batches

    assert asyncio.run(main()) == [2, 1]
