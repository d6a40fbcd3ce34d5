"""Results, status and all that is known of a job."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

import pytest

from ardiq import Ardiq, Job, JobStatus, Retry, TaskError, TaskResult, current_job
from ardiq.core.errors import BadPayload
from ardiq.enqueuing import Task
from tests.django.conftest import Work
from tests.server import admin


@pytest.fixture
def add(app: Ardiq) -> Task[..., int]:
    @app.task(name="add")
    async def add(a: int, b: int) -> int:
        return a + b

    return add


def both(job: Job[Any], name: str, **arguments: Any) -> list[Any]:
    """What the async method and its sync twin answer."""

    async def ask() -> Any:
        return await getattr(job, name)(**arguments)

    return [asyncio.run(ask()), getattr(job, f"{name}_sync")(**arguments)]


def in_background(work: Work, app: Ardiq, after: float = 0.0) -> threading.Thread:
    thread = threading.Timer(after, work, [app])
    thread.start()
    return thread


def test_no_result_yet(app: Ardiq, add: Task[..., int]) -> None:
    """E1: None while it waits, and for an id that nobody knows."""
    assert both(add.enqueue_sync(1, 1), "result") == [None, None]
    assert both(app.job("nobody"), "result") == [None, None]


@pytest.mark.parametrize("colour", ["async", "sync"])
def test_waiting_for_the_result(app: Ardiq, add: Task[..., int], work: Work, colour: str) -> None:
    """E1: with a timeout the result comes when the job ends, much sooner than by the next look."""
    job = add.enqueue_sync(2, 3)
    thread = in_background(work, app, 0.2)
    result = asyncio.run(job.result(timeout=10)) if colour == "async" else job.result_sync(timeout=10)
    late = time.time() * 1000 - result.finish if result else 0
    thread.join()
    assert result is not None and result.value == 5
    assert late < 600, "pushed: the first look after the start comes after a second"


@pytest.mark.fault("58", "the message is lost")
@pytest.mark.parametrize("colour", ["async", "sync"])
def test_a_lost_push(app: Ardiq, add: Task[..., int], work: Work, redis_url: str, colour: str) -> None:
    """E1: when the connection that listens dies, the result is found by looking."""
    job = add.enqueue_sync(2, 3)

    def cut_and_work() -> None:
        with admin(redis_url) as client:
            assert client.execute_command("CLIENT", "KILL", "TYPE", "pubsub") >= 1
        work(app)

    thread = threading.Timer(0.2, cut_and_work)
    thread.start()
    result = asyncio.run(job.result(timeout=10)) if colour == "async" else job.result_sync(timeout=10)
    thread.join()
    assert result is not None and result.value == 5


def test_a_result_that_is_there_already(app: Ardiq, add: Task[..., int], work: Work) -> None:
    """E1: a wait for a job that has ended answers at once; so does one for a job that is unknown."""
    job = add.enqueue_sync(2, 3)
    work(app)
    assert [result.value for result in both(job, "result", timeout=5)] == [5, 5]
    began = time.monotonic()
    assert both(app.job("nobody"), "result", timeout=5) == [None, None]
    assert time.monotonic() - began < 2


@pytest.mark.parametrize("colour", ["async", "sync"])
def test_a_timeout_names_id_and_seconds(add: Task[..., int], colour: str) -> None:
    """E1: TimeoutError after that time, naming the job and the seconds."""
    job = add.enqueue_sync(1, 1)
    began = time.monotonic()
    with pytest.raises(TimeoutError, match=rf"Job {job.id} has not ended within 0\.05 s"):
        asyncio.run(job.result(timeout=0.05)) if colour == "async" else job.result_sync(timeout=0.05)
    assert time.monotonic() - began < 2


def test_many_wait_for_many(app: Ardiq, add: Task[..., int], work: Work) -> None:
    """E1: a hundred coroutines wait on one connection, several for the same job; each gets its own."""
    jobs = app.enqueue_many_sync(add.prepare(n, n) for n in range(50))
    thread = in_background(work, app, 0.1)

    async def wait() -> list[Any]:
        results = await asyncio.gather(*(job.result(timeout=20) for job in jobs * 2))
        return [result.value for result in results if result is not None]

    assert asyncio.run(wait()) == [n + n for n in range(50)] * 2
    thread.join()


def test_the_fields_of_a_success(app: Ardiq, work: Work) -> None:
    """E2: success, value, tries, times in epoch ms, duration, no error; raise_for_error gives it back."""

    @app.task(name="slow")
    async def slow() -> str:
        await asyncio.sleep(0.03)
        return "done"

    before = int(time.time() * 1000) - 1_000
    job = slow.enqueue_sync()
    work(app)
    result = job.result_sync()
    assert isinstance(result, TaskResult)
    assert (result.success, result.value, result.tries, result.aborted) == (True, "done", 1, False)
    assert (result.status, result.error) == (JobStatus.SUCCEEDED, None)
    assert before < result.enqueue_time <= result.start < result.finish < before + 30_000
    assert result.duration_ms == result.finish - result.start >= 25
    assert result.raise_for_error() is result


class Broken(Exception):
    def __repr__(self) -> str:
        return f"Broken({self})"


def test_the_fields_of_a_failure(app: Ardiq, work: Work) -> None:
    """E2: value is repr(exc); error has the dotted type, the message and the traceback as text."""

    @app.task(name="fails", max_retries=0)
    def fails() -> None:
        raise Broken("no luck")

    job = fails.enqueue_sync()
    work(app)
    result = job.result_sync()
    assert result is not None
    assert (result.success, result.value, result.tries) == (False, "Broken(no luck)", 1)
    assert result.status is JobStatus.FAILED and result.aborted is False
    assert result.error is not None
    assert (result.error.type, result.error.message) == (f"{__name__}.Broken", "no luck")
    assert "Traceback" in result.error.traceback and 'raise Broken("no luck")' in result.error.traceback
    with pytest.raises(TaskError, match=r"Broken: no luck") as caught:
        result.raise_for_error()
    assert (caught.value.type, caught.value.message) == (result.error.type, "no luck")
    assert caught.value.traceback == result.error.traceback


def test_every_status_on_its_way(app: Ardiq, work: Work) -> None:
    """E3: scheduled, queued, running, succeeded, not_found; finished tells those that are over."""
    seen: list[JobStatus] = []

    @app.task(name="look")
    async def look() -> None:
        seen.append(await app.status(current_job().id))  # type: ignore[union-attr]

    job = look.options(delay_ms=60_000).enqueue_sync()
    assert both(job, "status") == [JobStatus.SCHEDULED] * 2 == ["scheduled"] * 2
    now = look.enqueue_sync()
    assert both(now, "status") == [JobStatus.QUEUED] * 2
    work(app)
    assert seen == [JobStatus.RUNNING]
    assert both(now, "status") == [JobStatus.SUCCEEDED] * 2
    assert both(app.job("nobody"), "status") == [JobStatus.NOT_FOUND] * 2
    over = {status for status in JobStatus if status.finished}
    assert over == {"succeeded", "failed", "aborted", "expired"}


def test_waiting_for_a_retry_is_scheduled(app: Ardiq, work: Work) -> None:
    """E3: with at least one try behind it."""

    @app.task(name="later")
    def later() -> None:
        raise Retry("not yet", delay_ms=60_000)

    job = later.enqueue_sync()
    work(app)
    info = job.info_sync()
    assert info is not None and (info.status, info.tries) == (JobStatus.SCHEDULED, 1)
    assert [attempt.error.message for attempt in info.attempts] == ["not yet"]


def test_all_that_is_known_of_a_waiting_job(app: Ardiq, add: Task[..., int]) -> None:
    """E4: what it is, its call, its state, its times; what does not apply is None or empty."""
    options = add.options(priority="high", delay_ms=60_000, expire_ms=90_000, task_id="mine")
    for info in both(options.enqueue_sync(2, b=3), "info"):
        assert (info.id, info.name, info.args, info.kwargs) == ("mine", "add", [2], {"b": 3})
        assert (info.queue, info.lane, info.status) == (app.queue_name, "high", JobStatus.SCHEDULED)
        assert (info.tries, info.crashes, info.attempts) == (0, 0, [])
        assert info.scheduled_at == info.enqueue_time + 60_000
        assert info.expires_at == info.enqueue_time + 90_000
        assert (info.started_at, info.finished_at, info.worker, info.result) == (None, None, "", None)
        assert info.problem == ""
    assert both(app.job("nobody"), "info") == [None, None]


def test_all_that_is_known_of_a_finished_job(app: Ardiq, work: Work) -> None:
    """E4: the call, the worker and the history of attempts are kept with the result."""

    @app.task(name="third_time", backoff_ms=1)
    def third_time(word: str) -> str:
        if current_job().attempt < 3:  # type: ignore[union-attr]
            raise ValueError(f"attempt {current_job().attempt}")  # type: ignore[union-attr]
        return word

    job = third_time.enqueue_sync("lucky")
    deadline = time.monotonic() + 10
    while not job.status_sync().finished:
        assert time.monotonic() < deadline
        work(app)
    for info in both(job, "info"):
        assert (info.args, info.status, info.tries) == (["lucky"], JobStatus.SUCCEEDED, 3)
        assert [one.number for one in info.attempts] == [1, 2, 3]
        assert [one.error.message for one in info.attempts[:2]] == ["attempt 1", "attempt 2"]
        assert all(one.started <= one.ended and one.worker == info.worker for one in info.attempts)
        assert "ValueError" in info.attempts[1].error.traceback and info.attempts[2].error is None
        assert info.started_at == info.result.start and info.finished_at == info.result.finish
        assert info.result.value == "lucky" and info.worker != ""


@pytest.mark.parametrize("raw", [b"garbage", b"Q0", b"Q" + b"0" * 40])
def test_a_record_that_cannot_be_read(app: Ardiq, raw: bytes) -> None:
    """E3, E4: a sentence with a way out, not an error of our own code."""
    job = app.job("broken")
    with admin(app.options.redis_url) as client:
        client.set(app.broker.keys.job("broken"), raw)
        with pytest.raises(BadPayload, match="The record of job broken cannot be read"):
            job.info_sync()
        if raw[:1] != b"Q":
            with pytest.raises(BadPayload, match="unknown status letter"):
                job.status_sync()
        client.delete(app.broker.keys.job("broken"))
