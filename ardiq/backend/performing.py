"""What a worker calls for a Django task: the function with its context, between Django's signals."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Any, Protocol

from ardiq.backend import telling
from ardiq.backend.origin import Task, TaskContext, TaskResult, normalize_json, task_started
from ardiq.core.context import Facts, current_job


class Unfit(TypeError):
    """What the task has returned cannot be made JSON. Running it again would not change that."""


class Describing(Protocol):
    """Who can tell of a run what Django wants to know of it."""

    def running(
        self, task: Task, facts: Facts, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> TaskResult: ...
    def sender_of(self, result: TaskResult) -> type: ...


def performer(task: Task, hall: Describing) -> Callable[..., Any]:
    """The function that runs it in a worker, with the signature that its calls have."""
    func, wants_context = task.func, task.takes_context

    def begin(args: tuple[Any, ...], kwargs: dict[str, Any]) -> TaskResult | None:
        job = current_job()
        if job is None or job.facts is None or not (wants_context or telling.is_heard(task_started)):
            return None
        return hall.running(task, job.facts, args, kwargs)

    def with_context(args: tuple[Any, ...], result: TaskResult | None) -> tuple[Any, ...]:
        return (TaskContext(task_result=result), *args) if wants_context and result is not None else args

    run: Any
    if inspect.iscoroutinefunction(func):

        @wraps(func)
        async def run(*args: Any, **kwargs: Any) -> Any:
            result = begin(args, kwargs)
            if result is not None:
                await telling.asend(task_started, hall.sender_of(result), result)
            return fit(await func(*with_context(args, result), **kwargs))
    else:

        @wraps(func)
        def run(*args: Any, **kwargs: Any) -> Any:
            result = begin(args, kwargs)
            if result is not None:
                telling.send(task_started, hall.sender_of(result), result)
            return fit(func(*with_context(args, result), **kwargs))

    if wants_context:
        signature = inspect.signature(func)
        run.__signature__ = signature.replace(parameters=list(signature.parameters.values())[1:])
    made: Callable[..., Any] = run
    return made


def fit(value: Any) -> Any:
    """As JSON has it, which is what Django promises of results. Raises Unfit."""
    try:
        return normalize_json(value)
    except (TypeError, ValueError) as error:
        raise Unfit(str(error)) from error
