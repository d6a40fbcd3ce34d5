"""streaq, its defaults left as they are."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from contextlib import AbstractAsyncContextManager
from typing import Any

import bodies
from streaq import Worker

LACKS = {"sync": "its API is asynchronous only"}
STORED = ["+", "ZCARD", "streaq:default:index:results"]

app: Worker[None] = Worker(
    redis_url=os.environ["BENCH_URL"], concurrency=int(os.environ["BENCH_CONCURRENCY"])
)
TASKS = {name: app.task(body) for name, body in {**bodies.SYNC, **bodies.ASYNC}.items()}


def worker(concurrency: int, processes: int) -> list[list[str]]:
    return [["streaq", "run", "streaq_side:app", "--workers", str(processes)]]


def connected() -> AbstractAsyncContextManager[Any]:
    return app


def aput(task: str) -> Callable[[int], Any]:
    return TASKS[task].enqueue


async def abulk(task: str, numbers: Iterable[int]) -> list[Any]:
    tasks = [TASKS[task].enqueue(number) for number in numbers]
    await app.enqueue_many(tasks)
    return tasks


async def queued() -> int:
    return await app.queue_size()


def ident(task: Any) -> str:
    return str(task.id)


async def wait(task: Any, seconds: float) -> Any:
    return (await task.result(timeout=int(seconds))).result


async def outcome(id: str) -> None:
    if not (await app.result_by_id(id, timeout=10)).success:
        raise RuntimeError(id)
