"""The scripts against a plain-Python model, driven by hypothesis: random verbs, dead workers, zombies, lost
replies, lost scripts, a clock that jumps.

After every step the whole state must be what the model says, and every invariant of R20 must hold. The
default run is the same each time; ``--hypothesis-profile=nightly`` draws anew, and far more.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import TypeVar

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    rule,
    run_state_machine_as_test,
)

from ardiq.core.job import JobRecord, JobStatus
from ardiq.store import fsck, letters, moving, newjobs, verbs
from ardiq.store.scripts import Call
from tests.keyspace import faults
from tests.store.bench import LEASE, Bench, Clock, broke, ended, retried
from tests.store.mirror import compare
from tests.store.model import FINISHED, LANES, SLOTS, WINDOWS, Grip, Known, Model
from tests.store.steps import STEPS, step

IDS = st.sampled_from([f"j{n}" for n in range(5)])
VERBS = st.sampled_from([*FINISHED, "retry", "give back"])
AGAIN = st.booleans()  # whether the reply was lost, so that the very same call comes twice
WORKERS = st.integers(0, 3)
T = TypeVar("T")


def living(machine: Machine) -> bool:
    return bool(machine.model.workers)


class Machine(RuleBasedStateMachine):
    """One queue of its own for each run."""

    url = ""

    def __init__(self) -> None:
        super().__init__()
        self.bench = Bench(self.url, f"test-{secrets.token_hex(6)}")
        self.keys = self.bench.keys
        self.clock = Clock()
        self.model = Model()
        self.number = self.calls = self.made = 0
        for _ in range(2):
            self.register()

    def teardown(self) -> None:
        self.clock.ahead = 0
        try:
            assert faults(self.bench.redis, self.keys.queue) == []
            assert all((self.bench.ttl(id) > 0) is not job.live for id, job in self.model.jobs.items()), (
                "what lives has no TTL, what has ended has one"
            )
            found = fsck.check(self.bench.store, self.keys).findings
            assert not found, found
        finally:
            for key in self.bench.redis.scan_iter(match=self.keys.prefix + "*", count=1000):
                self.bench.redis.unlink(key)
            self.bench.close()

    def run(self, call: Call, again: bool, same: Callable[[T], T] = lambda answer: answer) -> T:
        """The answer to a call; with ``again`` it is sent twice, and the second answer is ``same(first)``."""
        answer: T = self.bench.run(call)
        if again:
            repeated = self.bench.run(call)
            assert repeated == same(answer), f"said twice: {answer}, then {repeated}"
        return answer

    def worker(self, n: int) -> str:
        return sorted(self.model.workers)[n % len(self.model.workers)]

    def scores(self, key: str) -> dict[str, float]:
        found: list[tuple[bytes, float]] = self.bench.redis.zrange(key, 0, -1, withscores=True)
        return {name.decode(): score for name, score in found}

    def call_of(self, id: str) -> bytes:
        self.calls += 1
        return f"call {self.calls} of {id}".encode()

    @rule(data=st.data())
    def something_happens(self, data: st.DataObject) -> None:
        possible = [one for one in STEPS for _ in range(one.weight) if one.when(self)]
        chosen = data.draw(st.sampled_from(possible), label="step")
        given = {name: data.draw(strategy, label=name) for name, strategy in chosen.given.items()}
        chosen.run(self, **given)

    # -- producers --------------------------------------------------------------------------------

    @step(
        6,
        ids=st.lists(IDS, min_size=1, max_size=3, unique=True),
        lane=st.sampled_from(LANES),
        again=AGAIN,
        delay=st.sampled_from([0, 0, 3_000]),
        replace=st.booleans(),
        unique=st.sampled_from(["", "", "u", "u", "u", "v"]),
        until_start=st.booleans(),
    )
    def enqueue(
        self,
        ids: list[str],
        lane: str,
        delay: int,
        replace: bool,
        unique: str,
        until_start: bool,
        again: bool,
    ) -> None:
        batch, expected = [], []
        ids = ids[:1] if unique else ids  # the second of a batch would find the slot of the first
        for id in ids:
            call = self.call_of(id)
            batch.append(
                self.bench.new(
                    id, lane, call, delay_ms=delay, replace=replace, unique=unique,
                    unique_until_start=until_start,
                )
            )  # fmt: skip
            status = "scheduled" if delay else "queued"
            known = Known(lane, status, call, unique, until_start and bool(unique))
            expected.append(self.model.enqueue(id, known, replace))
        assert self.run(verbs.enqueue(self.keys, batch), again) == expected

    @step(3, ids=st.lists(IDS, min_size=1, max_size=3, unique=True), lane=st.sampled_from(LANES), again=AGAIN)
    def enqueue_plain(self, ids: list[str], lane: str, again: bool) -> None:
        """The short way that jobs without options take."""
        calls = {id: self.call_of(id) for id in ids}
        start = f"{lane}\nshop.add\n\n".encode()
        batch = [newjobs.plain_job(id, lane, start, call) for id, call in calls.items()]
        expected = [self.model.enqueue(id, Known(lane, "queued", call), False) for id, call in calls.items()]
        assert self.run(verbs.enqueue(self.keys, batch), again) == expected

    @step(3, id=IDS, lane=st.sampled_from(LANES), unique=st.sampled_from(SLOTS), again=AGAIN)
    def debounce(self, id: str, lane: str, unique: str, again: bool) -> None:
        call, window = self.call_of(id), newjobs.Debounce(b"superseded")
        job = self.bench.new(
            id, lane, call, delay_ms=3_000, unique=unique, unique_until_start=True, window=window
        )
        created = self.model.debounce(id, Known(lane, "scheduled", call, unique, until_start=True))
        assert self.run(verbs.enqueue(self.keys, [job]), again) == [created]

    @step(2, id=IDS, lane=st.sampled_from(LANES), window=st.sampled_from(WINDOWS), again=AGAIN)
    def throttle(self, id: str, lane: str, window: str, again: bool) -> None:
        call = self.call_of(id)
        job = self.bench.new(id, lane, call, window=newjobs.Throttle(window, 600_000))
        expected = self.model.throttle(id, Known(lane, "queued", call), window)
        assert self.run(verbs.enqueue(self.keys, [job]), again) == [expected]

    @step(4, id=IDS, again=AGAIN)
    def abort(self, id: str, again: bool) -> None:
        call = verbs.abort(self.keys, id, 60_000, b"by hand")
        assert self.run(call, again, lambda answer: False) is self.model.abort(id)

    @step(4, id=IDS, lane=st.sampled_from(["", *LANES]), delay=st.sampled_from([None, 0, 3_000]), again=AGAIN)
    def move(self, id: str, lane: str, delay: int | None, again: bool) -> None:
        due = "" if delay is None else moving.due(delay)
        moved = self.run(moving.move(self.keys, id, lane=lane, due=due), again)
        assert moved is self.model.move(id, lane, delay)

    @step(2, ids=st.lists(IDS, min_size=1, max_size=3, unique=True), again=AGAIN)
    def replay(self, ids: list[str], again: bool) -> None:
        expected = {id: self.model.replay(id) for id in ids}
        taken = {id: answer if answer == "slot taken" else "not ended" for id, answer in expected.items()}
        assert self.run(letters.replay(self.keys, ids), again, lambda answer: taken) == expected

    @step(1, ids=st.lists(IDS, min_size=1, max_size=3, unique=True), again=AGAIN)
    def delete(self, ids: list[str], again: bool) -> None:
        expected = {id: self.model.delete(id) for id in ids}
        assert (
            self.run(letters.delete(self.keys, ids), again, lambda answer: dict.fromkeys(ids, False))
            == expected
        )

    @step(1, id=IDS, client=st.sampled_from(["a1", "b2"]), again=AGAIN)
    def wait(self, id: str, client: str, again: bool) -> None:
        raw: bytes | None = self.run(verbs.wait(self.keys, id, client), again)
        told = "unknown" if raw is None else JobRecord(id, raw).status.value if raw else "lives"
        assert told == self.model.wait(id, client)

    # -- workers ----------------------------------------------------------------------------------

    @step(2, when=lambda self: len(self.model.workers) < 4)
    def register(self) -> None:
        self.made += 1
        name = f"{self.made:08x}" * 4
        self.bench.register(name)
        self.model.workers[name] = {}

    @step(
        9,
        when=living,
        n=WORKERS,
        most=st.sampled_from([0, 1, 3, 50]),
        heard=st.sampled_from([True, True, True, False]),
    )
    def claim(self, n: int, most: int, heard: bool) -> None:
        """``heard``: whether the worker learns what it was given."""
        me, model = self.worker(n), self.model
        leases, dues = self.scores(self.keys.workers), self.scores(self.keys.scheduled)
        self.number += 1
        claimed = self.bench.claim(me, most, self.number, LANES)
        assert not claimed.lost
        model.reap(me, leases, claimed.now)
        model.promote(dues, claimed.now)
        high, default = map(model.waiting, LANES)
        ids = [id for id, _ in claimed.jobs]
        assert len(set(ids)) == len(ids) == min(most, len(high) + len(default))
        assert len(high & set(ids)) == min(most, len(high)), "the higher lane comes first"
        assert claimed.aborted == {id for id in ids if model.jobs[id].marked}
        for id, raw in claimed.jobs:
            model.claimed(id, me, self.number)
            if heard:
                model.workers[me][id] = Grip(me, JobRecord(id, raw), self.number)

    def settlement(self, grip: Grip, verb: str) -> verbs.Settlement:
        if verb == "retry":
            return retried(grip.job, grip.claim, 3_000)
        if verb == "give back":
            return verbs.given_back(grip.job, grip.claim)
        if verb == "failed" and grip.job.id != "j0":  # that one is of a release that knows no fingerprints
            return broke(grip.job, grip.worker, f"group{grip.claim % 3}", grip.claim)
        return ended(grip.job, grip.worker, JobStatus(verb), grip.claim)

    @step(
        8,
        when=lambda self: any(self.model.workers.values()),
        n=WORKERS,
        verdicts=st.lists(VERBS, min_size=1, max_size=4),
        again=AGAIN,
    )
    def settle(self, n: int, verdicts: list[str], again: bool) -> None:
        """A worker settles some of what it believes to hold."""
        model = self.model
        busy = sorted(name for name, grips in model.workers.items() if grips)
        me = busy[n % len(busy)]
        batch = [*zip(model.workers[me].values(), verdicts, strict=False)]
        settlements = [self.settlement(*one) for one in batch]
        expected = {grip.job.id: why for grip, verb in batch if (why := model.settle(grip, verb))}
        assert self.bench.settle(me, *settlements) == expected
        if again and batch:
            assert self.bench.settle(me, *settlements) == {g.job.id: model.settle(g, v) for g, v in batch}
        for grip, _ in batch:
            model.zombies.append(model.workers[me].pop(grip.job.id))

    @step(3, when=lambda self: any(self.model.workers.values()), n=st.integers(0, 20), again=AGAIN)
    def run_alone(self, n: int, again: bool) -> None:
        """A suspect starts in a process of its own."""
        grips = [grip for held in self.model.workers.values() for grip in held.values()]
        grip = grips[n % len(grips)]
        call = verbs.alone(self.keys, grip.worker, grip.job.id, grip.claim)
        assert self.run(call, again) is self.model.run_alone(grip)

    @step(4, when=lambda self: bool(self.model.zombies), n=st.integers(0, 20), verb=VERBS)
    def settle_as_zombie(self, n: int, verb: str) -> None:
        """One whose job was settled, or taken away, long ago."""
        grip = self.model.zombies[n % len(self.model.zombies)]
        why = self.model.settle(grip, verb)
        assert why, "the model would let a zombie write"
        assert self.bench.settle(grip.worker, self.settlement(grip, verb)) == {grip.job.id: why}

    @step(2, when=living, n=WORKERS, again=AGAIN)
    def reconcile(self, n: int, again: bool) -> None:
        me = self.worker(n)
        known = set(self.model.workers[me])
        call = verbs.reconcile(self.keys, me, sorted(known))
        back, gone = self.run(call, again, lambda answer: (0, answer[1]))
        slots = {unique: self.bench.redis.get(self.keys.unique(unique)) for unique in SLOTS}
        holders = {unique: id.decode() for unique, id in slots.items() if id}
        assert (back, set(gone)) == self.model.reconcile(me, known, holders)

    @step(1, when=living, n=WORKERS)
    def renew(self, n: int) -> None:
        me = self.worker(n)
        answer = self.bench.run(verbs.renew(self.keys, me, LEASE, {"running": 0}))
        held = self.model.held(me)
        assert (answer.held, answer.lost) == (len(held), False)
        assert set(answer.aborted) == {id for id, job in held.items() if job.marked}

    @step(1, when=lambda self: bool(self.model.dead), n=st.integers(0, 20))
    def revive(self, n: int) -> None:
        """A reaped worker tries to go on."""
        name = self.model.dead[n % len(self.model.dead)]
        assert self.bench.claim(name, 5).lost
        assert self.bench.run(verbs.renew(self.keys, name, LEASE, {"running": 0})).lost
        assert self.bench.run(verbs.reconcile(self.keys, name, [])) == (-1, [])

    @step(1, when=living, n=WORKERS)
    def unregister(self, n: int) -> None:
        me = self.worker(n)
        held = self.model.held(me)
        assert self.bench.run(verbs.unregister(self.keys, me)) == len(held)
        if not held:
            self.model.zombies += self.model.workers.pop(me).values()
            self.model.dead.append(me)

    # -- the world --------------------------------------------------------------------------------

    @step(2, when=living, n=WORKERS)
    def fall_silent(self, n: int) -> None:
        """A worker has not renewed its lease, while the others have."""
        self.bench.redis.zadd(self.keys.workers, {self.worker(n): 1})

    @step(3, ms=st.sampled_from([100, 1_000, 4_000, 4_000, 4_000, -5_000, LEASE + 1_000]))
    def pass_time(self, ms: int) -> None:
        self.clock.advance(ms)

    @step(1)
    def lose_scripts(self) -> None:
        self.bench.redis.script_flush()

    # -- what must be true ------------------------------------------------------------------------

    @invariant()
    def redis_holds_what_the_model_says(self) -> None:
        compare(self.bench, self.model)


@pytest.mark.fault("22", "lost replies, zombies, lost scripts, jumps of the clock, in any order")
def test_the_scripts_do_what_the_model_says(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """R2, R3, R5, R10, R13: nothing lost, nothing twice, whatever the order of events."""
    monkeypatch.setattr(Machine, "url", redis_url)
    nightly = settings.get_current_profile_name() == "nightly"
    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=2_000 if nightly else 60,
            stateful_step_count=120,
            # Finding the shortest way to a fault takes minutes; the nightly run has them.
            phases=list(Phase) if nightly else [Phase.generate],
            derandomize=not nightly,
            print_blob=True,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
