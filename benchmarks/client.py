"""One action of a client, in a process of its own: ``client.py <action> <params as JSON>``.

It runs in the environment and the folder of a side, whose adapter BENCH_ADAPTER names (README.md says
what an adapter offers). The last line printed is the answer, as JSON.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import os
import socket
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from importlib import import_module
from statistics import median
from time import monotonic, perf_counter
from typing import Any
from urllib.parse import urlsplit

import bodies

side: Any = import_module(os.environ.get("BENCH_ADAPTER", "side"))

IDLE = 0.005  # seconds between two latency probes, so that the worker has gone to sleep again
WARM_UP = 200  # jobs enqueued before the clock starts: connections, scripts and caches are there
WARM_PROBES = 20
BULK, SINGLE = 5_000, 200  # jobs between two looks at the clock
WAIT = 20  # seconds for one result


def about() -> dict[str, Any]:
    """What the side lacks, with the reason, and how the harness may count its stored results."""
    return {"lacks": side.LACKS, "stored": side.STORED}


def _noop() -> str:
    return "noop_sync" if "async_bodies" in side.LACKS else "noop_async"


def _alone(found: Any) -> Any:
    """The answer of a coroutine, for a caller without a loop, in which not every sync API may be called."""
    return asyncio.run(_connected(found)) if inspect.isawaitable(found) else found


async def _connected(found: Awaitable[Any]) -> Any:
    async with side.connected() if hasattr(side, "connected") else nullcontext():
        return await found


async def _now(found: Any) -> Any:
    return await found if inspect.isawaitable(found) else found


async def one_by_one(count: int) -> dict[str, Any]:
    enqueue = side.aput(_noop())
    for number in range(WARM_UP):
        await enqueue(number)
    start = perf_counter()
    for number in range(count):
        await enqueue(number)
    elapsed = perf_counter() - start
    return {"rate": count / elapsed, "queued": await _now(side.queued()), "expected": count + WARM_UP}


def one_by_one_sync(count: int) -> dict[str, Any]:
    enqueue = side.put(_noop())
    for number in range(WARM_UP):
        enqueue(number)
    start = perf_counter()
    for number in range(count):
        enqueue(number)
    elapsed = perf_counter() - start
    return {"rate": count / elapsed, "queued": _alone(side.queued()), "expected": count + WARM_UP}


async def many_ways(count: int, ways: int) -> dict[str, Any]:
    enqueue = side.aput(_noop())

    async def one_way(jobs: int) -> None:
        for number in range(jobs):
            await enqueue(number)

    await asyncio.gather(*(one_way(WARM_UP // ways) for _ in range(ways)))
    start = perf_counter()
    await asyncio.gather(*(one_way(count // ways) for _ in range(ways)))
    elapsed = perf_counter() - start
    expected = count // ways * ways + WARM_UP // ways * ways
    rate = count // ways * ways / elapsed
    return {"rate": rate, "queued": await _now(side.queued()), "expected": expected}


def bulk(count: int, repeat: int) -> dict[str, Any]:
    if hasattr(side, "abulk"):
        return dict(_alone(_abulk(count, repeat)))
    return _bulk(count, repeat)


async def _abulk(count: int, repeat: int) -> dict[str, Any]:
    await side.abulk(_noop(), range(WARM_UP))
    rates = []
    for _ in range(repeat):
        start = perf_counter()
        await side.abulk(_noop(), range(count))
        rates.append(count / (perf_counter() - start))
    expected = count * repeat + WARM_UP
    return {"rate": median(rates), "queued": await _now(side.queued()), "expected": expected}


def _bulk(count: int, repeat: int) -> dict[str, Any]:
    side.bulk(_noop(), range(WARM_UP))
    rates = []
    for _ in range(repeat):
        start = perf_counter()
        side.bulk(_noop(), range(count))
        rates.append(count / (perf_counter() - start))
    expected = count * repeat + WARM_UP
    return {"rate": median(rates), "queued": _alone(side.queued()), "expected": expected}


def fill(task: str, count: int, first: int = 0, seconds: float = 1e9) -> dict[str, Any]:
    """Enqueue jobs for a worker to run, in the fastest way that the side has, until the time is up.

    Returns how many, and number and id of some of them, the last included.
    """
    if hasattr(side, "abulk") or (hasattr(side, "aput") and not hasattr(side, "bulk")):
        handles = _alone(_afilled(task, first, count, seconds))
    else:
        handles = _filled(task, first, count, seconds)
    some = [*range(0, len(handles), max(1, len(handles) // 50)), len(handles) - 1]
    return {"count": len(handles), "ids": [[first + place, side.ident(handles[place])] for place in some]}


def _filled(task: str, first: int, count: int, seconds: float) -> list[Any]:
    latest, handles = monotonic() + seconds, list[Any]()
    at_once = BULK if hasattr(side, "bulk") else SINGLE
    while len(handles) < count and monotonic() < latest:
        numbers = range(first + len(handles), first + min(count, len(handles) + at_once))
        if hasattr(side, "bulk"):
            handles += side.bulk(task, numbers)
        else:
            handles += map(side.put(task), numbers)
    return handles


async def _afilled(task: str, first: int, count: int, seconds: float) -> list[Any]:
    latest, handles = monotonic() + seconds, list[Any]()
    at_once = BULK if hasattr(side, "abulk") else SINGLE
    while len(handles) < count and monotonic() < latest:
        numbers = range(first + len(handles), first + min(count, len(handles) + at_once))
        if hasattr(side, "abulk"):
            handles += await side.abulk(task, numbers)
        else:
            enqueue = side.aput(task)
            handles += [await enqueue(number) for number in numbers]
    return handles


async def check(ids: list[str]) -> dict[str, Any]:
    """Are the results of these jobs stored, and successes? Three that are not are enough."""
    bad: list[str] = []
    for id in ids:
        try:
            await _now(side.outcome(id))
        except Exception as error:
            bad.append(repr(error))
        if len(bad) == 3:
            break
    return {"bad": bad}


def latency(count: int, seconds: float = 1e9) -> dict[str, Any]:
    """One job at a time, so many or for so long; ms to the start of its body and to the result."""
    pairs = _alone(_aprobed(count, seconds)) if hasattr(side, "aput") else _probed(count, seconds)
    pairs = pairs[WARM_PROBES:] or pairs
    starts = [(start - sent) * 1000 for sent, start, _ in pairs]
    results = [(got - sent) * 1000 for sent, _, got in pairs if got is not None]
    found = {"start_p50": _percentile(starts, 50), "start_p99": _percentile(starts, 99)}
    if results:
        found |= {"result_p50": _percentile(results, 50), "result_p99": _percentile(results, 99)}
    return found


async def _aprobed(count: int, seconds: float) -> list[tuple[float, float, float | None]]:
    latest, found = monotonic() + seconds, list[tuple[float, float, float | None]]()
    enqueue = side.aput("stamp_sync" if "async_bodies" in side.LACKS else "stamp")
    for number in range(WARM_PROBES + count):
        sent = monotonic()
        handle = await enqueue(number)
        if "results" in side.LACKS:
            while not bodies.ENDS[number] and monotonic() < sent + WAIT:
                await asyncio.sleep(0.0005)
            found.append((sent, bodies.ENDS[number] or monotonic(), None))
        else:
            start = await side.wait(handle, WAIT)
            found.append((sent, start, monotonic()))
        if monotonic() > latest:
            break
        await asyncio.sleep(IDLE)
    return found


def _probed(count: int, seconds: float) -> list[tuple[float, float, float | None]]:
    latest, found = monotonic() + seconds, list[tuple[float, float, float | None]]()
    enqueue = side.put("stamp_sync")
    for number in range(WARM_PROBES + count):
        sent = monotonic()
        start = side.wait(enqueue(number), WAIT)
        found.append((sent, start, monotonic()))
        if monotonic() > latest:
            break
        time.sleep(IDLE)
    return found


def _percentile(values: list[float], percent: int) -> float:
    return sorted(values)[min(len(values) - 1, len(values) * percent // 100)]


def load(rate: float, seconds: float) -> dict[str, Any]:
    """Bodies of a millisecond, so many a second, evenly; what is late follows at once."""
    return dict(_alone(_aload(rate, seconds))) if hasattr(side, "aput") else _load(rate, seconds)


async def _aload(rate: float, seconds: float) -> dict[str, Any]:
    enqueue, start, sent = side.aput("hash_blocks"), monotonic(), 0
    while (now := monotonic()) < start + seconds:
        if sent < (now - start) * rate:
            await enqueue(bodies.NOBODY)
            sent += 1
        else:
            await asyncio.sleep(1 / rate)
    return {"sent": sent}


def _load(rate: float, seconds: float) -> dict[str, Any]:
    enqueue, start, sent = side.put("hash_blocks"), monotonic(), 0
    while (now := monotonic()) < start + seconds:
        if sent < (now - start) * rate:
            enqueue(bodies.NOBODY)
            sent += 1
        else:
            time.sleep(1 / rate)
    return {"sent": sent}


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


def ceiling(count: int, processes: int = 1) -> dict[str, Any]:
    """The CPU-bound body alone, without any queue: what a perfect one could reach."""
    rates = []
    for _ in range(processes - 1):
        read, write = os.pipe()
        if os.fork() == 0:
            os.write(write, str(_bodies(count)).encode())
            os._exit(0)
        rates.append(read)
    return {"rate": _bodies(count) + sum(float(os.read(read, 100)) for read in rates)}


def _bodies(count: int) -> float:
    start = perf_counter()
    for number in range(count):
        bodies.hash_blocks(number)
    return count / (perf_counter() - start)


ACTIONS: dict[str, Callable[..., Any]] = {
    action.__name__: action
    for action in (
        about,
        one_by_one,
        one_by_one_sync,
        many_ways,
        bulk,
        fill,
        check,
        latency,
        load,
        ceiling,
        round_trips,
    )
}


def main() -> None:
    answer = _alone(ACTIONS[sys.argv[1]](**json.loads(sys.argv[2])))
    print(json.dumps(answer), flush=True)
    # The threads of one side may crash an interpreter that finalises; the answer is out, so no side does.
    os._exit(0)


if __name__ == "__main__":
    main()
