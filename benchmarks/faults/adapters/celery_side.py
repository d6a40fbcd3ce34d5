"""Celery on Redis with late acknowledgement, as its documentation advises where no job may be lost.

One prefetched job per process, for the visibility timeout runs for those too; the sweep that restores
messages runs every second instead of every hundred, for a timeout as short as this.
"""

from __future__ import annotations

import os
from typing import Any

import bodies
from celery import Celery
from celery.result import AsyncResult

app = Celery("faults", broker=os.environ["FAULTS_URL"], backend=os.environ["FAULTS_URL"])
app.conf.update(
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    worker_prefetch_multiplier=1,
    broker_connection_retry_on_startup=True,
    broker_transport_options={
        "visibility_timeout": int(os.environ["FAULTS_LEASE"]),
        "unacked_restore_interval": 1,
        "unacked_restore_throttle": 1,
    },
)
STATES = {"SUCCESS": "succeeded", "FAILURE": "failed"}
TASKS = {"work": app.task(bodies.doze), "poison": app.task(bodies.die)}


def enqueue(calls: list[list[Any]]) -> list[str]:
    return [TASKS[body].delay(number, seconds).id for body, number, seconds in calls]


def outcomes(ids: list[str]) -> list[list[Any]]:
    found = []
    for id in ids:
        result: AsyncResult = app.AsyncResult(id)
        state = result.state
        value = result.result if state == "SUCCESS" else None
        found.append([STATES.get(state, state.lower()), value])
    return found
