"""The measured tasks, and those that give the million jobs of the admin benchmark their variety."""

import asyncio

import bodies

from ardiq import task

noop_async = task(name="bench.noop_async")(bodies.noop_async)
noop_sync = task(name="bench.noop_sync")(bodies.noop_sync)
nap = task(name="bench.nap")(bodies.nap)
hash_blocks = task(name="bench.hash_blocks")(bodies.hash_blocks)
stamp = task(name="bench.stamp")(bodies.stamp)


@task(name="bench.fail", max_retries=0)
async def fail(number: int) -> None:
    raise ValueError(f"job {number} fails on purpose")


@task(name="bench.hold")
async def hold(number: int) -> None:
    """Runs until its worker stops, so that there are running jobs to list."""
    await asyncio.sleep(3600)
