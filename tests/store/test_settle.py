"""settle: a verdict counts only for a job that this worker holds under this claim (R3)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ardiq.core.errors import BrokerError
from ardiq.core.job import JobRecord, JobStatus
from ardiq.store import verbs
from ardiq.store.verbs import CHUNK
from tests.server import own_server
from tests.store.bench import LEASE, Bench, Clock, State, ended, retried, succeeded

ME, OTHER = "worker-1", "worker-2"


@pytest.fixture
def job(bench: Bench) -> JobRecord:
    """One job, held by ME under claim 1, with a unique slot."""
    bench.register(ME, OTHER)
    bench.enqueue("a", unique="h")
    job = bench.take(ME)["a"]
    # The order of leases that end in the same millisecond is not part of the story.
    bench.redis.zincrby(bench.keys.workers, 1_000, OTHER)
    bench.redis.delete(bench.keys.wake)
    return job


REST: State = {"workers": [ME, OTHER]}


@pytest.mark.parametrize("status", ["succeeded", "failed", "aborted", "expired"])
def test_the_end_of_a_job(bench: Bench, job: JobRecord, status: str) -> None:
    """E3: its record becomes the outcome and gets its TTL, it is listed, its unique slot is free."""
    assert bench.settle(ME, ended(job, ME, JobStatus(status), ttl_ms=5_000)) == {}
    assert bench.state() == REST | {"job:a": f"{status} 1+0", f"ended:{status}": ["a"]}
    assert 0 < bench.ttl("a") <= 5_000
    record = bench.record("a")
    assert (record.worker, record.call, record.outcome) == (ME, b"call of a", b"outcome")
    assert record.at == bench.redis.zscore(bench.keys.ended(JobStatus(status)), "a") >= record.enqueued


@pytest.mark.parametrize(("ttl", "left"), [(-1, -1), (-500, -1), (0, -2)])
def test_how_long_a_result_is_kept(bench: Bench, job: JobRecord, ttl: int, left: int) -> None:
    """A: RESULT_TTL_MS negative keeps it until it is deleted, 0 stores nothing and lists nothing."""
    bench.settle(ME, succeeded(job, ME, ttl_ms=ttl))
    assert bench.ttl("a") == left
    state = bench.state()
    # Nothing but a digest of its call, for a few seconds (test_enqueue.py).
    assert len(state.pop("spent", ())) == (ttl == 0)
    assert state == REST | ({"job:a": "succeeded 1+0", "ended:succeeded": ["a"]} if ttl else {})


def test_a_retry(bench: Bench, job: JobRecord) -> None:
    """B6: scheduled with its attempt charged and its history; the unique slot stays its own."""
    assert bench.settle(ME, retried(job, delay_ms=5_000)) == {}
    assert bench.state() == REST | {
        "job:a": "scheduled 1+0", "scheduled": ["a"], "unique:h": "a", "wake": ["1"],
    }  # fmt: skip
    record = bench.record("a")
    assert (record.history, record.worker, record.call) == (b"history", "0" * 8, b"call of a")
    assert record.at == bench.redis.zscore(bench.keys.scheduled, "a") and bench.ttl("a") == -1


def test_a_give_back(bench: Bench, job: JobRecord) -> None:
    """H3: to the head of its lane, nothing charged, and somebody is told."""
    bench.enqueue("b")
    assert bench.settle(ME, verbs.given_back(job, 1)) == {}
    assert bench.state() == REST | {
        "job:a": "queued", "job:b": "queued", "lane:default": ["a", "b"], "unique:h": "a", "wake": ["1"],
    }  # fmt: skip
    assert bench.record("a").worker == "0" * 8


# -- the fence ------------------------------------------------------------------------------------

VERDICTS = {
    "finish": lambda job, claim: succeeded(job, ME, claim),
    "retry": lambda job, claim: retried(job, claim),
    "give back": lambda job, claim: verbs.given_back(job, claim),
}


@pytest.fixture(params=list(VERDICTS))
def verdict(request: pytest.FixtureRequest) -> Any:
    return VERDICTS[request.param]


def test_another_claim_number_writes_nothing(bench: Bench, job: JobRecord, verdict: Any) -> None:
    """R3: the number tells a late settle from a later life of the same id on the same worker."""
    before = bench.state()
    assert bench.settle(ME, verdict(job, 2)) == {"a": "stale"}
    assert bench.state() == before


def test_another_worker_writes_nothing(bench: Bench, job: JobRecord, verdict: Any) -> None:
    """R3: nobody settles what another holds."""
    before = bench.state()
    assert bench.settle(OTHER, verdict(job, 1)) == {"a": "stale"}
    assert bench.settle("stranger", verdict(job, 1)) == {"a": "stale"}
    assert bench.state() == before


def test_a_reaped_worker_writes_nothing(bench: Bench, job: JobRecord, clock: Clock, verdict: Any) -> None:
    """R3: its jobs are somebody else's, whether they wait, run or have ended by now."""
    bench.redis.zadd(bench.keys.workers, {ME: 1})
    bench.claim(OTHER, 0)
    waiting = bench.state()
    assert bench.settle(ME, verdict(job, 1)) == {"a": "stale"}
    assert bench.state() == waiting
    second = bench.take(OTHER)["a"]
    running = bench.state()
    assert bench.settle(ME, verdict(job, 1)) == {"a": "stale"}
    assert bench.state() == running
    bench.settle(OTHER, ended(second, OTHER, JobStatus.FAILED))
    over = bench.state()
    assert bench.settle(ME, verdict(job, 1)) == {"a": "stale"}
    assert bench.state() == over


def test_a_repeat_of_a_finish_is_done_already(bench: Bench, job: JobRecord) -> None:
    """R3: a lost reply may be repeated; the second time changes nothing, not even a time."""
    first = succeeded(job, ME)
    assert bench.settle(ME, first) == {}
    before, raw = bench.state(), bench.redis.get(bench.keys.job("a"))
    assert bench.settle(ME, first) == {"a": "done"}
    assert (bench.state(), bench.redis.get(bench.keys.job("a"))) == (before, raw)


def test_a_repeat_of_a_retry_or_give_back_changes_nothing(bench: Bench, job: JobRecord) -> None:
    """R3: whatever the answer says, also when the job is running again under a later claim."""
    for number, verdict in enumerate((retried(job, 1, 0), verbs.given_back(job, 2)), 1):
        assert bench.settle(ME, verdict) == {}
        before = bench.state()
        assert list(bench.settle(ME, verdict)) == ["a"]
        assert bench.state() == before
        bench.take(ME, number=number + 1)
        running = bench.state()
        assert running["held:" + ME] == {"a": str(number + 1)}
        assert bench.settle(ME, verdict) == {"a": "stale"}
        assert bench.state() == running


def test_a_late_but_not_reaped_worker_may_settle(bench: Bench, job: JobRecord, clock: Clock) -> None:
    """R5: what it holds is its own until somebody takes it."""
    clock.advance(3 * LEASE)
    assert bench.settle(ME, succeeded(job, ME)) == {}


def test_a_batch_is_settled_one_by_one(bench: Bench, job: JobRecord) -> None:
    """R12: what is refused does not hold up the rest."""
    bench.enqueue("b", "c", "d")
    jobs = {**bench.take(ME, number=2), "a": job}
    refused = bench.settle(
        ME,
        succeeded(jobs["a"], ME, 1),
        succeeded(jobs["b"], ME, 1),
        retried(jobs["c"], 2),
        verbs.given_back(jobs["d"], 2),
    )
    assert refused == {"b": "stale"}
    assert [bench.status(id) for id in "abcd"] == ["succeeded", "running", "scheduled", "queued"]
    assert bench.state()["held:" + ME] == {"b": "2"}
    assert bench.settle(ME) == {}


def test_a_full_batch(bench: Bench) -> None:
    """R9: a chunk of the largest size fits into one script."""
    bench.register(ME)
    bench.enqueue(*(f"{n:03}" for n in range(CHUNK)))
    jobs = bench.take(ME, CHUNK)
    assert len(jobs) == CHUNK
    assert bench.settle(ME, *(succeeded(job, ME) for job in jobs.values())) == {}
    assert bench.redis.zcard(bench.keys.ended(JobStatus.SUCCEEDED)) == CHUNK
    assert not bench.redis.exists(bench.keys.held(ME))


# -- aborts ---------------------------------------------------------------------------------------


def test_a_job_marked_for_abort_is_not_retried(bench: Bench, job: JobRecord) -> None:
    """E5: aborted never retries: back to the lane, where the next claim hears of the mark."""
    assert bench.run(verbs.abort(bench.keys, "a", 60_000, b""))
    assert bench.settle(ME, retried(job, delay_ms=60_000)) == {}
    state = bench.state()
    assert (state["lane:default"], state["aborts"], "scheduled" in state) == (["a"], ["a"], False)
    assert bench.claim(OTHER).aborted == {"a"}


@pytest.mark.parametrize("status", ["succeeded", "aborted", "failed"])
def test_the_mark_goes_with_the_job(bench: Bench, job: JobRecord, status: str) -> None:
    """E5: whatever it ends as; one that finished in time keeps its result."""
    bench.run(verbs.abort(bench.keys, "a", 60_000, b""))
    bench.settle(ME, ended(job, ME, JobStatus(status)))
    assert bench.state() == REST | {"job:a": f"{status} 1+0", f"ended:{status}": ["a"]}


# -- what is listed -------------------------------------------------------------------------------


def finish(bench: Bench, ids: list[str], status: JobStatus, **limits: int) -> None:
    bench.enqueue(*ids)
    jobs = bench.take(ME, len(ids))
    bench.settle(ME, *(ended(jobs[id], ME, status) for id in ids), **limits)


def test_lists_of_ended_jobs_are_bounded_by_age(bench: Bench, clock: Clock) -> None:
    """F1: what is older than its TTL is not listed; its record has ended by itself."""
    bench.register(ME)
    finish(bench, ["a", "b"], JobStatus.SUCCEEDED)
    clock.advance(10_000)
    finish(bench, ["c"], JobStatus.SUCCEEDED, listed_ms=5_000)
    assert bench.state()["ended:succeeded"] == ["c"]


def test_the_dead_letters_are_bounded_by_count(bench: Bench, clock: Clock) -> None:
    """F1: beyond FAILED_MAX the oldest go, records included."""
    bench.register(ME)
    for id in "abcde":
        finish(bench, [id], JobStatus.FAILED, failed_most=3)
        clock.advance(5)
    assert bench.state()["ended:failed"] == ["c", "d", "e"]
    assert [bench.status(id) for id in "abc"] == ["not_found", "not_found", "failed"]


def test_without_an_age_nothing_is_forgotten(bench: Bench, clock: Clock) -> None:
    """A: 0 means no limit by age, for results that are kept for ever."""
    bench.register(ME)
    finish(bench, ["a"], JobStatus.SUCCEEDED)
    clock.advance(10**9)
    finish(bench, ["b"], JobStatus.SUCCEEDED, listed_ms=0)
    assert bench.state()["ended:succeeded"] == ["a", "b"]


# -- a full server --------------------------------------------------------------------------------


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Bench]:
    """A queue on a server of its own, because the test leaves it no memory."""
    with own_server(tmp_path) as url:
        bench = Bench(url, "small")
        yield bench
        bench.close()


def test_a_full_server_still_takes_verdicts(small: Bench) -> None:
    """R8: the first write of claim and settle is one that is never refused, so that it can be drained."""
    small.register(ME)
    small.enqueue("a", "b", "c")
    job = small.take(ME, 1)["a"]
    small.redis.config_set("maxmemory", "1")
    assert small.settle(ME, succeeded(job, ME)) == {}
    assert list(small.take(ME, 1, 2)) == ["b"]
    assert small.run(verbs.alone(small.keys, ME, "b", 2))
    assert not small.run(verbs.renew(small.keys, ME, LEASE, {"running": 1})).lost
    with pytest.raises(BrokerError, match=r"maxmemory|OOM"):
        small.enqueue("d")
    assert [small.status(id) for id in "abcd"] == ["succeeded", "running", "queued", "not_found"]
