"""Threads of sync tasks: exceptions thrown into them hit the job that they are meant for, and no other."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest

from ardiq import Ardiq, JobStatus
from ardiq.core.errors import JobTimedOut
from ardiq.core.retry import Ending, Outcome
from ardiq.worker.held import Held
from ardiq.worker.threads import Seat
from tests.workers import Working, until

Make = Callable[..., Working]


def test_aborts_hit_only_their_own_job(app: Ardiq, working: Make) -> None:
    """E5, B7: hundreds of short jobs in few threads, a third of them aborted at random moments."""
    dice = random.Random(7)
    wrong: list[str] = []

    @app.task(max_retries=0)
    def work() -> str:
        end = time.monotonic() + 0.002
        while time.monotonic() < end:
            pass
        return "done"

    with working(concurrency=3, prefetch=20):
        jobs = app.enqueue_many_sync(work.prepare() for _ in range(400))
        stopped = {job.id: job.abort_sync() for job in jobs if dice.random() < 0.33}
        for job in jobs:
            found = job.result_sync(timeout=20)
            assert found is not None
            expected = (
                (JobStatus.ABORTED, JobStatus.SUCCEEDED) if stopped.get(job.id) else (JobStatus.SUCCEEDED,)
            )
            if found.status not in expected:
                wrong.append(f"{found.status} {found.error}")
        assert work.enqueue_sync().result_sync(timeout=5).success  # type: ignore[union-attr]
    assert wrong == [] and any(stopped.values())


def test_timeouts_hit_only_their_own_job(app: Ardiq, working: Make) -> None:
    """B7: jobs that take about as long as they may, one after the other in the same threads."""
    dice = random.Random(3)

    @app.task(timeout=0.02, max_retries=0)
    def close_call(seconds: float) -> str:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            pass
        return "done"

    @app.task(max_retries=0)
    def innocent() -> str:
        return "done"

    with working(concurrency=2):
        jobs = []
        for _ in range(60):
            jobs.append((close_call.enqueue_sync(dice.choice([0.0, 0.019, 0.02, 0.021, 0.05])), False))
            jobs.append((innocent.enqueue_sync(), True))
        for job, clean in jobs:
            found = job.result_sync(timeout=20)
            assert found is not None
            if found.success:
                continue
            assert not clean, found
            assert found.error is not None and found.error.message == "timed out after 0.02s"


def test_an_interrupt_between_two_steps_of_the_worker() -> None:
    """B7: it may arrive after the task has returned, and outside of what watches the task."""
    held = Held(cast(Any, None), 1, cast(Any, None), 0.0, False)
    held.definition = cast(Any, SimpleNamespace(timeout=0.02))

    def perform(held: Held) -> Outcome:
        raise JobTimedOut

    outcome = Seat().run(held, perform)
    assert outcome.ending is Ending.TIMED_OUT
    assert repr(outcome.error) == "TimeoutError('timed out after 0.02s')"


@pytest.mark.parametrize("manner", ["finally", "swallow", "reraise"])
def test_what_tasks_do_with_an_interrupt(app: Ardiq, working: Make, manner: str) -> None:
    """B7: clean-up runs; one that swallows it ends when it ends, and is out of time all the same."""
    cleaned: list[str] = []

    def compute() -> None:
        end = time.monotonic() + 5
        while time.monotonic() < end:
            pass

    @app.task(timeout=0.1, max_retries=0)
    def spin() -> str:
        try:
            # Called, because CPython 3.13 leaves the jump of a bare loop out of the try around it.
            compute()
        except BaseException:
            if manner == "finally":
                raise
            if manner == "reraise":
                raise ValueError("on the way out") from None
        finally:
            cleaned.append(manner)
        return "swallowed"

    with working(concurrency=1):
        found = spin.enqueue_sync().result_sync(timeout=10)
        assert found is not None and cleaned == [manner]
    if manner == "finally":
        assert found.error is not None and found.error.message == "timed out after 0.1s"
    else:
        assert found.status in (JobStatus.FAILED, JobStatus.SUCCEEDED)


def test_threads_are_made_as_needed_and_end_with_the_worker(app: Ardiq, working: Make) -> None:
    """B4, H3: none for async work, no more than THREADS, none left behind."""

    def alive() -> int:
        return sum(thread.name == "ardiq-task" for thread in threading.enumerate())

    gate = threading.Event()

    @app.task
    async def quick() -> None: ...

    @app.task
    def hold() -> None:
        gate.wait(10)

    until(lambda: alive() == 0)
    with working(concurrency=8, threads=3):
        quick.enqueue_sync().result_sync(timeout=5)
        assert alive() == 0
        jobs: list[Any] = [hold.enqueue_sync() for _ in range(6)]
        until(lambda: alive() == 3)
        time.sleep(0.05)
        assert alive() == 3
        gate.set()
        for job in jobs:
            job.result_sync(timeout=5)
    until(lambda: alive() == 0)
