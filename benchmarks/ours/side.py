"""Our side, for a client process: Django set up, the tasks, and the queue they belong to."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import Any

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "settings")
django.setup()

from bench import tasks  # noqa: E402
from bench.tasks import fail, hash_blocks, hold, nap, noop_async, noop_sync, stamp  # noqa: E402

LACKS: dict[str, str] = {}
STORED = ["expires"]

app = noop_async.app

__all__ = ["app", "fail", "hash_blocks", "hold", "nap", "noop_async", "noop_sync", "stamp"]


def worker(concurrency: int, processes: int) -> list[list[str]]:
    several = ["--processes", str(processes)] if processes > 1 else []
    return [["python", "manage.py", "ardiq_worker", "--no-reload", *several]]


def put(task: str) -> Callable[[int], Any]:
    return getattr(tasks, task).enqueue_sync


def aput(task: str) -> Callable[[int], Any]:
    return getattr(tasks, task).enqueue


async def abulk(task: str, numbers: Iterable[int]) -> list[Any]:
    prepare = getattr(tasks, task).prepare
    return list(await app.enqueue_many(prepare(number) for number in numbers))


async def queued() -> int:
    return int(await app.queue_size())


def ident(job: Any) -> str:
    return str(job.id)


async def wait(job: Any, seconds: float) -> Any:
    return (await job.result(timeout=seconds)).value


async def outcome(id: str) -> None:
    if not (await app.result(id, timeout=10)).success:
        raise RuntimeError(id)
