"""A queue of its own for each test of a verb, and a clock that the test moves."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ardiq.store import scripts
from tests.keyspace import orderly
from tests.store.bench import Bench, Clock

__all__ = ["orderly"]


@pytest.fixture
def bench(redis_url: str, queue_name: str) -> Iterator[Bench]:
    bench = Bench(redis_url, queue_name)
    yield bench
    bench.close()


@pytest.fixture
def clock() -> Iterator[Clock]:
    """The clock that scripts see; it stands still relative to the server's until it is advanced."""
    yield Clock()
    scripts.shift(0)
