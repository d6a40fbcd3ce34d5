"""Bulk operations: something is done to all jobs of a filter by workers of their queue, a slice at a time.

An operation is a record in Redis (store/bulks.py) and a job of ours that works on it for some seconds and
then enqueues the next one. It walks over the places in which the jobs lie; what is done to a job is checked
by the script that does it, so that a slice that runs twice does nothing twice.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ardiq import conf
from ardiq.connection import Broker, broker, new_id
from ardiq.core.context import current_job
from ardiq.core.job import JobStatus
from ardiq.core.outcome import CALL, call_subject, pack_abort
from ardiq.core.registry import Definition
from ardiq.store import browsing, bulks, letters, moving, verbs
from ardiq.store.browsing import STRETCH, Keep
from ardiq.store.bulks import Bulk
from ardiq.store.newjobs import new_job

TASK = "ardiq.operation"
SLICE = 10.0  # seconds that one job of ours works: a worker that stops need not wait longer for it
PIECE = 200  # jobs of one script: aborting and deleting take ids out of lanes
SHORT = 1_000  # ids up to which scripts take one that is gone out of its lane (abort.lua, delete.lua)

Words = dict[str, str]  # id -> 'done', or why not
Pace = tuple[float, float]  # ms until the first of some jobs, and from each to the next, of what is retried


def _abort(own: Broker, ids: Sequence[str], pace: Pace) -> Words:
    ttl = own.options.result_ttl_ms
    calls = [verbs.abort(own.keys, id, ttl, pack_abort(own.codec, id)) for id in ids]
    return {id: "done" if hit else "late" for id, hit in zip(ids, own.store.run_many(calls), strict=True)}


def _retry(own: Broker, ids: Sequence[str], pace: Pace) -> Words:
    first, step = pace
    calls = [
        letters.replay(own.keys, ids[at : at + PIECE], states="FAX", first_ms=first + at * step, step_ms=step)
        for at in range(0, len(ids), PIECE)
    ]
    found = {id: word for part in own.store.run_many(calls) for id, word in part.items()}
    return {id: "done" if word == "queued" else word for id, word in found.items()}


def _run_now(own: Broker, ids: Sequence[str], pace: Pace) -> Words:
    calls = [moving.move(own.keys, id, due=moving.NOW) for id in ids]
    return {id: "done" if hit else "late" for id, hit in zip(ids, own.store.run_many(calls), strict=True)}


def _delete(own: Broker, ids: Sequence[str], pace: Pace) -> Words:
    calls = [letters.delete(own.keys, ids[at : at + PIECE]) for at in range(0, len(ids), PIECE)]
    found = {id: gone for part in own.store.run_many(calls) for id, gone in part.items()}
    return {id: "done" if gone else "late" for id, gone in found.items()}


WORK: dict[str, Callable[[Broker, Sequence[str], Pace], Words]] = {
    "abort": _abort, "retry": _retry, "run": _run_now, "delete": _delete,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Order:
    """What to do (a key of WORK) to jobs of which statuses, of those that ``keep`` keeps. ``per_second``: at
    most, 0 for as fast as it goes. ``step_ms``: between jobs that are retried. ``total``: jobs to look at."""

    action: str
    statuses: Sequence[JobStatus]
    keep: Keep
    total: int
    by: str = ""
    per_second: int = 0
    step_ms: float = 0


def start(own: Broker, order: Order) -> str:
    """Begin an operation. Answers its id. Raises BrokerError, or QueueFull when not even its job fits in."""
    id = new_id()
    keep = order.keep
    fields: dict[str, Any] = {
        "action": order.action, "by": order.by, "state": bulks.RUNNING, "total": order.total, "looked": 0,
        "done": 0, "per_second": order.per_second, "step_ms": repr(float(order.step_ms)),
        "statuses": ",".join(order.statuses), "at": json.dumps([0, 0, -1]),
        "keep": json.dumps([keep.since, keep.until, keep.task, keep.text, keep.worker, keep.tried]),
    }  # fmt: skip
    own.store.run(bulks.begin(own.keys, id, fields))
    _enqueue(own, id, 0)
    return id


def cancel(own: Broker, id: str) -> bool:
    """Stop it behind the slice that is under way. Answers whether it was running."""
    return bool(own.store.run(bulks.advance(own.keys, id, {"state": bulks.CANCELLED})))


def latest(own: Broker, most: int) -> list[Bulk]:
    """The latest operations of a queue; two round trips."""
    ids = own.store.run(bulks.latest(own.keys, most))
    found = own.store.run_many([bulks.read(own.keys, id) for id in ids]) if ids else []
    return [one for one in found if one is not None]


def _enqueue(own: Broker, id: str, delay_ms: int) -> None:
    job = new_id()
    call = own.codec.encode(CALL, call_subject(job, TASK), [[own.options.queue, id], {}, {}])
    lane = own.options.default_priority
    own.store.run(verbs.enqueue(own.keys, (new_job(job, lane, TASK, call, delay_ms=delay_ms),)))


def work_on(queue: str, id: str) -> str:
    """The task: a slice of an operation. Answers how far it is, for people."""
    own = broker(conf.merged(queue, {}))
    end, begun, hits = time.monotonic() + SLICE, time.monotonic(), 0
    while True:
        found: Bulk | None = own.store.run(bulks.read(own.keys, id))
        if found is None or found.state != bulks.RUNNING:
            return found.state if found else "gone"
        hit = _advance(own, found)
        if hit is None:
            return bulks.DONE
        hits += hit
        rate = found.number("per_second")
        wait = hits / rate - (time.monotonic() - begun) if rate else 0.0
        if wait > 0 or time.monotonic() >= end:
            _enqueue(own, id, max(0, int(wait * 1000)))
            return f"{found.number('looked')} of {found.number('total')}"


def _advance(own: Broker, found: Bulk) -> int | None:
    """Look at the next jobs. Answers to how many something was done; None when there are no more."""
    statuses = [JobStatus(one) for one in found.text("statuses").split(",") if one]
    # One at a time: lanes differ in whether ids leave them.
    places = browsing.places(statuses, own.options.priorities)
    index, offset, left = json.loads(found.text("at"))
    if index >= len(places):
        own.store.run(bulks.advance(own.keys, found.id, {"state": bulks.DONE}))
        return None
    place, where = places[index], places[index : index + 1]
    keep = _keep(found, place)
    if left < 0:
        # As many as there are now: what comes meanwhile must not keep it going for ever.
        left = own.store.run(browsing.size(own.keys, where, keep))
    most = min(STRETCH, left, max(1, found.number("per_second") * 5 or STRETCH))
    if most <= 0:
        own.store.run(bulks.advance(own.keys, found.id, {"at": json.dumps([index + 1, 0, -1])}))
        return 0
    stretch = own.store.run(browsing.stretch(own.keys, where, offset, most, keep=keep))
    leaves = _leaves(own, place)
    context = current_job()
    mine = context.id if context else ""  # the job that does this must not abort itself
    ids, step = [spot.id for spot in stretch.spots if spot.id != mine], float(found.text("step_ms") or 0)
    done = found.number("done")
    words = WORK[found.text("action")](own, ids, (done * step, step)) if ids else {}
    hit = sum(word == "done" for word in words.values())
    stays = stretch.looked - (hit if leaves else 0)
    after = [index, offset + stays, left - stretch.looked] if stretch.looked else [index + 1, 0, -1]
    told = {"at": json.dumps(after), "looked": found.number("looked") + stretch.looked, "done": done + hit}
    own.store.run(bulks.advance(own.keys, found.id, told))
    return hit


def _keep(found: Bulk, place: str) -> Keep:
    since, until, task, text, worker, tried = json.loads(found.text("keep"))
    begun = found.number("started")
    # Times that count back from now mean the time at which somebody has asked.
    since, until = (one + begun if one is not None and one < 0 else one for one in (since, until))
    if place.startswith(("lane:", "ended:")):
        # Not what has ended or was enqueued since: it may be what was retried a moment ago.
        until = min(until or begun, begun) - 1
    return Keep(since, until, task, text, worker, tried)


def _leaves(own: Broker, place: str) -> bool:
    """Whether a job to which something is done is not found at its place any more."""
    if place == "running":
        return False  # it was told to stop, and goes when its worker has
    if not place.startswith("lane:"):
        return True
    size: int = own.store.run(verbs.length(own.keys, place.removeprefix("lane:")))
    return size <= SHORT


def definition(queue: str) -> Definition:
    """The task as workers of a queue know it."""
    options: Mapping[str, Any] = {
        "max_retries": 20, "backoff_ms": 1_000, "retry_on": Exception, "dont_retry_on": (), "timeout": None,
        "unique": False, "unique_until": "done", "executor": "thread", "result_ttl_ms": 3_600_000,
    }  # fmt: skip
    return Definition.checked(work_on, name=TASK, queue=queue, **options)
