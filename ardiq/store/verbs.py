"""The verbs of the queue: each a pure function that returns a Call, with no I/O of its own.

The two clients (client.py) run calls, so every verb is written once for sync and async callers, and
is one round trip by construction. Times are milliseconds; whoever needs a date reckons it from the
time of the server that comes with the replies.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

from ardiq.core.job import FLAG_STARTED, FLAG_UNTIL_START, NOBODY, JobRecord, JobStatus, tail
from ardiq.store.keys import Keys
from ardiq.store.newjobs import NewJob
from ardiq.store.scripts import Call, Part, id_text, script

CHUNK = 500  # most jobs in one script: keeps each below about 2 ms of the server (R9)
ANY_CLAIM = 2**53 - 1  # a number that no claim reaches
HOUSEKEEPING = 100  # most jobs that one claim reaps or promotes
MOST_WORKERS = 200  # most workers that a read for people looks at
LISTED = 1_000_000  # most ended jobs of a status that stay listed

_GIVE_BACK = b"Q"
_RETRY = b"D"


@dataclass(frozen=True, slots=True)
class Claimed:
    """The answer to a claim. ``lost``: the lease has run out, and nothing was claimed. ``elsewhere``: nothing
    was claimed because what waits can start elsewhere only."""

    now: int
    next_due: int
    more: bool
    aborted: frozenset[str]
    jobs: list[tuple[str, bytes]]
    lost: bool = False
    paused: bool = False
    """Of the queue, or of one of its lanes at least."""
    elsewhere: bool = False


@dataclass(frozen=True, slots=True)
class Renewed:
    now: int
    held: int
    aborted: tuple[str, ...]
    lost: bool = False
    order: str = ""
    """What somebody has told this worker last (controls.Order)."""


# One verdict on its way to Redis, the arguments of one job in settle.lua: id, number of the claim, verb,
# head, ms (until due, or that the record lives on), tail, unique hash and mark. A plain tuple like NewJob.
Settlement = tuple[str, int, bytes, bytes, int, bytes, str]


def _same(reply: Any) -> Any:
    return reply


def limit(most: int | None, lanes: Sequence[str]) -> str:
    """The cap of a queue as ``enqueue`` takes it; '' for none."""
    return "" if most is None else " ".join((str(most), *lanes))


def enqueue(keys: Keys, jobs: Sequence[NewJob], limit: str = "", *, stamped: bool = False) -> Call:
    """Store jobs. Answers for each: True (created), False (id taken), or the id that holds its slot; and
    ``stamped`` instead of True when it was enqueued, epoch ms.

    All or none: QueueFull is raised when the server has no memory left, or when more jobs would wait
    than ``limit`` allows.
    """
    starts = {job[2] for job in jobs}
    start = starts.pop()
    if starts or isinstance(start, str):
        argv: list[Part] = [limit, "", ""]
        for id, lane, options, record in jobs:
            if isinstance(options, bytes):
                argv += (id, lane, "", tail(options, record))
            else:
                argv += (id, lane, options, record)
    else:
        argv = [limit, jobs[0][1], start]
        for id, _, _, call in jobs:
            argv += (id, call)
    return script("enqueue").call(keys.prefix, argv, _stamped if stamped else _answers)


def enqueue_alike(
    keys: Keys, lane: str, texts: bytes, ids: Iterable[str], calls: Iterable[bytes], limit: str = ""
) -> Call:
    """``enqueue`` for plain jobs of one task, whose records start with ``texts`` (job.tail_start)."""
    argv: list[Part] = [limit, lane, texts]
    for pair in zip(ids, calls, strict=True):
        argv += pair
    return script("enqueue").call(keys.prefix, argv, _answers)


def _answers(reply: Any) -> list[bool | str]:
    if reply.__class__ is int:
        return [True] * (reply % 1000)
    return [answer == 1 if answer.__class__ is int else id_text(answer) for answer in reply[:-1]]


def _stamped(reply: Any) -> list[int | str]:
    if reply.__class__ is int:
        return [reply // 1000] * (reply % 1000)
    now = reply[-1]
    return [now * answer if answer.__class__ is int else id_text(answer) for answer in reply[:-1]]


def load_for_worker() -> None:
    """Read what a worker sends from disk now: later there may be no file descriptor to read it with."""
    names = "register claim settle renew reconcile unregister report count marks recur ended alone"
    for name in names.split():
        script(name)


def register(keys: Keys, worker: str, lease_ms: int, about: Mapping[str, Part]) -> Call:
    """Give a worker its lease. Answers the time of the server."""
    fields = [part for item in about.items() for part in item]
    return script("register").call(keys.prefix, [worker, lease_ms, *fields], int)


def unregister(keys: Keys, worker: str) -> Call:
    return script("unregister").call(keys.prefix, [worker], int)


def _claimed(reply: Any) -> Claimed:
    if reply[1] == -1:
        return Claimed(reply[0], 0, False, frozenset(), [], lost=True)
    ids = [id.decode("utf-8", "surrogateescape") for id in reply[4::2]]  # as id_text does, of many
    return Claimed(
        reply[0],
        reply[1],
        reply[2] & 1 == 1,
        frozenset(id_text(id) for id in reply[3]),
        list(zip(ids, reply[5::2], strict=True)),
        paused=reply[2] & 2 == 2,
        elsewhere=reply[2] & 4 == 4,
    )


def scarce(most: int, tasks: Iterable[str]) -> str:
    """The tasks of which a claim takes ``most`` at most, of all of them together."""
    return "\n".join((str(max(0, most)), *tasks, ""))


def claim(
    keys: Keys,
    worker: str,
    number: int,
    lease_ms: int,
    most: int,
    lanes: Iterable[tuple[str, int]],
    scarce: str = "",
) -> Call:
    """Take up to ``most`` jobs; ``lanes`` in the order in which to drain them, each with a limit. ``scarce``
    names tasks of which only few can start there."""
    argv: list[Part] = [worker, number, lease_ms, HOUSEKEEPING, most, scarce]
    for lane, limit in lanes:
        argv += (lane, min(limit, most))
    return script("claim").call(keys.prefix, argv, _claimed)


def _renewed(reply: Any) -> Renewed:
    if reply[1] == -1:
        return Renewed(reply[0], 0, (), lost=True)
    return Renewed(reply[0], reply[1], tuple(id_text(id) for id in reply[3:]), order=reply[2].decode())


def renew(keys: Keys, worker: str, lease_ms: int, doing: Mapping[str, Part]) -> Call:
    fields = [part for item in doing.items() for part in item]
    return script("renew").call(keys.prefix, [worker, lease_ms, CHUNK, *fields], _renewed)


def reconcile(keys: Keys, worker: str, known: Iterable[str], last: int = ANY_CLAIM) -> Call:
    """Hand back what the worker does not know of, of its claims up to number ``last``. Answers (handed back
    or -1 lease lost, ids not held)."""
    return script("reconcile").call(
        keys.prefix,
        [worker, CHUNK, last, *known],
        lambda reply: (reply[0], [id_text(id) for id in reply[1:]]),
    )


def alone(keys: Keys, worker: str, id: str, claim: int) -> Call:
    """A suspect is about to run in a process of its own. Answers whether this worker still holds it."""
    return script("alone").call(keys.prefix, [worker, id, claim], bool)


def finished(
    job: JobRecord, claim: int, status: JobStatus, attempts: int, ttl_ms: int, worker: str, outcome: bytes,
    history: bytes | None = None, mark: str = "",
) -> Settlement:  # fmt: skip
    """The job has ended. ``ttl_ms``: how long its record lives on; 0 not stored, negative for ever.
    ``mark``: the group of a failure (core.fingerprint.mark)."""
    head = job.head(status, attempts)
    record = worker[:8].encode() + job.tail(history, outcome)
    return (job.id, claim, head[:1], head, max(ttl_ms, -1), record, job.unique + mark)


def retried(job: JobRecord, claim: int, attempts: int, delay_ms: int, history: bytes) -> Settlement:
    """The job runs again in ``delay_ms``."""
    head = job.head(JobStatus.SCHEDULED, attempts)
    return (job.id, claim, _RETRY, head, delay_ms, NOBODY + job.tail(history), "")


def parked(job: JobRecord, claim: int, delay_ms: int, history: bytes) -> Settlement:
    """The job could not run here: it is claimed again in ``delay_ms``, nothing charged."""
    return (*retried(job, claim, job.attempts, delay_ms, history)[:-1], _slot_again(job))


def given_back(job: JobRecord, claim: int) -> Settlement:
    """The job was not started, or its worker stops: to the head of its lane, nothing charged."""
    return (job.id, claim, _GIVE_BACK, job.head(JobStatus.QUEUED), 0, job.lane.encode(), _slot_again(job))


def _slot_again(job: JobRecord) -> str:
    """The unique slot that its claim has freed, and that it is to hold until it starts after all."""
    return job.unique if job.flags & FLAG_UNTIL_START and not job.flags & FLAG_STARTED else ""


def settle(
    keys: Keys,
    worker: str,
    settlements: Iterable[Settlement],
    *,
    listed_ms: int,
    failed_ms: int,
    failed_most: int,
) -> Call:
    """Commit verdicts. Answers {id: 'done' or 'stale'} of those that were refused by the fence."""
    argv: list[Part] = [worker, listed_ms, LISTED, failed_ms, failed_most]
    argv.extend(chain.from_iterable(settlements))
    return script("settle").call(keys.prefix, argv, _refused)


def _refused(reply: Any) -> dict[str, str]:
    return {id_text(id): reason.decode() for id, reason in zip(reply[::2], reply[1::2], strict=True)}


ABORTED, TOLD = 1, 2  # what ``abort`` answers of a job that waited, and of one that runs; 0 of any other


def abort(keys: Keys, id: str, ttl_ms: int, outcome: bytes, answer: Callable[[Any], Any] = bool) -> Call:
    """Stop a job. Answers whether there was something to stop; with ``int`` what was done."""
    return script("abort").call(keys.prefix, [id, max(ttl_ms, -1), outcome], answer)


def wait(keys: Keys, id: str, client: str) -> Call:
    """Read a job and ask to be told of its end. Answers its record, b'' while it lives, None if unknown."""
    return script("wait").call(keys.prefix, [id, client], _same)


def read(keys: Keys, ids: Sequence[str]) -> Call:
    """The records of many jobs in one MGET; None where there is none."""
    return Call(("MGET", *(keys.job(id) for id in ids)), _same)


def counts(keys: Keys, lanes: Sequence[str]) -> Call:
    return script("counts").call(keys.prefix, [MOST_WORKERS, *lanes], list)


def next_due(keys: Keys) -> Call:
    """When the first of the scheduled jobs is due, epoch ms; 0 when there is none."""
    return Call(
        ("ZRANGE", keys.scheduled, 0, 0, "WITHSCORES"), lambda reply: int(float(reply[1])) if reply else 0
    )


def length(keys: Keys, lane: str) -> Call:
    return Call(("LLEN", keys.lane(lane)), int)


def _scored(reply: Any) -> list[tuple[str, int]]:
    return [(id_text(id), int(float(score))) for id, score in zip(reply[::2], reply[1::2], strict=True)]


def workers(keys: Keys) -> Call:
    """(worker, end of its lease), at most MOST_WORKERS of them."""
    return Call(("ZREVRANGE", keys.workers, 0, MOST_WORKERS - 1, "WITHSCORES"), _scored)


def worker_info(keys: Keys, worker: str) -> Call:
    def decode(reply: Any) -> dict[str, str]:
        texts = [part.decode("utf-8", "backslashreplace") for part in reply]
        return dict(zip(texts[::2], texts[1::2], strict=True))

    return Call(("HGETALL", keys.worker(worker)), decode)


def listen(keys: Keys, seconds: float) -> Call:
    """Block until something may be claimed, at most ``seconds``. Answers whether it was told."""
    return Call(("BLPOP", keys.wake, seconds), lambda reply: reply is not None)
