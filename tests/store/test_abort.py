"""abort: a waiting job ends here and now, a running one is marked and its worker told."""

from __future__ import annotations

from typing import Any

import pytest

from ardiq.core.job import JobStatus
from ardiq.store import verbs
from tests.store.bench import Bench, ended, retried

ME = "worker-1"


def abort(bench: Bench, id: str = "a", ttl_ms: int = 60_000) -> bool:
    stopped: bool = bench.run(verbs.abort(bench.keys, id, ttl_ms, b"aborted by hand"))
    return stopped


@pytest.mark.parametrize("delay_ms", [0, 60_000])
def test_a_waiting_job(bench: Bench, delay_ms: int) -> None:
    """E5: it has ended when the call returns, out of its lane or schedule, with its slot freed."""
    bench.enqueue("a", unique="h", delay_ms=delay_ms)
    bench.redis.delete(bench.keys.wake)
    assert abort(bench)
    assert bench.state() == {"job:a": "aborted", "ended:aborted": ["a"]}
    record = bench.record("a")
    assert (record.call, record.outcome, record.worker) == (b"call of a", b"aborted by hand", "0" * 8)
    assert 0 < bench.ttl("a") <= 60_000
    assert bench.enqueue("b", unique="h") == [True]


def test_a_job_that_waits_for_a_retry(bench: Bench) -> None:
    """E5: its attempts and history are kept."""
    bench.register(ME)
    bench.enqueue("a")
    bench.settle(ME, retried(bench.take(ME)["a"], delay_ms=60_000))
    assert abort(bench)
    record = bench.record("a")
    assert (record.status, record.attempts, record.history) == (JobStatus.ABORTED, 1, b"history")
    assert (record.outcome, bench.redis.zcard(bench.keys.scheduled)) == (b"aborted by hand", 0)


def test_a_running_job(bench: Bench) -> None:
    """E5: marked once, its worker told once; it ends when the worker says so."""
    bench.register(ME)
    bench.enqueue("a")
    bench.take(ME)
    with bench.redis.pubsub() as listening:
        listening.subscribe(bench.keys.control)
        assert listening.get_message(timeout=5)["type"] == "subscribe"
        before = bench.state()
        assert [abort(bench), abort(bench), abort(bench)] == [True, False, False]
        assert listening.get_message(timeout=5)["data"] == b"a"
        assert listening.get_message(timeout=0.05) is None
    assert bench.state() == before | {"aborts": ["a"]}


@pytest.mark.parametrize("status", ["succeeded", "failed", "aborted", "expired"])
def test_a_job_that_has_ended(bench: Bench, status: str) -> None:
    """E5: False, and nothing changes."""
    bench.register(ME)
    bench.enqueue("a")
    bench.settle(ME, ended(bench.take(ME)["a"], ME, JobStatus(status)))
    before = bench.state()
    assert not abort(bench)
    assert bench.state() == before


def test_an_unknown_job(bench: Bench) -> None:
    """E5: False, and no key is made."""
    assert not abort(bench, "unknown")
    assert bench.state() == {}


@pytest.mark.parametrize(("ttl", "left"), [(0, -2), (-1, -1)])
def test_how_long_it_is_kept(bench: Bench, ttl: int, left: int) -> None:
    """A: as any other result."""
    bench.enqueue("a")
    assert abort(bench, ttl_ms=ttl)
    assert bench.ttl("a") == left
    assert ("ended:aborted" in bench.state()) is (ttl != 0)


def test_a_long_lane_is_not_searched(bench: Bench) -> None:
    """R9: beyond 1,000 ids the stale one stays, and the claim that meets it skips it."""
    bench.enqueue("a", *(f"{n:04}" for n in range(1_000)))
    assert abort(bench)
    assert bench.status("a") == "aborted" and bench.lane()[0] == "a"
    bench.register(ME)
    assert list(bench.take(ME, 2)) == ["0000"]


def test_whoever_waits_is_told(bench: Bench) -> None:
    """E1: the end of an aborted job is pushed like any other."""
    bench.enqueue("a")
    with bench.redis.pubsub() as listening:
        listening.subscribe(bench.keys.done("me"))
        listening.get_message(timeout=5)
        assert bench.run(verbs.wait(bench.keys, "a", "me")) == b""
        abort(bench)
        message: Any = listening.get_message(timeout=5)
    assert message["data"] == b"a" and "waiters" not in bench.state()
