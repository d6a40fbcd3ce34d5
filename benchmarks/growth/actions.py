"""The verbs, each as a generator: it yields the calls that are measured, all in one round trip, is sent their
answers, and then makes the field as it was. ``of`` is how many jobs (or looks) the calls are about."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any

from ardiq.core.job import ENDED, JobStatus
from ardiq.store import browsing, inspector, letters, moving, newjobs, verbs
from ardiq.store.scripts import Call
from growth.field import FILLED, LANES, OUTCOME, PICKED, TASK, Field, chunks, id_of

Act = Generator[list[Call], list[Any], None]


@dataclass(frozen=True)
class Action:
    name: str
    per: str  # what a figure is of
    of: int
    act: Callable[[Field], Act]


ACTIONS: list[Action] = []


def action(
    name: str, of: int, per: str = "job"
) -> Callable[[Callable[[Field], Act]], Callable[[Field], Act]]:
    def mark(act: Callable[[Field], Act]) -> Callable[[Field], Act]:
        ACTIONS.append(Action(name, per, of, act))
        return act

    return mark


# -- the server alone: what no verb can be below -----------------------------------------------------------


@action("a bare SET of a new key", 200, "key")
def bare_set(field: Field) -> Act:
    keys = [field.keys.job(id) for id in field.new("q", 200)]
    yield [Call(("SET", key, b"x" * 150), str) for key in keys]
    field.redis.delete(*keys)


@action("a bare GET of one of the keys", 200, "key")
def bare_get(field: Field) -> Act:
    yield [Call(("GET", field.keys.job(id)), len) for id in field.picks("p", 200)]


# -- new jobs -----------------------------------------------------------------------------------------------


@action("enqueue, one by one", 200)
def enqueue_one(field: Field) -> Act:
    yield [field.plain([id]) for id in field.new("q", 200)]
    shorten(field, 200)


@action("enqueue, 500 at a time", 1_000)
def enqueue_bulk(field: Field) -> Act:
    yield [field.plain(ids) for ids in chunks(field.new("q", 1_000))]
    shorten(field, 1_000)


@action("enqueue with a delay, 100 at a time", 200)
def enqueue_later(field: Field) -> Act:
    ids = field.new("s", 200)
    yield [field.later(piece) for piece in chunks(ids, 100)]
    forget_scheduled(field, 200)


@action("enqueue with a unique slot, one by one", 200)
def enqueue_unique(field: Field) -> Act:
    ids = field.new("q", 200)
    jobs = [newjobs.new_job(id, FILLED, TASK, b"call", unique=id[:16]) for id in ids]
    yield [verbs.enqueue(field.keys, [job]) for job in jobs]
    field.redis.delete(*(field.keys.unique(id[:16]) for id in ids))
    shorten(field, 200)


def shorten(field: Field, count: int) -> None:
    """The oldest go, as if they had run and nobody kept the results."""
    field.drop(id.decode() for id in field.redis.lpop(field.keys.lane(FILLED), count))


def forget_scheduled(field: Field, count: int) -> None:
    numbers = field.numbers["s"]
    ids = [id_of("s", number) for number in range(numbers[0], numbers[0] + count)]
    numbers[0] += count
    field.redis.zrem(field.keys.scheduled, *ids)
    field.drop(ids)


# -- the life of a job --------------------------------------------------------------------------------------


@action("claim, 100 at a time", 400)
def claim(field: Field) -> Act:
    replies = yield [field.claim(100, lanes=(FILLED,)) for _ in range(4)]
    put_back(field, replies)


@action("claim of one", 100)
def claim_one(field: Field) -> Act:
    replies = yield [field.claim(1, lanes=(FILLED,)) for _ in range(100)]
    put_back(field, replies)


def put_back(field: Field, replies: list[Any]) -> None:
    """Others take the places of jobs that were claimed."""
    ids = [id for reply in replies for id, _ in reply.jobs]
    field.redis.delete(field.keys.held(field.worker))
    field.drop(ids)
    field.refill(len(ids))


@action("claim that finds nothing", 200, "look")
def claim_nothing(field: Field) -> Act:
    yield [field.claim(100, lanes=("high",)) for _ in range(200)]


def settle(field: Field, status: JobStatus, kind: str) -> Act:
    taken = field.taken(400)
    yield [field.settle([field.verdict(job, number, status) for job in jobs]) for number, jobs in taken]
    ids = [job.id for _, jobs in taken for job in jobs]
    if status is JobStatus.FAILED:
        field.run(letters.delete(field.keys, ids))
    else:
        field.unlist(status, ids)
    field.refill(len(ids))


@action("settle a success, 100 at a time", 400)
def succeed(field: Field) -> Act:
    yield from settle(field, JobStatus.SUCCEEDED, "e")


@action("settle a failure, 100 at a time", 400)
def fail(field: Field) -> Act:
    yield from settle(field, JobStatus.FAILED, "f")


@action("settle a retry, 100 at a time", 400)
def retry(field: Field) -> Act:
    taken = field.taken(400)
    yield [
        field.settle(
            [verbs.retried(job, number, 1, field.dice.randrange(3_600_000), b"h" * 40) for job in jobs]
        )
        for number, jobs in taken
    ]
    ids = [job.id for _, jobs in taken for job in jobs]
    field.redis.zrem(field.keys.scheduled, *ids)
    field.drop(ids)
    field.refill(len(ids))


@action("give back, 100 at a time", 400)
def give_back(field: Field) -> Act:
    taken = field.taken(400)
    yield [field.settle([verbs.given_back(job, number) for job in jobs]) for number, jobs in taken]


@action("take back from a dead worker, 100 at a time", 400)
def reap(field: Field) -> Act:
    dead = [id_of("dead", field.dice.randrange(10**9)) for _ in range(4)]
    for worker in dead:
        field.run(field.register(worker))
        field.taken(100, worker)
    field.redis.zadd(field.keys.workers, dict.fromkeys(dead, 1))
    yield [field.claim(0) for _ in dead]
    assert not field.redis.zrange(field.keys.workers, "-inf", 1, byscore=True), "somebody was not reaped"


@action("promote what is due, 100 at a time", 400)
def promote(field: Field) -> Act:
    first = field.numbers["s"][0]
    ids = [id_of("s", number) for number in range(first, first + 400)]
    field.redis.zadd(field.keys.scheduled, dict.fromkeys(ids, 1), xx=True)
    yield [field.claim(0) for _ in range(4)]
    field.numbers["s"][0] += 400
    shorten(field, 400)
    for piece in chunks(field.new("s", 400)):
        field.run(field.later(piece))


@action("renew a lease", 200, "beat")
def renew(field: Field) -> Act:
    yield [verbs.renew(field.keys, field.worker, 3_600_000, {"running": 3, "state": "works"})] * 200


# -- one job, for people and programs -----------------------------------------------------------------------


@action("info of a job", 200)
def info(field: Field) -> Act:
    yield [inspector.job(field.keys, id) for id in field.picks("p", 100) + field.picks("e", 100)]


@action("result of a job", 200)
def result(field: Field) -> Act:
    yield [verbs.read(field.keys, [id]) for id in field.picks("e", 200)]


@action("wait for a job", 200)
def wait(field: Field) -> Act:
    yield [verbs.wait(field.keys, id, "client") for id in field.picks("p", 200)]
    field.redis.delete(field.keys.waiters)


@action("abort a queued job", 200)
def abort_queued(field: Field) -> Act:
    ids = field.picks("p", 200)
    records = field.run(verbs.read(field.keys, ids))
    yield [verbs.abort(field.keys, id, 86_400_000, OUTCOME) for id in ids]
    field.redis.zrem(field.keys.ended(JobStatus.ABORTED), *ids)
    restore_picked(field, ids, records)


@action("abort a scheduled job", 200)
def abort_scheduled(field: Field) -> Act:
    ids = field.picks("s", 200)
    yield [verbs.abort(field.keys, id, 86_400_000, OUTCOME) for id in ids]
    field.unlist(JobStatus.ABORTED, ids)
    restore_scheduled(field, ids)


@action("delete a queued job", 200)
def delete_queued(field: Field) -> Act:
    ids = field.picks("p", 200)
    records = field.run(verbs.read(field.keys, ids))
    yield [letters.delete(field.keys, [id]) for id in ids]
    restore_picked(field, ids, records)


@action("delete an ended job", 200)
def delete_ended(field: Field) -> Act:
    ids = field.picks("e", 200)
    records = field.run(verbs.read(field.keys, ids))
    yield [letters.delete(field.keys, [id]) for id in ids]
    at = {id: int(record[18:29], 16) for id, record in zip(ids, records, strict=True)}
    with field.redis.pipeline(transaction=False) as pipe:
        for id, record in zip(ids, records, strict=True):
            pipe.set(field.keys.job(id), record, px=86_400_000)
        pipe.zadd(field.keys.ended(JobStatus.SUCCEEDED), at)
        pipe.execute()


@action("move a queued job to another lane", 200)
def move_lane(field: Field) -> Act:
    ids = field.picks("p", 200)
    records = field.run(verbs.read(field.keys, ids))
    yield [moving.move(field.keys, id, lane="high") for id in ids]
    field.redis.delete(field.keys.lane("high"))
    restore_picked(field, ids, records)


@action("move a scheduled job to another time", 200)
def move_time(field: Field) -> Act:
    ids = field.picks("s", 200)
    yield [
        moving.move(field.keys, id, due=moving.due(3_600_000 + field.dice.randrange(80_000_000)))
        for id in ids
    ]


def restore_picked(field: Field, ids: list[str], records: list[bytes]) -> None:
    """Where the lane is short, the id was taken out of it and comes to its end again."""
    lane = field.keys.lane(PICKED)
    with field.redis.pipeline(transaction=False) as pipe:
        pipe.mset(dict(zip(map(field.keys.job, ids), records, strict=True)))
        for id in ids if field.redis.llen(lane) < field.size // 2 else []:
            pipe.rpush(lane, id)
        pipe.execute()


def restore_scheduled(field: Field, ids: list[str]) -> None:
    for piece in chunks(ids):
        field.run(field.later(piece))


# -- many jobs, for people ----------------------------------------------------------------------------------


@action("a page of the list of all jobs", 20, "page")
def list_page(field: Field) -> Act:
    where = browsing.places(browsing.STATUSES, LANES)
    spots = field.run(browsing.stretch(field.keys, where, 0, 50)).spots
    ids = [spot.id for spot in spots]
    calls = [browsing.stretch(field.keys, where, 0, 50), inspector.rows(field.keys, ids)]
    yield [call for _ in range(20) for call in calls]


@action("the page in the middle of the list", 20, "page")
def middle_page(field: Field) -> Act:
    where = browsing.places([JobStatus.SCHEDULED, *sorted(ENDED)], LANES)
    places = [field.dice.randrange(field.size) for _ in range(20)]
    yield [browsing.stretch(field.keys, where, place, 50) for place in places]


@action("counts and heads", 100, "look")
def counts(field: Field) -> Act:
    yield [call(field.keys, LANES) for _ in range(100) for call in (inspector.counts, inspector.heads)]


@action("a page of dead letters", 20, "page")
def letters_page(field: Field) -> Act:
    yield [letters.latest(field.keys, 0, 50)] * 20


@action("the groups of dead letters", 20, "look")
def groups(field: Field) -> Act:
    yield [letters.groups(field.keys, 20)] * 20


@action("replay a dead letter, 100 at a time", 200)
def replay(field: Field) -> Act:
    numbers = field.numbers["f"]
    ids = [id_of("f", number) for number in range(numbers[0], numbers[0] + 200)]
    numbers[0] += 200
    yield [letters.replay(field.keys, piece) for piece in chunks(ids, 100)]
    field.redis.ltrim(field.keys.lane("high"), 200, -1)
    field.drop(ids)
    field.end("f", 200, JobStatus.FAILED)


@action("purge of scheduled jobs, 200 at a time", 200)
def purge(field: Field) -> Act:
    steps = letters.purge(field.keys, ["scheduled"], most=200)
    (size,) = [field.run(call) for call in next(steps)]
    (call,) = steps.send([size])
    ids = [id.decode() for id in field.redis.zrange(field.keys.scheduled, 0, 199)]
    yield [call]
    restore_scheduled(field, ids)
