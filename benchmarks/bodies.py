"""The bodies of the measured tasks, one text for all sides: each side only puts its decorator on them.

A worker that is measured finds in BENCH_MARKS a file of two columns of doubles, which all its processes
share: when job N started, when job N ended. Storing a number there costs a body 0.1 µs, needs no lock, and
the harness reads it while they run. Times are monotonic seconds, which on Linux mean the same in every
process of a machine.

With BENCH_GATE the first bodies wait until so many processes are there, so that what is measured is all of
them.
"""

from __future__ import annotations

import asyncio
import mmap
import os
import time
from hashlib import sha256
from pathlib import Path
from time import monotonic
from typing import Any

MARKS = os.environ.get("BENCH_MARKS", "")
GATE = int(os.environ.get("BENCH_GATE", "0"))
GATE_SECONDS = 10
BLOCK = bytes(1024)
NAP = 0.1  # seconds
# The last line of the file is nobody's: what is only there to keep a worker busy writes to it.
NOBODY = -1


class _Nowhere:
    def __setitem__(self, number: int, moment: float) -> None:
        """Nobody reads it."""


class _Gate:
    """Stands in for the column until this process and the others have begun."""

    def __setitem__(self, number: int, moment: float) -> None:
        global STARTS, ENDS
        Path(f"{MARKS}.{os.getpid()}").touch()
        folder, name = os.path.split(MARKS)
        latest = monotonic() + GATE_SECONDS
        while monotonic() < latest:
            if sum(other.startswith(name + ".") for other in os.listdir(folder)) >= GATE:
                break
            time.sleep(0.002)
        STARTS, ENDS = columns(MARKS)
        (STARTS if self is _START_GATE else ENDS)[number] = monotonic()


def columns(path: str | Path) -> tuple[Any, Any]:
    """The two columns of a file of marks, as memory that is shared with whoever has it open."""
    with open(path, "r+b") as file:
        whole = memoryview(mmap.mmap(file.fileno(), 0)).cast("d")
    return whole[: len(whole) // 2], whole[len(whole) // 2 :]


STARTS: Any
ENDS: Any
_START_GATE = _Gate()
if not MARKS:
    STARTS = ENDS = _Nowhere()
elif GATE > 1:
    STARTS, ENDS = _START_GATE, _Gate()
else:
    STARTS, ENDS = columns(MARKS)


async def noop_async(number: int) -> None:
    ENDS[number] = monotonic()


def noop_sync(number: int) -> None:
    ENDS[number] = monotonic()


async def nap(number: int) -> None:
    STARTS[number] = monotonic()
    await asyncio.sleep(NAP)
    ENDS[number] = monotonic()


def doze(number: int) -> None:
    """The same for sides whose bodies cannot be coroutines."""
    STARTS[number] = monotonic()
    time.sleep(NAP)
    ENDS[number] = monotonic()


def hash_blocks(number: int) -> None:
    """About a millisecond of pure CPU: 1,000 SHA-256 of 1 KiB."""
    STARTS[number] = monotonic()
    for _ in range(1000):
        sha256(BLOCK).digest()
    ENDS[number] = monotonic()


def _stamp(number: int) -> float:
    now = monotonic()
    ENDS[number] = now
    return now


async def stamp(number: int) -> float:
    """When this body started, for the rows of latency."""
    return _stamp(number)


def stamp_sync(number: int) -> float:
    return _stamp(number)


SYNC = {"noop_sync": noop_sync, "doze": doze, "hash_blocks": hash_blocks, "stamp_sync": stamp_sync}
ASYNC = {"noop_async": noop_async, "nap": nap, "stamp": stamp}
