"""What goes wrong in tasks: dead letters, hooks, misfit calls, and exceptions that no task should raise."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest

from ardiq import Ardiq, Job, JobStatus, Retry, TaskResult
from tests.workers import Working, until

Make = Callable[..., Working]


def result(job: Job[Any], seconds: float = 10) -> TaskResult:
    found = job.result_sync(timeout=seconds)
    assert found is not None
    return found


# -- dead letters ---------------------------------------------------------------------------------


def test_a_dead_letter_tells_all(app: Ardiq, working: Make) -> None:
    """F1: args, lane, error with traceback, tries, times and the history of attempts."""

    @app.task(max_retries=2, priority="high")
    def broken(a: int, b: str = "x") -> None:
        raise ValueError(f"bad {a}")

    with working():
        job = broken.enqueue_sync(5, b="y")
        found = result(job)
    info = job.info_sync()
    assert info is not None and (info.args, info.kwargs, info.lane) == ([5], {"b": "y"}, "high")
    assert (info.status, info.tries, info.crashes, info.worker) == (JobStatus.FAILED, 3, 0, "here")
    assert found.error is not None and found.error.type == "ValueError"
    assert found.error.message == "bad 5" and "in broken" in found.error.traceback
    assert found.value == "ValueError('bad 5')"
    assert [(one.number, one.error and one.error.message, one.worker) for one in info.attempts] == [
        (1, "bad 5", "here"), (2, "bad 5", "here"), (3, "bad 5", "here"),
    ]  # fmt: skip
    assert all(one.ended >= one.started >= info.enqueue_time for one in info.attempts)
    assert found.finish >= found.start >= info.attempts[1].ended


def test_a_dead_letter_is_replayed(app: Ardiq, working: Make) -> None:
    """F1: same id, same arguments, fresh budget, the old outcome gone."""
    healed, seen = False, list[int]()

    @app.task(max_retries=1)
    def task(n: int) -> int:
        seen.append(n)
        if not healed:
            raise ValueError("not yet")
        return n

    with working():
        job = task.enqueue_sync(7)
        assert result(job).tries == 2
        assert job.replay_sync() is True
        until(lambda: (found := job.result_sync()) is not None and len(seen) == 4 and found.tries == 2)
        healed = True
        assert job.replay_sync() is True
        until(lambda: job.status_sync() is JobStatus.SUCCEEDED)
        found = result(job)
    assert (found.value, found.tries, seen) == (7, 1, [7] * 5)
    info = job.info_sync()
    assert info is not None and [(one.number, one.error) for one in info.attempts] == [(1, None)]


def test_a_dead_letter_is_deleted(app: Ardiq, working: Make) -> None:
    """F1: gone, and what runs is not deleted."""
    gate = threading.Event()
    task = app.task(name="t", max_retries=0)(lambda: gate.wait(10) and 1 / 0)
    with working():
        job = task.enqueue_sync()
        until(lambda: job.status_sync() is JobStatus.RUNNING)
        assert job.delete_sync() is False
        gate.set()
        assert not result(job).success
    assert job.delete_sync() is True and job.delete_sync() is False
    assert job.status_sync() is JobStatus.NOT_FOUND and job.replay_sync() is False


# -- hooks ----------------------------------------------------------------------------------------


def test_hooks_hear_of_every_failed_attempt(
    app: Ardiq, working: Make, caplog: pytest.LogCaptureFixture
) -> None:
    """F2: sync and async, in order; one that raises is logged and changes nothing."""
    heard: list[tuple[str, str, str, int]] = []

    @app.on_error
    def first(error: BaseException, job: Any) -> None:
        heard.append(("first", str(error), job.name, job.attempt))

    @app.on_error
    async def broken_hook(error: BaseException, job: Any) -> None:
        raise RuntimeError("hook")

    @app.on_error
    async def last(error: BaseException, job: Any) -> None:
        await asyncio.sleep(0)
        heard.append(("last", str(error), job.name, job.attempt))

    @app.task(name="t", max_retries=1)
    def task() -> None:
        raise ValueError("no")

    with working():
        assert result(task.enqueue_sync()).tries == 2
    assert heard == [(who, "no", "t", attempt) for attempt in (1, 2) for who in ("first", "last")]
    assert caplog.text.count("RuntimeError: hook") == 2


def test_which_ends_are_failures(app: Ardiq, working: Make) -> None:
    """F2, E6: timeouts, the last Retry and results that cannot be stored are told; requested retries,
    aborts and successes are not."""
    heard: list[str] = []
    app.on_error(lambda error, job: heard.append(f"{job.name}: {type(error).__name__}"))
    sleeping = threading.Event()

    @app.task(name="late", timeout=0.05, max_retries=0)
    async def late() -> None:
        await asyncio.sleep(5)

    @app.task(name="asks", max_retries=2)
    async def asks() -> None:
        raise Retry("again", delay_ms=1)

    @app.task(name="aborted")
    async def aborted() -> None:
        sleeping.set()
        await asyncio.sleep(5)

    @app.task(name="fine")
    def fine() -> None: ...

    @app.task(name="odd")
    def odd() -> object:
        return object()

    with working():
        jobs = [task.enqueue_sync() for task in (late, asks, aborted, fine, odd)]
        assert sleeping.wait(10)
        jobs[2].abort_sync()
        for job in jobs:
            result(job)
    assert sorted(heard) == ["asks: Retry", "late: TimeoutError", "odd: EncodeError"]


def test_a_hook_may_be_any_callable(app: Ardiq, working: Make) -> None:
    """F2: also an object whose call is async, or a function that returns something to await."""
    heard: list[str] = []

    class Hook:
        async def __call__(self, error: BaseException, job: Any) -> None:
            heard.append("object")

    async def told() -> None:
        heard.append("returned")

    app.on_error(Hook())
    app.on_error(lambda error, job: told())
    task = app.task(name="t", max_retries=0)(lambda: 1 / 0)
    with working():
        result(task.enqueue_sync())
    assert heard == ["object", "returned"]


# -- calls that do not fit ------------------------------------------------------------------------


@pytest.mark.fault("40", "bound before the call")
def test_a_call_that_does_not_fit_the_task(app: Ardiq, working: Make) -> None:
    """B10, F3: sent by name, refused before it runs, not retried."""
    job = app.send_sync("add", 1)
    app.task(name="add")(lambda a, b: a + b)
    with working():
        found = result(job)
    assert (found.status, found.tries) == (JobStatus.FAILED, 0)
    assert found.error is not None and found.error.type == "TypeError" and "add" in found.error.message


# -- what no task should raise --------------------------------------------------------------------


class Base(BaseException):
    pass


class Mute(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")

    __repr__ = __str__


@pytest.mark.fault("42", "what no task should raise")
@pytest.mark.parametrize(
    "error",
    [SystemExit(3), KeyboardInterrupt(), asyncio.CancelledError(), GeneratorExit(), Base("x"), Mute("x"),
     StopIteration(1), MemoryError(), RecursionError()],
    ids=lambda error: type(error).__name__,
)  # fmt: skip
@pytest.mark.parametrize("colour", ["async", "sync"])
def test_any_exception_is_a_failure_and_the_worker_goes_on(
    app: Ardiq, working: Make, error: BaseException, colour: str
) -> None:
    """F5: SystemExit, KeyboardInterrupt, CancelledError and every other BaseException."""

    def wrong() -> None:
        raise error

    async def wrong_async() -> None:
        raise error

    bad = app.task(name="bad", max_retries=0)(wrong_async if colour == "async" else wrong)
    good = app.task(name="good")(lambda: "still here")
    with working(concurrency=1) as here:
        found = result(bad.enqueue_sync())
        assert result(good.enqueue_sync()).value == "still here"
        assert here.worker._slots.running == 0
    assert (found.status, found.tries) == (JobStatus.FAILED, 1)
    assert found.error is not None and found.error.type.rpartition(".")[2] in (
        type(error).__name__,
        "RuntimeError",
    )


@pytest.mark.fault("42", "a coroutine that cancels itself")
def test_a_coroutine_that_cancels_itself(app: Ardiq, working: Make) -> None:
    """F5, R18: told apart from a cancellation by the worker: a failure like any other."""

    @app.task(max_retries=0)
    async def suicidal() -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await asyncio.sleep(5)

    with working():
        found = result(suicidal.enqueue_sync())
    assert (found.status, found.aborted) == (JobStatus.FAILED, False)
