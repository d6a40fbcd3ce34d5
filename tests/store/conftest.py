"""A queue of its own for each test of a verb, and a clock that the test moves."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ardiq.store import controls, letters, moving, verbs
from tests.keyspace import orderly
from tests.store.bench import Bench, Clock

__all__ = ["orderly"]


@pytest.fixture
def bench(redis_url: str, queue_name: str) -> Iterator[Bench]:
    bench = Bench(redis_url, queue_name)
    yield bench
    bench.close()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock that scripts see; it stands still relative to the server's until it is advanced."""
    clock = Clock()
    for module in (verbs, moving, letters, controls):
        monkeypatch.setattr(module, "script", clock.script)
    return clock
