"""RQ: a process for each job. Without ``Retry`` a job whose worker died would fail at once."""

from __future__ import annotations

import os
from typing import Any

import bodies
from redis import Redis
from rq import Queue, Retry
from rq.job import Job

queue = Queue(connection=Redis.from_url(os.environ["FAULTS_URL"]))
BODIES = {"work": bodies.doze, "poison": bodies.die}


def enqueue(calls: list[list[Any]]) -> list[str]:
    return [
        queue.enqueue(BODIES[body], number, seconds, retry=Retry(max=3)).id for body, number, seconds in calls
    ]


def outcomes(ids: list[str]) -> list[list[Any]]:
    taken = {id.decode() for id in queue.connection.lrange(f"{queue.key}:intermediate", 0, -1)}
    found = []
    for id, job in zip(ids, Job.fetch_many(ids, connection=queue.connection), strict=True):
        if job is None:
            found.append(["not found", None])
        elif job.is_finished:
            found.append(["succeeded", job.return_value()])
        else:
            status = job.get_status(refresh=False).value
            found.append([f"{status} in the intermediate list" if id in taken else status, None])
    return found
