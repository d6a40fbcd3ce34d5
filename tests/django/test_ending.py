"""How a job ends before its time, or without a result that can be kept."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

import pytest

from ardiq import Ardiq, Job, JobStatus
from tests.django.conftest import Stored, Work


def ended(job: Job[Any], seconds: float = 10) -> JobStatus:
    deadline = time.monotonic() + seconds
    while not (status := job.status_sync()).finished:
        assert time.monotonic() < deadline, status
        time.sleep(0.01)
    return status


@pytest.mark.parametrize("options", [{}, {"delay_ms": 60_000}], ids=["queued", "scheduled"])
def test_aborting_what_waits(app: Ardiq, work: Work, options: dict[str, Any]) -> None:
    """E5: True, ended as aborted before it returns, never run; a second call is False."""
    ran: list[int] = []
    task = app.task(name="t")(lambda: ran.append(1))
    job = task.options(**options).enqueue_sync()
    assert job.abort_sync() is True
    result = job.result_sync()
    assert result is not None and (result.aborted, result.value, result.success) == (True, "aborted", False)
    assert job.status_sync() is JobStatus.ABORTED
    assert job.abort_sync() is False
    work(app)
    assert ran == []


def test_nothing_to_abort(app: Ardiq, work: Work) -> None:
    """E5: finished or unknown: False, and nothing changes."""
    job = app.task(name="t")(lambda: 5).enqueue_sync()
    work(app)
    assert asyncio.run(job.abort()) is False
    assert job.result_sync().value == 5  # type: ignore[union-attr]
    assert app.abort_sync("nobody") is False


@pytest.mark.parametrize("colour", ["async", "sync"])
def test_aborting_what_runs(app: Ardiq, work: Work, colour: str) -> None:
    """E5: a coroutine is cancelled, a thread interrupted; never retried."""
    started = threading.Event()
    ran: list[int] = []

    async def sleep() -> None:
        ran.append(1)
        started.set()
        await asyncio.sleep(30)

    def spin() -> None:
        ran.append(1)
        started.set()
        end = time.monotonic() + 30
        while time.monotonic() < end:
            time.sleep(0.001)

    job = app.task(name="long", backoff_ms=1)(sleep if colour == "async" else spin).enqueue_sync()
    worker = threading.Thread(target=work, args=[app])
    worker.start()
    assert started.wait(10)
    assert job.abort_sync() is True
    assert job.abort_sync() is False
    assert ended(job, 5) is JobStatus.ABORTED
    worker.join(10)
    work(app)
    result = job.result_sync()
    assert result is not None and (result.aborted, result.value) == (True, "aborted")
    assert ran == [1]


@pytest.mark.fault("37", "a result beyond MAX_RESULT_BYTES")
def test_a_result_that_cannot_be_kept(redis_url: str, queue_name: str, work: Work) -> None:
    """E6: a value that cannot be encoded, or is too large, is a failure naming type or size; run once."""
    app = Ardiq(queue_name, redis_url=redis_url, max_result_bytes=1_000, backoff_ms=1)
    ran: list[str] = []

    @app.task(name="returns")
    def returns(what: str) -> Any:
        ran.append(what)
        return {"nested": [object()]} if what == "object" else b"x" * 2_000

    jobs = [returns.enqueue_sync(what) for what in ("object", "large")]
    work(app)
    work(app)
    first, second = (job.result_sync() for job in jobs)
    assert first is not None and second is not None
    assert [job.status_sync() for job in jobs] == [JobStatus.FAILED] * 2
    assert first.error is not None and first.error.type == "ardiq.errors.EncodeError"
    assert "encode result['nested'][0]" in first.error.message and "object" in first.error.message
    assert second.error is not None and "2,0" in second.error.message
    assert "MAX_RESULT_BYTES (1,000)" in second.error.message
    assert sorted(ran) == ["large", "object"]


def test_after_the_ttl(redis_url: str, queue_name: str, work: Work, stored: Stored) -> None:
    """E7: RESULT_TTL_MS after its end the result is None and the job not_found."""
    app = Ardiq(queue_name, redis_url=redis_url, result_ttl_ms=2_000)
    job = app.task(name="t")(lambda: 5).enqueue_sync()
    kept = app.task(name="kept", result_ttl_ms=-1)(lambda: 6).enqueue_sync()
    work(app)
    assert job.result_sync().value == 5  # type: ignore[union-attr]
    deadline = time.monotonic() + 10
    while job.status_sync() is not JobStatus.NOT_FOUND:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert (job.result_sync(), job.info_sync()) == (None, None)
    assert stored() == {kept.id}


def test_a_result_that_nobody_wants(app: Ardiq, work: Work, stored: Stored) -> None:
    """E7: with a TTL of 0 nothing is stored, and whoever waits is told that it is over."""
    job = app.task(name="t", result_ttl_ms=0)(lambda: 5).enqueue_sync()
    timer = threading.Timer(0.1, work, [app])
    timer.start()
    assert job.result_sync(timeout=10) is None
    timer.join()
    assert job.status_sync() is JobStatus.NOT_FOUND and stored() == set()


def test_replay_and_delete(app: Ardiq, work: Work) -> None:
    """F1: a failed job runs again under its id with a fresh budget, or is forgotten."""
    ran: list[int] = []

    @app.task(name="fails_once", max_retries=0)
    def fails_once() -> str:
        ran.append(1)
        if len(ran) == 1:
            raise ValueError
        return "fine"

    job = fails_once.enqueue_sync()
    work(app)
    assert job.status_sync() is JobStatus.FAILED
    assert job.replay_sync() is True and job.replay_sync() is False
    work(app)
    result = job.result_sync()
    assert result is not None and (result.value, result.tries) == ("fine", 1)
    assert job.delete_sync() is True and job.delete_sync() is False
    assert job.status_sync() is JobStatus.NOT_FOUND
