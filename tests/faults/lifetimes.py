"""Loops that come and go, under ``-W error``: enqueues, waits that are cancelled, workers that are stopped.

``python -X dev -W error -m tests.faults.lifetimes URL QUEUE`` must write nothing at all to stderr: no pending
task, no socket that nobody closed, no coroutine that nobody awaited.
"""

from __future__ import annotations

import asyncio
import gc
import os
import sys

import django


def main(url: str, queue: str) -> None:
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
    django.setup()
    from ardiq import Ardiq, running
    from ardiq.upkeep import DjangoUpkeep

    app = Ardiq(queue, redis_url=url)

    @app.task(name="add")
    async def add(a: int, b: int) -> int:
        return a + b

    @app.task(name="add_sync")
    def add_sync(a: int, b: int) -> int:
        return a + b

    async def story(stop_busy: bool) -> int:
        options = running.worker_options(queue)
        worker = running.build(queue, options, name="here", around=DjangoUpkeep())
        ready = asyncio.Event()
        work = asyncio.ensure_future(running.run([worker], ready.set))
        await ready.wait()
        jobs = [await task.enqueue(1, number) for number in range(10) for task in (add, add_sync)]
        given_up = asyncio.ensure_future(
            (await add.options(delay_ms=60_000).enqueue(1, 1)).result(timeout=60)
        )
        values = [] if stop_busy else [(await job.result(timeout=30)).value for job in jobs]  # type: ignore[union-attr]
        given_up.cancel()
        await asyncio.gather(given_up, return_exceptions=True)
        worker.stop()
        await work
        others = asyncio.all_tasks() - {asyncio.current_task()}
        assert not others, others
        return len(values)

    for number in range(4):
        assert asyncio.run(story(number % 2 == 1)) == (0 if number % 2 else 20)
        gc.collect()
    assert add.enqueue_sync(1, 2).id
    gc.collect()
    print("done")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
