"""Section D at the second door."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.db import connection, transaction
from django.test import TestCase
from django.test.utils import CaptureQueriesContext

import ardiq
from ardiq.backend import ArdiqTask
from ardiq.models import Outbox
from ardiq.signals import job_enqueued
from tests.parlour import tasks as defined
from tests.parlour.origin import TaskResultDoesNotExist, origin, signals
from tests.server import free_port

Project = Callable[..., None]
READY = origin.TaskResultStatus.READY
WAYS: dict[str, Callable[[Any], Any]] = {
    "sync": lambda task: task.enqueue(),
    "async": lambda task: async_to_sync(task.aenqueue)(),
}
each_way = pytest.mark.parametrize("enqueue", WAYS.values(), ids=WAYS)


@pytest.fixture
def heard() -> Iterator[list[tuple[str, str]]]:
    """(which signal, the id of its job), in the order in which they were sent."""
    told: list[tuple[str, str]] = []

    def ours(sender: Any, event: Any, **kwargs: Any) -> None:
        told.append(("job_enqueued", event.id))

    def djangos(sender: Any, task_result: Any, **kwargs: Any) -> None:
        told.append(("task_enqueued", task_result.id))

    job_enqueued.connect(ours)
    signals.task_enqueued.connect(djangos)
    yield told
    job_enqueued.disconnect(ours)
    signals.task_enqueued.disconnect(djangos)


@pytest.mark.django_db(transaction=True)
def test_the_job_leaves_at_commit(tasks: Any) -> None:
    """J7, D1: until then the result is READY with its final id, and was not enqueued; then it tells when."""
    told = []

    def receive(sender: Any, task_result: Any, **kwargs: Any) -> None:
        told.append((task_result.id, task_result.enqueued_at))

    signals.task_enqueued.connect(receive)
    try:
        with transaction.atomic():
            result = tasks.nothing.enqueue()
            assert (result.status, result.enqueued_at) == (READY, None)
            with pytest.raises(TaskResultDoesNotExist):
                origin.default_task_backend.get_result(result.id)
            assert told == []
        assert result.enqueued_at is not None
        assert told == [(result.id, result.enqueued_at)]
    finally:
        signals.task_enqueued.disconnect(receive)
    assert origin.default_task_backend.get_result(result.id) == result


@pytest.mark.django_db(transaction=True)
def test_a_rollback_leaves_nothing(tasks: Any) -> None:
    """J7, D1: of the transaction, or of a savepoint in it."""
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        result = tasks.nothing.enqueue()
        raise ZeroDivisionError
    with transaction.atomic():
        kept = tasks.nothing.enqueue()
        with pytest.raises(ZeroDivisionError), transaction.atomic():
            dropped = tasks.nothing.enqueue()
            raise ZeroDivisionError
    for gone in (result, dropped):
        assert gone.enqueued_at is None
        with pytest.raises(TaskResultDoesNotExist):
            origin.default_task_backend.get_result(gone.id)
    assert origin.default_task_backend.get_result(kept.id) == kept


@pytest.mark.django_db(transaction=True)
def test_at_once_if_somebody_wants_it(project: Project, queue_name: str) -> None:
    """J7, D3: by OPTIONS of the backend, or by the queue."""
    for queue, options in (({}, {"on_commit": False}), ({"ENQUEUE_ON_COMMIT": False}, {})):
        project(queue, **options)
        with transaction.atomic():
            result = defined.nothing.using(queue_name=queue_name).enqueue()
            assert origin.default_task_backend.get_result(result.id) == result


@pytest.mark.parametrize("durable", [True, False], ids=["durable", "not"])
@each_way
def test_another_database(
    project: Project, queue_name: str, replica: str, heard: list[tuple[str, str]],
    enqueue: Callable[[Any], Any], durable: bool,
) -> None:  # fmt: skip
    """J7, D1, D4: its transaction is the one that counts."""
    project(using=replica, durable=durable, on_commit=True)
    task = defined.nothing.using(queue_name=queue_name)
    with transaction.atomic():
        enqueue(task)
        assert len(heard) == 2
    with transaction.atomic(using=replica):
        result = enqueue(task)
        assert (result.enqueued_at, len(heard)) == (None, 2)
        assert Outbox.objects.using(replica).count() == durable
    assert heard[2:] == [("job_enqueued", result.id), ("task_enqueued", result.id)]
    with pytest.raises(ZeroDivisionError), transaction.atomic(using=replica):
        enqueue(task)
        raise ZeroDivisionError
    assert len(heard) == 4


@pytest.mark.django_db(transaction=True)
def test_durable_or_at_once(project: Project, queue_name: str) -> None:
    """J7, D3, D4: of two that contradict each other the one that is said nearer to the task counts."""
    path, durable, at_once = defined.nothing.module_path, {"durable": True}, {"on_commit": False}
    for options, own, kept in (
        (at_once, durable, True),
        (durable, at_once, False),
        ({**durable, "tasks": {path: at_once}}, {}, False),
        ({**at_once, "tasks": {path: durable}}, {}, True),
        ({**durable, "tasks": {path: at_once}}, durable, True),
    ):
        project(**options)
        task = ArdiqTask(func=defined.nothing.func, queue_name=queue_name, **own)
        with pytest.raises(ZeroDivisionError), transaction.atomic():
            result = task.enqueue()
            assert Outbox.objects.count() == kept
            raise ZeroDivisionError
        assert bool(ardiq.queue(queue_name).job(result.id).info_sync()) is not kept


@pytest.mark.django_db(transaction=True)
def test_a_durable_task(project: Project, queue_name: str) -> None:
    """J7, D4: goes by the outbox, and tells of it at the commit."""
    project(durable=True)
    with transaction.atomic():
        result = defined.nothing.using(queue_name=queue_name).enqueue()
        assert result.enqueued_at is None
    assert result.enqueued_at is not None
    again = origin.default_task_backend.get_result(result.id)
    assert (again.status, again.id) == (READY, result.id)
    alone = defined.nothing.using(queue_name=queue_name).enqueue()
    assert alone.enqueued_at is not None
    assert asyncio.run(defined.nothing.using(queue_name=queue_name).aenqueue()).status == READY


@pytest.mark.django_db(transaction=True)
@each_way
def test_a_durable_task_is_enqueued_when_it_is_committed(
    project: Project, queue_name: str, heard: list[tuple[str, str]], enqueue: Callable[[Any], Any]
) -> None:
    """J7, D4: also one of a coroutine that a sync view runs inside of its transaction."""
    project(durable=True)
    task = defined.nothing.using(queue_name=queue_name)
    with transaction.atomic():
        result = enqueue(task)
        assert (result.status, result.enqueued_at, heard) == (READY, None, [])
    assert result.enqueued_at is not None
    assert heard == [("job_enqueued", result.id), ("task_enqueued", result.id)]
    heard.clear()
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        result = enqueue(task)
        raise ZeroDivisionError
    assert (result.enqueued_at, heard, Outbox.objects.count()) == (None, [], 0)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("durable", [True, False], ids=["durable", "not"])
@pytest.mark.parametrize("inside", [True, False], ids=["inside", "outside"])
@each_way
def test_each_signal_is_sent_once(
    project: Project, queue_name: str, heard: list[tuple[str, str]],
    enqueue: Callable[[Any], Any], inside: bool, durable: bool,
) -> None:  # fmt: skip
    """J6, J7, D1, D4: for each job, in a transaction or outside."""
    project(durable=durable, on_commit=True)
    task = defined.nothing.using(queue_name=queue_name)
    if inside:
        with transaction.atomic():
            result = enqueue(task)
    else:
        result = enqueue(task)
    assert heard == [("job_enqueued", result.id), ("task_enqueued", result.id)]
    assert result.enqueued_at is not None


@pytest.mark.django_db(transaction=True)
@each_way
def test_with_redis_away_the_outbox_has_it(
    project: Project, queue_name: str, heard: list[tuple[str, str]], enqueue: Callable[[Any], Any]
) -> None:
    """J7, D4: it is enqueued for Django; ``job_enqueued`` comes from the worker that gives it to Redis."""
    project({"REDIS_URL": f"redis://127.0.0.1:{free_port()}/0"}, durable=True)
    task = defined.nothing.using(queue_name=queue_name)
    with transaction.atomic():
        inside = enqueue(task)
    outside = enqueue(task)
    assert heard == [("task_enqueued", inside.id), ("task_enqueued", outside.id)]
    assert [row.job for row in Outbox.objects.all()] == [inside.id, outside.id]


@pytest.mark.django_db(transaction=True)
@each_way
def test_durable_and_unique(
    project: Project, queue_name: str, heard: list[tuple[str, str]], enqueue: Callable[[Any], Any]
) -> None:
    """J7, D4: the second of two is the first one, as soon as the commit has told."""
    project(durable=True, unique=True)
    task = defined.nothing.using(queue_name=queue_name)
    with transaction.atomic():
        first, second = enqueue(task), enqueue(task)
        assert second.id != first.id
    assert second.id == first.id
    assert heard == [("job_enqueued", first.id), ("task_enqueued", first.id)]
    assert second == origin.default_task_backend.get_result(first.id)


@pytest.mark.django_db(transaction=True)
def test_durable_tasks_leave_together(
    project: Project, queue_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """D4: one push and one DELETE for all those of a transaction, of both doors."""
    project(durable=True)
    queue, trips = ardiq.queue(queue_name), []
    run = queue.broker.store.run
    monkeypatch.setattr(queue.broker.store, "run", lambda call: trips.append(call) or run(call))
    task, native = (
        defined.nothing.using(queue_name=queue_name), queue.ref("elsewhere").options(durable=True)
    )  # fmt: skip
    with CaptureQueriesContext(connection) as queries, transaction.atomic():
        for _ in range(5):
            results = [task.enqueue() for _ in range(10)]
            native.enqueue_sync()
    assert len(trips) == 1
    assert [query["sql"].split()[0] for query in queries].count("DELETE") == 1
    assert all(result.enqueued_at is not None for result in results)
    assert not Outbox.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_a_transaction_by_hand(project: Project, queue_name: str, heard: list[tuple[str, str]]) -> None:
    """J7, D4: nobody tells of its commit, so nothing is told before it."""
    project(durable=True)
    task = defined.nothing.using(queue_name=queue_name)
    transaction.set_autocommit(False)
    try:
        result = task.enqueue()
        assert (result.enqueued_at, heard, Outbox.objects.count()) == (None, [], 1)
    finally:
        transaction.rollback()
        transaction.set_autocommit(True)
    assert (heard, Outbox.objects.count()) == ([], 0)


@pytest.mark.usefixtures("lent")
class InATestCase(TestCase):
    task: Any

    def test_the_wrapper_of_a_test_does_not_count(self) -> None:
        """J7, D2: it never commits, so the job leaves at once."""
        result = self.task.enqueue()
        assert origin.default_task_backend.get_result(result.id) == result


@pytest.fixture
def lent(request: pytest.FixtureRequest, tasks: Any) -> None:
    request.cls.task = tasks.nothing
