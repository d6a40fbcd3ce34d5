"""Dramatiq on Redis, with its middleware for results and its Redis backend for them."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import bodies
import dramatiq
from dramatiq.brokers.redis import RedisBroker
from dramatiq.results import Results
from dramatiq.results.backends import RedisBackend

LACKS = {
    "async": "its API is synchronous only",
    "async_bodies": "runs coroutines only with a middleware that is not among its defaults",
    "bulk": "no way to enqueue many at once",
}
STORED = ["expires"]

results = RedisBackend(url=os.environ["BENCH_URL"])
broker = RedisBroker(url=os.environ["BENCH_URL"])
broker.add_middleware(Results(backend=results, store_results=True))
dramatiq.set_broker(broker)
ACTORS = {name: dramatiq.actor(body, actor_name=name) for name, body in bodies.SYNC.items()}


def worker(concurrency: int, processes: int) -> list[list[str]]:
    size = ["--processes", str(processes), "--threads", str(concurrency)]
    return [["dramatiq", "dramatiq_side:broker", *size]]


def put(task: str) -> Callable[[int], Any]:
    return ACTORS[task].send


def queued() -> int:
    return int(broker.client.llen("dramatiq:default"))


def ident(message: Any) -> str:
    return f"{message.actor_name} {message.message_id}"


def wait(message: Any, seconds: float) -> Any:
    return message.get_result(block=True, timeout=int(seconds * 1000))


def outcome(id: str) -> None:
    name, message_id = id.split()
    message = ACTORS[name].message(0).copy(message_id=message_id)
    message.get_result(block=True, timeout=10_000)
