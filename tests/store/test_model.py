"""The scripts against a plain-Python model: random verbs, dead workers, zombies, lost replies, lost scripts.

After every step the whole state must be what the model says, and every invariant of R20 must hold.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from ardiq.core.job import JobRecord, JobStatus
from ardiq.store import verbs
from ardiq.store.verbs import HOUSEKEEPING
from tests.keyspace import faults
from tests.store.bench import LEASE, Bench, Clock, ended, retried

STEPS = 150
LANES = ("high", "default")
FINISHED = ("succeeded", "failed", "aborted", "expired")


@dataclass
class Known:
    """A job as the model knows it. ``place``: its lane, "scheduled", or the worker that holds it."""

    lane: str
    status: str
    attempts: int = 0
    crashes: int = 0
    worker: str = ""
    claim: int = 0
    marked: bool = False


@dataclass
class Grip:
    """What one worker believes that it holds: true, or out of date."""

    job: JobRecord
    claim: int


@dataclass
class Walk:
    bench: Bench
    clock: Clock
    dice: random.Random
    jobs: dict[str, Known] = field(default_factory=dict)
    workers: dict[str, dict[str, Grip]] = field(default_factory=dict)
    zombies: list[tuple[str, Grip]] = field(default_factory=list)
    dead: set[str] = field(default_factory=set)
    trail: list[str] = field(default_factory=list)
    number: int = 0

    # -- what the model expects of housekeeping ---------------------------------------------------

    def reap(self, me: str, before: dict[str, float], now: int) -> None:
        rest = {name: end for name, end in before.items() if name != me}
        if not rest:
            return
        oldest = min(rest, key=lambda name: (rest[name], name))
        if rest[oldest] >= now:
            return
        for job in self.jobs.values():
            if job.status == "running" and job.worker == oldest:
                job.status, job.worker, job.crashes = "queued", "", job.crashes + 1
        self.dead.add(oldest)
        self.zombies += [(oldest, grip) for grip in self.workers.pop(oldest, {}).values()]

    def promote(self, before: dict[str, float], now: int) -> None:
        due = sorted((end, id) for id, end in before.items() if end <= now)[:HOUSEKEEPING]
        for _, id in due:
            self.jobs[id].status = "queued"

    def scores(self, key: str) -> dict[str, float]:
        found: list[tuple[bytes, float]] = self.bench.redis.zrange(key, 0, -1, withscores=True)
        return {name.decode(): score for name, score in found}

    # -- steps ------------------------------------------------------------------------------------

    def any_job(self, *statuses: str) -> str | None:
        ids = [id for id, job in self.jobs.items() if not statuses or job.status in statuses]
        return self.dice.choice(ids) if ids else None

    def any_worker(self) -> str:
        if not self.workers or self.dice.random() < 0.1:
            name = f"{self.dice.getrandbits(64):016x}"
            self.bench.register(name)
            self.workers[name] = {}
        return self.dice.choice(list(self.workers))

    def enqueue(self) -> None:
        id = self.any_job() if self.dice.random() < 0.3 else f"j{len(self.jobs)}"
        id = id or "j0"
        lane, delay = self.dice.choice(LANES), self.dice.choice([0, 0, 3_000])
        replace = self.dice.random() < 0.5
        call = verbs.enqueue(
            self.bench.keys,
            [self.bench.new(id, lane, self.dice.randbytes(8), delay_ms=delay, replace=replace)],
        )
        old = self.jobs.get(id)
        fresh = old is None or (replace and old.status in FINISHED)
        assert self.bench.run(call) == [fresh]
        if self.dice.random() < 0.3:
            assert self.bench.run(call) == [fresh], "the same call, sent again"
        if fresh:
            self.jobs[id] = Known(lane, "scheduled" if delay else "queued")

    def claim(self, heard: bool = True) -> None:
        me, most = self.any_worker(), self.dice.choice([0, 1, 3, 50])
        leases, dues = self.scores(self.bench.keys.workers), self.scores(self.bench.keys.scheduled)
        self.number += 1
        claimed = self.bench.claim(me, most, self.number, LANES)
        assert not claimed.lost
        self.reap(me, leases, claimed.now)
        self.promote(dues, claimed.now)
        waiting = {lane: [id for id, job in self.jobs.items() if (job.lane, job.status) == (lane, "queued")]
                   for lane in LANES}  # fmt: skip
        ids = [id for id, _ in claimed.jobs]
        assert len(ids) == len(set(ids)) == min(most, sum(map(len, waiting.values())))
        assert len([id for id in ids if self.jobs[id].lane == "high"]) == min(most, len(waiting["high"]))
        assert claimed.aborted == {id for id in ids if self.jobs[id].marked}
        for id, raw in claimed.jobs:
            job = self.jobs[id]
            assert job.status == "queued"
            job.status, job.worker, job.claim = "running", me, self.number
            if heard:
                self.workers[me][id] = Grip(JobRecord(id, raw), self.number)

    def claim_unheard(self) -> None:
        self.claim(heard=False)

    def settlement(self, worker: str, grip: Grip, verb: str) -> verbs.Settlement:
        if verb == "retry":
            return retried(grip.job, grip.claim, self.dice.choice([0, 3_000]))
        if verb == "give back":
            return verbs.given_back(grip.job, grip.claim)
        return ended(grip.job, worker, JobStatus(verb), grip.claim)

    def settle(self) -> None:
        """A worker settles some of what it believes to hold, and sometimes says it twice."""
        me = self.any_worker()
        grips = list(self.workers[me].values())
        mine = self.dice.sample(grips, self.dice.randint(0, len(grips)))
        verdicts = [(grip, self.dice.choice([*FINISHED, "retry", "give back"])) for grip in mine]
        batch = [self.settlement(me, *verdict) for verdict in verdicts]
        refused = self.bench.settle(me, *batch)
        for grip, verb in verdicts:
            id = grip.job.id
            held = self.jobs[id].worker == me and self.jobs[id].claim == grip.claim
            assert (id in refused) is not held
            if held:
                self.settled(id, verb)
                self.zombies.append((me, grip))
            del self.workers[me][id]
        if batch and self.dice.random() < 0.3:
            assert set(self.bench.settle(me, *batch)) == {grip.job.id for grip in mine}, "said twice"

    def settled(self, id: str, verb: str) -> None:
        job = self.jobs[id]
        job.worker = ""
        if verb in FINISHED:
            job.status, job.attempts, job.marked = verb, job.attempts + 1, False
        elif verb == "retry":
            job.status, job.attempts = "queued" if job.marked else "scheduled", job.attempts + 1
        else:
            job.status = "queued"

    def settle_as_zombie(self) -> None:
        """One whose job was settled, or taken away, long ago."""
        if self.zombies:
            worker, grip = self.dice.choice(self.zombies)
            verb = self.dice.choice([*FINISHED, "retry", "give back"])
            assert list(self.bench.settle(worker, self.settlement(worker, grip, verb))) == [grip.job.id]

    def reconcile(self) -> None:
        me = self.any_worker()
        known = list(self.workers[me])
        back, gone = self.bench.run(verbs.reconcile(self.bench.keys, me, known))
        held = {id for id, job in self.jobs.items() if job.worker == me}
        assert (back, set(gone)) == (len(held - set(known)), set(known) - held)
        for id in held - set(known):
            self.jobs[id].status, self.jobs[id].worker = "queued", ""

    def renew(self) -> None:
        me = self.any_worker()
        answer = self.bench.run(verbs.renew(self.bench.keys, me, LEASE, {"running": 0}))
        held = {id: job for id, job in self.jobs.items() if job.worker == me}
        assert (answer.held, set(answer.aborted)) == (
            len(held),
            {id for id, job in held.items() if job.marked},
        )

    def revive(self) -> None:
        """A reaped worker tries to go on."""
        if self.dead:
            name = self.dice.choice(sorted(self.dead))
            assert self.bench.claim(name, 5).lost
            assert self.bench.run(verbs.renew(self.bench.keys, name, LEASE, {"running": 0})).lost
            assert self.bench.run(verbs.reconcile(self.bench.keys, name, [])) == (-1, [])

    def abort(self) -> None:
        id = self.any_job()
        if id is None:
            return
        job = self.jobs[id]
        expected = job.status in ("queued", "scheduled") or (job.status == "running" and not job.marked)
        assert self.bench.run(verbs.abort(self.bench.keys, id, 60_000, b"by hand")) is expected
        if job.status == "running":
            job.marked = True
        elif expected:
            job.status, job.marked = "aborted", False

    def replay(self) -> None:
        id = self.any_job(*FINISHED) if self.dice.random() < 0.8 else self.any_job()
        if id is not None:
            fresh = self.jobs[id].status in FINISHED
            assert self.bench.run(verbs.replay(self.bench.keys, [id])) == {
                id: "queued" if fresh else "not ended"
            }
            if fresh:
                self.jobs[id] = Known(self.jobs[id].lane, "queued")

    def delete(self) -> None:
        id = self.any_job()
        if id is not None:
            there = self.jobs[id].status != "running"
            assert self.bench.run(verbs.delete(self.bench.keys, [id])) == {id: there}
            if there:
                del self.jobs[id]

    def pass_time(self) -> None:
        self.clock.advance(self.dice.choice([100, 1_000, 4_000, LEASE // 2, LEASE + 1_000]))

    def lose_scripts(self) -> None:
        self.bench.redis.script_flush()

    # -- what must be true ------------------------------------------------------------------------

    def compare(self) -> None:
        state, found, held = self.bench.state(), dict[str, Any](), dict[str, Any]()
        for name, value in state.items():
            if name.startswith("job:"):
                found[name[4:]] = value
            elif name.startswith("held:"):
                held |= {id: (name[5:], int(number)) for id, number in value.items()}
        assert found == {
            id: job.status + (f" {job.attempts}+{job.crashes}" if job.attempts or job.crashes else "")
            for id, job in self.jobs.items()
        }
        assert held == {
            id: (job.worker, job.claim) for id, job in self.jobs.items() if job.status == "running"
        }
        assert set(state.get("aborts", [])) == {id for id, job in self.jobs.items() if job.marked}
        assert set(state.get("workers", [])) == set(self.workers)
        for status in FINISHED:
            listed = {id for id, job in self.jobs.items() if job.status == status}
            assert set(state.get(f"ended:{status}", [])) == listed
            assert all(self.bench.ttl(id) > 0 for id in listed)
        assert faults(self.bench.redis, self.bench.keys.queue) == []


@pytest.mark.parametrize("seed", range(5))
def test_a_random_walk(bench: Bench, clock: Clock, seed: int) -> None:
    """R2, R3, R5, R10, R13: nothing lost, nothing twice, whatever the order of events."""
    walk = Walk(bench, clock, random.Random(seed))
    steps: list[tuple[Callable[[], None], int]] = [
        (walk.enqueue, 10), (walk.claim, 8), (walk.claim_unheard, 2), (walk.settle, 8),
        (walk.settle_as_zombie, 4), (walk.reconcile, 2), (walk.renew, 2), (walk.revive, 1),
        (walk.abort, 3), (walk.replay, 2), (walk.delete, 1), (walk.pass_time, 3), (walk.lose_scripts, 1),
    ]  # fmt: skip
    actions, weights = [step for step, _ in steps], [weight for _, weight in steps]
    for _ in range(STEPS):
        (action,) = walk.dice.choices(actions, weights)
        walk.trail.append(action.__name__)
        try:
            action()
            walk.compare()
        except AssertionError as error:
            error.add_note(f"seed {seed}, after: {' '.join(walk.trail[-25:])}")
            raise
