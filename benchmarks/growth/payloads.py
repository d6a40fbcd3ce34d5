"""Jobs of 100 bytes, 10 KiB, 1 MiB, with results of that size: what the bytes cost, and the longest calls."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

from harness.server import Server

from ardiq.core.job import JobStatus
from ardiq.store import inspector, letters, moving, verbs
from ardiq.store.scripts import Call
from growth import actions
from growth.actions import Act, Action
from growth.field import FILLED, OUTCOME, Field, chunks
from growth.sampling import low, rows

SIZES = {"100 B": 100, "10 KiB": 10_240, "1 MiB": 1_048_576}
JOBS = 240  # in each place
FEW = 20  # jobs of one sample
MANY = 100  # jobs that are asked for, or sent, in one call where that may be the longest of all
SETTLED = 4_194_304  # bytes in one settle (worker/settler.py)


def enqueue(field: Field) -> Act:
    yield [field.plain([id]) for id in field.new("q", FEW)]
    actions.shorten(field, FEW)


def claim(field: Field) -> Act:
    claims = yield [field.claim(5, lanes=(FILLED,)) for _ in range(FEW // 5)]
    ids = [id for claimed in claims for id, _ in claimed.jobs]
    field.redis.delete(field.keys.held(field.worker))
    field.drop(ids)
    field.refill(len(ids))


def settle(field: Field) -> Act:
    jobs: list[Any] = []
    while len(jobs) < FEW:
        number, more = field.taken_once(FEW - len(jobs))
        jobs += [(number, job) for job in more]
    most = max(1, min(FEW, SETTLED // len(jobs[0][1].raw) // 2))
    verdicts = [field.verdict(job, number, JobStatus.SUCCEEDED) for number, job in jobs]
    yield [field.settle(piece) for piece in chunks(verdicts, most)]
    field.unlist(JobStatus.SUCCEEDED, [job.id for _, job in jobs])
    field.refill(len(jobs))


def looks(make: Callable[[Field, list[str]], list[Call]], kind: str) -> Callable[[Field], Act]:
    def act(field: Field) -> Act:
        yield make(field, field.picks(kind, FEW))

    return act


def abort(field: Field) -> Act:
    ids = field.picks("p", FEW)
    records = field.run(verbs.read(field.keys, ids))
    yield [verbs.abort(field.keys, id, 86_400_000, OUTCOME) for id in ids]
    field.redis.zrem(field.keys.ended(JobStatus.ABORTED), *ids)
    actions.restore_picked(field, ids, records)


def move(field: Field) -> Act:
    ids = field.picks("p", FEW)
    records = field.run(verbs.read(field.keys, ids))
    yield [moving.move(field.keys, id, lane="high") for id in ids]
    field.redis.delete(field.keys.lane("high"))
    actions.restore_picked(field, ids, records)


def replay(field: Field) -> Act:
    ids = field.picks("f", FEW)
    yield [letters.replay(field.keys, ids)]
    field.redis.ltrim(field.keys.lane("high"), FEW, -1)
    field.drop(ids)
    field.numbers["f"] = [field.numbers["f"][1]] * 2
    field.end("f", 2 * FEW, JobStatus.FAILED)


CHOSEN = [
    Action("enqueue, one by one", "job", FEW, enqueue),
    Action("claim, 5 at a time", "job", FEW, claim),
    Action("settle a success, up to 4 MiB at a time", "job", FEW, settle),
    Action("info", "job", FEW, looks(lambda f, ids: [inspector.job(f.keys, id) for id in ids], "p")),
    Action("result", "job", FEW, looks(lambda f, ids: [verbs.read(f.keys, [id]) for id in ids], "e")),
    Action(f"{FEW} rows of a list", "page", 1, looks(lambda f, ids: [inspector.rows(f.keys, ids)], "e")),
    Action("abort a queued job", "job", FEW, abort),
    Action("move a queued job to another lane", "job", FEW, move),
    Action(f"replay, {FEW} at a time", "job", FEW, replay),
]


def measure(args: argparse.Namespace, start: Callable[[], Server]) -> dict[str, Any]:
    fields: dict[Any, Field] = {}
    for name, size in SIZES.items():
        field = fields[name] = Field(start(), JOBS, call=size)
        field.outcome = b"o" * size
        field.fill()
    chosen = [one for one in CHOSEN if args.verbs in one.name]
    found = rows(fields, chosen, args.rounds)
    longest = {name: _longest(field) for name, field in fields.items()}
    lines = [f"The longest calls, ms of the server's CPU, {MANY} jobs asked for or sent:", ""]
    lines += ["| payload | a claim | jobs in its answer | an enqueue |", "|---|--:|--:|--:|"]
    lines += [f"| {name} | {c:.2f} | {jobs} | {e:.2f} |" for name, (c, jobs, e) in longest.items()]
    return {"rows": found, "longest": longest, "notes": lines}


def _longest(field: Field) -> tuple[float, int, float]:
    claims, enqueues, jobs = [], [], 0
    for _ in range(5):
        reading, _ = field.meter.take([field.plain(field.new("q", MANY))])
        enqueues.append(reading.server)
        reading, (claimed,) = field.meter.take([field.claim(MANY, lanes=(FILLED,))])
        claims.append(reading.server)
        jobs = len(claimed.jobs)
        field.redis.delete(field.keys.held(field.worker))
        field.drop(id for id, _ in claimed.jobs)
    return low(claims) / 1000, jobs, low(enqueues) / 1000
