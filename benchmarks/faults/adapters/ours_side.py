"""This project, in a Django project of one file. Run as a script it is that project's ``manage.py``."""

from __future__ import annotations

import os
import sys
from typing import Any

import bodies
import django
from django.conf import settings

settings.configure(
    SECRET_KEY="for tests of faults on loopback only",  # noqa: S106
    USE_TZ=True,
    INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "ardiq"],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    ARDIQ={
        "default": {
            "REDIS_URL": os.environ["FAULTS_URL"],
            "CONCURRENCY": int(os.environ["FAULTS_CONCURRENCY"]),
            "LEASE_MS": int(os.environ["FAULTS_LEASE"]) * 1000,
        }
    },
)
django.setup()

from ardiq import Ardiq, Job, queue, task  # noqa: E402

app: Ardiq = queue()
TASKS = {
    "work": task(name="work")(bodies.nap),
    "poison": task(name="poison")(bodies.die_on_the_loop),
}


async def enqueue(calls: list[list[Any]]) -> list[str]:
    jobs = await app.enqueue_many(TASKS[body].prepare(number, seconds) for body, number, seconds in calls)
    return [job.id for job in jobs]


async def outcomes(ids: list[str]) -> list[list[Any]]:
    found = []
    for id in ids:
        job: Job[Any] = Job(id, app.broker)
        status = await job.status()
        result = await job.result() if status == "succeeded" else None
        found.append([str(status), result.value if result else None])
    return found


if __name__ == "__main__":
    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)
