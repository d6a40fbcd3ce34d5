"""arq. It runs coroutines alone, so sync bodies go to a pool of threads, as its documentation advises.

Its client asks for a result until it is there: here every 2 ms, not every 500 as by default.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import bodies
from arq import create_pool, func
from arq.connections import ArqRedis, RedisSettings
from arq.jobs import Job

LACKS = {"sync": "its API is asynchronous only", "bulk": "no way to enqueue many at once"}
STORED = ["-", "ZCARD", "arq:queue"]

pool: ArqRedis
threads = ThreadPoolExecutor(int(os.environ["BENCH_CONCURRENCY"]))


def _on_loop(body: Callable[[int], Any]) -> Callable[[Any, int], Any]:
    async def run(ctx: Any, number: int) -> Any:
        return await body(number)

    return run


def _in_thread(body: Callable[[int], Any]) -> Callable[[Any, int], Any]:
    async def run(ctx: Any, number: int) -> Any:
        return await asyncio.get_running_loop().run_in_executor(threads, body, number)

    return run


class Settings:
    functions = [
        *(func(_on_loop(body), name=name) for name, body in bodies.ASYNC.items()),
        *(func(_in_thread(body), name=name) for name, body in bodies.SYNC.items()),
    ]
    redis_settings = RedisSettings.from_dsn(os.environ["BENCH_URL"])
    max_jobs = int(os.environ["BENCH_CONCURRENCY"])


def worker(concurrency: int, processes: int) -> list[list[str]]:
    return [["arq", "arq_side.Settings"]] * processes


@asynccontextmanager
async def connected() -> AsyncIterator[None]:
    global pool
    pool = await create_pool(Settings.redis_settings)
    yield


def aput(task: str) -> Callable[[int], Any]:
    return partial(pool.enqueue_job, task)


async def queued() -> int:
    return int(await pool.zcard("arq:queue"))


def ident(job: Any) -> str:
    return str(job.job_id)


async def wait(job: Any, seconds: float) -> Any:
    return await job.result(timeout=seconds, poll_delay=0.002)


async def outcome(id: str) -> None:
    await Job(id, pool).result(timeout=10, poll_delay=0.01)
