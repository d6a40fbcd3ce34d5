"""Celery on Redis, results there as well. Its default pool: a process for each slot.

The variant "threads" is its pool of threads.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import Any

import bodies
from celery import Celery, group
from celery.result import AsyncResult

THREADS = os.environ["BENCH_VARIANT"] == "threads"
LACKS = {
    "async": "its API is synchronous only",
    "async_bodies": "its pools run no coroutines",
    **({} if THREADS else {"threads": "a slot is a process"}),
}
STORED = ["expires"]

app = Celery("bench", broker=os.environ["BENCH_URL"], backend=os.environ["BENCH_URL"])
TASKS = {name: app.task(body, name=name) for name, body in bodies.SYNC.items()}


def worker(concurrency: int, processes: int) -> list[list[str]]:
    command = ["celery", "-A", "celery_side", "worker", "--concurrency"]
    if THREADS:
        names = [["-n", f"w{number}@%h"] for number in range(processes)]
        return [[*command, str(concurrency), "--pool", "threads", *name] for name in names]
    return [[*command, str(concurrency * processes)]]


def put(task: str) -> Callable[[int], Any]:
    return TASKS[task].delay


def bulk(task: str, numbers: Iterable[int]) -> list[Any]:
    return list(group(TASKS[task].s(number) for number in numbers).apply_async().results)


def queued() -> int:
    with app.connection_for_read() as connection:
        return int(connection.default_channel.client.llen("celery"))


def ident(result: Any) -> str:
    return str(result.id)


def wait(result: Any, seconds: float) -> Any:
    return result.get(timeout=seconds)


def outcome(id: str) -> None:
    AsyncResult(id, app=app).get(timeout=10)
