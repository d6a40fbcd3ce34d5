"""enqueue: the id, the unique slot and the place in a lane are taken together or not at all."""

from __future__ import annotations

import time
from typing import Any

import pytest

from ardiq.core.job import JobStatus, tail_start
from ardiq.store import newjobs, verbs
from tests.store.bench import Bench, Clock, State, ended, succeeded

QUEUED: State = {"job:a": "queued", "lane:default": ["a"], "wake": ["1"]}
SCHEDULED: State = {"job:a": "scheduled", "scheduled": ["a"], "wake": ["1"]}


@pytest.mark.parametrize(
    ("options", "after"),
    [
        ({}, QUEUED),
        ({"lane": "high"}, {"job:a": "queued", "lane:high": ["a"], "wake": ["1"]}),
        ({"delay_ms": 60_000}, SCHEDULED),
        ({"schedule_ms": 4_000_000_000_000}, SCHEDULED),
        ({"schedule_ms": 1_000}, QUEUED),
        ({"unique": "h"}, QUEUED | {"unique:h": "a"}),
        ({"unique": "h", "delay_ms": 60_000}, SCHEDULED | {"unique:h": "a"}),
        ({"replace": True}, QUEUED),
    ],
    ids=str,
)
def test_a_new_job(bench: Bench, options: dict[str, Any], after: State) -> None:
    """C1, C4: ready at once or scheduled; a time in the past is ready at once."""
    assert bench.enqueue("a", **options) == [True]
    assert bench.state() == after


def test_what_is_stored(bench: Bench) -> None:
    """E4: the record holds the call, the texts and the time of the server."""
    before = time.time() * 1000 - 1_000
    bench.enqueue("a", lane="high", unique="h", unique_until_start=True)
    record = bench.record("a")
    assert (record.lane, record.name, record.unique, record.call) == ("high", "shop.add", "h", b"call of a")
    assert (record.flags, record.attempts, record.crashes, record.history, record.outcome) == (
        3,
        0,
        0,
        b"",
        b"",
    )
    assert before < record.enqueued == record.at < before + 20_000
    assert bench.ttl("a") == -1


@pytest.mark.parametrize("options", [{"delay_ms": 60_000}, {"schedule_ms": 4_000_000_000_000}])
def test_when_it_is_due(bench: Bench, options: dict[str, int]) -> None:
    """C3: a delay is reckoned by the clock of the server, a schedule is what the caller said."""
    bench.enqueue("a", **options)
    record = bench.record("a")
    due = options.get("schedule_ms") or record.enqueued + 60_000
    assert record.at == due == bench.redis.zscore(bench.keys.scheduled, "a")


@pytest.mark.parametrize("times", [1, 2, 5])
def test_the_same_call_may_be_sent_again(bench: Bench, times: int) -> None:
    """C13, R10: a caller that lost the reply hears the same answer, and there is one job."""
    call = verbs.enqueue(
        bench.keys, [bench.new("a"), bench.new("b", delay_ms=60_000), bench.new("c", unique="h")]
    )
    for _ in range(times):
        assert bench.run(call) == [True, True, True]
    assert bench.state() == {
        "job:a": "queued", "job:b": "scheduled", "job:c": "queued", "unique:h": "c",
        "lane:default": ["a", "c"], "scheduled": ["b"], "wake": ["1"],
    }  # fmt: skip


def test_the_same_call_again_while_the_job_runs(bench: Bench) -> None:
    """R10: also when a worker was quicker than the repeat."""
    call = verbs.enqueue(bench.keys, [bench.new("a")])
    bench.run(call)
    bench.register("worker-1")
    bench.take("worker-1")
    assert bench.run(call) == [True]
    assert (bench.status("a"), bench.lane()) == ("running", [])


OF_ONE_TASK: list[dict[str, Any]] = [
    {"fresh": True},
    {"fresh": True, "subject": "ab", "subject_ttl_ms": 1_000},
]
OF_MANY: list[dict[str, Any]] = [{"unique": "h", "fresh": True}, {"lane": "high", "fresh": True}]


@pytest.mark.parametrize("limit", ["", "1 default"])
@pytest.mark.parametrize("options", [OF_ONE_TASK, OF_MANY], ids=["plain", "with options"])
def test_the_same_call_after_its_job_left_nothing(
    bench: Bench, options: list[dict[str, Any]], limit: str
) -> None:
    """R10: a task that keeps no result may have run before its call comes again; a later call of the same id
    is another call, and the time in which the first one is known is short."""
    news = [bench.new(id, **kind) for id, kind in zip("ab", options, strict=True)]
    call = verbs.enqueue(bench.keys, news, limit)
    bench.register("worker-1")
    assert bench.run(verbs.enqueue(bench.keys, news)) == [True, True]
    jobs = bench.take("worker-1")
    bench.settle("worker-1", *(succeeded(job, "worker-1", ttl_ms=0) for job in jobs.values()))
    bench.enqueue("c")  # for the limit
    before = bench.state()
    assert bench.run(call) == [True, True]
    assert bench.state() == before
    assert bench.enqueue("a", call=b"another") == [True]
    assert 0 < bench.redis.pttl(f"{bench.keys.prefix}spent") <= 10_000


def test_the_same_call_after_its_job_was_aborted(bench: Bench) -> None:
    """R10: the end of a waiting job that leaves nothing is known as well."""
    call = verbs.enqueue(bench.keys, [bench.new("a", fresh=True)])
    bench.run(call)
    assert bench.run(verbs.abort(bench.keys, "a", 0, b"aborted"))
    assert bench.run(call) == [True]
    assert bench.status("a") == "not_found"


def test_the_next_call_under_an_id_of_its_own(bench: Bench) -> None:
    """C6: an id of the caller's whose job has ended and left nothing is free at once: the same call under it
    asks for the next run."""
    bench.register("worker-1")
    for _ in range(2):
        assert bench.enqueue("sync:42") == [True]
        job = bench.take("worker-1")["sync:42"]
        bench.settle("worker-1", succeeded(job, "worker-1", ttl_ms=0))


def test_a_call_is_known_for_some_seconds(bench: Bench, clock: Clock) -> None:
    """R10: as long as its caller may repeat it, and no longer: what ends later pushes it out."""
    bench.register("worker-1")
    for id in "ab":
        bench.enqueue(id)
        bench.settle("worker-1", succeeded(bench.take("worker-1")[id], "worker-1", ttl_ms=0))
        assert bench.redis.zcard(f"{bench.keys.prefix}spent") == 1
        clock.advance(10_001)


@pytest.mark.parametrize("state", ["queued", "scheduled", "running", "succeeded", "failed"])
@pytest.mark.parametrize("replace", [False, True])
def test_another_call_of_the_same_id(bench: Bench, state: str, replace: bool) -> None:
    """C6: never a second job while it lives or is kept; replace= starts a new life of an ended one."""
    bench.register("worker-1")
    bench.enqueue("a", delay_ms=60_000 if state == "scheduled" else 0)
    if state not in ("queued", "scheduled"):
        job = bench.take("worker-1")["a"]
        if state != "running":
            bench.settle("worker-1", ended(job, "worker-1", JobStatus(state)))
    before = bench.state()
    fresh = replace and state in ("succeeded", "failed")
    assert bench.enqueue("a", call=b"another", replace=replace) == [fresh]
    if not fresh:
        assert bench.state() == before
        return
    assert bench.state() == {"job:a": "queued", "lane:default": ["a"], "wake": ["1"], "workers": ["worker-1"]}
    record = bench.record("a")
    assert (record.call, record.outcome, record.attempts, bench.ttl("a")) == (b"another", b"", 0, -1)


def test_an_id_is_free_again_when_its_record_is_gone(bench: Bench) -> None:
    """C6: only while the result is kept."""
    bench.register("worker-1")
    bench.enqueue("a")
    bench.settle("worker-1", succeeded(bench.take("worker-1")["a"], "worker-1", ttl_ms=0))
    assert bench.status("a") == "not_found"
    assert bench.enqueue("a", call=b"another") == [True]


def test_a_batch_answers_for_each(bench: Bench) -> None:
    """C9: in order, with duplicates inside the batch collapsed."""
    bench.enqueue("b")
    batch = [
        bench.new("a"),
        bench.new("b", call=b"x"),
        bench.new("c"),
        bench.new("c"),
        bench.new("c", call=b"x"),
    ]
    assert bench.run(verbs.enqueue(bench.keys, batch)) == [True, False, True, True, False]
    assert bench.lane() == ["b", "a", "c"]


def test_plain_jobs_take_one_command(bench: Bench) -> None:
    """C9, R10: what almost all are: no options. Repeated, and beside one that is there already."""
    start = tail_start("high", "shop.add")
    jobs = [newjobs.plain_job(id, "high", start, b"call of " + id.encode()) for id in "abc"]
    call = verbs.enqueue(bench.keys, jobs[:2])
    assert [bench.run(call), bench.run(call)] == [[True, True], [True, True]]
    assert bench.run(verbs.enqueue(bench.keys, jobs)) == [True, True, True]
    assert bench.lane("high") == ["a", "b", "c"]
    record = bench.record("c")
    assert (record.lane, record.name, record.unique, record.call) == ("high", "shop.add", "", b"call of c")
    assert record.flags == 0


def test_a_full_batch(bench: Bench) -> None:
    """R9: a chunk of the largest size fits into one script, over lanes and due times."""
    ids = [f"{n:04}" for n in range(verbs.CHUNK)]
    jobs = [bench.new(id, lane=("low", "high")[n % 2], delay_ms=(n % 5) * 60_000) for n, id in enumerate(ids)]
    assert bench.run(verbs.enqueue(bench.keys, jobs)) == [True] * verbs.CHUNK
    ready = [(id, n) for n, id in enumerate(ids) if n % 5 == 0]
    assert bench.lane("low") == [id for id, n in ready if n % 2 == 0]
    assert bench.lane("high") == [id for id, n in ready if n % 2 == 1]
    assert bench.redis.zcard(bench.keys.scheduled) == verbs.CHUNK * 4 // 5


@pytest.mark.parametrize("state", ["queued", "scheduled", "running"])
def test_a_unique_slot_is_held_while_its_job_lives(bench: Bench, state: str) -> None:
    """C7: the answer is the id of the job that holds it, and nothing is stored."""
    bench.register("worker-1")
    bench.enqueue("a", unique="h", delay_ms=60_000 if state == "scheduled" else 0)
    if state == "running":
        bench.take("worker-1")
    before = bench.state()
    assert bench.enqueue("b", unique="h") == ["a"]
    assert bench.state() == before
    assert bench.enqueue("c", unique="other") == [True]


def test_a_unique_slot_is_free_when_its_job_has_ended(bench: Bench) -> None:
    """C7: also for a holder whose record is gone without a word."""
    bench.register("worker-1")
    bench.enqueue("a", unique="h")
    bench.settle("worker-1", succeeded(bench.take("worker-1")["a"], "worker-1"))
    assert bench.enqueue("b", unique="h") == [True]
    bench.redis.set(bench.keys.unique("stale"), "gone")
    assert bench.enqueue("c", unique="stale") == [True]
    assert bench.redis.get(bench.keys.unique("stale")) == b"c"


def test_a_unique_slot_that_ends_at_the_start(bench: Bench) -> None:
    """C7: unique_until="start" frees the slot at the claim, and only its own."""
    bench.register("worker-1")
    bench.enqueue("a", unique="h", unique_until_start=True)
    bench.take("worker-1")
    assert bench.enqueue("b", unique="h", unique_until_start=True) == [True]


def test_a_unique_slot_with_a_ttl(bench: Bench) -> None:
    """C7: unique_ttl_ms bounds how long it is held."""
    bench.enqueue("a", unique="h", unique_ttl_ms=30_000)
    assert 0 < bench.redis.pttl(bench.keys.unique("h")) <= 30_000
    bench.redis.delete(bench.keys.unique("h"))
    assert bench.enqueue("b", unique="h") == [True]


def test_a_repeat_after_its_slot_went_to_another(bench: Bench) -> None:
    """R10: an id that exists is answered for as the call that made it, never stored twice."""
    call = verbs.enqueue(bench.keys, [bench.new("a", unique="h", unique_until_start=True)])
    bench.run(call)
    bench.register("worker-1")
    bench.take("worker-1")
    bench.enqueue("b", unique="h", unique_until_start=True)
    assert bench.run(call) in ([True], ["b"])
    assert bench.state()["unique:h"] == "b"
    assert bench.lane() == ["b"]


def test_only_an_earlier_due_time_wakes_a_worker(bench: Bench, clock: Clock) -> None:
    """R15: a sleeping worker knows the next due time; it hears of an earlier one and of no later one."""
    bench.enqueue("a", delay_ms=60_000)
    bench.redis.delete(bench.keys.wake)
    clock.advance(5)
    bench.enqueue("b", delay_ms=90_000)
    assert "wake" not in bench.state()
    bench.enqueue("c", delay_ms=30_000)
    assert bench.state()["wake"] == ["1"]


def test_one_token_at_most(bench: Bench) -> None:
    """R15: the token says look, it does not count jobs."""
    for n in range(5):
        bench.enqueue(f"a{n}")
    assert bench.state()["wake"] == ["1"]
