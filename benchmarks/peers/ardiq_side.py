"""ardiq 1.2.0 of PyPI, the public project of the same name, its defaults left as they are."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import Any

import bodies

from ardiq import Ardiq

LACKS = {"sync": "its API is asynchronous only"}
STORED = ["expires"]

app = Ardiq(redis_url=os.environ["BENCH_URL"], concurrency=int(os.environ["BENCH_CONCURRENCY"]))
TASKS = {name: app.task(body) for name, body in {**bodies.SYNC, **bodies.ASYNC}.items()}


def worker(concurrency: int, processes: int) -> list[list[str]]:
    return [["ardiq", "run", "ardiq_side:app", "--quiet", "--workers", str(processes)]]


def aput(task: str) -> Callable[[int], Any]:
    return TASKS[task].enqueue


async def abulk(task: str, numbers: Iterable[int]) -> list[Any]:
    prepare = TASKS[task].prepare
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
