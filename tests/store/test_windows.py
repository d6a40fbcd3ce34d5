"""debounce and throttle in one script: what a repeat answers, and what is left behind."""

from __future__ import annotations

from typing import Any

import pytest

from ardiq.core.job import FLAG_STARTED, JobStatus
from ardiq.store import letters, verbs
from ardiq.store.newjobs import Debounce, Throttle
from ardiq.store.pushes import pushed, unfolded
from ardiq.store.scripts import script
from tests.store.bench import Bench, Clock, ended, retried
from tests.workers import until

ME, LATER = "worker-1", 60_000


def debounced(bench: Bench, id: str, most_ms: int = 0, delay_ms: int = LATER, **options: Any) -> Any:
    window = Debounce(b"over;\n\0" + id.encode(), most_ms)
    job = bench.new(id, delay_ms=delay_ms, unique="h", unique_until_start=True, window=window, **options)
    return verbs.enqueue(bench.keys, [job])


def throttled(bench: Bench, id: str, ms: int = LATER, **options: Any) -> Any:
    return verbs.enqueue(bench.keys, [bench.new(id, window=Throttle("h", ms), **options)])


def now(bench: Bench) -> int:
    seconds, micros = bench.redis.time()
    return int(seconds * 1_000 + micros // 1_000)


def test_a_repeat_of_a_superseded_call(bench: Bench) -> None:
    """C7, R10: its reply was lost, and a later call came before it was sent again: the later one stays."""
    first, last = debounced(bench, "a"), debounced(bench, "b")
    assert bench.run(first) == bench.run(last) == [True]
    after = bench.state()
    left = {"job:a": "aborted", "job:b": "scheduled", "scheduled": ["b"], "unique:h": "b"}
    assert after == left | {"wake": ["1"]}
    assert bench.run(first) == bench.run(last) == [True]
    assert bench.state() == after
    record = bench.record("a")
    assert (record.call, record.history, record.outcome) == (b"call of a", b"", b"over;\n\0b")
    assert LATER - 5_000 < bench.ttl("a") <= LATER and bench.ttl("b") == -1


def test_a_repeat_is_not_later(bench: Bench) -> None:
    """C7, R10: the second sending of one call does not put the job off."""
    call = debounced(bench, "a", most_ms=LATER)
    bench.run(call)
    at = bench.record("a").at
    series = bench.keys.prefix + "series:h"
    bench.redis.set(series, at - LATER - 1_000, px=LATER)
    bench.run(call)
    assert int(bench.redis.get(series)) == at - LATER - 1_000, "nor does its series begin anew"
    assert bench.record("a").at == at == bench.redis.zscore(bench.keys.scheduled, "a")


def test_a_call_that_comes_late_out_of_an_outbox(bench: Bench) -> None:
    """C7, D4: it was made before the one that waits, which stays; made after it, it wins."""
    bench.run(debounced(bench, "b"))

    def late(id: str, row: str, age_ms: int) -> Any:
        window = Debounce(b"over")
        job = bench.new(id, delay_ms=LATER, unique="h", unique_until_start=True, window=window)
        return bench.run(verbs.enqueue(bench.keys, [pushed(unfolded(job), row, age_ms)]))

    assert late("a", "01", 5_000) == ["b"]
    assert [bench.status(id) for id in "ab"] == ["not_found", "scheduled"]
    until(lambda: now(bench) > bench.record("b").enqueued)
    assert late("c", "02", 0) == [True]
    assert [bench.status(id) for id in "bc"] == ["aborted", "scheduled"]


def test_a_batch_leaves_one(bench: Bench) -> None:
    """C7, C9: of many in one script the last, and nothing of the others where a worker looks."""
    jobs = [
        bench.new(id, delay_ms=LATER, unique="h", unique_until_start=True, window=Debounce(b"over"))
        for id in "abc"
    ]
    assert bench.run(verbs.enqueue(bench.keys, jobs)) == [True] * 3
    assert bench.redis.zrange(bench.keys.scheduled, 0, -1) == [b"c"]
    assert [bench.status(id) for id in "abc"] == ["aborted", "aborted", "scheduled"]


def test_a_lane_that_holds_the_superseded_id(bench: Bench) -> None:
    """C7: out of a short lane at once; a claim never gives it."""
    bench.register(ME)
    bench.enqueue("a", unique="h")
    bench.enqueue("x")
    bench.run(verbs.wait(bench.keys, "a", "somebody"))
    assert bench.run(debounced(bench, "b")) == [True]
    assert bench.lane() == ["x"]
    assert not bench.redis.exists(bench.keys.waiters), "whoever waited for it was told"
    assert list(bench.take(ME)) == ["x"]


@pytest.mark.parametrize("state", ["running", "retry", "not started", "stopped"])
def test_one_that_is_under_way(bench: Bench, state: str) -> None:
    """C7: of a plain unique job: only one that has never run is superseded."""
    bench.register(ME)
    bench.enqueue("a", unique="h")
    job = bench.take(ME)["a"]
    if state == "retry":
        bench.settle(ME, retried(job))
    elif state != "running":
        job.flags |= FLAG_STARTED if state == "stopped" else 0
        bench.settle(ME, verbs.given_back(job, 1))
    before = bench.status("a")
    bench.run(debounced(bench, "b"))
    assert bench.status("a") == ("aborted" if state == "not started" else before)
    assert bench.redis.get(bench.keys.unique("h")) == b"b"


def test_a_series(bench: Bench) -> None:
    """C7: its start is kept while it may go on, and a new one begins with a new start."""
    key = bench.keys.prefix + "series:h"
    bench.run(debounced(bench, "a", LATER))
    start = int(bench.redis.get(key))
    assert start == bench.record("a").enqueued and 0 < bench.redis.pttl(key) <= LATER
    bench.redis.set(key, start - 1_000, px=LATER)  # as if a second had passed
    bench.run(debounced(bench, "b", LATER))
    assert bench.record("b").at == start - 1_000 + LATER
    bench.register(ME)
    bench.run(verbs.abort(bench.keys, "b", LATER, b""))
    bench.run(debounced(bench, "c", LATER))
    assert int(bench.redis.get(key)) == bench.record("c").enqueued


def test_the_end_of_a_series(bench: Bench) -> None:
    """C7: a job that is due is left alone, one that somebody has put off is not."""
    key = bench.keys.prefix + "series:h"
    bench.run(debounced(bench, "a", LATER, delay_ms=1))
    bench.redis.delete(key)
    until(lambda: now(bench) > bench.record("a").at)
    bench.run(debounced(bench, "b", LATER))
    assert [bench.status(id) for id in "ab"] == ["scheduled", "scheduled"]
    bench.redis.delete(key)
    bench.run(debounced(bench, "c", LATER))
    assert [bench.status(id) for id in "bc"] == ["aborted", "scheduled"]


def test_a_repeat_of_a_throttled_call(bench: Bench) -> None:
    """C7, R10: the same answer, and the window is not prolonged."""
    first, second = throttled(bench, "a"), throttled(bench, "b")
    key = bench.keys.prefix + "throttle:h"
    assert [bench.run(first), bench.run(second)] == [[True], ["a"]]
    bench.redis.pexpire(key, 5_000)
    assert [bench.run(first), bench.run(second)] == [[True], ["a"]]
    assert bench.redis.pttl(key) <= 5_000
    window = {"throttle:h": "a", "throttle:id:a": "h"}
    assert bench.state() == {"job:a": "queued", "lane:default": ["a"], "wake": ["1"]} | window


@pytest.mark.parametrize("status", ["aborted", "expired", "succeeded", "failed"])
def test_a_window_after_its_first_job(bench: Bench, status: str) -> None:
    """C7: free again only after one that did nothing."""
    bench.run(throttled(bench, "a"))
    raw = bench.redis.get(bench.keys.job("a"))
    letter = {"aborted": b"A", "expired": b"X", "succeeded": b"S", "failed": b"F"}[status]
    bench.redis.delete(bench.keys.lane("default"))
    bench.redis.set(bench.keys.job("a"), letter + raw[1:], px=LATER)
    free = status in ("aborted", "expired")
    assert bench.run(throttled(bench, "b")) == [True if free else "a"]


@pytest.mark.parametrize("how", ["given back", "unheard"])
def test_a_slot_until_the_start(bench: Bench, how: str) -> None:
    """C7: one that goes back before it has begun is found by calls again, unless another has its slot."""
    bench.register(ME)
    slot = bench.keys.unique("h")

    def there_and_back(number: int, between: str = "") -> None:
        job = bench.take(ME, number=number)["a"]
        assert bench.redis.get(slot) is None
        if between:
            bench.enqueue(between, unique="h", unique_until_start=True)
        if how == "given back":
            bench.settle(ME, verbs.given_back(job, number))
        else:
            bench.run(verbs.reconcile(bench.keys, ME, [], number))

    bench.enqueue("a", unique="h", unique_until_start=True)
    there_and_back(1)
    assert bench.enqueue("b", unique="h") == ["a"]
    there_and_back(2, between="c")
    assert (bench.redis.get(slot), bench.enqueue("b", unique="h")) == (b"c", ["c"])
    assert bench.lane() == ["a", "c"]


@pytest.mark.parametrize("how", ["given back", "unheard"])
def test_a_slot_of_limited_time(bench: Bench, how: str) -> None:
    """C7: whichever way a job comes back that has not begun, its slot ends when it was to end."""
    bench.register(ME)
    bench.enqueue("a", unique="h", unique_until_start=True, unique_ttl_ms=LATER)
    job = bench.take(ME)["a"]
    if how == "given back":
        bench.settle(ME, verbs.given_back(job, 1))
    else:
        bench.run(verbs.reconcile(bench.keys, ME, [], 1))
    assert bench.redis.get(bench.keys.unique("h")) == b"a"
    assert 0 < bench.redis.pttl(bench.keys.unique("h")) <= LATER


def test_a_slot_that_a_start_has_freed(bench: Bench) -> None:
    """C7: it stays free, whoever hands the job back afterwards."""
    bench.register(ME)
    bench.enqueue("a", unique="h", unique_until_start=True)
    job = bench.take(ME)["a"]
    job.flags |= FLAG_STARTED
    bench.settle(ME, verbs.given_back(job, 1))
    assert not bench.redis.exists(bench.keys.unique("h"))


def test_a_debounced_job_that_is_parked(bench: Bench) -> None:
    """C7, F3: it has its slot again, and a later call takes its place."""
    bench.register(ME)
    bench.enqueue("a", unique="h", unique_until_start=True)
    bench.settle(ME, verbs.parked(bench.take(ME)["a"], 1, 60_000, b""))
    assert bench.redis.get(bench.keys.unique("h")) == b"a"
    later = bench.new("b", delay_ms=LATER, unique="h", unique_until_start=True, window=Debounce(b"over"))
    assert bench.run(verbs.enqueue(bench.keys, [later])) == [True]
    assert (bench.status("a"), bench.status("b")) == ("aborted", "scheduled")
    assert bench.state()["scheduled"] == ["b"]


def test_a_parked_job_leaves_a_slot_that_is_taken(bench: Bench) -> None:
    """C7: a call that came while it was claimed holds the slot now; one that has started wants none."""
    bench.register(ME)
    bench.enqueue("a", unique="h", unique_until_start=True)
    job = bench.take(ME)["a"]
    bench.enqueue("b", unique="h", unique_until_start=True)
    bench.settle(ME, verbs.parked(job, 1, 60_000, b""))
    assert bench.redis.get(bench.keys.unique("h")) == b"b"
    job = bench.take(ME, number=2)["b"]
    job.flags |= FLAG_STARTED
    bench.settle(ME, verbs.parked(job, 2, 60_000, b""))
    assert not bench.redis.exists(bench.keys.unique("h"))


REMOVALS = {
    "deleted": lambda bench: letters.delete(bench.keys, ["a"]),
    "purged": lambda bench: script("purge").call(bench.keys.prefix, ["lane:default", 9, ""], list),
    "scheduled and purged": lambda bench: script("purge").call(bench.keys.prefix, ["scheduled", 9, ""], list),
    "aborted": lambda bench: verbs.abort(bench.keys, "a", 0, b"over"),
}


@pytest.mark.parametrize("how", REMOVALS)
def test_one_that_is_removed_before_it_runs(bench: Bench, how: str) -> None:
    """C7: the window opens, or later calls would be swallowed and nothing would ever run."""
    bench.run(throttled(bench, "a", delay_ms=LATER if "scheduled" in how else 0))
    bench.run(verbs.enqueue(bench.keys, [bench.new("other", lane="low", window=Throttle("g", LATER))]))
    assert bench.run(throttled(bench, "b")) == ["a"]
    bench.run(REMOVALS[how](bench))
    assert bench.run(throttled(bench, "b")) == [True] and bench.run(throttled(bench, "c")) == ["b"]
    assert bench.redis.get(bench.keys.prefix + "throttle:g") == b"other"
    assert "throttle:id:a" not in bench.state()


@pytest.mark.parametrize(("status", "holds"), [("succeeded", True), ("expired", False), ("aborted", False)])
def test_one_whose_result_is_not_kept(bench: Bench, status: str, holds: bool) -> None:
    """C7: of one that has run the window holds; one that a worker found expired or aborted opens it."""
    bench.register(ME)
    bench.run(throttled(bench, "a"))
    bench.settle(ME, ended(bench.take(ME)["a"], ME, JobStatus(status), ttl_ms=0))
    assert not bench.redis.exists(bench.keys.job("a"))
    assert bench.run(throttled(bench, "b")) == (["a"] if holds else [True])


@pytest.mark.parametrize("batch", [1, 2])
def test_a_throttled_id_that_left_nothing(bench: Bench, batch: int) -> None:
    """C7: a call under the id of the first, which has run and whose result is not kept, makes no second."""
    bench.register(ME)
    assert bench.run(throttled(bench, "a")) == [True]
    bench.settle(ME, ended(bench.take(ME)["a"], ME, JobStatus.SUCCEEDED, ttl_ms=0))
    again = [bench.new("a", call=b"another", window=Throttle("h", LATER)) for _ in range(batch)]
    assert bench.run(verbs.enqueue(bench.keys, again)) == ["a"] * batch
    assert bench.run(verbs.enqueue(bench.keys, again, "1 default high")) == ["a"] * batch
    assert bench.lane() == []


def test_a_slot_with_an_end_that_is_held_again(bench: Bench, clock: Clock) -> None:
    """C7: given back before it began, the job has its slot again for the rest of the time, and no longer."""
    bench.register(ME)
    slot = bench.keys.unique("h")
    bench.enqueue("a", unique="h", unique_until_start=True, unique_ttl_ms=60_000)
    for number in (1, 2):
        job = bench.take(ME, number=number)["a"]
        assert not bench.redis.exists(slot)
        bench.settle(ME, verbs.given_back(job, number))
        assert 50_000 < bench.redis.pttl(slot) <= 60_000
    job = bench.take(ME, number=3)["a"]
    clock.advance(61_000)
    bench.settle(ME, verbs.given_back(job, 3))
    assert not bench.redis.exists(slot), "its time is over"
    assert "unique:end:a" not in bench.state()
    bench.settle(ME, verbs.given_back(bench.take(ME, number=4)["a"], 4))
    assert not bench.redis.exists(slot), "and stays so"


@pytest.mark.parametrize("how", ["given back", "unheard"])
def test_a_slot_whose_end_came_before_the_claim(bench: Bench, clock: Clock, how: str) -> None:
    """C7: it is not held again without an end, whichever way the job comes back."""
    bench.register(ME, lease_ms=3 * LATER)
    bench.enqueue("a", unique="h", unique_until_start=True, unique_ttl_ms=1_000)
    bench.redis.delete(bench.keys.unique("h"))  # as its end does
    job = bench.take(ME)["a"]
    if how == "given back":
        bench.settle(ME, verbs.given_back(job, 1))
    else:
        bench.run(verbs.reconcile(bench.keys, ME, [], 1))
    assert not bench.redis.exists(bench.keys.unique("h"))


def test_a_batch_of_debounced_calls_is_bounded(bench: Bench) -> None:
    """R9: of jobs that wait in a lane only few are searched for; the claim skips the others."""
    bench.register(ME)
    for n in range(100):
        bench.enqueue(f"old{n}", unique=f"h{n}", unique_until_start=True)
    window = Debounce(b"over")
    new = [
        bench.new(f"new{n}", delay_ms=1, unique=f"h{n}", unique_until_start=True, window=window)
        for n in range(100)
    ]
    assert bench.run(verbs.enqueue(bench.keys, new)) == [True] * 100
    assert len(bench.lane()) == 80
    until(lambda: len(bench.take(ME, 500)) == 0 and not bench.redis.zcard(bench.keys.scheduled))
    held = bench.redis.hkeys(bench.keys.held(ME))
    assert {id.decode() for id in held} == {f"new{n}" for n in range(100)}
