"""django-vtasks on its Valkey backend, in the same small Django project as ours."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import Any

import bodies
import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "vtasks_settings")
django.setup()

from django.tasks import task_backends  # noqa: E402
from django_vtasks import task  # noqa: E402

LACKS = {"results": "keeps no results"}
STORED = None

# Its worker looks a task up by the module and the name of the function.
for name, body in {**bodies.SYNC, **bodies.ASYNC}.items():
    body.__module__ = __name__
    globals()[name] = task(body)
backend = task_backends["default"]


def worker(concurrency: int, processes: int) -> list[list[str]]:
    one = ["django-admin", "runworker", "--settings", "vtasks_settings", "--concurrency", str(concurrency)]
    return [one] * processes


def put(task: str) -> Callable[[int], Any]:
    return globals()[task].enqueue  # type: ignore[no-any-return]


def aput(task: str) -> Callable[[int], Any]:
    return globals()[task].aenqueue  # type: ignore[no-any-return]


async def abulk(task: str, numbers: Iterable[int]) -> list[Any]:
    one = globals()[task]
    return list(await backend.aenqueue_many([(one, (number,), {}) for number in numbers]))


async def queued() -> int:
    return int(await backend.get_queue_depth("default"))


def ident(job: Any) -> str:
    return str(job.id)
