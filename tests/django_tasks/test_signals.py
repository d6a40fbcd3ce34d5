"""The three signals: where, when, from whom, and with what."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User

from ardiq.backend import ArdiqBackend
from tests.parlour import tasks as defined
from tests.parlour.origin import LOGGER, origin, signals
from tests.workers import until

Work = Callable[..., None]
Heard = list[tuple[str, Any, str, Any]]


@pytest.fixture
def heard() -> Iterator[Heard]:
    """(signal, sender, status, the result) in the order in which they were sent."""
    told: Heard = []
    receivers = {}
    for name in ("task_enqueued", "task_started", "task_finished"):

        def receive(sender: Any, task_result: Any, name: str = name, **kwargs: Any) -> None:
            told.append((name, sender, str(task_result.status), task_result))

        receivers[name] = receive
        getattr(signals, name).connect(receive)
    yield told
    for name, receive in receivers.items():
        getattr(signals, name).disconnect(receive)


@pytest.mark.parametrize("name", ["add", "add_async"])
def test_a_task_that_succeeds(tasks: Any, work: Work, heard: Heard, name: str) -> None:
    """J6: enqueued, started, finished; from our backend, with the result as it is by then."""
    result = getattr(tasks, name).enqueue(2, b=3)
    work()
    assert [(one[0], one[2]) for one in heard] == [
        ("task_enqueued", "READY"),
        ("task_started", "RUNNING"),
        ("task_finished", "SUCCESSFUL"),
    ]
    assert {sender for _, sender, _, _ in heard} == {ArdiqBackend}
    enqueued, started, finished = (one[3] for one in heard)
    assert enqueued.id == started.id == finished.id == result.id
    assert enqueued.enqueued_at == started.enqueued_at == finished.enqueued_at
    assert started.started_at == started.last_attempted_at == finished.started_at
    assert started.finished_at is None
    assert (started.args, started.kwargs) == ([2], {"b": 3})
    assert started.worker_ids == finished.worker_ids == ["here"]
    assert started.task == finished.task == getattr(tasks, name)
    assert finished.return_value == 5
    result.refresh()
    # The signal has the time at which the worker heard that the server has it.
    assert abs(result.finished_at - finished.finished_at) < timedelta(seconds=1)
    object.__setattr__(finished, "finished_at", result.finished_at)
    assert result == finished


def test_a_task_that_is_retried(
    project: Callable[..., None], queue_name: str, work: Work, heard: Heard
) -> None:
    """J6: every run is started, and only the last one is finished."""
    project(max_attempts=3, backoff=0)
    result = defined.third_time.using(queue_name=queue_name).enqueue()
    last = origin.default_task_backend.get_result
    until(lambda: work() or last(result.id).is_finished)
    assert [(one[0], one[3].attempts) for one in heard] == [
        ("task_enqueued", 0),
        ("task_started", 1),
        ("task_started", 2),
        ("task_started", 3),
        ("task_finished", 3),
    ]


def test_what_never_runs_is_finished_all_the_same(
    project: Callable[..., None], queue_name: str, work: Work, heard: Heard
) -> None:
    """J6: a job that came too late has failed."""
    project(expire=0.001)
    defined.nothing.using(queue_name=queue_name).enqueue()
    threading.Event().wait(0.05)
    work()
    assert [(one[0], one[2]) for one in heard] == [("task_enqueued", "READY"), ("task_finished", "FAILED")]


def test_async_callers(tasks: Any, heard: Heard) -> None:
    """J4, J6: receivers that are async run on the loop, the others in a thread where the ORM may be used."""
    loops = []

    async def receive(sender: Any, **kwargs: Any) -> None:
        loops.append(asyncio.get_running_loop())

    signals.task_enqueued.connect(receive)
    try:

        async def main() -> None:
            await tasks.nothing.aenqueue()
            assert loops == [asyncio.get_running_loop()]

        asyncio.run(main())
    finally:
        signals.task_enqueued.disconnect(receive)
    assert [one[0] for one in heard] == ["task_enqueued"]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("name", ["nothing", "nothing_async"])
def test_receivers_may_use_the_orm(tasks: Any, work: Work, name: str) -> None:
    """J6: also those of a task that runs on the loop of the worker."""
    told = []

    def receive(sender: Any, task_result: Any, **kwargs: Any) -> None:
        told.append(User.objects.count())

    for signal in (signals.task_started, signals.task_finished):
        signal.connect(receive)
    try:
        getattr(tasks, name).enqueue()
        work()
    finally:
        for signal in (signals.task_started, signals.task_finished):
            signal.disconnect(receive)
    assert told == [0, 0]


def test_a_receiver_that_raises_changes_nothing(tasks: Any, work: Work, heard: Heard) -> None:
    """J6: neither the enqueue nor the run nor what other receivers hear."""

    def raise_(sender: Any, **kwargs: Any) -> None:
        raise ZeroDivisionError

    three = (signals.task_enqueued, signals.task_started, signals.task_finished)
    for signal in three:
        signal.connect(raise_)
    try:
        result = tasks.meaning.enqueue()
        work()
    finally:
        for signal in three:
            signal.disconnect(raise_)
    result.refresh()
    assert result.return_value == 42
    assert len(heard) == 3
    assert origin.default_task_backend.get_result(result.id).attempts == 1


@pytest.mark.parametrize("level", ["WARNING", "DEBUG"])
def test_a_project_that_wants_no_lines_of_djangos(
    tasks: Any, work: Work, heard: Heard, level: str, caplog: pytest.LogCaptureFixture
) -> None:
    """J6: it disconnects the receivers that write them, and its own are heard all the same."""
    names = ("task_enqueued", "task_started", "task_finished")
    caplog.set_level(level, LOGGER)
    for name in names:
        assert getattr(signals, name).disconnect(getattr(signals, f"log_{name}"))
    try:
        tasks.nothing.enqueue()
        asyncio.run(tasks.nothing.aenqueue())
        work()
    finally:
        for name in names:
            getattr(signals, name).connect(getattr(signals, f"log_{name}"))
    assert sorted(one[0] for one in heard) == sorted(2 * names)
    assert LOGGER not in {record.name for record in caplog.records}
