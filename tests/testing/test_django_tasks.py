"""The kit with tasks of django.tasks: the other door, the same blocks."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

origin = pytest.importorskip("tests.parlour.origin", reason="django.tasks: Django 6.0, or the extra tasks")

from ardiq.testing import assert_enqueued, capture, immediate, run_jobs  # noqa: E402
from tests.parlour import tasks as defined  # noqa: E402


@pytest.fixture(autouse=True)
def backend(settings: Any) -> Iterator[None]:
    settings.ARDIQ = {"default": {"REDIS_URL": "redis://127.0.0.1:1/0"}}
    settings.TASKS = {"default": {"BACKEND": "ardiq.backend.ArdiqBackend"}}
    yield


def test_immediate() -> None:
    """K1: a result has ended when enqueue returns; sync and async, good and bad."""
    with immediate():
        result = defined.add.enqueue(2, b=3)
        result.refresh()
        assert result.return_value == 5 and result.attempts == 1
        failed = defined.refuses.enqueue()
        failed.refresh()
        assert failed.errors[0].exception_class is ValueError

        async def main() -> Any:
            result = await defined.add_async.aenqueue(4, 4)
            await result.arefresh()
            return result.return_value

        assert asyncio.run(main()) == 8


def test_capture() -> None:
    """K2, K3: its jobs are collected like any others."""
    with capture() as jobs:
        result = defined.add.enqueue(2, b=3)
        assert_enqueued(defined.add, args=[2, 3], count=1)
        assert jobs[0].id == result.id and jobs[0].task == defined.add.module_path
        assert run_jobs().succeeded == 1
        result.refresh()
        assert result.return_value == 5


def test_a_task_that_takes_its_context() -> None:
    """K3: the context is none of the arguments of a call, however it is spelt."""
    with capture() as jobs:
        defined.attempt_async.enqueue(5)
        for same in ({"args": [5]}, {"args": [], "kwargs": {"plus": 5}}, {"kwargs": {"plus": 5}}):
            assert_enqueued(defined.attempt_async, **same, count=1)
        with pytest.raises(AssertionError, match="was enqueued"):
            jobs.assert_not_enqueued(defined.attempt_async, kwargs={"plus": 5})
        jobs.assert_not_enqueued(defined.attempt_async, kwargs={"plus": 6})


def test_options_are_those_of_the_call() -> None:
    """K3: not what a task of Django needs to know itself again."""
    with capture() as jobs:
        defined.add.using(priority=7).enqueue(1)
        assert jobs[0].options == {}
