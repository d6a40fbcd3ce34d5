"""A task that lies in no ``tasks.py``: a worker has not imported it when its job comes."""

from __future__ import annotations

import os

from tests.parlour.tasks import task


@task()
def pid() -> int:
    return os.getpid()
