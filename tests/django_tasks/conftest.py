"""A project whose only backend is ours, with a queue of its own for each test."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

pytest.importorskip("tests.parlour.origin", reason="django.tasks: Django 6.0, or the extra tasks")

from ardiq import running
from ardiq.upkeep import DjangoUpkeep
from tests.django.conftest import replica
from tests.keyspace import orderly
from tests.parlour import tasks as defined

__all__ = ["orderly", "replica"]

LANES = ["low", "default", "high"]


@pytest.fixture
def project(redis_url: str, queue_name: str, settings: Any) -> Callable[..., None]:
    """Set TASKS and ARDIQ: options of the backend, and of the queue in capitals."""

    def configure(queue: dict[str, Any] | None = None, **options: Any) -> None:
        settings.ARDIQ = {
            "default": {"REDIS_URL": redis_url, "PRIORITIES": LANES},
            queue_name: {"REDIS_URL": redis_url, "PRIORITIES": LANES, "JITTER": False, **(queue or {})},
        }
        settings.TASKS = {
            "default": {
                "BACKEND": "ardiq.backend.ArdiqBackend",
                "QUEUES": ["default", queue_name],
                "OPTIONS": options,
            }
        }

    return configure


class OnQueue:
    """The tasks of tests/parlour, each on the queue of the test."""

    def __init__(self, queue: str) -> None:
        self._queue = queue

    def __getattr__(self, name: str) -> Any:
        return getattr(defined, name).using(queue_name=self._queue)


@pytest.fixture
def tasks(project: Callable[..., None], queue_name: str) -> OnQueue:
    project()
    return OnQueue(queue_name)


@pytest.fixture
def work(queue_name: str) -> Callable[..., None]:
    """Run a worker here until nothing is due, as ``ardiq_worker --burst`` does."""

    def drain(**options: Any) -> None:
        found = running.worker_options(queue_name, **options)
        worker = running.build(queue_name, found, name="here", burst=True, around=DjangoUpkeep())
        asyncio.run(asyncio.wait_for(running.run([worker], burst=True), 30))

    return drain
