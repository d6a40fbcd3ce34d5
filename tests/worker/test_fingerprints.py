"""The groups that workers put failures into: timeouts, crashes, unknown tasks, calls that are refused."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from ardiq import Ardiq, FailureGroup
from ardiq.core import retry
from ardiq.core.job import JobRecord
from tests.server import admin
from tests.workers import Workers, Working, until

HERE = "worker/test_fingerprints.py"
Make = Callable[..., Working]


def groups(app: Ardiq, count: int) -> list[FailureGroup]:
    """Once there are so many."""

    def found() -> list[FailureGroup]:
        listed = app.failure_groups_sync()
        return listed if len(listed) >= count else []

    return until(found, 30, f"{count} groups")  # type: ignore[no-any-return]


def test_timeouts_are_grouped_by_their_task(app: Ardiq, working: Make) -> None:
    """F1, B7: wherever they were when their time was over, async or in a thread."""

    @app.task(name="slow", timeout=0.05, max_retries=0)
    def slow(way: int) -> None:
        until(lambda: False, 30) if way else time.sleep(0.2)

    @app.task(name="slow_async", timeout=0.05, max_retries=0)
    async def slow_async() -> None:
        import asyncio

        await asyncio.sleep(30)

    with working():
        app.enqueue_many_sync([slow.prepare(0), slow.prepare(1), slow_async.prepare()])
        until(lambda: len(app.dead_letters_sync()) == 3)
        found = {(one.type, one.where, one.count) for one in groups(app, 2)}
    assert found == {("TimeoutError", "slow", 2), ("TimeoutError", "slow_async", 1)}


def test_only_the_last_failure_counts(app: Ardiq, working: Make) -> None:
    """F1: a retry is no dead letter; requested retries end in a group, too; one that succeeds is in none."""
    from ardiq import Retry, current_job

    @app.task(name="again", max_retries=1, backoff_ms=1)
    async def again() -> None:
        raise Retry("not ready", delay_ms=1)

    @app.task(name="better", max_retries=1, backoff_ms=1)
    async def better() -> None:
        if current_job().attempt == 1:  # type: ignore[union-attr]
            raise ValueError("at first")

    with working():
        jobs = [again.enqueue_sync(), better.enqueue_sync()]
        for job in jobs:
            job.result_sync(timeout=20)
        (found,) = groups(app, 1)
    assert (found.type, found.count) == ("ardiq.errors.Retry", 1)
    assert found.where.endswith(f"{HERE}:again")


def test_what_no_task_raised(
    app: Ardiq, working: Make, monkeypatch: pytest.MonkeyPatch, redis_url: str
) -> None:
    """F1, E6, F3, S3: refused calls, results that cannot be stored and unknown tasks are grouped by task."""
    monkeypatch.setattr(retry, "PARK_UNTIL_MS", 0)
    app.send_sync("add", 1, 2, 3)  # by somebody who knows it with other arguments

    @app.task(name="add", max_retries=0)
    async def add(a: int) -> Any:
        return object()

    bad = app.ref("add").options(delay_ms=100).enqueue_sync(1)
    with admin(redis_url) as client:
        key = app.broker.keys.job(bad.id)
        client.setrange(key, JobRecord(bad.id, client.get(key))._call_at, "\0\0")
    add.enqueue_sync(1)
    app.send_sync("nobody.knows.it")
    with working():
        found = {(one.type, one.where) for one in groups(app, 4)}
    assert found == {
        ("TypeError", "add"),
        ("ardiq.errors.BadSignature", "add"),
        ("ardiq.errors.EncodeError", "add"),
        ("ardiq.errors.UnknownTask", "nobody.knows.it"),
    }


def test_secrets_stay_out_of_groups(app: Ardiq, working: Make) -> None:
    """F1, S9: of a task with sensitive arguments no message is kept there."""

    @app.task(name="pay", max_retries=0, sensitive=("card",))
    async def pay(card: str) -> None:
        raise ValueError(f"{card} declined")

    with working():
        pay.enqueue_sync("4111")
        (found,) = groups(app, 1)
    assert (found.message, found.type) == ("", "ValueError") and found.where.endswith(f"{HERE}:pay")


def test_a_fingerprint_that_fails_costs_no_verdict(app: Ardiq, working: Make, monkeypatch: Any) -> None:
    """F1: the job fails all the same, in no group."""
    from ardiq.worker import judge

    def broken(*args: Any, **kwargs: Any) -> None:
        raise RuntimeError("no fingerprint today")

    monkeypatch.setattr(judge, "fingerprint", broken)

    @app.task(name="fail", max_retries=0)
    def fail() -> None:
        raise ValueError

    with working():
        result = fail.enqueue_sync().result_sync(timeout=20)
    assert result is not None and result.error is not None and result.error.type == "ValueError"
    assert app.failure_groups_sync() == [] and len(app.dead_letters_sync()) == 1


def test_crashes_and_failures_of_real_workers(workers: Workers, app: Ardiq, redis_url: str) -> None:
    """F1, F4: what kills its worker is grouped by its task; a failure by its place, also one in a process of
    its own."""
    workers.start(CRASH_LIMIT=2, LEASE_MS=1_000)
    app.ref("kill").enqueue_sync(9)
    until(lambda: workers.all[0].popen.poll() is not None, 20)
    suspect = app.ref("exit").options(delay_ms=60_000).enqueue_sync()
    with admin(redis_url) as client:
        client.setrange(app.broker.keys.job(suspect.id), 5, "01")
        client.zadd(app.broker.keys.scheduled, {suspect.id: 1})
    workers.start(CRASH_LIMIT=2, LEASE_MS=1_000)
    app.ref("exit").enqueue_sync()
    until(lambda: len(app.dead_letters_sync()) == 3, 30)
    assert {(one.type, one.where, one.count) for one in app.failure_groups_sync()} == {
        ("ardiq.errors.JobCrashed", "kill", 1),
        ("SystemExit", "tests/shop/tasks.py:leave", 2),
    }
