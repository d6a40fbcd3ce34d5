"""taskiq with the list broker and the result backend of taskiq-redis.

Its client asks for a result until it is there: here every 2 ms, not every 200 as by default.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import bodies
from taskiq import AsyncTaskiqTask
from taskiq_redis import ListQueueBroker, RedisAsyncResultBackend

LACKS = {"sync": "its API is asynchronous only", "bulk": "no way to enqueue many at once"}
STORED = ["+", "DBSIZE"]

results: RedisAsyncResultBackend[Any] = RedisAsyncResultBackend(os.environ["BENCH_URL"])
broker = ListQueueBroker(os.environ["BENCH_URL"]).with_result_backend(results)
TASKS = {name: broker.task(body) for name, body in {**bodies.SYNC, **bodies.ASYNC}.items()}


def worker(concurrency: int, processes: int) -> list[list[str]]:
    slots = ["--max-async-tasks", str(concurrency), "--max-threadpool-threads", str(concurrency)]
    return [["taskiq", "worker", "taskiq_side:broker", "--workers", str(processes), *slots]]


@asynccontextmanager
async def connected() -> AsyncIterator[None]:
    await broker.startup()
    yield


def aput(task: str) -> Callable[[int], Any]:
    return TASKS[task].kiq


async def queued() -> int:
    from redis.asyncio import Redis

    async with Redis.from_url(os.environ["BENCH_URL"]) as redis:
        return int(await redis.llen("taskiq"))


def ident(task: Any) -> str:
    return str(task.task_id)


async def wait(task: Any, seconds: float) -> Any:
    return (await task.wait_result(check_interval=0.002, timeout=seconds)).return_value


async def outcome(id: str) -> None:
    result = await AsyncTaskiqTask(id, results).wait_result(check_interval=0.01, timeout=10)
    result.raise_for_error()
