"""Which job runs when: first in first out, higher lanes first, and not at all when its window is over."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import pytest

from ardiq import Ardiq, Job, JobStatus, Retry, TaskResult, current_job
from tests.workers import Working, until

Make = Callable[..., Working]


def result(job: Job[object], seconds: float = 10) -> TaskResult:
    found = job.result_sync(timeout=seconds)
    assert found is not None
    return found


def test_first_in_first_out(app: Ardiq, working: Make) -> None:
    """C12: inside a lane, sync or async, single or in a batch."""
    order: list[int] = []

    @app.task
    async def note(n: int) -> None:
        order.append(n)

    @app.task
    def note_sync(n: int) -> None:
        order.append(n)

    for n in range(30):
        (note if n % 2 else note_sync).enqueue_sync(n)
    jobs = app.enqueue_many_sync((note if n % 2 else note_sync).prepare(n) for n in range(30, 60))
    with working(concurrency=1, threads=1):
        result(jobs[-1])
        until(lambda: len(order) == 60)
    assert order == list(range(60))


def test_higher_lanes_first(app: Ardiq, working: Make) -> None:
    """C12: whatever came first; a job of a higher lane that comes later is taken next."""
    order: list[str] = []

    @app.task
    def note(text: str) -> None:
        order.append(text)
        if text == "low 0":
            note.options(priority="high").enqueue_sync("late")
            time.sleep(0.05)

    for lane in ("low", "default", "high"):
        for n in range(3):
            note.options(priority=lane).enqueue_sync(f"{lane} {n}")
    with working(concurrency=1, prefetch=0):
        until(lambda: len(order) == 10)
    expected = [f"{lane} {n}" for lane in ("high", "default", "low") for n in range(3)]
    assert order == [*expected[:7], "late", *expected[7:]]


def test_a_lane_limit(app: Ardiq, working: Make) -> None:
    """A: LANE_LIMITS bounds how many jobs of a lane one worker holds; the others are not kept waiting."""
    running = {"low": 0, "high": 0}
    most = dict(running)

    @app.task
    async def work(lane: str) -> None:
        running[lane] += 1
        most[lane] = max(most[lane], running[lane])
        await asyncio.sleep(0.03)
        running[lane] -= 1

    jobs = [work.options(priority=lane).enqueue_sync(lane) for lane in ("low", "high") for _ in range(8)]
    with working(concurrency=4, lane_limits={"high": 1}, prefetch=0):
        begin = time.monotonic()
        for job in jobs:
            result(job)
    assert time.monotonic() - begin < 2, "a lane that was full is looked at as soon as it is not"
    assert most["high"] == 1 and most["low"] >= 3


# -- expiry ---------------------------------------------------------------------------------------


def test_a_job_whose_window_is_over_never_runs(app: Ardiq, working: Make) -> None:
    """C8: it ends as expired, to be seen, with the reason; it is charged no attempt."""
    ran: list[int] = []
    task = app.task(name="t")(lambda: ran.append(1))
    job = task.options(expire_ms=40).enqueue_sync()
    time.sleep(0.08)
    with working():
        found = result(job)
    assert (found.status, found.success, found.tries, ran) == (JobStatus.EXPIRED, False, 0, [])
    assert found.error is not None and "40 ms" in found.error.message
    info = job.info_sync()
    assert info is not None and info.expires_at == info.enqueue_time + 40


def test_a_job_that_starts_in_time_may_take_its_time(app: Ardiq, working: Make) -> None:
    """C8: the window ends at the first start."""
    task = app.task(name="t")(lambda: time.sleep(0.4))
    with working():
        assert result(task.options(expire_ms=300).enqueue_sync()).success


@pytest.mark.parametrize("why", ["failed", "asked", "handed back"])
def test_what_has_started_once_does_not_expire(app: Ardiq, working: Make, why: str) -> None:
    """C8: neither retries, nor a job that was handed back by a worker that stops."""
    starts: list[int] = []

    @app.task(max_retries=1, backoff_ms=3_000)
    def task() -> str:
        job = current_job()
        assert job is not None
        starts.append(job.attempt)
        if len(starts) > 1:
            return "done"
        if why == "failed":
            raise ValueError("once")
        if why == "asked":
            raise Retry("once", delay_ms=3_000)
        for _ in range(1_000):
            time.sleep(0.01)
        return "not stopped"

    job = task.options(expire_ms=1_500).enqueue_sync()
    with working() as first:
        until(lambda: starts)
        if why == "handed back":
            first.stop(hurry=True)
            first.ends()
            time.sleep(1.6)
            assert job.status_sync() is JobStatus.QUEUED
        else:
            found = result(job)
    if why == "handed back":
        with working():
            found = result(job)
    assert (found.value, starts) == ("done", [1, 1] if why == "handed back" else [1, 2])
