"""What every test may ask for. The server and the queue of a test are made in ``tests/server.py``."""

from contextlib import suppress

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

# pytest --hypothesis-profile=nightly: another draw each time, and far more of it where a test looks for it.
with suppress(ImportError):
    from hypothesis import settings

    settings.register_profile("nightly", print_blob=True)
