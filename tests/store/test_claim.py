"""claim: jobs for a worker, and the housekeeping that rides on it: one dead worker, what is due."""

from __future__ import annotations

import pytest

from ardiq.core.job import JobRecord, JobStatus
from ardiq.store import letters, verbs
from ardiq.store.verbs import HOUSEKEEPING
from tests.store.bench import LEASE, Bench, Clock, ended, retried, succeeded


@pytest.fixture(autouse=True)
def registered(bench: Bench, clock: Clock) -> None:
    bench.register("worker-1")


def test_first_in_first_out(bench: Bench) -> None:
    """C12: inside a lane, over several claims."""
    bench.enqueue("a", "b", "c", "d", "e")
    assert [list(bench.take("worker-1", 2, n)) for n in (1, 2, 3, 4)] == [["a", "b"], ["c", "d"], ["e"], []]


def test_higher_lanes_first(bench: Bench) -> None:
    """C12: in the order that the worker names them, whatever came first."""
    bench.enqueue("l1", "l2", lane="low")
    bench.enqueue("d1", lane="default")
    bench.enqueue("h1", "h2", lane="high")
    assert list(bench.take("worker-1", 4)) == ["h1", "h2", "d1", "l1"]


def test_a_lane_may_have_a_limit(bench: Bench) -> None:
    """A: LANE_LIMITS reach the script as one number per lane; 0 takes nothing from it."""
    bench.enqueue("h1", "h2", "h3", lane="high")
    bench.enqueue("d1", "d2")
    bench.enqueue("l1", lane="low")
    claimed = bench.claim("worker-1", 4, lanes=[("high", 1), ("default", 0), ("low", 4)])
    assert [id for id, _ in claimed.jobs] == ["h1", "l1"]


def test_what_a_claim_changes(bench: Bench) -> None:
    """R2: out of the lane, held under the number of the claim, running; the reply is from before."""
    bench.enqueue("a", "b")
    claimed = bench.claim("worker-1", 1, number=7)
    assert bench.state() == {
        "job:a": "running", "job:b": "queued", "lane:default": ["b"], "held:worker-1": {"a": "7"},
        "workers": ["worker-1"], "wake": ["1"],
    }  # fmt: skip
    (id, raw), record = claimed.jobs[0], bench.record("a")
    assert JobRecord(id, raw).status is JobStatus.QUEUED
    assert (record.worker, record.at, record.call) == ("worker-1", claimed.now, b"call of a")


def test_the_time_of_the_server_comes_with_it(bench: Bench, clock: Clock) -> None:
    """R1: now, the next due time and whether more may wait."""
    bench.enqueue("a", "b")
    bench.enqueue("later", delay_ms=60_000)
    first, rest = bench.claim("worker-1", 1), bench.claim("worker-1", 5, number=2)
    assert (first.more, rest.more, rest.lost) == (True, False, False)
    assert first.next_due == bench.record("later").at
    assert abs(first.now - bench.record("a").at) < 1_000
    clock.advance(10_000)
    assert bench.claim("worker-1").now >= first.now + 10_000


def test_whoever_took_all_it_asked_for_leaves_a_token(bench: Bench) -> None:
    """R15: sleeping workers join one by one."""
    bench.enqueue("a", "b")
    bench.redis.delete(bench.keys.wake)
    bench.claim("worker-1", 1)
    assert bench.state()["wake"] == ["1"]
    bench.redis.delete(bench.keys.wake)
    bench.claim("worker-1", 5, number=2)
    assert "wake" not in bench.state()


def test_ids_that_are_not_waiting_any_more_are_skipped(bench: Bench) -> None:
    """R2: a lane may hold ids of jobs that ended, moved to another lane or are gone: the record decides."""
    bench.enqueue("gone", "moved", "ended", "waits")
    bench.redis.delete(bench.keys.job("gone"))
    bench.run(verbs.abort(bench.keys, "ended", 60_000, b""))
    bench.run(verbs.abort(bench.keys, "moved", 60_000, b""))
    bench.enqueue("moved", lane="high", call=b"second life", replace=True)
    bench.redis.rpush(bench.keys.lane("default"), "ended", "moved")
    claimed = bench.claim("worker-1", lanes=["default"])
    assert [id for id, _ in claimed.jobs] == ["waits"]
    assert (bench.lane("high"), bench.state()["held:worker-1"]) == (["moved"], {"waits": "1"})
    assert bench.lane() == []


def test_a_job_that_stands_twice_in_its_lane_is_claimed_once(bench: Bench) -> None:
    """R2: an abort leaves its id in a long lane, and a replay adds it once more."""
    bench.enqueue("a", *(f"{n:04}" for n in range(1_000)))
    assert bench.run(verbs.abort(bench.keys, "a", 60_000, b""))
    assert bench.lane()[0] == "a", "a long lane keeps the stale id"
    assert bench.run(letters.replay(bench.keys, ["a"])) == {"a": "queued"}
    ids = [id for id, _ in bench.claim("worker-1", 1_002).jobs]
    assert ids.count("a") == 1 and len(ids) == 1_001
    assert bench.lane() == []


@pytest.mark.parametrize("known", [False, True])
def test_a_worker_without_a_lease_gets_nothing(bench: Bench, known: bool) -> None:
    """R3: one that was reaped, or never registered, is told that its lease is lost."""
    bench.enqueue("a")
    if known:
        bench.redis.zrem(bench.keys.workers, "worker-1")
    claimed = bench.claim("worker-1" if known else "stranger")
    assert (claimed.lost, claimed.jobs) == (True, [])
    assert (bench.status("a"), bench.lane()) == ("queued", ["a"])


def test_a_claim_renews(bench: Bench, clock: Clock) -> None:
    """R2: the end of the lease is reckoned by the server at each claim."""
    clock.advance(LEASE - 1_000)
    now = bench.claim("worker-1").now
    assert bench.redis.zscore(bench.keys.workers, "worker-1") == now + LEASE


def test_a_late_worker_that_nobody_reaped_goes_on(bench: Bench, clock: Clock) -> None:
    """R5: after a pause of the server itself nobody is punished."""
    bench.enqueue("a")
    bench.take("worker-1")
    clock.advance(10 * LEASE)
    assert not bench.claim("worker-1", number=2).lost
    assert bench.status("a") == "running"


# -- what is due ----------------------------------------------------------------------------------


def test_due_jobs_are_promoted_in_the_order_of_their_times(bench: Bench, clock: Clock) -> None:
    """C3: behind those that wait already; what is not due stays."""
    bench.enqueue("second", delay_ms=2_000)
    bench.enqueue("first", delay_ms=1_000)
    bench.enqueue("third", delay_ms=60_000)
    bench.enqueue("ready")
    clock.advance(2_100)
    assert list(bench.take("worker-1")) == ["ready", "first", "second"]
    assert bench.state()["scheduled"] == ["third"]


def test_promotion_is_bounded(bench: Bench, clock: Clock) -> None:
    """R9: at most 100 jobs in one claim; the next goes on."""
    bench.enqueue(*(f"{n:03}" for n in range(HOUSEKEEPING + 20)), delay_ms=1_000)
    clock.advance(1_100)
    first = bench.claim("worker-1", 1)
    assert bench.redis.zcard(bench.keys.scheduled) == 20
    assert 0 < first.next_due <= first.now
    bench.claim("worker-1", 1, number=2)
    assert bench.redis.zcard(bench.keys.scheduled) == 0
    assert len(bench.lane()) == HOUSEKEEPING + 18


# -- a dead worker --------------------------------------------------------------------------------


def test_what_a_dead_worker_held_goes_back_to_the_head(bench: Bench, clock: Clock) -> None:
    """R2, F4: crashes + 1, no attempt charged, before all that waits; its name is gone for good."""
    bench.register("deceased")
    bench.enqueue("a", "b", lane="high")
    bench.take("deceased")
    bench.enqueue("c", lane="high")
    clock.advance(LEASE + 1)
    assert bench.claim("worker-1", 0).jobs == []
    state = bench.state()
    assert (state["job:a"], state["job:b"]) == ("queued 0+1", "queued 0+1")
    assert sorted(state["lane:high"][:2]) == ["a", "b"] and state["lane:high"][2:] == ["c"]
    assert (state["workers"], "held:deceased" in state) == (["worker-1"], False)
    assert bench.claim("deceased").lost and bench.run(verbs.worker_info(bench.keys, "deceased")) == {}


def test_one_dead_worker_at_a_time(bench: Bench, clock: Clock) -> None:
    """R9: the one whose lease ended first; the next claim takes the next."""
    bench.register("deceas-1")
    clock.advance(5)
    bench.register("deceas-2")
    bench.enqueue("a")
    bench.take("deceas-2")
    clock.advance(LEASE + 1_000)
    bench.claim("worker-1", 0)
    assert bench.state()["workers"] == ["deceas-2", "worker-1"]
    assert bench.status("a") == "running"
    assert list(bench.take("worker-1", number=2)) == ["a"]
    assert bench.state()["workers"] == ["worker-1"]


def test_reaping_is_bounded(bench: Bench, clock: Clock) -> None:
    """R9: at most 100 of its jobs in one claim; its name leaves only when nothing is held."""
    bench.register("deceased")
    count = HOUSEKEEPING * 2 + 50
    bench.enqueue(*(f"{n:03}" for n in range(count)))
    bench.take("deceased", count)
    bench.redis.zadd(bench.keys.workers, {"deceased": 1})
    left = []
    for number in range(1, 5):
        bench.claim("worker-1", 0, number=number)
        left.append(bench.redis.hlen(bench.keys.held("deceased")))
    # HSCAN may answer some more than asked for, never all at once.
    assert count - 2 * HOUSEKEEPING <= left[0] <= count - HOUSEKEEPING / 2 and left[-1] == 0
    assert left == sorted(left, reverse=True)
    assert bench.state()["workers"] == ["worker-1"]
    assert len(bench.lane()) == count and bench.record("007").crashes == 1


def test_crashes_are_counted_and_bounded(bench: Bench, clock: Clock) -> None:
    """F4, R7: the first death counts for whoever was held; from then on those do that a job ran in, in
    a process of its own, not those for which it waited. The counter does not overflow its two digits."""
    bench.enqueue("a")

    def die(worker: str, alone: bool) -> int:
        bench.register(worker)
        assert list(bench.take(worker)) == ["a"]
        if alone:
            assert bench.run(verbs.alone(bench.keys, worker, "a", 2)) is False, "not its claim"
            assert bench.run(verbs.alone(bench.keys, worker, "a", 1)) is True
        bench.redis.zadd(bench.keys.workers, {worker: 1})
        bench.claim("worker-1", 0)
        assert bench.record("a").attempts == 0 and bench.record("a").flags == 0
        return bench.record("a").crashes

    stories = [False, False, True, False, True, False]
    assert [die(f"deceas-{n}", alone) for n, alone in enumerate(stories)] == [1, 1, 2, 2, 3, 3]
    raw = bench.redis.get(bench.keys.job("a"))
    bench.redis.set(bench.keys.job("a"), raw[:5] + b"ff" + raw[7:])
    assert die("deceas-9", True) == 255


def test_what_the_dead_had_settled_is_not_touched(bench: Bench, clock: Clock) -> None:
    """R3: only what it still held; a retry that waits keeps its due time."""
    bench.register("deceased")
    bench.enqueue("a", "b", "c")
    jobs = bench.take("deceased")
    bench.settle("deceased", succeeded(jobs["a"], "deceased"), retried(jobs["b"], delay_ms=600_000))
    bench.redis.zadd(bench.keys.workers, {"deceased": 1})
    bench.claim("worker-1", 0)
    state = bench.state()
    assert (state["job:a"], state["job:b"], state["job:c"]) == (
        "succeeded 1+0",
        "scheduled 1+0",
        "queued 0+1",
    )
    assert (state["lane:default"], state["scheduled"]) == (["c"], ["b"])


def test_a_marked_job_comes_with_its_mark(bench: Bench, clock: Clock) -> None:
    """E5: an abort that its worker never carried out is heard of by the next that claims the job."""
    bench.register("deceased")
    bench.enqueue("a", "b")
    bench.take("deceased")
    assert bench.run(verbs.abort(bench.keys, "a", 60_000, b""))
    bench.redis.zadd(bench.keys.workers, {"deceased": 1})
    bench.claim("worker-1", 0)
    claimed = bench.claim("worker-1", number=2)
    assert (sorted(id for id, _ in claimed.jobs), claimed.aborted) == (["a", "b"], {"a"})
    job = JobRecord("a", dict(claimed.jobs)["a"])
    bench.settle("worker-1", ended(job, "worker-1", JobStatus.ABORTED, claim=2))
    assert "aborts" not in bench.state()


def mixed(bench: Bench, kinds: str, lane: str = "default", start: int = 0) -> None:
    """Jobs of shop.press (p) and shop.add (anything else) in this order."""
    for number, kind in enumerate(kinds, start):
        bench.enqueue(f"{kind}{number}", lane=lane, name="shop.press" if kind == "p" else "shop.add")


@pytest.mark.parametrize(
    "scarce", ["", verbs.scarce(0, ["shop.other"])], ids=["plain", "some tasks are scarce"]
)
def test_an_answer_of_large_jobs_is_bounded(bench: Bench, scarce: str) -> None:
    """R9: whoever asks for a hundred of a megabyte each gets some, the others in their turn after them."""
    ids = [f"large-{number}" for number in range(12)]
    for id in ids:
        bench.run(verbs.enqueue(bench.keys, [bench.new(id, call=b"x" * 1_000_000)]))
    bench.enqueue("low-1", lane="low")
    claims = [bench.claim("worker-1", 100, number, scarce=scarce) for number in (1, 2, 3, 4)]
    sizes = [sum(len(raw) for _, raw in claim.jobs) for claim in claims]
    assert [id for claim in claims for id, _ in claim.jobs] == [*ids, "low-1"]
    assert sizes[0] >= 4_000_000 and max(sizes) < 10_000_000
    assert claims[0].more and not claims[-1].more


def test_jobs_that_cannot_start_there_stay(bench: Bench) -> None:
    """B5, C12: of tasks for which the worker has little room no more is taken than it has, but what is behind
    them; they keep their places."""
    mixed(bench, "ppppappa")
    press = verbs.scarce(1, ["shop.pack", "shop.press"])
    claimed = bench.claim("worker-1", 3, scarce=press)
    assert [id for id, _ in claimed.jobs] == ["p0", "a4", "a7"] and claimed.more
    assert bench.state()["lane:default"] == ["p1", "p2", "p3", "p5", "p6"]
    assert bench.state()["held:worker-1"] == {"p0": "1", "a4": "1", "a7": "1"}
    assert bench.record("p1").status is JobStatus.QUEUED
    bench.register("worker-2")
    assert list(bench.take("worker-2", 2)) == ["p1", "p2"]


def test_nothing_but_such_jobs(bench: Bench) -> None:
    """B5: the answer says so, and the token that this worker has used up is there for one with a place."""
    mixed(bench, "ppp")
    bench.redis.delete(bench.keys.wake)
    claimed = bench.claim("worker-1", 2, scarce=verbs.scarce(0, ["shop.press"]))
    assert (claimed.jobs, claimed.more, claimed.elsewhere) == ([], False, True)
    assert bench.state()["wake"] == ["1"] and bench.state()["lane:default"] == ["p0", "p1", "p2"]
    claimed = bench.claim("worker-1", 2, number=2)
    assert (len(claimed.jobs), claimed.elsewhere) == (2, False)


def test_how_far_it_looks_for_others(bench: Bench) -> None:
    """R9: a bounded way into each lane; limits hold, stale ids and keys of a wrong type are skipped."""
    mixed(bench, "p" * 300 + "a")
    claimed = bench.claim("worker-1", 4, scarce=verbs.scarce(0, ["shop.press"]))
    assert (claimed.jobs, claimed.elsewhere) == ([], True)
    lane = bench.state()["lane:default"]
    assert lane == [f"p{n}" for n in range(300)] + ["a300"]
    mixed(bench, "paapaa", lane="high", start=400)
    bench.redis.delete(bench.keys.job("a401"))
    bench.redis.delete(bench.keys.job("a402"))
    bench.redis.rpush(bench.keys.job("a402"), "no record")
    claimed = bench.claim(
        "worker-1", 9, number=2, lanes=[("high", 1), ("default", 0)], scarce=verbs.scarce(0, ["shop.press"])
    )
    bench.redis.delete(bench.keys.job("a402"))
    assert [id for id, _ in claimed.jobs] == ["a404"]
    assert bench.state()["lane:high"] == ["p400", "p403", "a405"]


def test_what_a_quick_worker_holds_is_a_table(bench: Bench) -> None:
    """R9: the fence does not search a list of hundreds of jobs for each; what is stored is the same."""
    bench.register("worker-1")
    ids = [f"a{n}" for n in range(40)]
    bench.enqueue(*ids)
    assert len(bench.claim("worker-1", 40).jobs) == 40
    assert bench.state()["held:worker-1"] == dict.fromkeys(ids, "1")
    assert bench.redis.object("encoding", bench.keys.held("worker-1")) == b"hashtable"
