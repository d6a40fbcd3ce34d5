"""Lifecycle signals: each is sent once, to whom it concerns, and no receiver can do harm."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import transaction
from django.dispatch import Signal

from ardiq import Ardiq, Job, Retry, TaskResult, owners, running, signals
from ardiq.core.events import Event
from ardiq.signals import Courier, job_enqueued, job_failed, job_started, job_succeeded
from tests.workers import Working, until

Make = Callable[..., Working]
Heard = list[tuple[str, Any, Event]]
ALL: dict[str, Signal] = {name: getattr(signals, name) for name in signals.__all__}


@pytest.fixture(autouse=True)
def disconnected() -> Iterator[None]:
    """Whatever a test connects is gone after it."""
    before = {name: list(signal.receivers) for name, signal in ALL.items()}
    yield
    for name, signal in ALL.items():
        signal.receivers[:] = before[name]
        signal.sender_receivers_cache.clear()


@pytest.fixture
def heard() -> Heard:
    """What receivers of all signals hear: the name of the signal, sender, event."""
    out: Heard = []
    for name, signal in ALL.items():

        def hear(sender: Any, event: Event, name: str = name, **kwargs: Any) -> None:
            out.append((name, sender, event))

        signal.connect(hear, weak=False)
    return out


def result(job: Job[Any]) -> TaskResult:
    found = job.result_sync(timeout=20)
    assert found is not None
    return found


def names(heard: Heard, job: Job[Any]) -> list[str]:
    return [name.removeprefix("job_") for name, _, event in heard if event.id == job.id]


@pytest.mark.parametrize("colour", ["async", "sync"])
def test_the_life_of_a_job(app: Ardiq, working: Make, heard: Heard, colour: str) -> None:
    """H8: every step in order, with the task as sender and what is known of it."""

    def body(how: str) -> None:
        if how == "retry":
            raise Retry("again", delay_ms=1)
        if how == "fail":
            raise ValueError("no")
        if how == "sleep":
            began.set()
            for _ in range(2_000):
                time.sleep(0.01)

    async def body_async(how: str) -> None:
        if how == "sleep":
            began.set()
            await asyncio.sleep(20)
        else:
            body(how)

    began = threading.Event()
    task = app.task(name="task", max_retries=1)(body if colour == "sync" else body_async)
    # Before the worker begins, which else may be faster than whoever has enqueued them.
    fine, failing, asking = (task.enqueue_sync(how) for how in ("", "fail", "retry"))
    aborted = task.options(priority="high").enqueue_sync("sleep")
    expired = task.options(delay_ms=5, expire_ms=1).enqueue_sync("")
    unknown = app.send_sync("nobody.knows")
    with working():
        assert began.wait(20)
        aborted.abort_sync()
        for job in (fine, failing, asking, aborted, expired):
            result(job)
        until(lambda: names(heard, unknown) == ["enqueued", "parked"], 20)
    unknown.delete_sync()
    assert names(heard, fine) == ["enqueued", "started", "succeeded"]
    assert names(heard, failing) == ["enqueued", "started", "retried", "started", "failed"]
    assert names(heard, asking) == names(heard, failing)
    assert names(heard, aborted) == ["enqueued", "started", "aborted"]
    assert names(heard, expired) == ["enqueued", "expired"]
    assert all(sender is (None if event.id == unknown.id else task) for _, sender, event in heard)
    last = next(event for name, _, event in heard if name == "job_failed" and event.id == failing.id)
    assert (last.name, last.queue, last.lane, last.worker) == ("task", app.queue_name, "default", "here")
    assert last.attempt == 2 and isinstance(last.error, ValueError) and last.duration_ms > 0
    assert {event.lane for _, _, event in heard if event.id == aborted.id} == {"high"}


def test_enqueued_is_sent_on_every_way(app: Ardiq, heard: Heard) -> None:
    """C9, C10: once for each job that is new, in order; not for those that were there."""
    task = app.task(name="task")(lambda *args: None)
    once = task.options(task_id="once")

    async def from_async() -> list[Job[Any]]:
        return [await task.enqueue(), *await app.enqueue_many(task.prepare(n) for n in range(600))]

    jobs = [task.enqueue_sync(), once.enqueue_sync(), app.send_sync("task")]
    jobs += app.enqueue_many_sync(task.options(priority="low").prepare(n) for n in range(600))
    jobs += asyncio.run(from_async())
    assert not once.enqueue_sync().created
    app.enqueue_many_sync([once.prepare(), once.prepare()])
    assert [event.id for _, _, event in heard] == [job.id for job in jobs]
    assert {name for name, _, _ in heard} == {"job_enqueued"}
    assert {sender for _, sender, _ in heard} == {task}
    assert [event.lane for _, _, event in heard[2:5]] == ["default", "low", "low"]


@pytest.mark.django_db(transaction=True)
def test_enqueued_is_sent_after_the_commit(app: Ardiq, heard: Heard) -> None:
    """D1: when Redis has the job, and never after a rollback."""
    task = app.task(name="task")(lambda *args: None)
    with transaction.atomic():
        jobs = [task.enqueue_sync(), *app.enqueue_many_sync([task.prepare(1), task.prepare(2)])]
        jobs += [task.options(durable=True).enqueue_sync()]
        assert heard == []
    assert [event.id for _, _, event in heard] == [job.id for job in jobs]
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        task.enqueue_sync()
        1 / 0  # noqa: B018
    assert len(heard) == 4


def test_a_receiver_that_raises_changes_nothing(
    app: Ardiq, working: Make, heard: Heard, caplog: pytest.LogCaptureFixture
) -> None:
    """F2: it is logged; the job, the caller and the other receivers go on. Even if it exits."""

    def broken(**kwargs: Any) -> None:
        raise RuntimeError("receiver")

    def leaves(**kwargs: Any) -> None:
        raise SystemExit(3)

    told: list[str] = []

    def after(event: Event, **kwargs: Any) -> None:
        told.append(event.kind)

    for signal in ALL.values():
        signal.connect(broken)
        signal.connect(after)
    job_started.connect(leaves)
    task = app.task(name="task")(lambda: 7)
    jobs = [task.enqueue_sync() for _ in range(3)]
    with working():
        assert [result(job).value for job in jobs] == [7, 7, 7]
    for job in jobs:
        assert names(heard, job) == ["enqueued", "started", "succeeded"]
    assert sorted(told) == ["enqueued"] * 3 + ["started"] * 3 + ["succeeded"] * 3
    assert "RuntimeError: receiver" in caplog.text and "SystemExit: 3" in caplog.text


def test_receivers_hold_up_no_job(app: Ardiq, working: Make) -> None:
    """B4: they run in a thread of their own, where no event loop is; async ones are awaited."""
    go = threading.Event()
    told: list[str] = []

    def slow(event: Event, **kwargs: Any) -> None:
        with pytest.raises(RuntimeError):
            asyncio.get_running_loop()
        assert go.wait(20)
        told.append(f"sync {threading.current_thread().name}")

    async def also(event: Event, **kwargs: Any) -> None:
        await asyncio.sleep(0)
        told.append("async")

    job_succeeded.connect(slow)
    job_succeeded.connect(also)

    @app.task(name="task")
    async def task() -> int:
        return 1

    with working():
        assert [result(task.enqueue_sync()).value for _ in range(20)] == [1] * 20
        assert told == []
        go.set()
    assert sorted(told) == ["async"] * 20 + ["sync ardiq-signals"] * 20


def test_only_the_sender_that_is_asked_for(
    app: Ardiq, working: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """H8: as with any signal of Django. Also where nothing else is received, and the log wants it as well."""
    monkeypatch.setattr(running, "_courier", Courier(owners.task_of))
    told: list[str] = []
    one = app.task(name="one", max_retries=0)(lambda: 1 / 0)
    two = app.task(name="two", max_retries=0)(lambda: 1 / 0)

    def hear(event: Event, **kwargs: Any) -> None:
        told.append(event.name)

    job_failed.connect(hear, sender=one)
    with working():
        for job in (one.enqueue_sync(), two.options(priority="low").enqueue_sync()):
            result(job)
    assert told == ["one"]


def test_receivers_that_are_too_slow_lose_events(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """F2: memory is bounded, and it is said how many were left out."""
    caplog.set_level(logging.WARNING, "ardiq")
    monkeypatch.setattr(signals, "MOST", 3)
    go, told = threading.Event(), []

    def slow(event: Event, **kwargs: Any) -> None:
        assert go.wait(20)
        told.append(event.id)

    job_failed.connect(slow)
    courier = Courier(lambda queue, name: None)
    assert courier.wanted("failed") and not courier.wanted("started") and not courier.wanted("refused")
    courier.hear(Event("failed", "first", "task", "q", "lane"))
    thread: Any = courier._thread
    until(lambda: thread.waiting.empty(), 20)
    for n in range(8):
        courier.hear(Event("failed", str(n), "task", "q", "lane"))
    assert not courier.last().wait(0.01)
    go.set()
    assert courier.last().wait(20)
    assert told == ["first", "0", "1", "2"]
    assert [record.args for record in caplog.records if "too slow" in record.msg] == [(1,), (2,), (4,)]


def test_without_receivers_nothing_is_done(app: Ardiq, working: Make) -> None:
    """H8: no event is made for a signal that nobody receives."""
    assert not job_enqueued.receivers
    task = app.task(name="task")(lambda: 1)
    with working() as here:
        result(task.enqueue_sync())
        assert "started" not in here.worker.events.wanted or logging.getLogger("ardiq").isEnabledFor(10)
        assert not any(Courier(lambda queue, name: None).wanted(kind) for kind in ("started", "failed"))
