"""Tasks to test the kit with, on a queue of their own."""

from __future__ import annotations

import asyncio
import time
from types import SimpleNamespace
from typing import Any

from django.contrib.auth.models import User

from ardiq import Ardiq, Retry, current_job


def make(queue: str) -> Any:
    """The queue ``app`` and its tasks. ``log``: what they have done."""
    app = Ardiq(queue, priorities=["low", "default", "high"])
    log: list[Any] = []

    @app.task
    def add(a: Any, b: Any = 1) -> Any:
        return a + b

    @app.task
    async def aadd(a: Any, b: Any = 1) -> Any:
        return a + b

    @app.task
    def keep(thing: Any) -> Any:
        log.append(thing)
        return thing

    @app.task
    def sign_up(name: str) -> int:
        return int(User.objects.create(username=name).pk)

    @app.task
    async def asign_up(name: str) -> int:
        return int((await User.objects.acreate(username=name)).pk)

    @app.task
    def greet(user: User) -> str:
        return f"hello {user.username}"

    @app.task(max_retries=2, backoff_ms=30_000)
    def flaky(good: int) -> int:
        job = current_job()
        assert job is not None
        log.append(job.attempt)
        if job.attempt < good:
            raise ValueError(f"attempt {job.attempt}")
        return job.attempt

    @app.task(max_retries=5)
    def later() -> str:
        job = current_job()
        assert job is not None
        if job.attempt < 3:
            raise Retry("not yet", delay_ms=3_600_000)
        return "at last"

    @app.task
    def outer(a: int) -> Any:
        return add.enqueue_sync(a, 1).result_sync(timeout=5).value

    @app.task
    async def aouter(a: int) -> Any:
        result = await (await aadd.enqueue(a, 1)).result(timeout=5)
        assert result is not None
        return result.value

    @app.task
    def countdown(left: int) -> None:
        log.append(left)
        if left:
            countdown.enqueue_sync(left - 1)

    @app.task(timeout=0.2, max_retries=0)
    def slow() -> None:
        until = time.monotonic() + 20
        while time.monotonic() < until:
            pass

    @app.task(timeout=0.1, max_retries=0)
    async def aslow() -> None:
        await asyncio.sleep(20)

    @app.task(durable=True)
    def sturdy(a: int) -> int:
        return a

    @app.task(throttle_ms=60_000)
    def seldom() -> str:
        return "done"

    @app.cron("0 4 * * *")
    def nightly() -> str:
        return "good night"

    names = dict(locals())
    del names["queue"]
    return SimpleNamespace(**names)
