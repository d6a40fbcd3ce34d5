"""The worker believes its lease, not its luck (R4)."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from ardiq import Ardiq, current_job
from tests.admin_client import direct
from tests.proxy import Proxy
from tests.workers import Working, until

Make = Callable[..., Working]
LEASE_MS = 1_500


@pytest.fixture
def proxy(redis_url: str, queue_name: str) -> Iterator[Proxy]:
    proxy = Proxy(direct(redis_url, queue_name))
    yield proxy
    proxy.close()


def test_past_its_lease_it_stops_what_runs(app: Ardiq, working: Make, proxy: Proxy) -> None:
    """R4, fault 20: cut off from Redis for longer than its lease, a worker stops its async and its sync
    jobs, which are told; when Redis is back they run again, and nothing is charged to them."""
    begun, stopped, runs = threading.Semaphore(0), [], {"async": 0, "sync": 0}  # type: ignore[var-annotated]

    def first(kind: str) -> bool:
        runs[kind] += 1
        begun.release()
        return runs[kind] == 1

    def note(kind: str) -> None:
        job = current_job()
        assert job is not None
        stopped.append((kind, job.lease_lost))

    @app.task(name="async")
    async def long() -> str:
        if first("async"):
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                note("async")
                raise
        return "done"

    @app.task(name="sync")
    def slow() -> str:
        if first("sync"):
            try:
                while True:
                    time.sleep(0.01)
            except BaseException:
                note("sync")
                raise
        return "done"

    with working(redis_url=proxy.url, lease_ms=LEASE_MS) as here:
        jobs: list[Any] = [long.enqueue_sync(), slow.enqueue_sync()]
        assert begun.acquire(timeout=10) and begun.acquire(timeout=10)
        proxy.silent = True
        cut = time.monotonic()
        until(lambda: len(stopped) == 2, 15, "jobs that are stopped")
        # Not before the lease is over by this worker's own clock, and not long after it.
        assert time.monotonic() - cut > LEASE_MS / 1000 * 0.5
        assert not here.worker._held_by.lease.believed
        proxy.silent = False
        proxy.cut()
        results = [job.result_sync(timeout=20) for job in jobs]
    assert sorted(stopped) == [("async", True), ("sync", True)]
    assert [result.value for result in results] == ["done", "done"]
    infos = [job.info_sync() for job in jobs]
    assert {(info.tries, info.crashes) for info in infos} == {(1, 0)}


def test_nothing_spins_while_nothing_can_start(app: Ardiq, working: Make, proxy: Proxy) -> None:
    """A worker with jobs in hand and no lease to start them under waits; it does not ask again and again."""

    @app.task(name="short")
    async def short() -> None:
        await asyncio.sleep(0.02)

    with working(redis_url=proxy.url, lease_ms=LEASE_MS, concurrency=2, prefetch=50) as here:
        app.enqueue_many_sync(short.prepare() for _ in range(400))
        until(lambda: here.worker.processed > 20)
        proxy.silent = True
        until(lambda: here.worker._pump and not here.worker._held_by.lease.believed, 15)
        until(lambda: here.worker._slots.running == 0, 15)
        before = time.process_time()
        time.sleep(1)
        assert time.process_time() - before < 0.5
        proxy.silent = False
        proxy.cut()
