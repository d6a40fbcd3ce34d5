"""What every test may ask for. The server and the queue of a test are made in ``tests/server.py``."""

import logging
from collections.abc import Generator, Iterator
from contextlib import suppress
from typing import Any

import pytest

from ardiq.core import extensions
from tests.faults.report import (
    pytest_collection_modifyitems,
    pytest_configure,
    pytest_runtest_makereport,
    pytest_terminal_summary,
    report,
)
from tests.server import clean, queue_name, redis_url

__all__ = [
    "clean",
    "pytest_collection_modifyitems",
    "pytest_configure",
    "pytest_runtest_makereport",
    "pytest_terminal_summary",
    "queue_name",
    "redis_url",
    "report",
]


@pytest.fixture
def own_extensions() -> Iterator[None]:
    """What a test registers with the codec is forgotten after it."""
    before = dict(extensions._registered)
    yield
    extensions._registered.clear()
    extensions._registered.update(before)


@pytest.fixture(autouse=True)
def loggers() -> Iterator[None]:
    """What a command run here makes of the log is undone: it would keep lines from whoever captures them."""
    ours = [logging.getLogger(name) for name in ("ardiq", "ardiq.worker")]
    before = [(logger, logger.handlers[:], logger.level, logger.propagate) for logger in ours]
    yield
    for logger, logger.handlers, level, logger.propagate in before:
        logger.setLevel(level)


@pytest.hookimpl(wrapper=True)
def pytest_report_to_serializable() -> Generator[None, Any, Any]:
    """A process of the tests sends its reports as UTF-8, also of a test that has logged what is none."""
    return _sendable((yield))


def _sendable(thing: Any) -> Any:
    if isinstance(thing, str):
        return thing.encode("utf-8", "backslashreplace").decode("utf-8")
    if isinstance(thing, dict):
        return {_sendable(key): _sendable(value) for key, value in thing.items()}
    if isinstance(thing, (list, tuple)):
        return type(thing)(_sendable(item) for item in thing)
    return thing


# pytest --hypothesis-profile=nightly: another draw each time, and far more of it where a test looks for it.
with suppress(ImportError):
    from hypothesis import settings

    settings.register_profile("nightly", print_blob=True)
