"""Many processes that enqueue the same thing at the same moment.

``python -m tests.django.racing URL QUEUE PROCESSES HOW`` prints "<id> <created>" for each process; HOW is
``id`` (one task_id), ``replace`` (the same, of a finished job), ``unique``, ``debounce`` or ``throttle``.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
from typing import Any

import django


def main(url: str, queue: str, processes: str, how: str) -> None:
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
    django.setup()
    from ardiq import Ardiq

    app = Ardiq(queue, redis_url=url)

    @app.task(name="work")
    def work(n: int) -> int:
        return n

    ways: dict[str, dict[str, Any]] = {
        "id": {"task_id": "one"},
        "replace": {"task_id": "one", "replace": True},
        "unique": {"unique": True},
        "debounce": {"debounce_ms": 60_000},
        "throttle": {"throttle_ms": 60_000},
    }
    given = ways[how]
    # A connection made before the fork: no child may use it.
    app.status_sync("nothing")
    context = multiprocessing.get_context("fork")
    start = context.Barrier(int(processes))
    lines = context.SimpleQueue()

    def race(n: int) -> None:
        start.wait(30)
        job = work.options(**given).enqueue_sync(n if "task_id" in given else 1)
        lines.put(f"{job.id} {job.created}")

    racers = [context.Process(target=race, args=(n,)) for n in range(int(processes))]
    for racer in racers:
        racer.start()
    for _ in racers:
        print(lines.get(), flush=True)
    for racer in racers:
        racer.join()


if __name__ == "__main__":
    main(*sys.argv[1:])
