"""A job id of one's own: never two jobs under it."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from django.db import transaction

from ardiq import Ardiq, Job, JobStatus
from ardiq.enqueuing import Task
from tests.django.conftest import Stored, Work

ROOT = Path(__file__).resolve().parents[2]
PROCESSES = 50


@pytest.fixture
def echo(app: Ardiq) -> Task[..., int]:
    @app.task(name="work")
    def work(n: int) -> int:
        return n

    return work


def race(url: str, queue: str, how: str) -> Counter[str]:
    """How often each "<id> <created>" was answered to processes that enqueue at once."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.django.racing", url, queue, str(PROCESSES), how],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == PROCESSES, done.stderr
    return Counter(lines)


@pytest.mark.fault("54", "one id, 50 processes")
def test_fifty_processes_make_one_job(
    app: Ardiq, echo: Task[..., int], redis_url: str, queue_name: str, work: Work
) -> None:
    """C6: fifty processes that race on one id make one job; one is told that it made it."""
    answers = race(redis_url, queue_name, "id")
    assert answers == {"one True": 1, "one False": PROCESSES - 1}
    assert app.queue_size_sync() == 1
    work(app)
    info = app.info_sync("one")
    assert info is not None and (info.status, info.tries) == (JobStatus.SUCCEEDED, 1)


@pytest.mark.fault("54", "a replacement, 50 processes")
def test_fifty_processes_replace_once(
    app: Ardiq, echo: Task[..., int], redis_url: str, queue_name: str, work: Work
) -> None:
    """C6: fifty that race to replace a finished job start one new life: the first has made it live again."""
    echo.options(task_id="one").enqueue_sync(-1)
    work(app)
    answers = race(redis_url, queue_name, "replace")
    assert answers == {"one True": 1, "one False": PROCESSES - 1}
    assert app.queue_size_sync() == 1


def test_fifty_processes_share_a_unique_call(
    app: Ardiq, redis_url: str, queue_name: str, stored: Stored
) -> None:
    """C7: fifty identical unique calls at once are one job, and everyone gets its id."""
    answers = race(redis_url, queue_name, "unique")
    (id,) = stored()
    assert answers == {f"{id} True": 1, f"{id} False": PROCESSES - 1}


def test_while_it_lives_and_while_its_result_is_kept(app: Ardiq, echo: Task[..., int], work: Work) -> None:
    """C6: queued, and finished: the same id is the same job, created False, the first call's arguments."""
    mine = echo.options(task_id="mine")
    first = mine.enqueue_sync(1)
    assert (first.id, first.created) == ("mine", True)
    assert mine.enqueue_sync(2).created is False
    work(app)
    again = mine.enqueue_sync(3)
    assert (again.id, again.created, again.status_sync()) == ("mine", False, JobStatus.SUCCEEDED)
    assert again.result_sync().value == 1  # type: ignore[union-attr]
    assert app.queue_size_sync() == 0


def test_while_it_is_scheduled(echo: Task[..., int], stored: Stored) -> None:
    """C6: a scheduled job holds its id, and keeps its time."""
    job = echo.options(task_id="later", delay_ms=60_000).enqueue_sync(1)
    assert echo.options(task_id="later").enqueue_sync(1).created is False
    assert job.status_sync() is JobStatus.SCHEDULED
    assert stored() == {"later"}


def test_after_the_result_is_gone(app: Ardiq, work: Work) -> None:
    """C6: once the result is no longer kept, the id is free."""

    @app.task(name="brief", result_ttl_ms=0)
    def brief() -> None: ...

    once = brief.options(task_id="x")
    once.enqueue_sync()
    work(app)
    assert once.enqueue_sync().created is True


def test_replace_starts_a_new_life(app: Ardiq, echo: Task[..., int], work: Work) -> None:
    """C6: replace=True runs a finished id again, and its old result is gone before that."""
    echo.options(task_id="again").enqueue_sync(1)
    work(app)
    job = echo.options(task_id="again", replace=True).enqueue_sync(2)
    assert job.created is True
    assert (job.status_sync(), job.result_sync()) == (JobStatus.QUEUED, None)
    info = job.info_sync()
    assert info is not None and (info.tries, info.args, info.result) == (0, [2], None)
    work(app)
    assert job.result_sync().value == 2  # type: ignore[union-attr]


@pytest.mark.parametrize("status", ["succeeded", "failed", "aborted", "expired"])
def test_replace_after_any_end(app: Ardiq, work: Work, status: str) -> None:
    """C6: however it ended; no list of ended jobs, nor the dead letters, knows the old one any more."""

    @app.task(name="ends", max_retries=0)
    def ends(fails: bool) -> str:
        if fails:
            raise ValueError
        return "done"

    once = ends.options(task_id="x", expire_ms=1 if status == "expired" else 0)
    job = once.enqueue_sync(status == "failed")
    if status == "aborted":
        job.abort_sync()
    time.sleep(0.005)
    work(app)
    assert job.status_sync() == status
    again = asyncio.run(enqueue(ends.options(task_id="x", replace=True), False))
    assert (again.created, job.status_sync(), job.result_sync()) == (True, JobStatus.QUEUED, None)
    assert app.dead_letters_sync() == []
    work(app)
    assert job.result_sync().value == "done"  # type: ignore[union-attr]


async def enqueue(task: Task[..., Any], *args: Any) -> Job[Any]:
    return await task.enqueue(*args)


def test_while_it_runs(app: Ardiq, work: Work, stored: Stored) -> None:
    """C6: a running job holds its id, against replace=True as well."""
    created: list[bool] = []

    @app.task(name="runs")
    def runs() -> None:
        for replace in (False, True):
            created.append(runs.options(task_id="x", replace=replace).enqueue_sync().created)

    runs.options(task_id="x").enqueue_sync()
    work(app)
    assert created == [False, False] and stored() == {"x"}


@pytest.mark.django_db(transaction=True)
def test_replace_at_commit(app: Ardiq, echo: Task[..., int], work: Work) -> None:
    """C6, D1: the old result stays until the transaction commits; only then is it known what was there."""
    job = echo.options(task_id="x").enqueue_sync(1)
    work(app)
    with transaction.atomic():
        echo.options(task_id="x", replace=True).enqueue_sync(2)
        assert job.result_sync().value == 1  # type: ignore[union-attr]
    assert (job.status_sync(), job.result_sync()) == (JobStatus.QUEUED, None)
    with transaction.atomic():
        promised = echo.options(task_id="x").enqueue_sync(3)
    info = promised.info_sync()
    assert info is not None and info.args == [2]


def test_replace_leaves_a_living_job_alone(app: Ardiq, echo: Task[..., int], work: Work) -> None:
    """C6: replace=True is for finished jobs only."""
    echo.options(task_id="alive").enqueue_sync(1)
    assert echo.options(task_id="alive", replace=True).enqueue_sync(2).created is False
    work(app)
    assert app.result_sync("alive").value == 1  # type: ignore[union-attr]


def test_in_async_code(echo: Task[..., int], stored: Stored) -> None:
    """C6: a hundred coroutines at once, one job."""

    async def race_here() -> list[bool]:
        jobs = await asyncio.gather(*(echo.options(task_id="one").enqueue(n) for n in range(100)))
        return [job.created for job in jobs]

    assert sorted(asyncio.run(race_here())) == [False] * 99 + [True]
    assert stored() == {"one"}


def test_in_a_batch(app: Ardiq, echo: Task[..., int], stored: Stored) -> None:
    """C6, C9: within one enqueue_many the first of an id counts, and each call gets a Job of that id."""
    same = echo.options(task_id="one")
    jobs = app.enqueue_many_sync([same.prepare(1), echo.prepare(2), same.prepare(3)])
    assert [job.created for job in jobs] == [True, True, False]
    assert jobs[0] == jobs[2] and len(stored()) == 2
    info = jobs[2].info_sync()
    assert info is not None and info.args == [1]
