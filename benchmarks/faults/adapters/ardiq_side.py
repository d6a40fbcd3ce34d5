"""The public project of the same name, ``ardiq`` 1.2.0 of PyPI."""

from __future__ import annotations

import os
from typing import Any

import bodies

from ardiq import Ardiq

app = Ardiq(
    redis_url=os.environ["FAULTS_URL"],
    concurrency=int(os.environ["FAULTS_CONCURRENCY"]),
    idle_timeout_ms=int(os.environ["FAULTS_LEASE"]) * 1000,
)
TASKS = {"work": app.task(bodies.nap), "poison": app.task(bodies.die_on_the_loop)}


async def enqueue(calls: list[list[Any]]) -> list[str]:
    jobs = await app.enqueue_many(TASKS[body].prepare(number, seconds) for body, number, seconds in calls)
    return [job.id for job in jobs]


async def outcomes(ids: list[str]) -> list[list[Any]]:
    found = []
    for id in ids:
        result = await app.result(id)
        if result is None:
            found.append([await app.status(id), None])
        else:
            found.append(["succeeded" if result.success else "failed", result.value])
    return found
