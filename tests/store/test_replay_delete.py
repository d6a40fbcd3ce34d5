"""replay and delete: what people do with jobs that do not run."""

from __future__ import annotations

import pytest

from ardiq.core.job import JobStatus
from ardiq.store import letters, verbs
from tests.store.bench import Bench, ended, retried

ME = "worker-1"


@pytest.fixture
def failed(bench: Bench) -> Bench:
    """Job "a" has failed after two attempts and one crash."""
    bench.register(ME)
    bench.enqueue("a", lane="high", unique="h")
    bench.take(ME)
    bench.redis.zadd(bench.keys.workers, {ME: 1, "worker-2": 9e15})
    bench.claim("worker-2", 0)
    bench.redis.zrem(bench.keys.workers, "worker-2")
    bench.register(ME)
    bench.settle(ME, retried(bench.take(ME)["a"], delay_ms=0))
    bench.settle(ME, ended(bench.take(ME, number=2)["a"], ME, JobStatus.FAILED, claim=2))
    bench.redis.delete(bench.keys.wake)
    return bench


def test_a_replay_is_a_new_life(failed: Bench) -> None:
    """F1: same id, same call, fresh budget; outcome, history, crashes and TTL are gone."""
    before = failed.record("a")
    assert (before.attempts, before.crashes, before.history) == (2, 1, b"history")
    assert failed.run(letters.replay(failed.keys, ["a"])) == {"a": "queued"}
    assert failed.state() == {
        "job:a": "queued", "lane:high": ["a"], "unique:h": "a", "workers": [ME], "wake": ["1"],
    }  # fmt: skip
    record = failed.record("a")
    assert (record.attempts, record.crashes, record.history, record.outcome) == (0, 0, b"", b"")
    assert (record.call, record.name, failed.ttl("a")) == (b"call of a", "shop.add", -1)
    assert list(failed.take(ME, number=2)) == ["a"]


def test_a_replay_is_done_once(failed: Bench) -> None:
    """F1: two people press the button; one job runs."""
    assert failed.run(letters.replay(failed.keys, ["a", "a", "gone"])) == {
        "a": "not ended",
        "gone": "not ended",
    }
    assert failed.lane("high") == ["a"]
    assert failed.run(letters.replay(failed.keys, ["a"])) == {"a": "not ended"}


@pytest.mark.parametrize("status", ["succeeded", "failed", "aborted", "expired"])
def test_whatever_has_ended_can_be_replayed(bench: Bench, status: str) -> None:
    """F1: not only failures."""
    bench.register(ME)
    bench.enqueue("a")
    bench.settle(ME, ended(bench.take(ME)["a"], ME, JobStatus(status)))
    assert bench.run(letters.replay(bench.keys, ["a"])) == {"a": "queued"}
    assert f"ended:{status}" not in bench.state()


def test_what_lives_is_not_replayed(bench: Bench) -> None:
    """F1: queued, scheduled and running jobs stay as they are."""
    bench.register(ME)
    bench.enqueue("r")
    bench.take(ME)
    bench.enqueue("q")
    bench.enqueue("d", delay_ms=60_000)
    before = bench.state()
    assert set(bench.run(letters.replay(bench.keys, ["r", "q", "d"])).values()) == {"not ended"}
    assert bench.state() == before


def test_a_unique_slot_that_another_holds(failed: Bench) -> None:
    """C7: the replay would be a second job of the same call."""
    failed.enqueue("b", unique="h")
    before = failed.state()
    assert failed.run(letters.replay(failed.keys, ["a"])) == {"a": "slot taken"}
    assert failed.state() == before


@pytest.mark.parametrize(
    "state", ["queued", "scheduled", "retry", "succeeded", "failed", "aborted", "expired"]
)
def test_deleting_leaves_nothing(bench: Bench, state: str) -> None:
    """F1: neither the record nor what points at it."""
    bench.register(ME)
    bench.enqueue("a", unique="h", delay_ms=60_000 if state == "scheduled" else 0)
    if state == "retry":
        bench.settle(ME, retried(bench.take(ME)["a"]))
    elif state not in ("queued", "scheduled"):
        bench.settle(ME, ended(bench.take(ME)["a"], ME, JobStatus(state)))
    bench.redis.delete(bench.keys.wake)
    assert bench.run(letters.delete(bench.keys, ["a", "unknown"])) == {"a": True, "unknown": False}
    assert bench.state() == {"workers": [ME]}


def test_a_mark_for_abort_is_not_inherited(bench: Bench) -> None:
    """E5: a job that was told to abort, failed and waits to be claimed once more, is deleted instead."""
    bench.register(ME)
    bench.enqueue("a")
    job = bench.take(ME)["a"]
    bench.run(verbs.abort(bench.keys, "a", 60_000, b""))
    bench.settle(ME, retried(job))
    assert bench.run(letters.delete(bench.keys, ["a"])) == {"a": True}
    assert "aborts" not in bench.state()
    bench.enqueue("a")
    assert bench.claim(ME).aborted == frozenset()


def test_a_running_job_is_not_deleted(bench: Bench) -> None:
    """F1: abort it first."""
    bench.register(ME)
    bench.enqueue("a")
    bench.take(ME)
    before = bench.state()
    assert bench.run(letters.delete(bench.keys, ["a"])) == {"a": False}
    assert bench.state() == before


def test_a_slot_that_has_gone_to_another_is_left_alone(failed: Bench) -> None:
    """R11: deleted only by its holder."""
    failed.enqueue("b", unique="h")
    assert failed.run(letters.delete(failed.keys, ["a"])) == {"a": True}
    assert failed.state()["unique:h"] == "b"
