"""How jobs run: on the loop and in threads, with timeouts, retries and a context of their own."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from ardiq import Ardiq, Job, JobStatus, Retry, TaskResult, current_job
from tests.workers import Working, until

Make = Callable[..., Working]


def result(job: Job[Any], seconds: float = 10) -> TaskResult:
    found = job.result_sync(timeout=seconds)
    assert found is not None
    return found


def test_sync_tasks_run_side_by_side(app: Ardiq, working: Make) -> None:
    """B4: four 0.3 s sync tasks at concurrency 4 end in less than 0.8 s."""

    @app.task
    def slow() -> str:
        time.sleep(0.3)
        return threading.current_thread().name

    @app.task
    def quick() -> None: ...

    with working():
        result(quick.enqueue_sync())
        begin = time.monotonic()
        found = [result(job) for job in [slow.enqueue_sync() for _ in range(4)]]
        took = time.monotonic() - begin
    assert took < 0.8
    assert "MainThread" not in {one.value for one in found}


def test_async_tasks_run_on_the_loop(app: Ardiq, working: Make) -> None:
    """B4: side by side in one thread, never more at once than the concurrency says."""
    now, most = 0, 0

    @app.task
    async def slow() -> int:
        nonlocal now, most
        now += 1
        most = max(most, now)
        await asyncio.sleep(0.1)
        now -= 1
        return threading.get_ident()

    with working(concurrency=3):
        found = [result(job) for job in [slow.enqueue_sync() for _ in range(9)]]
    assert most == 3 and len({one.value for one in found}) == 1


def test_sync_and_async_share_the_slots(app: Ardiq, working: Make) -> None:
    """B4: CONCURRENCY counts both; THREADS bounds the sync ones among them."""
    lock, now, most, sync_most = threading.Lock(), {"sync": 0, "async": 0}, 0, 0

    def count(kind: str, step: int) -> None:
        nonlocal most, sync_most
        with lock:
            now[kind] += step
            most, sync_most = max(most, sum(now.values())), max(sync_most, now["sync"])

    @app.task
    def sync() -> None:
        count("sync", 1)
        time.sleep(0.05)
        count("sync", -1)

    @app.task
    async def other() -> None:
        count("async", 1)
        await asyncio.sleep(0.05)
        count("async", -1)

    with working(concurrency=4, threads=2):
        jobs = [task.enqueue_sync() for _ in range(8) for task in (sync, other)]
        for job in jobs:
            result(job)
    assert most <= 4 and sync_most == 2


# -- retries --------------------------------------------------------------------------------------


@pytest.mark.parametrize("retries", [0, 2])
def test_n_retries_are_n_plus_one_attempts(app: Ardiq, working: Make, retries: int) -> None:
    """B6: then the job has failed, with its attempts counted."""
    seen: list[int] = []

    @app.task(max_retries=retries)
    def broken() -> None:
        job = current_job()
        assert job is not None
        seen.append(job.attempt)
        raise ValueError(f"attempt {job.attempt}")

    with working():
        found = result(broken.enqueue_sync())
    assert seen == list(range(1, retries + 2))
    assert (found.status, found.tries) == (JobStatus.FAILED, retries + 1)
    assert found.error is not None and found.error.message == f"attempt {retries + 1}"


def test_a_back_off_of_ones_own(app: Ardiq, working: Make) -> None:
    """B6: a callable says how long to wait; between attempts the job is scheduled."""
    times: list[float] = []

    @app.task(max_retries=2, backoff_ms=lambda attempt, error: 150 * attempt)
    async def broken() -> str:
        times.append(time.monotonic())
        if len(times) < 3:
            raise ValueError("no")
        return "done"

    with working():
        job = broken.enqueue_sync()
        until(lambda: job.status_sync() is JobStatus.SCHEDULED, what="waiting for its retry")
        found = result(job)
    assert (found.value, found.tries) == ("done", 3)
    assert 0.14 < times[1] - times[0] < 0.29 < times[2] - times[1] < 0.8


def test_a_back_off_that_raises(app: Ardiq, working: Make) -> None:
    """B6: a broken callable costs the default delay, not the job."""

    def wrong(attempt: int, error: BaseException) -> int:
        raise RuntimeError("broken back-off")

    @app.task(max_retries=1, backoff_ms=wrong)
    def broken() -> None:
        raise ValueError("no")

    with working():
        job = broken.enqueue_sync()
        until(lambda: job.status_sync() is JobStatus.SCHEDULED)
        info = job.info_sync()
        assert info is not None and info.tries == 1
        job.abort_sync()


def test_a_requested_retry(app: Ardiq, working: Make) -> None:
    """B8: spends the budget, waits as asked, and the last one fails."""
    seen: list[float] = []

    @app.task(max_retries=2)
    async def later() -> None:
        seen.append(time.monotonic())
        raise Retry("not ready", delay_ms=200 if len(seen) == 1 else 0)

    with working():
        found = result(later.enqueue_sync())
    assert (len(seen), found.status, found.tries) == (3, JobStatus.FAILED, 3)
    assert found.error is not None and (found.error.type, found.error.message) == (
        "ardiq.errors.Retry", "not ready",
    )  # fmt: skip
    assert seen[1] - seen[0] >= 0.2 > seen[2] - seen[1]


# -- timeouts -------------------------------------------------------------------------------------


def test_an_async_task_out_of_time(app: Ardiq, working: Make) -> None:
    """B7: cancelled; the failure says so, and each attempt has its own time."""
    cleaned: list[bool] = []

    @app.task(timeout=0.2, max_retries=1)
    async def slow() -> None:
        try:
            await asyncio.sleep(30)
        finally:
            cleaned.append(True)

    with working():
        begin = time.monotonic()
        found = result(slow.enqueue_sync())
    assert time.monotonic() - begin < 2
    assert (found.tries, cleaned, found.status) == (2, [True, True], JobStatus.FAILED)
    assert found.error is not None and found.error.message == "timed out after 0.2s"


def test_a_sync_task_out_of_time(app: Ardiq, working: Make) -> None:
    """B7: raised inside the thread, also past ``except Exception``; the thread goes on with other jobs."""
    caught: list[str] = []

    @app.task(timeout=0.2, max_retries=0)
    def spin() -> None:
        end = time.monotonic() + 20
        while time.monotonic() < end:
            try:
                sum(range(100))
            except Exception as error:
                caught.append(repr(error))

    @app.task
    def quick() -> str:
        return "here"

    with working(concurrency=1):
        begin = time.monotonic()
        found = result(spin.enqueue_sync())
        took = time.monotonic() - begin
        assert result(quick.enqueue_sync()).value == "here"
    assert took < 1.5 and caught == []
    assert found.error is not None and found.error.message == "timed out after 0.2s"


def test_a_thread_that_does_not_end_keeps_its_slot(app: Ardiq, working: Make) -> None:
    """B7, R17: the job stays running and held until the thread is really done."""
    go_on = threading.Event()

    @app.task(timeout=0.1, max_retries=0)
    def blocked() -> None:
        go_on.wait(10)  # one call into C: no bytecode at which anything could be raised

    @app.task
    def other() -> None: ...

    with working(concurrency=1):
        job, waiting = blocked.enqueue_sync(), other.enqueue_sync()
        until(lambda: job.status_sync() is JobStatus.RUNNING)
        time.sleep(0.4)
        assert (job.status_sync(), waiting.status_sync()) in (
            (JobStatus.RUNNING, JobStatus.QUEUED), (JobStatus.RUNNING, JobStatus.RUNNING),
        )  # fmt: skip
        assert waiting.result_sync() is None
        go_on.set()
        found = result(job)
        assert found.error is not None and "timed out" in found.error.message
        assert result(waiting).success


def test_a_timeout_of_the_tasks_own(app: Ardiq, working: Make) -> None:
    """B7: a TimeoutError that the code raises itself is its own, whether or not the task has a timeout."""

    @app.task(timeout=5, max_retries=0)
    async def own() -> None:
        async with asyncio.timeout(0.01):
            await asyncio.sleep(1)

    with working():
        found = result(own.enqueue_sync())
    assert found.error is not None and "timed out after" not in found.error.message
