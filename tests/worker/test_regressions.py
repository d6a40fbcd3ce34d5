"""Faults that a review found, each told as what a user would have seen."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from ardiq import Ardiq, JobStatus, Retry
from ardiq.connection import Broker
from ardiq.core.retry import MOST_DELAY_MS, Policy, delay_ms
from ardiq.worker.judge import Judge
from ardiq.worker.runner import Runner
from tests.server import admin
from tests.workers import Working, until

Make = Callable[..., Working]


def test_a_drain_longer_than_the_lease_is_no_stall(app: Ardiq, working: Make) -> None:
    """H3: a worker that waits for its last job renews its lease all the while, and exits by itself."""

    began = threading.Event()

    @app.task(name="long")
    async def long() -> str:
        began.set()
        await asyncio.sleep(4)
        return "done"

    with working(lease_ms=1_500, grace_ms=15_000) as here:
        job = long.enqueue_sync()
        # A job is "running" from its claim on; one that has not begun is handed back by a stop.
        assert began.wait(10)
        here.stop()
        here.ends()
    result = job.result_sync()
    assert result is not None and (result.status, result.tries) == (JobStatus.SUCCEEDED, 1)


def test_an_abort_does_not_hit_a_later_life_of_the_id(app: Ardiq, working: Make) -> None:
    """E5: every worker hears of every abort; those of jobs that were elsewhere are of no more interest."""

    @app.task(name="add")
    async def add(a: int) -> int:
        return a + 1

    with working() as here:
        until(lambda: here.worker._pump is not None)
        here.worker._loop.call_soon_threadsafe(here.worker.abort, "mine")
        time.sleep(0.05)
        result = add.options(task_id="mine").enqueue_sync(1).result_sync(timeout=10)
    assert result is not None and result.value == 2


async def on_the_loop() -> int:
    return 2


def in_a_thread() -> int:
    return 2


@pytest.mark.parametrize("body", [on_the_loop, in_a_thread])
def test_an_error_of_the_runner_costs_one_job_and_no_slot(
    app: Ardiq, working: Make, monkeypatch: pytest.MonkeyPatch, body: Callable[[], Any]
) -> None:
    """F5: should the worker's own code fail at a job, that job fails, and its slot takes the next."""
    real = Runner.admit

    def admit(self: Runner, held: Any) -> Any:
        if held.record.name == "bad":
            raise AttributeError("broken")
        return real(self, held)

    app.task(name="bad", max_retries=0)(body)
    app.task(name="good")(body)
    monkeypatch.setattr(Runner, "admit", admit)
    bad = [app.send_sync("bad") for _ in range(3)]
    with working(concurrency=1, threads=1):
        assert app.send_sync("good").result_sync(timeout=10).value == 2  # type: ignore[union-attr]
        assert {job.result_sync(timeout=10).status for job in bad} == {JobStatus.FAILED}  # type: ignore[union-attr]


def test_an_error_of_the_judge_costs_one_job(
    app: Ardiq, working: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F5: what cannot be judged fails and says why; the rest of its batch is not touched."""

    def broken(*args: Any) -> Any:
        raise MemoryError("no room for this result")

    app.task(name="add")(lambda: 1)
    monkeypatch.setattr(Judge, "_returned", broken)
    with working():
        result = app.send_sync("add").result_sync(timeout=10)
    assert result is not None and result.error is not None
    assert (result.status, result.error.type) == (JobStatus.FAILED, "MemoryError")


def test_a_waiter_is_told_again_after_its_connection_was_lost(
    app: Ardiq, working: Make, redis_url: str
) -> None:
    """E1: after a reconnect results are pushed as before, not found by polling once a second."""

    @app.task(name="nap")
    async def nap() -> int:
        await asyncio.sleep(0.15)
        return 1

    async def story() -> list[float]:
        took = []
        for number in range(4):
            job = await nap.enqueue()
            begin = time.monotonic()
            await job.result(timeout=10)
            took.append(time.monotonic() - begin)
            if number == 0:
                waiter = app.broker.here().waiter
                assert waiter._link is not None
                waiter._link.close()
        return took

    with working():
        assert max(asyncio.run(story())) < 0.9


@pytest.mark.fault("63", "loops that have ended")
def test_loops_that_have_ended_are_let_go_of(app: Ardiq) -> None:
    """C1: a view that runs on a loop of its own for each request leaves nothing behind."""

    async def once(broker: Broker) -> None:
        await app.ref("t").enqueue()

    for _ in range(20):
        asyncio.run(once(app.broker))
    gc.collect()
    assert len(app.broker._loops) <= 2


def test_slow_hooks_keep_their_slots(app: Ardiq, working: Make) -> None:
    """F2: failures whose hooks take long do not pile up beyond the concurrency of the worker."""
    now, most = 0, 0
    lock = threading.Lock()

    @app.on_error
    async def slow(error: BaseException, job: Any) -> None:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        await asyncio.sleep(0.1)
        with lock:
            now -= 1

    def fail() -> None:
        raise ValueError

    task = app.task(name="fail", max_retries=0)(fail)
    jobs = app.enqueue_many_sync(task.prepare() for _ in range(20))
    with working(concurrency=3):
        until(lambda: all(job.status_sync() is JobStatus.FAILED for job in jobs))
    assert most <= 3 + 3, "three in their slots, and at most one batch that had just been handed over"


def test_times_beyond_ten_years_are_refused_or_cut(app: Ardiq) -> None:
    """B1: a time that no key could carry is refused at decoration; a Retry cannot ask for one either."""
    for option in ("result_ttl_ms", "unique_ttl_ms"):
        with pytest.raises(ValueError, match=f"{option}=.*ten years"):
            app.task(**{option: 10**18})(lambda: None)
    assert delay_ms(1, Retry("much later", delay_ms=10**14), Policy()) == MOST_DELAY_MS


def test_results_can_be_awaited_on_a_full_server(app: Ardiq, redis_url: str, queue_name: str) -> None:
    """R8: waiting begins with a write that a full server never refuses."""
    job = app.send_sync("nobody")
    with admin(redis_url) as server:
        before = server.config_get("maxmemory")["maxmemory"]
        server.config_set("maxmemory", 1)
        try:
            with pytest.raises(TimeoutError):
                job.result_sync(timeout=0.2)
            assert job.abort_sync()
        finally:
            server.config_set("maxmemory", before)
