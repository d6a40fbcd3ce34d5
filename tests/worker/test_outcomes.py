"""What becomes of a job: its status on the way, what it returns, and what happens when it is aborted."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from ardiq import Ardiq, Job, JobStatus, TaskResult
from tests.workers import Working, until

Make = Callable[..., Working]


def result(job: Job[Any], seconds: float = 10) -> TaskResult:
    found = job.result_sync(timeout=seconds)
    assert found is not None
    return found


def test_the_statuses_of_a_life(app: Ardiq, working: Make) -> None:
    """E3: scheduled, queued, running, scheduled again for a retry, succeeded; info tells who and when."""
    gate = threading.Event()

    @app.task(max_retries=1, backoff_ms=300)
    def task() -> str:
        assert gate.wait(10)
        gate.clear()
        raise_once.append(1)
        if len(raise_once) == 1:
            raise ValueError("once")
        return "done"

    raise_once: list[int] = []
    job = task.options(delay_ms=80).enqueue_sync()
    assert job.status_sync() is JobStatus.SCHEDULED
    with working() as here:
        until(lambda: job.status_sync() is JobStatus.RUNNING)
        info = job.info_sync()
        assert info is not None and info.started_at and info.worker == here.worker._held_by.lease.token[:8]
        gate.set()
        until(lambda: job.status_sync() is JobStatus.SCHEDULED)
        info = job.info_sync()
        assert info is not None and (info.tries, info.result, len(info.attempts)) == (1, None, 1)
        gate.set()
        found = result(job)
    assert job.status_sync() is JobStatus.SUCCEEDED and job.status_sync().finished
    assert (found.value, found.tries, found.worker) == ("done", 2, "here")
    assert found.enqueue_time < found.start <= found.finish


def test_a_queued_job_without_a_worker(app: Ardiq) -> None:
    """E3: it waits, and says so."""
    job = app.task(name="t")(lambda: 1).enqueue_sync()
    assert job.status_sync() is JobStatus.QUEUED and app.queue_size_sync() == 1
    assert job.result_sync() is None
    assert app.status_sync("unknown") is JobStatus.NOT_FOUND


# -- aborting -------------------------------------------------------------------------------------


def test_aborting_a_cpu_loop(app: Ardiq, working: Make) -> None:
    """E5: a sync task that only computes is interrupted within about 200 ms; its slot is free again."""
    spinning = threading.Event()

    @app.task
    def spin() -> None:
        while True:
            spinning.set()

    @app.task
    def quick() -> str:
        return "free"

    with working(concurrency=1):
        job = spin.enqueue_sync()
        assert spinning.wait(10)
        begin = time.monotonic()
        assert job.abort_sync() is True
        assert job.abort_sync() is False
        found = result(job)
        took = time.monotonic() - begin
        assert result(quick.enqueue_sync()).value == "free"
    assert took < 0.5, "about 200 ms, and some for a busy machine"
    assert (found.aborted, found.value, found.success) == (True, "aborted", False)


def test_aborting_a_coroutine(app: Ardiq, working: Make) -> None:
    """E5: cancelled in milliseconds, never retried, its clean-up runs."""
    sleeping, cleaned = threading.Event(), threading.Event()

    @app.task(max_retries=5)
    async def sleep() -> None:
        sleeping.set()
        try:
            await asyncio.sleep(60)
        finally:
            cleaned.set()

    with working():
        job = sleep.enqueue_sync()
        assert sleeping.wait(10)
        begin = time.monotonic()
        assert job.abort_sync()
        found = result(job)
    assert time.monotonic() - begin < 0.5 and cleaned.is_set()
    assert (found.status, found.tries) == (JobStatus.ABORTED, 1)


def test_aborting_what_waits_inside_a_worker(app: Ardiq, working: Make) -> None:
    """E5: claimed, not started: it never runs."""
    gate, ran = threading.Event(), list[int]()

    @app.task
    def first() -> None:
        gate.wait(60)

    @app.task
    def second() -> None:
        ran.append(1)

    with working(concurrency=1, threads=1, prefetch=3):
        blocking, waiting = first.enqueue_sync(), second.enqueue_sync()
        until(lambda: waiting.status_sync() is JobStatus.RUNNING, what="claimed ahead")
        assert waiting.abort_sync()
        # Its verdict is made while the other one still runs.
        until(lambda: waiting.status_sync() is JobStatus.ABORTED, what="aborted where it waits")
        gate.set()
        assert result(waiting).aborted and result(blocking).success
    assert ran == []


def test_aborting_frees_the_unique_slot(app: Ardiq, working: Make) -> None:
    """E5, C7: in every state, running included."""
    sleeping = threading.Event()

    @app.task(unique=True)
    async def sleep() -> None:
        sleeping.set()
        await asyncio.sleep(60)

    with working():
        job = sleep.enqueue_sync()
        assert sleeping.wait(10)
        assert sleep.enqueue_sync() == job
        job.abort_sync()
        result(job)
        again = sleep.enqueue_sync()
        assert again.created and again.id != job.id
        until(lambda: again.status_sync() is JobStatus.RUNNING)
        again.abort_sync()


def test_a_task_that_finishes_all_the_same(app: Ardiq, working: Make) -> None:
    """E5: one that swallows its cancellation is aborted when it ends, whatever it returns."""
    sleeping = threading.Event()

    @app.task
    async def stubborn() -> str:
        sleeping.set()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            await asyncio.sleep(0.05)
        return "all the same"

    with working():
        job = stubborn.enqueue_sync()
        assert sleeping.wait(10)
        assert job.abort_sync()
        assert result(job).aborted


# -- what comes back ------------------------------------------------------------------------------


class Odd:
    pass


@pytest.mark.fault("35", "results that cannot be kept")
@pytest.mark.parametrize(
    ("value", "words"),
    [(Odd(), "Odd"), ({"a": [1, Odd()]}, "a"), ("x" * 3_000, "MAX_RESULT_BYTES"), (2**5_000, "int")],
    ids=["odd", "nested", "large", "int"],
)
@pytest.mark.parametrize("colour", ["async", "sync"])
def test_a_result_that_cannot_be_kept(app: Ardiq, working: Make, value: Any, words: str, colour: str) -> None:
    """E6: a failure that names the type, the path or the size; the job is not run again."""
    ran: list[int] = []

    def give() -> Any:
        ran.append(1)
        return value

    async def give_async() -> Any:
        return give()

    task = app.task(name="give", max_retries=3)(give_async if colour == "async" else give)
    with working(max_result_bytes=2_000):
        found = result(task.enqueue_sync())
    assert (found.status, ran) == (JobStatus.FAILED, [1])
    assert found.error is not None and words in found.error.message


def test_results_have_their_time(app: Ardiq, working: Make) -> None:
    """E7: after the TTL None and not_found; a task may have its own, 0 keeps nothing."""
    short = app.task(name="short", result_ttl_ms=150)(lambda: 1)
    nothing = app.task(name="nothing", result_ttl_ms=0)(lambda: 1)
    with working():
        first, second, third = short.enqueue_sync(), nothing.enqueue_sync(), short.enqueue_sync()
        assert result(third).success
        until(lambda: second.status_sync() is JobStatus.NOT_FOUND)
        until(lambda: first.status_sync() is JobStatus.NOT_FOUND, 5)
    assert first.result_sync() is None and first.info_sync() is None and second.result_sync() is None
