"""streaq: its grace period is 0 s by default, which would cancel what runs at a graceful stop; here 10 s."""

from __future__ import annotations

import os
from typing import Any

import bodies
from streaq import Worker

worker: Worker[None] = Worker(
    redis_url=os.environ["FAULTS_URL"],
    concurrency=int(os.environ["FAULTS_CONCURRENCY"]),
    idle_timeout=int(os.environ["FAULTS_LEASE"]),
    grace_period=10,
)
TASKS = {"work": worker.task(bodies.nap), "poison": worker.task(bodies.die_on_the_loop)}


async def enqueue(calls: list[list[Any]]) -> list[str]:
    tasks = [TASKS[body].enqueue(number, seconds) for body, number, seconds in calls]
    async with worker:
        await worker.enqueue_many(tasks)
    return [task.id for task in tasks]


async def outcomes(ids: list[str]) -> list[list[Any]]:
    found = []
    async with worker:
        for id in ids:
            status = str(await worker.status_by_id(id))
            if status == "done":
                result = await worker.result_by_id(id, timeout=5)
                state = ["succeeded", result.result] if result.success else ["failed", repr(result.exception)]
                found.append(state)
            else:
                found.append([status, None])
    return found
