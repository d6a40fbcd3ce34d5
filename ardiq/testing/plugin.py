"""The pytest plugin. It imports nothing of ardiq, and nothing of Django, before a test asks for a fixture."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from ardiq.testing.background import worker
    from ardiq.testing.captured import Captured

WORKER_URL = "ardiq_worker_url"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addini(
        WORKER_URL,
        "where the fixture ardiq_worker works: fake:// (default) or embedded://, a server of its own for "
        "every test; configured, for the server of the settings; or any other URL",
        default="fake://",
    )


@pytest.fixture
def ardiq_fake() -> Iterator[None]:
    """Every queue lives on a server inside this process; nothing runs until run_jobs()."""
    from ardiq.testing import fake

    with fake():
        yield


@pytest.fixture
def ardiq_captured() -> Iterator[Captured]:
    """The jobs that the test enqueues; nothing runs until run_jobs()."""
    from ardiq.testing import capture

    with capture() as captured:
        yield captured


@pytest.fixture
def ardiq_immediate() -> Iterator[Captured]:
    """Jobs run when they are enqueued. Gives the list of them."""
    from ardiq.testing import immediate

    with immediate() as captured:
        yield captured


@pytest.fixture
def ardiq_worker(pytestconfig: pytest.Config) -> Iterator[worker]:
    """A real worker in the background, at the URL that ``ardiq_worker_url`` in the pytest settings names."""
    from ardiq.testing import worker

    with worker(url=str(pytestconfig.getini(WORKER_URL))) as running:
        yield running
