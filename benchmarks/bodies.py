"""The bodies of the measured tasks, one text for both sides: each side only puts its decorator on them.

A worker that is measured finds in BENCH_LAST how many jobs there are and in BENCH_MARKS a path. The body
that starts first and the one that ends last note the time; counting costs one ``next()`` on either side.
Times are monotonic seconds, which on Linux and macOS mean the same in every process of a machine.
"""

from __future__ import annotations

import asyncio
import json
import os
from hashlib import sha256
from itertools import count
from time import monotonic, process_time

LAST = int(os.environ.get("BENCH_LAST", "0")) - 1
BLOCK = bytes(1024)
NAP = 0.1  # seconds

# next() on a count is one step under the GIL, so sync bodies in many threads never lose a number.
_starts, _ends = count(), count()
_first: list[float] = []


def _started() -> None:
    _first[:] = [monotonic(), process_time()]


def _ended() -> None:
    end, cpu = monotonic(), process_time()
    path = os.environ["BENCH_MARKS"]
    with open(path + ".new", "w") as file:
        json.dump({"first": _first[0], "last": end, "cpu": cpu - _first[1]}, file)
    os.replace(path + ".new", path)


async def noop_async(number: int) -> None:
    n = next(_starts)
    if n == 0:
        _started()
    if n == LAST:
        _ended()


def noop_sync(number: int) -> None:
    n = next(_starts)
    if n == 0:
        _started()
    if n == LAST:
        _ended()


async def nap(number: int) -> None:
    if next(_starts) == 0:
        _started()
    await asyncio.sleep(NAP)
    if next(_ends) == LAST:
        _ended()


def hash_blocks(number: int) -> None:
    """About a millisecond of pure CPU: 1,000 SHA-256 of 1 KiB."""
    if next(_starts) == 0:
        _started()
    for _ in range(1000):
        sha256(BLOCK).digest()
    if next(_ends) == LAST:
        _ended()


async def stamp(number: int) -> float:
    """When this body started, for the latency row."""
    return monotonic()
