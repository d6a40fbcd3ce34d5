"""current_job(): each job sees itself, in all that it calls, and nothing of another."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

import pytest

from ardiq import Ardiq, Job, TaskResult, current_job
from tests.workers import Working

Make = Callable[..., Working]


def result(job: Job[Any], seconds: float = 10) -> TaskResult:
    found = job.result_sync(timeout=seconds)
    assert found is not None
    return found


@pytest.mark.parametrize("colour", ["async", "sync"])
def test_each_job_sees_itself(app: Ardiq, working: Make, colour: str) -> None:
    """B9: id, name, attempt, queue, lane and deadline, in the task and all it calls, never another's."""

    def look() -> list[Any]:
        job = current_job()
        assert job is not None
        return [job.id, job.name, job.attempt, job.queue, job.lane, job.deadline is not None]

    async def over_time() -> list[Any]:
        before = look()
        await asyncio.sleep(0.05)
        assert await asyncio.create_task(nested()) == before
        assert await asyncio.to_thread(look) == before
        return before

    async def nested() -> list[Any]:
        return look()

    def in_thread() -> list[Any]:
        before = look()
        time.sleep(0.05)
        assert look() == before
        return before

    task = app.task(name="look", timeout=5)(over_time if colour == "async" else in_thread)
    with working():
        jobs = [task.options(priority=("low", "high")[n % 2]).enqueue_sync() for n in range(8)]
        found = [result(job).value for job in jobs]
    expected = [
        [job.id, "look", 1, app.queue_name, ("low", "high")[n % 2], True] for n, job in enumerate(jobs)
    ]
    assert found == expected
    assert current_job() is None


@pytest.mark.parametrize("colour", ["async", "sync"])
def test_what_one_job_sets_the_next_does_not_see(app: Ardiq, working: Make, colour: str) -> None:
    """B9: every run has a context of its own, also one after the other in the same thread."""
    seen: ContextVar[str] = ContextVar("seen", default="clean")

    def touch() -> str:
        before = seen.get()
        seen.set("dirty")
        return before

    async def touch_async() -> str:
        return touch()

    task = app.task(name="touch")(touch_async if colour == "async" else touch)
    with working(concurrency=1):
        assert [result(job).value for job in [task.enqueue_sync() for _ in range(5)]] == ["clean"] * 5
