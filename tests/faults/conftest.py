"""Fixtures of the tests that break things. The rows of the matrix stand in ``matrix.py``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.faults.field import Field
from tests.faults.netproxy import Network


@pytest.fixture
def fields(queue_name: str, tmp_path: Path) -> Iterator[Callable[..., Field]]:
    """``fields(url, direct=None)`` makes a field on a server that the test owns. Afterwards its workers are
    killed and the referees look; ``field.client`` must still reach the server then, or be None."""
    made: list[Field] = []

    def make(url: str, direct: str | None = None, queue: str = "") -> Field:
        field = Field(url, queue or queue_name, tmp_path / f"field-{len(made)}", direct)
        made.append(field)
        return field

    yield make
    for field in made:
        field.close()
    for field in made:
        if field.client is not None:
            field.settle()


@pytest.fixture
def field(fields: Callable[..., Field], redis_url: str) -> Field:
    """A field on the server of the session, whose queue is emptied afterwards."""
    return fields(redis_url)


@pytest.fixture
def network(redis_url: str) -> Iterator[Network]:
    """A network in front of the server of the session, which a test may hurt."""
    network = Network(redis_url)
    yield network
    network.close()


@pytest.fixture
def field_behind(fields: Callable[..., Field], redis_url: str, network: Network) -> Field:
    """A field whose workers reach the server through the network."""
    return fields(network.url, redis_url)
