"""What every test may ask for. The server and the queue of a test are made in ``tests/server.py``."""

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
