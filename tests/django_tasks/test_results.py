"""What a TaskResult tells of jobs that run again, are stopped, come too late or are lost."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import transaction
from django.utils import timezone

import ardiq
from ardiq import BrokerError
from ardiq.backend import ArdiqBackend
from ardiq.core import errors
from ardiq.core.job import JobStatus
from ardiq.store.keys import Keys
from tests.parlour import tasks as defined
from tests.parlour.origin import InvalidTask, origin
from tests.server import admin, free_port
from tests.workers import Working, until

Work = Callable[..., None]
Project = Callable[..., None]
READY, RUNNING, FAILED, SUCCESSFUL = (
    origin.TaskResultStatus[name] for name in ("READY", "RUNNING", "FAILED", "SUCCESSFUL")
)


def job_of(result: Any, queue: str) -> ardiq.Job[Any]:
    return ardiq.Job(result.id, ardiq.queue(queue).broker)


def test_attempts_are_real(project: Project, queue_name: str, work: Work) -> None:
    """J5: each has its worker, its error and its time; the status between two of them is READY."""
    project(max_attempts=5, backoff=timedelta(milliseconds=400))
    result = defined.third_time.using(queue_name=queue_name).enqueue()
    seen = []
    for attempt in (1, 2, 3):
        until(lambda attempt=attempt: work() or result.refresh() or result.attempts == attempt)
        seen.append((result.status, result.attempts, len(result.errors), result.last_attempted_at))
    assert [one[:3] for one in seen] == [(READY, 1, 1), (READY, 2, 2), (SUCCESSFUL, 3, 2)]
    times = [one[3] for one in seen]
    assert times == sorted(times)
    assert result.started_at == times[0]
    assert result.return_value == 3
    assert result.worker_ids == ["here"] * 3
    assert {error.exception_class for error in result.errors} == {ConnectionError}
    assert "attempt 1" in result.errors[0].traceback


def test_out_of_attempts(project: Project, queue_name: str, work: Work) -> None:
    """J5, J7: it has failed with all its errors, and is a dead letter like any other."""
    project(max_attempts=2, backoff=0)
    result = defined.refuses.using(queue_name=queue_name).enqueue()
    until(lambda: work() or result.refresh() or result.is_finished)
    assert (result.status, result.attempts, len(result.errors)) == (FAILED, 2, 2)
    letters = ardiq.queue(queue_name).dead_letters_sync()
    assert [letter.id for letter in letters] == [result.id]
    assert job_of(result, queue_name).replay_sync()
    result.refresh()
    assert (result.status, result.attempts, result.errors) == (READY, 0, [])


def test_a_task_that_runs(project: Project, queue_name: str, redis_url: str) -> None:
    """J5: RUNNING, with the time at which it began; aborted, it has failed as JobAborted."""
    project()
    result = defined.waits.using(queue_name=queue_name).enqueue()
    defined.gate.clear()
    try:
        with Working(ardiq.queue(queue_name)):
            until(lambda: result.refresh() or result.status == RUNNING)
            assert result.attempts == 1
            assert result.started_at is not None
            assert result.finished_at is None
            with pytest.raises(ValueError, match="has not finished"):
                result.return_value  # noqa: B018
            assert job_of(result, queue_name).abort_sync()
            until(lambda: result.refresh() or result.is_finished)
    finally:
        defined.gate.set()
    assert result.status == FAILED
    assert result.errors[-1].exception_class is errors.JobAborted


def test_aborted_before_it_ran(tasks: Any, queue_name: str) -> None:
    """J5: FAILED at once, without an attempt, and the error says why."""
    result = tasks.nothing.enqueue()
    assert job_of(result, queue_name).abort_sync()
    result.refresh()
    assert (result.status, result.attempts, result.started_at) == (FAILED, 0, None)
    assert [error.exception_class for error in result.errors] == [errors.JobAborted]
    assert "aborted" in result.errors[0].traceback


def test_expired(project: Project, queue_name: str, work: Work) -> None:
    """J3, J5: what has not started in its window has failed as JobExpired."""
    project(expire=0.001)
    result = defined.nothing.using(queue_name=queue_name).enqueue()
    deadline = timezone.now() + timedelta(milliseconds=50)
    until(lambda: timezone.now() > deadline)
    work()
    result.refresh()
    assert (result.status, result.attempts) == (FAILED, 0)
    assert [error.exception_class for error in result.errors] == [errors.JobExpired]
    assert job_of(result, queue_name).status_sync() is JobStatus.EXPIRED


def test_lost(project: Project, queue_name: str, redis_url: str, work: Work) -> None:
    """J5: what kills its workers again and again has failed as JobCrashed."""
    project({"CRASH_LIMIT": 1})
    result = defined.nothing.using(queue_name=queue_name).enqueue()
    with admin(redis_url) as client:
        client.setrange(Keys(queue_name).prefix + f"job:{result.id}", 5, "01")  # its worker died once
    work()
    result.refresh()
    assert result.status == FAILED
    assert [error.exception_class for error in result.errors] == [errors.JobCrashed]


def test_run_after(tasks: Any, work: Work) -> None:
    """J8: a time, or how long from now; READY until then, and the task tells what was asked for."""
    later = timezone.now() + timedelta(hours=1)
    for after in (later, timedelta(hours=1)):
        task = tasks.nothing.using(run_after=after)
        result = task.enqueue()
        assert result.task == task
        work()
        result.refresh()
        assert (result.status, result.attempts) == (READY, 0)
        assert origin.default_task_backend.get_result(result.id).task.run_after == after
    past = tasks.nothing.using(run_after=timezone.now() - timedelta(hours=1)).enqueue()
    soon = tasks.nothing.using(run_after=timedelta(0)).enqueue()
    work()
    for result in (past, soon):
        result.refresh()
        assert result.status == SUCCESSFUL


@pytest.mark.parametrize(
    ("lanes", "expected"),
    [
        (["only"], {-100: "only", 0: "only", 100: "only"}),
        (["low", "high"], {-100: "low", -1: "low", 0: "high", 100: "high"}),
        (
            ["low", "default", "high"],
            {-100: "low", -34: "low", -33: "default", 0: "default", 33: "default", 34: "high", 100: "high"},
        ),
        (list("abcd"), {-100: "a", -51: "a", -50: "b", -1: "b", 0: "c", 49: "c", 50: "d", 100: "d"}),
    ],
)
def test_priorities_are_spread_over_the_lanes(
    project: Project, queue_name: str, lanes: list[str], expected: dict[int, str]
) -> None:
    """J2: evenly, lowest first, and 0 is the lane in the middle: the default one of a queue that names
    none."""
    project({"PRIORITIES": lanes})
    found = {}
    for priority in expected:
        task = defined.nothing.using(queue_name=queue_name, priority=priority)
        result = task.enqueue()
        info = job_of(result, queue_name).info_sync()
        assert info is not None
        found[priority] = info.lane
        again = origin.default_task_backend.get_result(result.id)
        assert again == result
        assert again.task.priority == priority
    assert found == expected
    assert found[0] == ardiq.queue(queue_name).options.default_priority


def test_higher_priorities_run_first(tasks: Any, work: Work) -> None:
    """J1, J2: whatever was enqueued first."""
    low, high = (tasks.nothing.using(priority=one).enqueue() for one in (-50, 50))
    work(concurrency=1)
    low.refresh()
    high.refresh()
    assert high.started_at <= low.started_at


def test_no_thread_takes_part_in_async_calls(tasks: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """J4: enqueue, result and refresh go over the loop's own connection, in the loop's own thread."""
    from asgiref.sync import SyncToAsync

    def hop(self: Any, *args: Any, **kwargs: Any) -> Any:
        raise AssertionError("a hop into a thread")

    monkeypatch.setattr(SyncToAsync, "__call__", hop)
    before = threading.active_count()

    async def main() -> None:
        result = await tasks.nothing.aenqueue(1)
        assert await origin.default_task_backend.aget_result(result.id) == result
        await result.arefresh()
        assert await tasks.nothing.aget_result(result.id) == result

    asyncio.run(main())
    assert threading.active_count() == before


def test_the_class_of_an_error_is_never_imported(tasks: Any, work: Work) -> None:
    """S1: its name comes from Redis; what is loaded is looked up."""
    result = tasks.refuses.enqueue()
    work()
    result.refresh()
    assert result.errors[0].exception_class is ValueError
    object.__setattr__(result.errors[0], "exception_class_path", "this.Import")
    with pytest.raises(ImportError, match="not to be found in the modules that are loaded"):
        result.errors[0].exception_class  # noqa: B018
    assert "this" not in sys.modules


def test_a_time_that_is_too_far(tasks: Any) -> None:
    """J8: is refused where it is said, and never written: a record has no room for it."""
    for far in (timedelta.max, timedelta(days=3_661)):
        with pytest.raises(InvalidTask, match="give a timedelta of at most 3,660 days"):
            tasks.nothing.using(run_after=far)
    for late in (datetime.max.replace(tzinfo=UTC), datetime(2249, 1, 1, tzinfo=UTC)):
        with pytest.raises(InvalidTask, match="give a time before the year 2248"):
            tasks.nothing.using(run_after=late)
    for ok in (timedelta(days=3_660), timedelta.min, datetime(2247, 12, 31, tzinfo=UTC)):
        result = tasks.nothing.using(run_after=ok).enqueue()
        result.refresh()
        assert (result.status, result.task.run_after) == (READY, ok)


def test_a_server_that_is_away_hides_no_result_of_another(
    project: Project, queue_name: str, settings: Any
) -> None:
    """J4, J7: what is not found on the others may lie there, and that is an error of the broker."""
    project()
    away = {"REDIS_URL": f"redis://127.0.0.1:{free_port()}/0"}
    settings.ARDIQ = {"default": away, queue_name: settings.ARDIQ[queue_name]}
    result = defined.nothing.using(queue_name=queue_name).enqueue()
    get, aget = origin.default_task_backend.get_result, origin.default_task_backend.aget_result
    assert get(result.id) == result
    assert asyncio.run(aget(result.id)) == result
    with pytest.raises(BrokerError):
        get("0" * 32)
    with pytest.raises(BrokerError):
        asyncio.run(aget("0" * 32))


@pytest.mark.django_db(transaction=True)
def test_what_came_of_a_call_may_be_looked_up_later(
    project: Project, queue_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """J7: a hook of a commit never raises because Redis goes away behind the enqueue."""
    project(unique=True)
    task, seen = defined.nothing.using(queue_name=queue_name), []
    first = task.enqueue()

    def away(*args: Any) -> None:
        raise BrokerError("Redis is away")

    for name in ("get_result", "aget_result"):
        monkeypatch.setattr(ArdiqBackend, name, away)
    with transaction.atomic():
        second = task.enqueue()
        transaction.on_commit(lambda: seen.append("the hook behind it"))
    third = asyncio.run(task.aenqueue())
    assert seen and first.id == second.id == third.id
    monkeypatch.undo()
    second.refresh()
    assert second.status == READY
