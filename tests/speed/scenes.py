"""What is counted: each scene does the same for so many jobs, so that two numbers tell what one job takes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from ardiq import Ardiq, running
from ardiq.upkeep import DjangoUpkeep

AHEAD = 50  # jobs that the worker holds beyond those that run; fixed, or it would depend on the clock


class Stage:
    """A queue, its two tasks, and what can be done with them."""

    def __init__(self, url: str, queue: str) -> None:
        self.app = Ardiq(queue, ["low", "default", "high"], url, concurrency=10, prefetch=AHEAD)

        @self.app.task(name="speed.noop_async")
        async def noop_async(number: int) -> None:
            pass

        @self.app.task(name="speed.noop_sync")
        def noop_sync(number: int) -> None:
            pass

        self.noop_async, self.noop_sync = noop_async, noop_sync

    def enqueue_sync(self, jobs: int) -> None:
        for number in range(jobs):
            self.noop_sync.enqueue_sync(number)

    def enqueue(self, jobs: int) -> None:
        async def main() -> None:
            for number in range(jobs):
                await self.noop_async.enqueue(number)

        asyncio.run(main())

    def enqueue_100_ways(self, jobs: int) -> None:
        async def main() -> None:
            for start in range(0, jobs, 100):
                await asyncio.gather(*(self.noop_async.enqueue(n) for n in range(start, start + 100)))

        asyncio.run(main())

    def enqueue_many_sync(self, jobs: int) -> None:
        self.app.enqueue_many_sync(self.noop_sync.prepare(number) for number in range(jobs))

    def enqueue_many(self, jobs: int) -> None:
        asyncio.run(self.app.enqueue_many(self.noop_async.prepare(number) for number in range(jobs)))

    def work(self, jobs: int) -> None:
        """Claim, run and settle what waits; ``jobs`` of it, as the scene has been set."""

        async def main() -> None:
            options = running.worker_options(self.app.queue_name)
            worker = running.build(
                self.app.queue_name, options, name="here", burst=True, around=DjangoUpkeep()
            )
            await running.run([worker])

        asyncio.run(main())


Scene = Callable[[Stage, int], None]


def nothing(stage: Stage, jobs: int) -> None:
    """Needs nothing to have happened."""


def waiting_async(stage: Stage, jobs: int) -> None:
    asyncio.run(stage.app.enqueue_many(stage.noop_async.prepare(number) for number in range(jobs)))


def waiting_sync(stage: Stage, jobs: int) -> None:
    stage.app.enqueue_many_sync(stage.noop_sync.prepare(number) for number in range(jobs))


# name -> what is set, what is counted, jobs of the smaller turn
SCENES: dict[str, tuple[Scene, Scene, int]] = {
    "enqueue, sync": (nothing, Stage.enqueue_sync, 50),
    "enqueue, async": (nothing, Stage.enqueue, 50),
    "enqueue, 100 ways": (nothing, Stage.enqueue_100_ways, 200),
    "enqueue_many, sync": (nothing, Stage.enqueue_many_sync, 500),
    "enqueue_many, async": (nothing, Stage.enqueue_many, 500),
    "run, async": (waiting_async, Stage.work, 200),
    "run, sync": (waiting_sync, Stage.work, 200),
}


def per_job(
    stage: Stage, name: str, count: Callable[[Callable[[], Any]], dict[str, int]]
) -> dict[str, float]:
    """What one job takes: the difference between so many jobs and three times as many."""
    set_up, scene, jobs = SCENES[name]

    def turn(size: int) -> dict[str, int]:
        set_up(stage, size)
        return count(lambda: scene(stage, size))

    def best(size: int) -> dict[str, int]:
        # The threads of earlier tests that are still there are counted, too, when they wake up.
        one, other = turn(size), turn(size)
        return {what: min(one[what], other[what]) for what in one}

    few, many = best(jobs), best(3 * jobs)
    return {what: (many[what] - few[what]) / (2 * jobs) for what in many}
