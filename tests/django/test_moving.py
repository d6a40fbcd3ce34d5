"""A job that waits gets another lane or time."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from ardiq import Ardiq, Job, JobStatus
from ardiq.enqueuing import Task
from tests.django.conftest import Work


@pytest.fixture
def echo(app: Ardiq) -> Task[..., int]:
    @app.task(name="echo")
    def echo(n: int) -> int:
        return n

    return echo


def lane_of(job: Job[Any]) -> str:
    info = job.info_sync()
    assert info is not None
    return info.lane


def test_another_lane(app: Ardiq, echo: Task[..., int], work: Work) -> None:
    """C12: queued or scheduled; it runs with the arguments that it had."""
    queued, scheduled = echo.enqueue_sync(1), echo.options(delay_ms=60_000).enqueue_sync(2)
    for job in (queued, scheduled):
        assert job.reprioritise_sync("high") is True
        assert lane_of(job) == "high"
    assert (app.queue_size_sync("high"), app.queue_size_sync("default")) == (1, 0)
    assert scheduled.status_sync() is JobStatus.SCHEDULED
    assert scheduled.run_now_sync() is True
    work(app)
    assert [job.result_sync().value for job in (queued, scheduled)] == [1, 2]  # type: ignore[union-attr]
    assert queued.reprioritise_sync("low") is False, "it has ended"


def test_a_lane_that_there_is_not(app: Ardiq, echo: Task[..., int]) -> None:
    """C5: the value and all the lanes, whatever the state of the job."""
    with pytest.raises(ValueError, match=r"'urgent' is no lane .* its lanes are low, default, high"):
        app.job("unknown").reprioritise_sync("urgent")


def test_another_time(app: Ardiq, echo: Task[..., int], work: Work) -> None:
    """C3, C4: in ms, as a timedelta, or as a moment; a moment in the past is now; info() says when."""
    job = echo.enqueue_sync(1)
    assert job.reschedule_sync(delay_ms=60_000) is True
    info = job.info_sync()
    assert info is not None and info.status is JobStatus.SCHEDULED
    assert info.scheduled_at is not None and info.scheduled_at >= info.enqueue_time + 60_000
    tomorrow = timezone.now() + timedelta(days=1)
    assert job.reschedule_sync(schedule=tomorrow) is True
    info = job.info_sync()
    assert info is not None and info.scheduled_at == int(tomorrow.timestamp() * 1000)
    assert job.reschedule_sync(delay=timedelta(hours=1)) is True
    work(app)
    assert job.status_sync() is JobStatus.SCHEDULED
    assert job.reschedule_sync(schedule_ms=1) is True
    assert job.status_sync() is JobStatus.QUEUED
    work(app)
    assert job.result_sync().value == 1  # type: ignore[union-attr]
    assert job.reschedule_sync(delay_ms=1) is False


def test_now(app: Ardiq, echo: Task[..., int], work: Work) -> None:
    """C4: ready at once; nobody says any more that it is to run later, nor that it ran before its time."""
    job = echo.options(delay_ms=60_000).enqueue_sync(1)
    kept = echo.options(delay_ms=1).enqueue_sync(2)
    assert job.run_now_sync() is True
    for status in (JobStatus.QUEUED, JobStatus.SUCCEEDED):
        info = job.info_sync()
        assert info is not None and (info.status, info.scheduled_at) == (status, None)
        work(app)
    while kept.status_sync() is not JobStatus.SUCCEEDED:
        work(app)
    info = kept.info_sync()
    assert info is not None and info.scheduled_at == info.enqueue_time + 1, "this one was not moved"
    assert app.job("unknown").run_now_sync() is False


def test_the_wait_for_a_retry(app: Ardiq, work: Work) -> None:
    """C4: it is scheduled like any other, and its attempts are not forgotten."""

    @app.task(name="once", max_retries=1, backoff_ms=60_000)
    def once() -> str:
        if not ran.pop():
            raise ValueError
        return "done"

    ran = [True, False]
    job = once.enqueue_sync()
    work(app)
    assert job.status_sync() is JobStatus.SCHEDULED
    assert job.run_now_sync() is True
    work(app)
    result = job.result_sync()
    assert result is not None and (result.value, result.tries) == ("done", 2)


def test_the_window_to_expire_in_stays(app: Ardiq, echo: Task[..., int], work: Work) -> None:
    """C8: counted from the enqueue, wherever the job has been since."""
    job = echo.options(expire_ms=1, delay_ms=60_000).enqueue_sync(1)
    before = job.info_sync()
    assert job.run_now_sync() is True
    after = job.info_sync()
    assert before is not None and after is not None and before.expires_at == after.expires_at
    while job.status_sync() in (JobStatus.SCHEDULED, JobStatus.QUEUED):
        work(app)
    assert job.status_sync() is JobStatus.EXPIRED


def test_a_time_beyond_the_window_to_expire_in(app: Ardiq, echo: Task[..., int], work: Work) -> None:
    """C8: refused where it is typed, with both times; the job stays where it is."""
    job = echo.options(expire_ms=3_600_000, delay_ms=60_000).enqueue_sync(1)
    info = job.info_sync()
    assert info is not None and info.expires_at is not None
    for beyond in ({"delay_ms": 3_700_000}, {"schedule_ms": info.expires_at + 1}):
        with pytest.raises(ValueError, match=r"expire_ms=3,600,000.*it would expire\. Enqueue it anew"):
            job.reschedule_sync(**beyond)
        with pytest.raises(ValueError, match="it would expire"):
            asyncio.run(job.reschedule(**beyond))
    assert job.info_sync() == info
    assert job.reschedule_sync(schedule_ms=info.expires_at - 1) is True
    assert job.run_now_sync() is True
    work(app)
    assert job.status_sync() is JobStatus.SUCCEEDED
    assert job.reschedule_sync(delay_ms=3_700_000) is False


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({}, TypeError),
        ({"delay_ms": 1, "schedule_ms": 1}, TypeError),
        ({"delay_ms": -1}, ValueError),
        ({"delay_ms": 1.5}, TypeError),
        ({"delay": 5}, TypeError),
        ({"schedule": "tomorrow"}, TypeError),
    ],
)
def test_wrong_times(app: Ardiq, given: dict[str, Any], error: type[Exception]) -> None:
    """C3: refused before anything is asked of Redis."""
    with pytest.raises(error):
        app.job("unknown").reschedule_sync(**given)


def test_in_async_code(app: Ardiq, echo: Task[..., int]) -> None:
    """C2: each has a twin."""

    async def moves() -> list[bool]:
        job = await echo.enqueue(1)
        answers = [await job.reprioritise("low"), await job.reschedule(delay_ms=60_000), await job.run_now()]
        await job.abort()
        return [
            *answers,
            await job.reprioritise("low"),
            await job.reschedule(delay_ms=1),
            await job.run_now(),
        ]

    assert asyncio.run(moves()) == [True] * 3 + [False] * 3
