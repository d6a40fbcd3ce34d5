"""unique: an identical call that waits or runs is returned instead of a second job."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from ardiq import Ardiq, Job, JobStatus
from ardiq.enqueuing import Task
from tests.django.conftest import Stored, Work
from tests.workers import Working, until


@pytest.fixture
def sync_user(app: Ardiq) -> Task[..., Any]:
    @app.task(name="sync_user", unique=True)
    def sync_user(user: int, full: bool = False, *, tag: str = "") -> list[Any]:
        return [user, full, tag]

    return sync_user


SPELLINGS: list[Callable[[Task[..., Any]], Job[Any]]] = [
    lambda task: task.enqueue_sync(7),
    lambda task: task.enqueue_sync(user=7),
    lambda task: task.enqueue_sync(7, False),
    lambda task: task.enqueue_sync(full=False, user=7),
    lambda task: task.enqueue_sync(7, tag=""),
    lambda task: task.options(delay_ms=60_000).enqueue_sync(7),
    lambda task: task.options(priority="high").enqueue_sync(7),
    lambda task: task.app.send_sync(task.name, user=7),
    lambda task: task.app.enqueue_many_sync([task.prepare(7)])[0],
    lambda task: asyncio.run(enqueue(task, 7)),
]


async def enqueue(task: Task[..., Any], *args: Any) -> Job[Any]:
    return await task.enqueue(*args)


def test_spelling_does_not_matter(app: Ardiq, sync_user: Task[..., Any], stored: Stored) -> None:
    """C7: positional or keyword, defaults given or left out, on every path: one job."""
    first = sync_user.enqueue_sync(7)
    for spelling in SPELLINGS:
        job = spelling(sync_user)
        assert (job.id, job.created) == (first.id, False)
    assert stored() == {first.id}


def test_the_order_of_names_does_not_matter(app: Ardiq, stored: Stored) -> None:
    """C7: calls and arguments that are equal in Python are identical, however their names are ordered."""

    @app.task(name="open", unique=True)
    def open_(data: dict[str, Any] | None = None, **more: int) -> None: ...

    assert open_.enqueue_sync(a=1, b=2) == open_.enqueue_sync(b=2, a=1)
    one, other = {"x": {"a": 1, "b": {3, 4}}}, {"x": {"b": {4, 3}, "a": 1}}
    assert open_.enqueue_sync(one) == open_.enqueue_sync(other)
    assert open_.enqueue_sync([one]) == open_.enqueue_sync([other])
    assert len(stored()) == 3


def test_other_calls_are_other_jobs(app: Ardiq, sync_user: Task[..., Any], stored: Stored) -> None:
    """C7: other arguments, or another task, are not identical."""

    @app.task(name="other", unique=True)
    def other(user: int) -> None: ...

    calls = [sync_user.prepare(7), sync_user.prepare(8), sync_user.prepare(7, True), other.prepare(7)]
    assert all(job.created for job in app.enqueue_many_sync(calls))
    assert len(stored()) == 4


def test_the_window_ends_with_the_job(app: Ardiq, sync_user: Task[..., Any], work: Work) -> None:
    """C7: once it has finished, the same call is a new job."""
    first = sync_user.enqueue_sync(7)
    work(app)
    second = sync_user.enqueue_sync(7)
    assert (second.created, second.id != first.id) == (True, True)


def test_a_failure_ends_the_window_too(app: Ardiq, work: Work) -> None:
    """C7: finished is finished, with or without success; a job that waits for its retry has not."""

    @app.task(name="fails", unique=True, max_retries=1, backoff_ms=60_000)
    def fails() -> None:
        raise ValueError

    first = fails.enqueue_sync()
    work(app)
    assert first.status_sync() is JobStatus.SCHEDULED
    assert fails.enqueue_sync() == first

    @app.task(name="fails_at_once", unique=True, max_retries=0)
    def fails_at_once() -> None:
        raise ValueError

    second = fails_at_once.enqueue_sync()
    work(app)
    assert second.status_sync() is JobStatus.FAILED
    assert fails_at_once.enqueue_sync().created is True


def test_while_it_runs(app: Ardiq, work: Work) -> None:
    """C7: "done" is the default: a running job is returned, with unique_until="start" it no longer counts."""
    seen: dict[str, bool] = {}

    @app.task(name="until_done", unique=True)
    def until_done() -> None:
        seen["done"] = until_done.enqueue_sync().created

    @app.task(name="until_start", unique=True, unique_until="start", max_retries=0)
    def until_start() -> None:
        if "start" not in seen:
            seen["start"] = until_start.enqueue_sync().created

    until_done.enqueue_sync()
    first = until_start.enqueue_sync()
    assert until_start.enqueue_sync() == first
    work(app)
    assert seen == {"done": False, "start": True}


def test_a_key_function(app: Ardiq, stored: Stored) -> None:
    """C7: unique=function decides by its return value which calls are identical."""

    @app.task(name="index", unique=lambda user, page=1: user)
    def index(user: int, page: int = 1) -> None: ...

    first = index.enqueue_sync(7, page=1)
    assert index.enqueue_sync(7, page=2) == first
    assert index.enqueue_sync(8).created is True
    # For this one call by another key.
    assert index.options(unique=lambda user, page=1: [user, page]).enqueue_sync(7).created is True
    assert len(stored()) == 3


async def key(user: int) -> int:
    return user


def test_a_key_function_is_no_coroutine(app: Ardiq, sync_user: Task[..., Any]) -> None:
    """C7: it is called where the call is made, in sync code as well; refused before anybody calls it."""
    with pytest.raises(TypeError, match=r"unique=.*no coroutine function"):
        app.task(name="wrong", unique=key)(lambda user: None)
    with pytest.raises(TypeError, match=r"unique=.*no coroutine function"):
        sync_user.options(unique=key)


def test_the_option_for_one_call(app: Ardiq, sync_user: Task[..., Any], stored: Stored) -> None:
    """C7: .options(unique=...) switches it on and off for one call."""

    @app.task(name="plain")
    def plain(n: int) -> None: ...

    once = plain.options(unique=True)
    assert once.enqueue_sync(1) == once.enqueue_sync(1)
    assert plain.enqueue_sync(1).created is True
    sync_user.enqueue_sync(7)
    assert sync_user.options(unique=False).enqueue_sync(7).created is True
    assert len(stored()) == 4


def test_a_window_in_time(app: Ardiq, sync_user: Task[..., Any]) -> None:
    """C7: unique_ttl_ms ends the window by itself, while the job still waits."""
    brief = sync_user.options(unique_ttl_ms=100)
    first = brief.enqueue_sync(7)
    assert brief.enqueue_sync(7) == first
    deadline = time.monotonic() + 5
    while (job := brief.enqueue_sync(7)) == first:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert (job.created, first.status_sync()) == (True, JobStatus.QUEUED)


@pytest.mark.parametrize("options", [{}, {"delay_ms": 60_000}], ids=["queued", "scheduled"])
def test_aborting_frees_the_slot(sync_user: Task[..., Any], options: dict[str, Any]) -> None:
    """C7: aborted while it waits, its slot is free when abort returns."""
    first = sync_user.options(**options).enqueue_sync(7)
    assert first.abort_sync() is True
    assert sync_user.enqueue_sync(7).created is True


def test_aborting_a_running_job_frees_the_slot(app: Ardiq, work: Work) -> None:
    """C7: aborted while it runs, its slot is free as soon as it has ended."""

    @app.task(name="long", unique=True)
    async def long() -> None:
        await app.abort(ardiq_id[0])
        await asyncio.sleep(30)

    ardiq_id = [long.enqueue_sync().id]
    work(app)
    assert app.status_sync(ardiq_id[0]) is JobStatus.ABORTED
    assert long.enqueue_sync().created is True


def test_aborting_a_retry_frees_the_slot(app: Ardiq, work: Work) -> None:
    """C7: a job that waits for its retry holds its slot, and gives it back when it is aborted."""

    @app.task(name="fails", unique=True, max_retries=1, backoff_ms=60_000)
    def fails() -> None:
        raise ValueError

    first = fails.enqueue_sync()
    work(app)
    assert fails.enqueue_sync() == first
    assert first.abort_sync() is True
    assert fails.enqueue_sync().created is True


def test_aborting_a_thread_frees_the_slot(app: Ardiq) -> None:
    """C7: a sync task is interrupted, and its slot is free when it has ended."""
    begun = threading.Event()

    @app.task(name="slow", unique=True)
    def slow() -> None:
        begun.set()
        for _ in range(3_000):
            time.sleep(0.01)

    first = slow.enqueue_sync()
    with Working(app):
        assert begun.wait(15)
        assert slow.enqueue_sync() == first
        assert first.abort_sync() is True
        until(lambda: first.status_sync() is JobStatus.ABORTED)
        second = slow.options(delay_ms=60_000).enqueue_sync()
        assert second.created is True


def test_expiry_frees_the_slot(app: Ardiq, sync_user: Task[..., Any], work: Work) -> None:
    """C7: so does a job that was never started, once a worker has found that out."""
    first = sync_user.options(expire_ms=1).enqueue_sync(7)
    time.sleep(0.005)
    assert sync_user.enqueue_sync(7) == first
    work(app)
    assert first.status_sync() is JobStatus.EXPIRED
    assert sync_user.enqueue_sync(7).created is True


def test_deleting_frees_the_slot(sync_user: Task[..., Any]) -> None:
    """C7: so does deleting the job."""
    first = sync_user.enqueue_sync(7)
    assert first.delete_sync() is True
    assert sync_user.enqueue_sync(7).created is True


def test_a_batch_collapses(app: Ardiq, sync_user: Task[..., Any], stored: Stored) -> None:
    """C7, C9: duplicates inside one enqueue_many are one job, and each call gets its handle."""
    jobs = app.enqueue_many_sync(sync_user.prepare(n % 2) for n in range(6))
    assert [job.created for job in jobs] == [True, True, False, False, False, False]
    assert {job.id for job in jobs} == stored() and len(stored()) == 2
    assert jobs[0] == jobs[2] == jobs[4]
