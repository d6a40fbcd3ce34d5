"""A task that lies in no ``tasks.py``: a worker has not imported it when its job comes."""

from __future__ import annotations

import os

try:
    from django.tasks import task
except ImportError:
    from django_tasks import task


@task()
def pid() -> int:
    return os.getpid()
