"""A queue for each test, and whatever somebody with write access to Redis may put into it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from ardiq import Ardiq
from ardiq.core.job import NOBODY, JobRecord, tail, tail_start
from tests.keyspace import orderly
from tests.server import admin
from tests.worker.conftest import app, workers, working

__all__ = ["app", "orderly", "workers", "working"]


class Intruder:
    """Knows Redis and how records look, but no key."""

    def __init__(self, app: Ardiq, url: str) -> None:
        self.keys = app.broker.keys
        self.redis: Any = admin(url)

    def record(self, id: str) -> JobRecord:
        return JobRecord(id, self.redis.get(self.keys.job(id)))

    def push(self, id: str | bytes, record: bytes, lane: str = "default") -> None:
        """A whole record, and its id into a lane."""
        key = self.keys.job("").encode() + (id.encode() if isinstance(id, str) else id)
        self.redis.set(key, record)
        self.redis.rpush(self.keys.lane(lane), id)
        self.redis.rpush(self.keys.wake, "1")

    def plant(self, id: str, name: str, call: bytes, lane: str = "default", history: bytes = b"") -> None:
        """A job with such bytes for a call, in good form otherwise."""
        head = b"Q0" + b"0" * 27 + NOBODY
        self.push(id, head + tail(tail_start(lane, name), call, history), lane)


@pytest.fixture
def intruder(app: Ardiq, redis_url: str) -> Iterator[Intruder]:
    intruder = Intruder(app, redis_url)
    yield intruder
    intruder.redis.close()
