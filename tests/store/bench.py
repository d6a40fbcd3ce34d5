"""A queue on the bench: run one verb, look at the whole state. No worker, no codec, calls are plain bytes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ardiq.core.job import JobRecord, JobStatus
from ardiq.store import newjobs, scripts, verbs
from ardiq.store.client import Store
from ardiq.store.endpoint import Endpoint
from ardiq.store.keys import Keys
from ardiq.store.newjobs import NewJob
from ardiq.store.scripts import Call
from ardiq.store.verbs import Claimed, Settlement
from tests.server import admin

LEASE = 30_000
LANES = ("high", "default", "low")  # first to drain first
State = dict[str, Any]


class Clock:
    """Time moves for the scripts alone (scripts.shift); the fixture sets it right again."""

    @property
    def ahead(self) -> int:
        return scripts.ahead()

    @ahead.setter
    def ahead(self, ms: int) -> None:
        scripts.shift(ms)

    def advance(self, ms: int) -> None:
        self.ahead += ms


class Bench:
    """One queue and a connection to it."""

    def __init__(self, url: str, queue: str) -> None:
        self.keys = Keys(queue)
        self.store = Store(Endpoint(url))
        self.redis: Any = admin(url)

    def close(self) -> None:
        self.store.close()
        self.redis.close()

    def run(self, call: Call) -> Any:
        return self.store.run(call)

    # -- verbs with the usual arguments -----------------------------------------------------------

    def new(
        self, id: str, lane: str = "default", call: bytes = b"", name: str = "shop.add", **options: Any
    ) -> NewJob:
        return newjobs.new_job(id, lane, name, call or b"call of " + id.encode(), **options)

    def enqueue(self, *ids: str, **options: Any) -> list[bool | str]:
        answers: list[bool | str] = self.run(
            verbs.enqueue(self.keys, [self.new(id, **options) for id in ids])
        )
        return answers

    def register(self, *workers: str, lease_ms: int = LEASE) -> None:
        for worker in workers:
            self.run(verbs.register(self.keys, worker, lease_ms, {"name": worker}))

    def claim(
        self,
        worker: str,
        most: int = 10,
        number: int = 1,
        lanes: Iterable[str | tuple[str, int]] = LANES,
        scarce: str = "",
    ) -> Claimed:
        pairs = [(lane, most) if isinstance(lane, str) else lane for lane in lanes]
        claimed: Claimed = self.run(verbs.claim(self.keys, worker, number, LEASE, most, pairs, scarce))
        return claimed

    def take(self, worker: str, most: int = 10, number: int = 1) -> dict[str, JobRecord]:
        """What a claim gives, by id."""
        jobs = self.claim(worker, most, number).jobs
        return {id: JobRecord(id, raw) for id, raw in jobs}

    def settle(self, worker: str, *settlements: Settlement, **limits: int) -> dict[str, str]:
        given = {"listed_ms": 3_600_000, "failed_ms": 3_600_000, "failed_most": 1_000} | limits
        refused: dict[str, str] = self.run(verbs.settle(self.keys, worker, settlements, **given))
        return refused

    # -- looking ----------------------------------------------------------------------------------

    def record(self, id: str) -> JobRecord:
        return JobRecord(id, self.redis.get(self.keys.job(id)))

    def status(self, id: str) -> str:
        raw = self.redis.get(self.keys.job(id))
        return JobRecord(id, raw).status.value if raw else "not_found"

    def lane(self, lane: str = "default") -> list[str]:
        return [id.decode() for id in self.redis.lrange(self.keys.lane(lane), 0, -1)]

    def ttl(self, id: str) -> int:
        """Milliseconds that a record lives on; -1 for ever, -2 not there."""
        return int(self.redis.pttl(self.keys.job(id)))

    def state(self) -> State:
        """Everything of the queue but times and what was counted: what is empty is left out."""
        prefix, out = self.keys.prefix, {}
        for key in self.redis.scan_iter(match=prefix + "*", count=1000):
            name, value = key.decode().removeprefix(prefix), self._value(key)
            if name.startswith("job:"):
                record = JobRecord(name[4:], self.redis.get(key))
                value = record.status.value
                if record.attempts or record.crashes:
                    value += f" {record.attempts}+{record.crashes}"
            if not name.startswith(("worker:", "stats:", "sums:", "totals", "counted")):
                out[name] = value
        return out

    def _value(self, key: bytes) -> Any:
        kind = self.redis.type(key).decode()
        if kind == "list":
            return [item.decode() for item in self.redis.lrange(key, 0, -1)]
        if kind == "zset":
            return [item.decode() for item in self.redis.zrange(key, 0, -1)]
        if kind == "hash":
            return {field.decode(): value.decode() for field, value in self.redis.hgetall(key).items()}
        return self.redis.get(key).decode(errors="replace")


def succeeded(job: JobRecord, worker: str, claim: int = 1, ttl_ms: int = 60_000) -> Settlement:
    return ended(job, worker, JobStatus.SUCCEEDED, claim, ttl_ms)


def ended(
    job: JobRecord, worker: str, status: JobStatus, claim: int = 1, ttl_ms: int = 60_000, mark: str = ""
) -> Settlement:
    return verbs.finished(job, claim, status, job.attempts + 1, ttl_ms, worker, b"outcome", mark=mark)


def broke(
    job: JobRecord, worker: str, group: str = "0f", claim: int = 1, ttl_ms: int = 60_000, message: str = "no"
) -> Settlement:
    """Failed for good, in a group."""
    mark = f"\n{group}\nValueError\nshop/tasks.py:charge\n{message}"
    return ended(job, worker, JobStatus.FAILED, claim, ttl_ms, mark)


def retried(job: JobRecord, claim: int = 1, delay_ms: int = 5_000) -> Settlement:
    return verbs.retried(job, claim, job.attempts + 1, delay_ms, b"history")
