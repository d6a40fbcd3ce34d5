"""One action of a client, in a process of its own: ``client.py <action> <params as JSON>``.

It runs in the environment and the folder of a side, whose ``side.py`` offers the same names on both:
``app`` and the tasks. The last line printed is the answer, as JSON.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
from collections.abc import Awaitable, Callable
from time import monotonic, perf_counter
from typing import Any
from urllib.parse import urlsplit

import side

IDLE = 0.005  # seconds between two latency probes, so that the worker has gone to sleep again
WARM_UP = 200  # jobs enqueued before the clock starts: connections, scripts and caches are there


async def one_by_one(count: int) -> dict[str, Any]:
    enqueue = side.noop_async.enqueue
    for number in range(WARM_UP):
        await enqueue(number)
    start = perf_counter()
    for number in range(count):
        await enqueue(number)
    elapsed = perf_counter() - start
    return {"rate": count / elapsed, "queued": await side.app.queue_size(), "expected": count + WARM_UP}


def one_by_one_sync(count: int) -> dict[str, Any]:
    enqueue = side.noop_async.enqueue_sync
    for number in range(WARM_UP):
        enqueue(number)
    start = perf_counter()
    for number in range(count):
        enqueue(number)
    elapsed = perf_counter() - start
    return {"rate": count / elapsed, "queued": side.app.queue_size_sync(), "expected": count + WARM_UP}


async def many_ways(count: int, ways: int) -> dict[str, Any]:
    enqueue = side.noop_async.enqueue

    async def one_way(jobs: int) -> None:
        for number in range(jobs):
            await enqueue(number)

    await asyncio.gather(*(one_way(WARM_UP // ways) for _ in range(ways)))
    start = perf_counter()
    await asyncio.gather(*(one_way(count // ways) for _ in range(ways)))
    elapsed = perf_counter() - start
    expected = count // ways * ways + WARM_UP // ways * ways
    return {
        "rate": count // ways * ways / elapsed,
        "queued": await side.app.queue_size(),
        "expected": expected,
    }


async def bulk(count: int, repeat: int) -> dict[str, Any]:
    await _fill("noop_async", WARM_UP)
    rates = []
    for _ in range(repeat):
        start = perf_counter()
        await _fill("noop_async", count)
        rates.append(count / (perf_counter() - start))
    rate = sorted(rates)[repeat // 2]
    return {"rate": rate, "queued": await side.app.queue_size(), "expected": count * repeat + WARM_UP}


async def fill(task: str, count: int) -> dict[str, Any]:
    """Enqueue jobs for a worker to run; the ids of some of them, the last included, are returned."""
    jobs = await _fill(task, count)
    return {"ids": [job.id for job in [*jobs[:: max(1, count // 50)], jobs[-1]]]}


async def _fill(task: str, count: int) -> list[Any]:
    prepare = getattr(side, task).prepare
    return list(await side.app.enqueue_many(prepare(number) for number in range(count)))


async def check(ids: list[str]) -> dict[str, Any]:
    """Are the results of these jobs stored, and successes?"""
    found = [await side.app.result(id, timeout=10) for id in ids]
    return {"bad": sum(not result.success for result in found)}


async def latency(count: int) -> dict[str, Any]:
    starts, results = [], []
    for number in range(20 + count):
        sent = monotonic()
        job = await side.stamp.enqueue(number)
        result = await job.result(timeout=20)
        got = monotonic()
        if number >= 20:
            starts.append((result.value - sent) * 1000)
            results.append((got - sent) * 1000)
        await asyncio.sleep(IDLE)
    return {
        "start_p50": _percentile(starts, 50),
        "start_p99": _percentile(starts, 99),
        "result_p50": _percentile(results, 50),
        "result_p99": _percentile(results, 99),
    }


def _percentile(values: list[float], percent: int) -> float:
    return sorted(values)[min(len(values) - 1, len(values) * percent // 100)]


def round_trips(count: int) -> dict[str, Any]:
    """A script that stores one job, over a plain socket: what one connection can do on this machine."""
    script = b"redis.call('SET', KEYS[1], ARGV[1], 'NX') return redis.call('RPUSH', 'floor', KEYS[1])"
    address = urlsplit(os.environ["BENCH_URL"])
    with socket.create_connection((address.hostname, address.port)) as link:

        def call(*words: bytes) -> bytes:
            parts = b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in words)
            link.sendall(b"*%d\r\n" % len(words) + parts)
            return link.recv(1000)

        sha = call(b"SCRIPT", b"LOAD", script).split(b"\r\n")[1]
        start = perf_counter()
        for number in range(count):
            call(b"EVALSHA", sha, b"1", b"floor:%d" % number, bytes(80))
        return {"rate": count / (perf_counter() - start)}


async def ceiling(count: int) -> dict[str, Any]:
    """The CPU-bound body alone in one thread, without any queue: what a perfect one could reach."""
    import bodies

    start = perf_counter()
    for number in range(count):
        bodies.hash_blocks(number)
    return {"rate": count / (perf_counter() - start)}


ACTIONS: dict[str, Callable[..., Awaitable[dict[str, Any]] | dict[str, Any]]] = {
    action.__name__: action
    for action in (one_by_one, one_by_one_sync, many_ways, bulk, fill, check, latency, ceiling, round_trips)
}


def main() -> None:
    found = ACTIONS[sys.argv[1]](**json.loads(sys.argv[2]))
    answer = found if isinstance(found, dict) else asyncio.run(_awaited(found))
    print(json.dumps(answer), flush=True)
    # The peer's threads may crash an interpreter that finalises; the answer is out, so neither side does.
    os._exit(0)


async def _awaited(found: Awaitable[dict[str, Any]]) -> dict[str, Any]:
    return await found


if __name__ == "__main__":
    main()
