"""Fifty processes that enqueue the same ids, round after round.

``python -m tests.faults.racing URL QUEUE PROCESSES ROUNDS`` prints, for each round, how many were told that
they made the job.
"""

from __future__ import annotations

import multiprocessing
import os
import sys

import django


def main(url: str, queue: str, processes: int, rounds: int) -> None:
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
    django.setup()
    from ardiq import Ardiq

    app = Ardiq(queue, redis_url=url)
    context = multiprocessing.get_context("fork")
    start = context.Barrier(processes)
    made = context.Array("i", rounds)

    def race() -> None:
        for number in range(rounds):
            start.wait(60)
            if app.ref("add").options(task_id=f"round-{number}").enqueue_sync(1, number).created:
                with made.get_lock():
                    made[number] += 1

    racers = [context.Process(target=race) for _ in range(processes)]
    for racer in racers:
        racer.start()
    for racer in racers:
        racer.join()
        if racer.exitcode:
            sys.exit(f"a racer ended with {racer.exitcode}")
    print(*made)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
