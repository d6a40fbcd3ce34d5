"""RQ: one ``rq worker``, which forks a process for each job and runs one at a time, whatever the concurrency.

The variant "simple" is its SimpleWorker, which runs the jobs in its own process.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import bodies
from redis import Redis
from rq import Queue
from rq.job import Job

LACKS = {
    "async": "its API is synchronous only",
    "threads": "one job at a time",
}
STORED = ["+", "ZCARD", "rq:finished:default"]

BODIES = {**bodies.SYNC, **bodies.ASYNC}
queue = Queue(connection=Redis.from_url(os.environ["BENCH_URL"]))


def worker(concurrency: int, processes: int) -> list[list[str]]:
    simple = ["--worker-class", "rq.SimpleWorker"] if os.environ["BENCH_VARIANT"] == "simple" else []
    return [["rq", "worker", "--url", os.environ["BENCH_URL"], *simple]] * processes


def put(task: str) -> Callable[[int], Any]:
    return partial(queue.enqueue, BODIES[task])


def bulk(task: str, numbers: Iterable[int]) -> list[Any]:
    body = BODIES[task]
    return queue.enqueue_many([Queue.prepare_data(body, (number,)) for number in numbers])


def queued() -> int:
    return int(queue.count)


def ident(job: Any) -> str:
    return str(job.id)


def wait(job: Any, seconds: float) -> Any:
    return job.latest_result(timeout=int(seconds)).return_value


def outcome(id: str) -> None:
    result = Job.fetch(id, connection=queue.connection).latest_result(timeout=10)
    if result is None or result.type is not result.Type.SUCCESSFUL:
        raise RuntimeError(id)
