"""What Django's own tests ask of a backend, as tasks: each does one thing that a backend must cope with."""

from __future__ import annotations

import os
import threading
from typing import Any

from tests.parlour.origin import origin
from tests.shop.tasks import note

task = origin.task


@task
def nothing(*args: Any, **kwargs: Any) -> None:
    """Takes anything."""


@task()
async def nothing_async(*args: Any, **kwargs: Any) -> None:
    """Takes anything, on the loop."""


@task()
def meaning() -> int:
    return 42


@task()
def add(a: int, b: int = 0) -> int:
    note("add", a, b)
    return a + b


@task()
async def add_async(a: int, b: int = 0) -> int:
    return a + b


def squared(n: int) -> int:
    """Of this a test makes a task whose only queue is that of the test."""
    return n * n


def weighed(context: Any, n: int) -> int:
    """Its context weighs an attempt."""
    return n + int(context.attempt)


@task()
def returns(value: Any) -> Any:
    return value


@task()
def refuses() -> None:
    raise ValueError("This one refuses")


@task()
async def refuses_async() -> None:
    raise ValueError("This one refuses")


@task()
def leaves() -> None:
    raise SystemExit("This one leaves")


@task()
def interrupts() -> None:
    raise KeyboardInterrupt("This one interrupts")


@task()
def nests() -> None:
    raise ValueError(ValueError("This one refuses"))


@task()
def returns_a_function() -> Any:
    return lambda: True


@task(takes_context=True)
def own_id(context: Any) -> str:
    return str(context.task_result.id)


@task(takes_context=True)
async def attempt_async(context: Any, plus: int = 0) -> int:
    return int(context.attempt) + int(plus)


@task(takes_context=True)
def third_time(context: Any) -> int:
    if context.attempt < 3:
        raise ConnectionError(f"attempt {context.attempt}")
    return int(context.attempt)


gate = threading.Event()


@task()
def waits() -> None:
    while not gate.wait(0.01):
        pass


@task()
def pid() -> int:
    return os.getpid()
