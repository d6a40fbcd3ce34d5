"""A queue with so many jobs in each place, and the moves that keep it so.

The first jobs of each kind are made by the verbs of the package. The server makes copies of them for the
rest: the same records, lists and indexes, in seconds instead of half an hour.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from hashlib import sha1
from itertools import islice
from typing import Any

import redis
from harness.server import Server

from ardiq.core.job import JobRecord, JobStatus, tail_start
from ardiq.store import newjobs, verbs
from ardiq.store.client import Store
from ardiq.store.endpoint import Endpoint
from ardiq.store.keys import Keys
from ardiq.store.scripts import Call
from growth.counted import Counted
from growth.meter import Meter

DAY = 86_400_000
LEASE = 3_600_000  # ms; nobody renews here while another field has its turn
TASK = "bench.noop_async"
FILLED, PICKED = (
    "default",
    "low",
)  # lanes: claims take from the first, single jobs are picked out of the other
LANES = ("high", FILLED, PICKED)
LETTERS = 100_000  # dead letters that are kept, as FAILED_MAX has it
GROUPS = 20  # of failures
CALL = 60  # bytes of an encoded call with its signature
OUTCOME = b"o" * 60

MADE = 500  # jobs of each kind that are made by the verbs
_COPY = """
local prefix, kind, place, now = KEYS[1], ARGV[1], ARGV[2], tonumber(ARGV[5])
local index = prefix .. place
for n = tonumber(ARGV[3]), tonumber(ARGV[4]) - 1 do
  local id = string.sub(redis.sha1hex(kind .. ' ' .. n), 1, 32)
  local from = ARGV[6 + n % (#ARGV - 5)]
  local record = redis.call('GET', prefix .. 'job:' .. from)
  if place == 'scheduled' then
    local due = now + 3600000 + n * 7919 % 82800000
    record = string.sub(record, 1, 18) .. string.format('%011x', due) .. string.sub(record, 30)
    redis.call('ZADD', index, due, id)
  elseif string.sub(place, 1, 5) == 'lane:' then
    redis.call('RPUSH', index, id)
  else
    redis.call('ZADD', index, now - 60000 + math.floor(n / 100), id)
  end
  if place == 'ended:failed' then
    local print = redis.call('HGET', prefix .. 'fingerprints', from)
    redis.call('HSET', prefix .. 'fingerprints', id, print)
    redis.call('ZADD', prefix .. 'letters:' .. print, now - 60000 + math.floor(n / 100), id)
  end
  if string.sub(place, 1, 6) == 'ended:' then
    redis.call('SET', prefix .. 'job:' .. id, record, 'PX', 86400000)
  else
    redis.call('SET', prefix .. 'job:' .. id, record)
  end
end
"""
_LOOK = """
for i = 1, 100000 do
  redis.call('EXISTS', KEYS[1])
  redis.call('HEXISTS', KEYS[2], ARGV[1])
  for n = 3, #KEYS do redis.call('ZSCORE', KEYS[n], ARGV[1]) end
end
"""


def id_of(kind: str, number: int) -> str:
    """Ids look random, as those of real jobs do, and are known without a list of them."""
    return sha1(f"{kind} {number}".encode(), usedforsecurity=False).hexdigest()[:32]


def chunks(items: Iterable[Any], size: int = verbs.CHUNK) -> Iterator[list[Any]]:
    left = iter(items)
    while piece := list(islice(left, size)):
        yield piece


class Field:
    """``size`` jobs are queued (half in each of two lanes), as many are scheduled, as many have succeeded,
    and half as many have failed, up to as many as are kept."""

    def __init__(self, server: Server, size: int, call: int = CALL, letters: int = LETTERS) -> None:
        self.size = size
        self.keys = Keys("growth")
        self.serve(server)
        self.dice = random.Random(7)
        self._call = b"c" * call
        self.outcome = OUTCOME
        self._letters = min(size // 2, letters)
        self._claims = 0
        self.worker = id_of("worker", 0)
        # kind -> numbers of its jobs: from the first of them that is there to behind the last.
        self.numbers: dict[str, list[int]] = {kind: [0, 0] for kind in "qpsef"}

    def serve(self, server: Server) -> None:
        """From now on on this server, which must have what the one before had."""
        self.server = server
        self.store = Store(Endpoint(server.url), timeout=600)
        self.redis: Any = redis.Redis.from_url(server.url, socket_timeout=600)
        self.meter = server.meter(self.store) if isinstance(server, Counted) else Meter(server, self.store)

    # -- calls --------------------------------------------------------------------------------------------

    def new(self, kind: str, count: int) -> list[str]:
        numbers = self.numbers[kind]
        numbers[1] += count
        return [id_of(kind, number) for number in range(numbers[1] - count, numbers[1])]

    def plain(self, ids: Iterable[str], lane: str = FILLED) -> Call:
        start = tail_start(lane, TASK)
        return verbs.enqueue(self.keys, [newjobs.plain_job(id, lane, start, self._call) for id in ids])

    def later(self, ids: Iterable[str]) -> Call:
        """Scheduled at random within a day, an hour from now at the earliest."""
        return verbs.enqueue(
            self.keys,
            [
                newjobs.new_job(id, FILLED, TASK, self._call, delay_ms=self.dice.randrange(DAY // 24, DAY))
                for id in ids
            ],
        )

    def register(self, worker: str) -> Call:
        return verbs.register(self.keys, worker, LEASE, {"name": worker, "host": "bench", "pid": 1})

    def claim(self, most: int, worker: str = "", lanes: Iterable[str] = LANES[:2]) -> Call:
        """``most`` 0 claims nothing and keeps house all the same."""
        self._claims += 1
        pairs = [(lane, most) for lane in lanes]
        return verbs.claim(self.keys, worker or self.worker, self._claims, LEASE, most, pairs)

    def settle(self, settlements: Iterable[verbs.Settlement], worker: str = "") -> Call:
        return verbs.settle(
            self.keys,
            worker or self.worker,
            settlements,
            listed_ms=DAY,
            failed_ms=7 * DAY,
            failed_most=max(self._letters + 1_000, 2_000),
        )

    def verdict(self, job: JobRecord, number: int, status: JobStatus, worker: str = "") -> verbs.Settlement:
        mark = ""
        if status is JobStatus.FAILED:
            group = int(job.id[:8], 16) % GROUPS
            mark = f"\n{group:032x}\nValueError\nshop/tasks.py:charge\nit broke"
        outcome = self.outcome if status is JobStatus.SUCCEEDED else OUTCOME * 10
        return verbs.finished(job, number, status, 1, DAY, worker or self.worker, outcome, mark=mark)

    # -- moves that nobody measures -----------------------------------------------------------------------

    def run(self, call: Call) -> Any:
        return self.store.run(call)

    def taken(self, count: int, worker: str = "") -> list[tuple[int, list[JobRecord]]]:
        """Claim jobs, a hundred at a time: the numbers of the claims and their jobs."""
        return [self.taken_once(100, worker) for _ in range(count // 100)]

    def taken_once(self, most: int, worker: str = "") -> tuple[int, list[JobRecord]]:
        claimed = self.run(self.claim(most, worker, (FILLED,)))
        return self._claims, [JobRecord(id, raw) for id, raw in claimed.jobs]

    def end(self, kind: str, count: int, status: JobStatus) -> None:
        """Make jobs that have ended: enqueued in a lane of their own, claimed and settled as all are."""
        start = tail_start("high", TASK)
        for size in [verbs.CHUNK] * (count // verbs.CHUNK) + [count % verbs.CHUNK] * (
            count % verbs.CHUNK > 0
        ):
            jobs = [newjobs.plain_job(id, "high", start, self._call) for id in self.new(kind, size)]
            self.run(verbs.enqueue(self.keys, jobs))
            claimed = self.run(self.claim(size, lanes=("high",)))
            done = [JobRecord(id, raw) for id, raw in claimed.jobs]
            self.run(self.settle([self.verdict(job, self._claims, status) for job in done]))

    def drop(self, ids: Iterable[str]) -> None:
        self.redis.delete(*(self.keys.job(id) for id in ids))

    def refill(self, count: int) -> None:
        """As many new jobs behind those that wait, in place of those that were claimed."""
        for ids in chunks(self.new("q", count)):
            self.run(self.plain(ids))

    def unlist(self, status: JobStatus, ids: Iterable[str]) -> None:
        ids = list(ids)
        self.redis.zrem(self.keys.ended(status), *ids)
        self.drop(ids)

    def picks(self, kind: str, count: int) -> list[str]:
        first, last = self.numbers[kind]
        return [id_of(kind, number) for number in self.dice.sample(range(first, last), count)]

    # -- filling ------------------------------------------------------------------------------------------

    def fill(self) -> None:
        self.run(self.register(self.worker))
        half = self.size // 2
        self.end("f", min(MADE, self._letters), JobStatus.FAILED)
        self._copy("f", self._letters, "ended:failed")
        self.end("e", min(MADE, self.size), JobStatus.SUCCEEDED)
        self._copy("e", self.size, "ended:succeeded")
        self.run(self.later(self.new("s", min(MADE, self.size))))
        self._copy("s", self.size, "scheduled")
        self.refill(min(MADE, half))
        self._copy("q", half, f"lane:{FILLED}")
        self.run(self.plain(self.new("p", min(MADE, half)), PICKED))
        self._copy("p", half, f"lane:{PICKED}")
        self.redis.delete(self.keys.wake)
        self._rest()

    def _copy(self, kind: str, until: int, place: str) -> None:
        numbers = self.numbers[kind]
        seconds, micros = self.redis.time()
        now = seconds * 1000 + micros // 1000
        copied = [id_of(kind, number) for number in range(min(GROUPS, numbers[1]))]
        while numbers[1] < until:
            stop = min(numbers[1] + 5_000, until)
            self.redis.eval(_COPY, 1, self.keys.prefix, kind, place, numbers[1], stop, now, *copied)
            numbers[1] = stop

    def _rest(self) -> None:
        """Let the server finish what it does a piece at a time after a table has grown (each look at it moves
        one more of its chains): it is a cost of growing, and would be taken for one of being large."""
        known = id_of("e", 0)
        scored = [
            self.keys.scheduled,
            self.keys.ended(JobStatus.SUCCEEDED),
            self.keys.ended(JobStatus.FAILED),
        ]
        keys = [self.keys.job(known), self.keys.fingerprints, *scored]
        for _ in range(2 * self.redis.dbsize() // 100_000 + 1):
            self.redis.eval(_LOOK, len(keys), *keys, known)
