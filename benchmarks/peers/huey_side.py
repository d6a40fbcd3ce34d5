"""Huey on Redis with threads. ``store_none``: it would keep no result of a body that returns nothing.

Its client asks for a result until it is there: here every 2 ms, not after 50 and ever later as by default.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import bodies
from huey import RedisHuey

LACKS = {
    "async": "its API is synchronous only",
    "async_bodies": "runs no coroutines",
    "bulk": "no way to enqueue many at once",
}
STORED = ["+", "HLEN", "huey.results.bench"]

huey = RedisHuey("bench", url=os.environ["BENCH_URL"], store_none=True)
TASKS = {name: huey.task()(body) for name, body in bodies.SYNC.items()}


def worker(concurrency: int, processes: int) -> list[list[str]]:
    return [["huey_consumer", "huey_side.huey", "--workers", str(concurrency)]] * processes


def put(task: str) -> Callable[[int], Any]:
    return TASKS[task]


def queued() -> int:
    return int(huey.pending_count())


def ident(result: Any) -> str:
    return str(result.id)


def wait(result: Any, seconds: float) -> Any:
    return result.get(blocking=True, timeout=seconds, backoff=1, max_delay=0.002)


def outcome(id: str) -> None:
    huey.result(id, blocking=True, timeout=10, max_delay=0.01, preserve=True)
