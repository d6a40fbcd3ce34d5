"""How a task is run: by keyword, by OPTIONS, by the queue."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

import ardiq
from ardiq.backend import policy
from ardiq.backend.hall import hall_of
from tests.parlour import tasks as defined
from tests.parlour.origin import InvalidTask, origin

Work = Callable[..., None]
Project = Callable[..., None]
FAILED = origin.TaskResultStatus.FAILED
KEYWORDS = "kwargs" in inspect.signature(origin.task).parameters
by_keyword = pytest.mark.skipif(not KEYWORDS, reason="task() of Django 6.0 takes no keywords of a backend")


def run_by(task: Any, queue: str) -> Any:
    """The definition that a worker runs a task by."""
    hall = hall_of(queue)
    assert hall is not None
    return hall.definition_of(task)


def made(function: Callable[..., Any], **said: Any) -> Any:
    """A task with this policy, on every Django."""
    from ardiq.backend import ArdiqTask

    return ArdiqTask(func=function, **said)


def test_a_wrong_option_names_its_setting(project: Project, queue_name: str) -> None:
    """J3: a typing error in TASKS is told with the setting, and the task that it was looked at for."""
    path = defined.add.module_path
    project(max_retrys=3)
    words = rf"^TASKS\['default'\]\['OPTIONS'\], for the task {path}: .* mean max_retries"
    with pytest.raises(InvalidTask, match=words):
        made(defined.add.func, queue_name=queue_name)
    project(tasks={path: {"max_attempts": 0}})
    words = rf"^TASKS\['default'\]\['OPTIONS'\]\['tasks'\]\['{path}'\], for .* max_attempts=0"
    with pytest.raises(InvalidTask, match=words):
        made(defined.add.func, queue_name=queue_name)


@by_keyword
def test_by_keyword(project: Project, queue_name: str) -> None:
    """J3: under our names."""
    project()
    task = origin.task(
        queue_name=queue_name,
        max_retries=7,
        backoff_ms=50,
        timeout=1.5,
        unique=True,
        expire=timedelta(seconds=2),
    )(defined.add.func)
    definition = run_by(task, queue_name)
    assert (definition.max_retries, definition.backoff_ms, definition.timeout) == (7, 50, 1.5)
    assert task.max_retries == 7
    assert task.unique is True
    first, second = task.enqueue(1), task.enqueue(a=1)
    assert second.id == first.id
    assert second.enqueued_at == first.enqueued_at
    assert task.enqueue(2).id != first.id
    info = ardiq.Job(first.id, ardiq.queue(queue_name).broker).info_sync()
    assert info is not None
    assert info.expires_at == info.enqueue_time + 2_000
    assert task.using(priority=1).max_retries == 7


@by_keyword
def test_by_the_names_of_djangos_proposals(project: Project, queue_name: str) -> None:
    """J3: attempts instead of retries, seconds or timedeltas instead of milliseconds."""
    project()
    task = origin.task(
        queue_name=queue_name, max_attempts=5, backoff=timedelta(seconds=30), timeout=timedelta(minutes=1)
    )(defined.nothing.func)
    definition = run_by(task, queue_name)
    assert (definition.max_retries, definition.backoff_ms, definition.timeout) == (4, 30_000, 60.0)


def test_backoff_by_a_function(project: Project, queue_name: str) -> None:
    """J3: of the attempt, in seconds or as a timedelta."""
    project()
    for backoff in (lambda attempt: attempt * 2, lambda attempt: timedelta(seconds=attempt * 2)):
        definition = run_by(made(defined.nothing.func, queue_name=queue_name, backoff=backoff), queue_name)
        assert definition.backoff_ms(3, ValueError()) == 6_000
    exponential = made(defined.nothing.func, queue_name=queue_name, backoff="exponential")
    assert run_by(exponential, queue_name).backoff_ms == "exponential"


def test_by_options_of_the_backend(project: Project, queue_name: str) -> None:
    """J3: for all of its tasks, and for single ones by their paths; a keyword wins."""
    project(max_attempts=3, timeout=9, tasks={"tests.parlour.tasks.add": {"max_retries": 8}})
    nothing, add = (one.using(queue_name=queue_name) for one in (defined.nothing, defined.add))
    assert (run_by(nothing, queue_name).max_retries, run_by(nothing, queue_name).timeout) == (2, 9)
    assert (run_by(add, queue_name).max_retries, run_by(add, queue_name).timeout) == (8, 9)
    own = made(defined.add.func, queue_name=queue_name, max_attempts=1)
    assert run_by(own, queue_name).max_retries == 0


def test_a_task_runs_once_unless_somebody_says_otherwise(project: Project, queue_name: str) -> None:
    """J3: as with Django's own backends; MAX_RETRIES of the queue is such a word, its default is none."""
    project()
    task = defined.nothing.using(queue_name=queue_name)
    assert run_by(task, queue_name).max_retries == 0
    project({"MAX_RETRIES": 5})
    definition = run_by(task, queue_name)
    assert definition.policy(ardiq.queue(queue_name).options).max_retries == 5


def test_a_lane_by_its_name(project: Project, queue_name: str) -> None:
    """J2: wins over the priority."""
    project()
    result = made(defined.nothing.func, queue_name=queue_name, lane="high", priority=-100).enqueue()
    info = ardiq.Job(result.id, ardiq.queue(queue_name).broker).info_sync()
    assert info is not None
    assert info.lane == "high"


def test_a_timeout(project: Project, queue_name: str, work: Work) -> None:
    """J3: ends a run, and the error says so."""
    project(timeout=0.05)
    result = defined.waits.using(queue_name=queue_name).enqueue()
    defined.gate.clear()
    work()
    result.refresh()
    assert result.status == FAILED
    assert [error.exception_class for error in result.errors] == [TimeoutError]
    assert "timed out after 0.05s" in result.errors[0].traceback


@pytest.mark.parametrize(
    ("said", "complaint"),
    [
        ({"max_attempts": 0}, "max_attempts=0: give a whole number from 1"),
        ({"max_retries": -1}, "max_retries=-1: give a whole number from 0"),
        ({"max_retries": 1, "max_attempts": 2}, "were both given"),
        ({"backoff": -1}, "backoff=-1: give seconds from 0"),
        ({"timeout": 0}, "timeout=0: give a number of seconds above 0"),
        ({"expire": "soon"}, "expire='soon': give seconds"),
        ({"expire_ms": 1.5}, "expire_ms=1.5: give a whole number of milliseconds"),
        ({"unique": 3}, "unique=3: give True or False or a key function"),
        ({"lane": "fast"}, "'fast' is no lane of queue"),
        ({"on_commit": 1}, "on_commit=1: give True or False"),
        ({"durable": True, "on_commit": False}, "durable=True and on_commit=False were both given"),
        ({"using": "orders"}, "using='orders': there is no such database; DATABASES has default"),
        ({"using": 1}, "using=1: give the alias of a database"),
        ({"executor": "fiber"}, "executor='fiber': give 'thread' or 'process'"),
        ({"retry_on": "ValueError"}, "give an exception class"),
    ],
)
def test_what_is_wrong_is_refused_where_the_task_is_made(
    project: Project, queue_name: str, said: dict[str, Any], complaint: str
) -> None:
    """J3: with the option, its value and the rule."""
    project()
    with pytest.raises(InvalidTask) as raised:
        made(defined.nothing.func, queue_name=queue_name, **said)
    assert complaint in str(raised.value)


@pytest.mark.parametrize("said", [{"once": True}, {"executor": "process"}])
def test_what_an_async_task_cannot_be(project: Project, queue_name: str, said: dict[str, Any]) -> None:
    """J3: refused for async functions alone."""
    project()
    with pytest.raises(InvalidTask, match="async"):
        made(defined.nothing_async.func, queue_name=queue_name, **said)


def test_an_unknown_option(project: Project, queue_name: str) -> None:
    """J3: a TypeError, as Django has it, with what may have been meant."""
    project()
    with pytest.raises(TypeError, match=r"no option 'max_retry'\. Did you mean max_retries"):
        made(defined.nothing.func, queue_name=queue_name, max_retry=3)


def test_every_option_of_a_native_task_is_one_here(project: Project, queue_name: str) -> None:
    """J3: but for what comes from Django, and what is about model instances."""
    from ardiq.api import TASK_OPTIONS

    assert TASK_OPTIONS - set(policy.NAMES) <= {"name", "priority", "queue", "on_missing", "subject"}
