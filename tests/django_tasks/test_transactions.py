"""Section D at the second door."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from django.db import transaction
from django.test import TestCase

from tests.parlour import tasks as defined
from tests.parlour.origin import TaskResultDoesNotExist, origin, signals

Project = Callable[..., None]
READY = origin.TaskResultStatus.READY


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
