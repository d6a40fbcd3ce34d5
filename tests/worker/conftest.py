"""A queue for each test, with its tasks defined in the test or in tests/shop for processes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ardiq import Ardiq
from tests.keyspace import orderly
from tests.workers import Workers, Working

__all__ = ["orderly"]

LANES = ["low", "default", "high"]


@pytest.fixture
def app(redis_url: str, queue_name: str) -> Ardiq:
    """A queue whose retries do not keep a test waiting."""
    return Ardiq(queue_name, LANES, redis_url, backoff_ms=30, jitter=False, concurrency=4)


@pytest.fixture
def working(app: Ardiq) -> Callable[..., Working]:
    """``with working():`` runs a worker of the app in a thread."""

    def make(**overrides: Any) -> Working:
        return Working(app, **overrides)

    return make


@pytest.fixture
def workers(redis_url: str, queue_name: str, tmp_path: Path) -> Iterator[Workers]:
    """Worker processes of tests/shop on the queue of this test; ``app`` sends to them by name."""
    workers = Workers(redis_url, queue_name, tmp_path)
    yield workers
    workers.close()
