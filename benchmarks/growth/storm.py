"""A million jobs due at the same millisecond: how long until they can run, and how long nobody is heard."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

from harness.server import Server

from ardiq.core.job import JobRecord, JobStatus
from ardiq.store import newjobs, scripts, verbs
from growth.field import FILLED, TASK, Field, chunks

AHEAD = 3_600_000  # ms; the clock of the scripts goes there when all is stored
WANTED = 300  # jobs that a busy worker asks for at most: a hundred slots, and 200 beyond what runs


def measure(args: argparse.Namespace, start: Callable[[], Server]) -> dict[str, Any]:
    found = [_storm(Field(start(), 0), args.due, settles) for settles in (False, True)]
    lines = [
        "| what | calls | server, s | clock, s | server, µs a job | longest call, ms of CPU | 99.9 % |",
        "|---|--:|--:|--:|--:|--:|--:|",
    ]
    for one in found:
        lines.append(
            f"| {one['what']} | {one['calls']:,} | {one['server_s']:.1f} | {one['clock_s']:.0f} "
            f"| {one['us_a_job']:.1f} | {one['longest_ms']:.2f} | {one['p999_ms']:.2f} |"
        )
    return {"rows": [], "due": args.due, "found": found, "notes": lines}


def _storm(field: Field, due: int, settles: bool) -> dict[str, Any]:
    field.run(field.register(field.worker))
    seconds, micros = field.redis.time()
    at = seconds * 1000 + micros // 1000 + AHEAD
    for ids in chunks(field.new("s", due)):
        jobs = [newjobs.new_job(id, FILLED, TASK, b"c" * 60, schedule_ms=at) for id in ids]
        field.run(verbs.enqueue(field.keys, jobs))
    scripts.shift(AHEAD + 1)
    try:
        field.run(field.register(field.worker))  # by that clock its lease had run out
        taken, left, since = [], due, time.monotonic()
        while left:
            reading, (claimed,) = field.meter.take([field.claim(WANTED if settles else 0, lanes=(FILLED,))])
            taken.append(reading.server)
            if settles:
                jobs = [JobRecord(id, raw) for id, raw in claimed.jobs]
                left -= len(jobs)
                done = [field.verdict(job, field._claims, JobStatus.SUCCEEDED) for job in jobs]
                taken.append(field.meter.take([field.settle(done)])[0].server)
            else:
                left = field.redis.zcard(field.keys.scheduled)
        clock = time.monotonic() - since
    finally:
        scripts.shift(0)
    taken.sort()
    return {
        "what": "moved, claimed and settled by one worker" if settles else "moved to their lane",
        "calls": len(taken),
        "server_s": sum(taken) / 1e6,
        "clock_s": clock,
        "us_a_job": sum(taken) / due,
        "longest_ms": taken[-1] / 1000,
        "p999_ms": taken[int(len(taken) * 0.999)] / 1000,
    }
