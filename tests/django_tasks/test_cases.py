"""The cases of Django's own tests for backends, in our words: enqueue, then a real worker until it is idle.

docs/reference/django-tasks.md says of each of Django's tests which of these stands for it.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import pickle
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from unittest import mock

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.utils import timezone
from django.utils.module_loading import import_string

from tests.parlour import tasks as defined
from tests.parlour.origin import (
    LOGGER,
    InvalidTask,
    InvalidTaskBackend,
    TaskResultDoesNotExist,
    TaskResultMismatch,
    origin,
)

Work = Callable[..., None]
READY, RUNNING, FAILED, SUCCESSFUL = (
    origin.TaskResultStatus[name] for name in ("READY", "RUNNING", "FAILED", "SUCCESSFUL")
)
BOTH = pytest.mark.parametrize("name", ["nothing", "nothing_async"])


def backend() -> Any:
    return origin.default_task_backend


# -- the backend and its tasks --------------------------------------------------------------------------


def test_the_backend_of_the_settings_is_ours(tasks: Any) -> None:
    """J1: the alias leads to our backend, which says that it can do everything."""
    from ardiq.backend import ArdiqBackend, ArdiqTask

    assert backend() == origin.task_backends["default"]
    assert isinstance(origin.task_backends["default"], ArdiqBackend)
    assert backend().alias == "default"
    assert backend().options == {}
    assert backend().supports_defer is True
    assert backend().supports_async_task is True
    assert backend().supports_get_result is True
    assert backend().supports_priority is True
    assert isinstance(origin.task(defined.meaning.func), ArdiqTask)


def test_decorated_functions_are_tasks(tasks: Any) -> None:
    """J8: bare or called, sync or async."""
    for one in (defined.nothing, defined.nothing_async, defined.meaning):
        assert hasattr(one, "enqueue")
    assert defined.nothing.name == "nothing"
    assert defined.nothing.module_path == "tests.parlour.tasks.nothing"
    assert import_string(defined.nothing_async.module_path) is defined.nothing_async


def test_using_makes_another_task(tasks: Any, queue_name: str) -> None:
    """J8: with the changes that were asked for, and never in place."""
    now = timezone.now()
    task = tasks.nothing
    assert task.using() == task
    assert task.using() is not task
    assert task.using(priority=10).priority == 10
    assert defined.nothing.using(queue_name=queue_name).queue_name == queue_name
    later = task.using(run_after=now)
    assert later.run_after == now
    assert later.using(priority=10).run_after == now
    assert task.priority == later.priority == 0
    assert task.run_after is None


def test_a_task_can_be_pickled(tasks: Any) -> None:
    """J8: a task, and what it leads to, is itself again afterwards."""
    task = origin.task(defined.nothing.func)
    if hasattr(type(task), "_reconstruct"):  # since Django 6.1
        assert pickle.loads(pickle.dumps(task)) == task


def test_tasks_can_be_called(tasks: Any) -> None:
    """J8: here and now, without a queue."""
    assert tasks.meaning.call() == 42
    assert asyncio.run(tasks.meaning.acall()) == 42
    assert asyncio.run(tasks.add_async.acall(1, b=2)) == 3
    assert tasks.add_async.call(1, b=2) == 3


def test_what_is_no_task_is_refused(tasks: Any) -> None:
    """J8: a builtin, a method, a context that nobody takes, a time without a zone, a priority out of
    range."""

    class Kind:
        def method(self) -> None: ...

    for wrong in (any, Kind().method, lambda: None):
        with pytest.raises(InvalidTask, match="must be defined at a module level"):
            origin.task()(wrong)
    with pytest.raises(InvalidTask, match="does not have a first argument of 'context'"):
        origin.task(takes_context=True)(defined.meaning.func)
    with pytest.raises(InvalidTask, match="run_after must be an aware datetime"):
        tasks.nothing.using(run_after=datetime.now())
    for priority in (-101, 101, 3.1):
        with pytest.raises(InvalidTask, match="priority must be a whole number between -100 and 100"):
            tasks.nothing.using(priority=priority)
    for priority in (-100, 0, 100):
        assert tasks.nothing.using(priority=priority).priority == priority


def test_async_tasks_can_be_forbidden(tasks: Any) -> None:
    """J8: a subclass that says so refuses them."""
    with (
        mock.patch.object(type(origin.task_backends["default"]), "supports_async_task", False),
        pytest.raises(InvalidTask, match=r"does not support async [Tt]asks"),
    ):
        backend().validate_task(tasks.nothing_async)


def test_a_queue_that_the_backend_does_not_serve(tasks: Any) -> None:
    """J2: refused when the task is made, and when it is enqueued under other settings."""
    with pytest.raises(InvalidTask, match="Queue 'other' is not valid for backend"):
        tasks.nothing.using(queue_name="other")


def test_a_task_is_checked_again_when_it_is_enqueued(tasks: Any, settings: Any) -> None:
    """J8: settings may have changed since it was made; both ways of enqueuing."""
    task = tasks.nothing
    settings.TASKS = {"default": {"BACKEND": "ardiq.backend.ArdiqBackend", "QUEUES": ["default"]}}
    with pytest.raises(InvalidTask, match="is not valid for backend"):
        task.enqueue()
    with pytest.raises(InvalidTask, match="is not valid for backend"):
        asyncio.run(task.aenqueue())


def test_an_empty_list_of_queues_is_all_that_ardiq_has(tasks: Any, settings: Any, queue_name: str) -> None:
    """J2: each queue is an alias in ARDIQ, and others are refused with a hint."""
    settings.TASKS = {"default": {"BACKEND": "ardiq.backend.ArdiqBackend", "QUEUES": []}}
    assert defined.nothing.using(queue_name=queue_name).queue_name == queue_name
    with pytest.raises(InvalidTask, match="'elsewhere' is not in the ARDIQ setting"):
        defined.nothing.using(queue_name="elsewhere")


def test_backends_that_do_not_exist(tasks: Any, settings: Any) -> None:
    """J8: are the affair of Django, and its errors pass."""
    settings.TASKS = {**settings.TASKS, "missing": {"BACKEND": "does.not.exist"}}
    with pytest.raises(InvalidTaskBackend, match="The connection 'unknown' doesn't exist"):
        tasks.nothing.using(backend="unknown")
    with pytest.raises(InvalidTaskBackend, match=r"Could not find backend 'does\.not\.exist'"):
        tasks.nothing.using(backend="missing")
    task = tasks.nothing
    settings.TASKS = {"other": {"BACKEND": "ardiq.backend.ArdiqBackend"}}
    with pytest.raises(ImproperlyConfigured):
        task.enqueue()


# -- enqueuing and reading ------------------------------------------------------------------------------


@BOTH
def test_a_task_is_ready_when_it_has_been_enqueued(tasks: Any, name: str) -> None:
    """J5: with its arguments, and nothing that has not happened."""
    task = getattr(tasks, name)
    for result in (task.enqueue(1, two=3), asyncio.run(task.aenqueue(1, two=3))):
        assert result.status == READY
        assert not result.is_finished
        assert result.task == task
        assert (result.args, result.kwargs, result.backend) == ([1], {"two": 3}, "default")
        assert result.enqueued_at is not None
        assert result.started_at is result.last_attempted_at is result.finished_at is None
        assert (result.attempts, result.errors, result.worker_ids) == (0, [], [])
        with pytest.raises(ValueError, match="Task has not finished yet"):
            result.return_value  # noqa: B018


@BOTH
def test_a_task_that_has_run(tasks: Any, work: Work, name: str) -> None:
    """J5, J8: its times are in order, and its worker is told."""
    result = getattr(tasks, name).enqueue(1, two=3)
    work()
    result.refresh()
    assert result.status == SUCCESSFUL
    assert result.is_finished
    assert result.return_value is None
    assert result.enqueued_at <= result.started_at == result.last_attempted_at <= result.finished_at
    assert (result.args, result.kwargs) == ([1], {"two": 3})
    assert (result.attempts, result.errors, result.worker_ids) == (1, [], ["here"])


def test_the_same_result_comes_by_its_id(tasks: Any, work: Work) -> None:
    """J5: from the backend and from the task, sync and async, before it ran and after."""
    result = tasks.meaning.enqueue()
    for done in (False, True):
        if done:
            work()
            result.refresh()
            assert result.return_value == 42
        assert backend().get_result(result.id) == result
        assert tasks.meaning.get_result(result.id) == result
        assert asyncio.run(backend().aget_result(result.id)) == result
        assert asyncio.run(tasks.meaning.aget_result(result.id)) == result


def test_refreshing_what_has_not_changed_changes_nothing(tasks: Any) -> None:
    """J5: the time at which it was enqueued, too, is that of the server from the first."""
    result = asyncio.run(tasks.nothing.aenqueue())
    before = dataclasses.asdict(result)
    result.refresh()
    assert dataclasses.asdict(result) == before
    asyncio.run(result.arefresh())
    assert dataclasses.asdict(result) == before


@pytest.mark.parametrize("id", ["123", 123, "", "a{b}c", None])
def test_results_that_do_not_exist(tasks: Any, id: Any) -> None:
    """J8: an id that nobody has, or that is none."""
    for get in (backend().get_result, tasks.nothing.get_result):
        with pytest.raises(TaskResultDoesNotExist):
            get(id)
    for aget in (backend().aget_result, tasks.nothing.aget_result):
        with pytest.raises(TaskResultDoesNotExist):
            asyncio.run(aget(id))


def test_the_result_of_another_task(tasks: Any) -> None:
    """J8: is refused by the task, and given by the backend."""
    result = tasks.nothing_async.enqueue()
    with pytest.raises(TaskResultMismatch, match="Task does not match"):
        tasks.nothing.get_result(result.id)
    with pytest.raises(TaskResultMismatch, match="Task does not match"):
        asyncio.run(tasks.nothing.aget_result(result.id))
    assert backend().get_result(result.id) == result


def test_a_job_of_the_other_door_is_no_result_here(tasks: Any, queue_name: str) -> None:
    """J7: it lies in the same queue, but no Django task belongs to it."""
    import ardiq

    job = ardiq.queue(queue_name).send_sync("shop.tasks.native", 1)
    with pytest.raises(TaskResultDoesNotExist):
        backend().get_result(job.id)


def test_arguments_that_are_no_json_are_refused(tasks: Any) -> None:
    """J8: as by every backend of Django, although the queue could carry them."""
    for wrong in (datetime.now(UTC), {1, 2}, object()):
        with pytest.raises(TypeError, match="Unsupported type"):
            tasks.nothing.enqueue(wrong)
        with pytest.raises(TypeError, match="Unsupported type"):
            asyncio.run(tasks.nothing.aenqueue(key=wrong))
    with pytest.raises(ValueError, match="Unsupported value"):
        tasks.nothing.enqueue(b"\xff")


def test_arguments_arrive_as_json_has_them(tasks: Any, work: Work) -> None:
    """J8: tuples as lists, bytes as text; results as well."""
    result = tasks.returns.enqueue({"a": (1, 2), "b": b"text"})
    assert result.args == [{"a": [1, 2], "b": "text"}]
    work()
    result.refresh()
    assert result.return_value == {"a": [1, 2], "b": "text"}


def test_a_call_that_does_not_fit_the_function_is_refused(tasks: Any) -> None:
    """J8: here sooner than by Django's own backends, which let the worker find out; the context is not
    counted."""
    with pytest.raises(TypeError, match="missing a required argument: 'a'"):
        tasks.add.enqueue()
    with pytest.raises(TypeError, match="too many positional arguments"):
        tasks.own_id.enqueue(1)


# -- running --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "kind", "text"),
    [
        ("refuses", ValueError, "This one refuses"),
        ("refuses_async", ValueError, "This one refuses"),
        ("leaves", SystemExit, "This one leaves"),
        ("interrupts", KeyboardInterrupt, "This one interrupts"),
    ],
)
def test_a_task_that_fails(
    tasks: Any, work: Work, caplog: pytest.LogCaptureFixture, name: str, kind: type, text: str
) -> None:
    """J5, J8: once, as nothing else was asked for, with the error as Django tells it. One that means to end
    the process only fails."""
    result = getattr(tasks, name).enqueue()
    caplog.set_level(logging.ERROR, LOGGER)
    work()
    result.refresh()
    assert result.status == FAILED
    assert result.is_finished
    with pytest.raises(ValueError, match="Task failed"):
        result.return_value  # noqa: B018
    assert result.enqueued_at <= result.started_at <= result.finished_at
    assert (result.attempts, result.worker_ids) == (1, ["here"])
    assert [error.exception_class for error in result.errors] == [kind]
    assert result.errors[0].traceback.endswith(f"{kind.__name__}: {text}\n")
    lines = [one for one in caplog.records if one.name == LOGGER and one.levelno == logging.ERROR]
    assert len(lines) == 1
    assert lines[0].exc_info is not None
    assert lines[0].exc_info[0] is kind
    assert text in caplog.text


def test_an_exception_within_an_exception(tasks: Any, work: Work) -> None:
    """J8: it is text by then, whatever it holds."""
    result = tasks.nests.enqueue()
    work()
    result.refresh()
    assert result.status == FAILED
    assert result._return_value is None
    assert result.errors[0].exception_class is ValueError
    assert "This one refuses" in result.errors[0].traceback


def test_a_result_that_is_no_json(tasks: Any, work: Work) -> None:
    """J8: the task has failed, and is not run again for it."""
    result = tasks.returns_a_function.enqueue()
    work()
    result.refresh()
    assert result.status == FAILED
    assert result._return_value is None
    assert result.errors[0].exception_class is TypeError
    assert "Unsupported type" in result.errors[0].traceback
    assert result.attempts == 1


def test_the_context_of_a_task(tasks: Any, work: Work) -> None:
    """J8: it knows its id and its attempt, before all other arguments."""
    own, attempt = tasks.own_id.enqueue(), tasks.attempt_async.enqueue(10)
    work()
    own.refresh()
    attempt.refresh()
    assert own.return_value == own.id
    assert attempt.return_value == 11


def test_log_lines(tasks: Any, work: Work, caplog: pytest.LogCaptureFixture) -> None:
    """J6: one for each of its states, as Django words them."""
    caplog.set_level(logging.DEBUG, LOGGER)
    result = tasks.nothing.enqueue()
    work()
    lines = [one.getMessage() for one in caplog.records if one.name == LOGGER]
    path = "tests.parlour.tasks.nothing"
    assert lines == [
        f"Task id={result.id} path={path} enqueued backend=default",
        f"Task id={result.id} path={path} state=RUNNING",
        f"Task id={result.id} path={path} state=SUCCESSFUL",
    ]


def test_errors_that_name_no_exception(tasks: Any, work: Work) -> None:
    """J8: what an error names is looked up when somebody asks."""
    result = tasks.refuses.enqueue()
    work()
    result.refresh()
    object.__setattr__(result.errors[0], "exception_class_path", "subprocess.run")
    with pytest.raises(ValueError, match=r"'subprocess\.run' does not reference a valid exception"):
        result.errors[0].exception_class  # noqa: B018
    object.__setattr__(result.errors[0], "exception_class_path", "does.not.exist")
    with pytest.raises(ImportError):
        result.errors[0].exception_class  # noqa: B018


def test_a_task_of_another_backend_is_enqueued_here(tasks: Any, work: Work, queue_name: str) -> None:
    """J8: ``using(backend=...)`` is enough; its class is Django's own then."""
    result = defined.meaning.using(backend="default", queue_name=queue_name).enqueue()
    work()
    result.refresh()
    assert result.return_value == 42
