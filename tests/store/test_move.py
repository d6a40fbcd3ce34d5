"""move: a waiting job goes to another lane or time; no worker sees it in both places, or in neither."""

from __future__ import annotations

from typing import Any

import pytest

from ardiq.core.job import JobStatus
from ardiq.store import moving, verbs
from tests.store.bench import Bench, State, retried

ME, LATER = "worker-1", 60_000


def move(bench: Bench, id: str = "a", **where: str) -> bool:
    moved: bool = bench.run(moving.move(bench.keys, id, **where))
    return moved


def queued(lane: str, *ids: str) -> State:
    return {f"lane:{lane}": list(ids)} | {f"job:{id}": "queued" for id in ids}


TABLE: list[tuple[dict[str, Any], dict[str, str], State]] = [
    ({}, {"lane": "high"}, {**queued("high", "a"), "wake": ["1"]}),
    ({}, {"lane": "default"}, {**queued("default", "a")}),
    ({}, {"due": moving.NOW}, {**queued("default", "a")}),
    ({}, {"due": f"+{LATER}"}, {"job:a": "scheduled", "scheduled": ["a"], "wake": ["1"]}),
    ({}, {"due": "=1"}, {**queued("default", "a")}),
    ({"delay_ms": LATER}, {"lane": "high"}, {"job:a": "scheduled", "scheduled": ["a"], "wake": ["1"]}),
    ({"delay_ms": LATER}, {"due": "+90000"}, {"job:a": "scheduled", "scheduled": ["a"], "wake": ["1"]}),
    ({"delay_ms": LATER}, {"due": moving.NOW}, {**queued("default", "a"), "wake": ["1"]}),
    ({"delay_ms": LATER}, {"due": "=1", "lane": "high"}, {**queued("high", "a"), "wake": ["1"]}),
]


@pytest.mark.parametrize(("given", "where", "after"), TABLE, ids=lambda case: str(case)[:40])
def test_where_it_goes(bench: Bench, given: Any, where: Any, after: State) -> None:
    """C12, R10: in its new place and in no other, its call as it was; a repeat changes nothing."""
    bench.enqueue("a", unique="h", **given)
    bench.redis.delete(bench.keys.wake)
    call = bench.record("a").call
    assert move(bench, **where)
    assert bench.state() == after | {"unique:h": "a"}
    assert move(bench, **where)
    assert bench.state() == after | {"unique:h": "a"}
    record = bench.record("a")
    assert (record.call, record.unique, record.lane) == (call, "h", where.get("lane", "default"))
    assert bench.ttl("a") == -1


def test_the_time_that_it_says(bench: Bench) -> None:
    """C3: the record, the schedule and the call agree on the moment."""
    bench.enqueue("a", "b")
    before = bench.record("a").enqueued
    move(bench, due="=4000000000000")
    assert bench.record("a").at == 4_000_000_000_000 == bench.redis.zscore(bench.keys.scheduled, "a")
    move(bench, "b", due="+5000")
    assert before + 5_000 <= bench.record("b").at == bench.redis.zscore(bench.keys.scheduled, "b")
    assert bench.record("a").enqueued == before


def test_what_does_not_wait(bench: Bench) -> None:
    """C12: one that runs, has ended, was told to abort, or is not there, is left alone."""
    bench.register(ME)
    bench.enqueue("run", "end", "told")
    held = bench.take(ME)
    bench.settle(ME, verbs.finished(held["end"], 1, JobStatus.SUCCEEDED, 1, LATER, ME, b""))
    bench.run(verbs.abort(bench.keys, "told", LATER, b""))
    bench.settle(ME, verbs.given_back(held["told"], 1))
    assert bench.status("told") == "queued"
    before = bench.state()
    for id in ("run", "end", "told", "none"):
        assert not move(bench, id, lane="high", due=f"+{LATER}"), id
    assert bench.state() == before


def test_a_retry_that_waits(bench: Bench) -> None:
    """C12: it keeps its attempts and its history, and is claimed with them."""
    bench.register(ME)
    bench.enqueue("a")
    bench.settle(ME, retried(bench.take(ME)["a"], delay_ms=LATER))
    assert move(bench, due=moving.NOW, lane="high")
    (job,) = bench.take(ME, number=2).values()
    assert (job.attempts, job.history, job.lane) == (1, b"history", "high")


def test_the_order_of_the_new_lane(bench: Bench) -> None:
    """C12: it comes last in its new lane, and before all of the lower ones."""
    bench.register(ME)
    bench.enqueue("a", "b", "c")
    bench.enqueue("x", lane="high")
    move(bench, "b", lane="high")
    assert list(bench.take(ME)) == ["x", "b", "a", "c"]


def test_there_and_back_in_a_long_lane(bench: Bench) -> None:
    """C12: a long lane keeps the id where it was; the job is claimed once, and its neighbours as well."""
    bench.register(ME)
    ids = [f"j{n}" for n in range(1_002)]
    for at in range(0, len(ids), 500):
        bench.enqueue(*ids[at : at + 500])
    move(bench, "j1", lane="high")
    assert "j1" in bench.lane() and bench.lane("high") == ["j1"]
    move(bench, "j1", lane="default")
    assert (bench.lane().count("j1"), bench.lane("high")) == (2, [])
    claimed = [id for number in range(1, 5) for id in bench.take(ME, 500, number)]
    assert claimed == ids


def test_a_worker_that_sleeps_hears_of_it(bench: Bench) -> None:
    """C12: of an earlier time; of one behind the first it need not."""
    bench.enqueue("a", "b", delay_ms=LATER)
    bench.redis.delete(bench.keys.wake)
    move(bench, "a", due="+90000")
    assert not bench.redis.exists(bench.keys.wake)
    move(bench, "a", due="+30000")
    assert bench.redis.exists(bench.keys.wake)
