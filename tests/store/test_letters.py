"""Dead letters and their groups: kept by settle, left by whoever takes a job out of them."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from ardiq.core.job import JobStatus
from ardiq.store import browsing, fsck, inspector, letters, newjobs, verbs
from ardiq.store.letters import FailureGroup
from tests.store.bench import Bench, Clock, broke, ended

ME = "worker-1"


def fail(bench: Bench, *ids: str, group: str = "0f", name: str = "shop.add", **more: Any) -> None:
    """Jobs that fail for good; ``more`` as of bench.broke, or limits of settle."""
    bench.register(ME)
    limits = {key: more.pop(key) for key in ("failed_ms", "failed_most") if key in more}
    jobs = [newjobs.new_job(id, "default", name, b"call of " + id.encode()) for id in ids]
    bench.run(verbs.enqueue(bench.keys, jobs))
    taken = bench.take(ME, 1_000)
    bench.settle(ME, *(broke(taken[id], ME, group, **more) for id in ids), **limits)


def groups(bench: Bench) -> dict[str, tuple[int, str]]:
    """fingerprint -> how many letters, the latest of them."""
    return {one.fingerprint: (one.count, one.job) for one in bench.run(letters.groups(bench.keys, 100))}


def drop_wake(bench: Bench) -> None:
    bench.redis.delete(bench.keys.wake)


def test_a_group_and_what_is_known_of_it(bench: Bench, clock: Clock) -> None:
    """F1: count, first and last time, type, place, tasks, and the latest message and job."""
    fail(bench, "a", message="card 1")
    begin = bench.record("a").at
    clock.advance(5_000)
    fail(bench, "b", message="card 2", name="shop.sub")
    fail(bench, "c", group="aa")
    found = {one.fingerprint: one for one in bench.run(letters.groups(bench.keys, 10))}
    assert set(found) == {"0f", "aa"}
    last = bench.record("b").at
    assert last - begin >= 5_000
    assert found["0f"] == FailureGroup(
        "0f", "ValueError", "shop/tasks.py:charge", 2, begin, last, ("shop.add", "shop.sub"), "b", "card 2"
    )
    clock.advance(5)
    fail(bench, "d")
    assert [one.fingerprint for one in bench.run(letters.groups(bench.keys, 1))] == ["0f"], "the latest first"
    assert bench.run(letters.fingerprints(bench.keys, ["a", "c", "none"])) == ["0f", "aa", ""]


@pytest.mark.parametrize("way", ["replay", "delete", "replace", "purge", "scheduled replay"])
def test_whoever_takes_a_job_away_takes_it_out_of_its_group(bench: Bench, way: str) -> None:
    """F1: in the same script; the last one takes the group with it."""
    fail(bench, "a", "b")
    replaced = [newjobs.new_job(id, "default", "shop.add", b"", replace=True) for id in "ab"]
    calls = {
        "replay": [letters.replay(bench.keys, [id]) for id in "ab"],
        "scheduled replay": [letters.replay(bench.keys, [id], first_ms=1e6) for id in "ab"],
        "delete": [letters.delete(bench.keys, [id]) for id in "ab"],
        "replace": [verbs.enqueue(bench.keys, [one]) for one in replaced],
    }
    if way == "purge":
        assert letters.drive(bench.store, letters.purge(bench.keys, ["ended:failed"])) == 2
    else:
        bench.run(calls[way][0])
        assert groups(bench) == {"0f": (1, "b")}
        bench.run(calls[way][1])
    assert not {"groups", "group:0f", "letters:0f", "fingerprints", "ended:failed"} & set(bench.state())


def test_trimmed_by_count(bench: Bench, clock: Clock) -> None:
    """F1: FAILED_MAX; the oldest go, out of their groups as well."""
    for id, group in (("a", "aa"), ("b", "0f"), ("c", "0f"), ("d", "0f")):
        fail(bench, id, group=group, failed_most=2)
        clock.advance(5)
    state = bench.state()
    assert (state["ended:failed"], state["letters:0f"], state["groups"]) == (["c", "d"],) * 2 + (["0f"],)
    assert set(state["fingerprints"]) == {"c", "d"} and "group:aa" not in state
    assert bench.status("b") == "not_found"


def test_trimmed_by_age(bench: Bench, clock: Clock) -> None:
    """F1: FAILED_TTL_MS; the record has expired by itself."""
    fail(bench, "a", group="aa", ttl_ms=1)
    clock.advance(10_000)
    fail(bench, "b", failed_ms=5_000)
    assert bench.state()["ended:failed"] == ["b"] and groups(bench) == {"0f": (1, "b")}


def test_not_stored_is_not_grouped(bench: Bench) -> None:
    """F1: FAILED_TTL_MS of 0 keeps no dead letters."""
    fail(bench, "a", ttl_ms=0)
    assert groups(bench) == {} and "fingerprints" not in bench.state()


def test_a_job_that_fails_in_another_way(bench: Bench) -> None:
    """F1: it is in the group of its last failure alone, also when its record expired unseen in between."""
    fail(bench, "a", "b")
    bench.redis.delete(bench.keys.job("a"))
    fail(bench, "a", group="aa")
    assert groups(bench) == {"aa": (1, "a"), "0f": (1, "b")}
    assert bench.state()["fingerprints"] == {"a": "aa", "b": "0f"}


def test_a_failure_without_a_fingerprint(bench: Bench) -> None:
    """F1, F3: as workers of the last release write it: a dead letter like any other, in no group."""
    bench.register(ME)
    bench.enqueue("old", unique="h")
    bench.settle(ME, ended(bench.take(ME)["old"], ME, JobStatus.FAILED))
    fail(bench, "new")
    assert groups(bench) == {"0f": (1, "new")}
    assert "unique:h" not in bench.state(), "its slot is free"
    assert bench.run(letters.latest(bench.keys, 0, 10)).looked == 2
    act = letters.replaying(bench.keys, None)
    assert letters.drive(bench.store, letters.every(act, bench.keys)) == 2


def test_a_unique_failure_frees_its_slot(bench: Bench) -> None:
    """C7, F1: the fingerprint travels behind the hash, and is not taken for a part of it."""
    bench.register(ME)
    bench.enqueue("a", unique="h")
    bench.settle(ME, broke(bench.take(ME)["a"], ME))
    assert "unique:h" not in bench.state() and groups(bench) == {"0f": (1, "a")}


@pytest.mark.parametrize("status", [JobStatus.ABORTED, JobStatus.EXPIRED])
def test_what_ends_otherwise_is_no_dead_letter(bench: Bench, status: JobStatus) -> None:
    """F1: aborts and expiries have no group."""
    bench.register(ME)
    bench.enqueue("a")
    bench.settle(ME, ended(bench.take(ME)["a"], ME, status))
    assert groups(bench) == {} and bench.run(letters.latest(bench.keys, 0, 10)).ids == ()


def test_what_others_left_behind_is_dropped_by_whoever_looks(bench: Bench) -> None:
    """F1: records that expired, or were replaced by a release that knows no groups."""
    fail(bench, *"abcdef")
    fail(bench, "x", group="aa")
    for id in "abx":
        bench.redis.delete(bench.keys.job(id))
    bench.redis.set(bench.keys.job("f"), bench.redis.get(bench.keys.job("c")).replace(b"F", b"S", 1))
    assert groups(bench) == {"0f": (3, "e")}
    assert bench.state()["ended:failed"] == ["a", "b", "c", "d", "e", "f", "x"]
    bench.redis.zrem(bench.keys.ended(JobStatus.FAILED), "f")
    found = letters.drive(bench.store, letters.found_groups(bench.keys, 10))
    assert [(one.count, one.job) for one in found] == [(3, "e")]
    assert bench.state()["ended:failed"] == ["c", "d", "e"], "tidied"
    assert set(bench.state()["fingerprints"]) == {"c", "d", "e"}
    bench.redis.delete(bench.keys.job("c"))
    assert bench.run(inspector.tidy(bench.keys)) == 1
    assert set(bench.state()["fingerprints"]) == {"d", "e"} == set(bench.state()["letters:0f"])


def test_the_check_finds_and_mends_a_group_that_is_wrong(bench: Bench) -> None:
    """R20: an id in a group that is no dead letter is told, and leaves it; not so what expired."""
    fail(bench, "a", "b", "expired")
    bench.redis.delete(bench.keys.job("expired"))
    bench.redis.delete(bench.keys.job("a"))
    bench.redis.zrem(bench.keys.ended(JobStatus.FAILED), "a")
    for repair, repaired in ((False, 0), (True, 1)):
        report = fsck.check(bench.store, bench.keys, repair=repair)
        assert [(one.kind, one.subject) for one in report.findings] == [("group", "a")]
        assert report.repaired == repaired
    assert fsck.check(bench.store, bench.keys).findings == []
    assert groups(bench) == {"0f": (1, "b")}


# -- many -----------------------------------------------------------------------------------------


def test_all_of_a_group_and_all_of_a_task(bench: Bench) -> None:
    """F1: no others; more than one page of them."""
    many = [f"m{n:04}" for n in range(700)]
    for at in range(0, 700, 100):
        fail(bench, *many[at : at + 100])
    fail(bench, "x", group="aa")
    fail(bench, "y", name="shop.sub")
    keys, store = bench.keys, bench.store
    calls = 0
    run_many = store.run_many

    def counted(given: Any) -> Any:
        nonlocal calls
        calls += 1
        return run_many(given)

    store.run_many = counted  # type: ignore[method-assign]
    told: list[tuple[int, int]] = []
    steps = letters.every(
        letters.replaying(keys, None), keys, group="0f", task="shop.add", told=lambda *one: told.append(one)
    )
    assert letters.drive(store, steps) == 700
    assert calls == 3, "one round trip for each page, and the first question"
    assert told[-1] == (700, 0)
    assert bench.lane() == many, "in the order in which they failed"
    assert groups(bench) == {"0f": (1, "y"), "aa": (1, "x")}
    assert letters.drive(store, letters.every(letters.deleting(keys), keys)) == 2
    assert bench.run(letters.latest(keys, 0, 10)).ids == ()


def test_a_limit_counts_what_was_done(bench: Bench) -> None:
    """F1: those that are refused do not use it up."""
    fail(bench, *"abcde")
    for id in "ab":
        bench.redis.set(bench.keys.job(id), bench.redis.get(bench.keys.job(id))[:40])
    act = letters.replaying(bench.keys, None)
    assert letters.drive(bench.store, letters.every(act, bench.keys, limit=2)) == 2
    assert bench.lane() == ["c", "d"]
    assert letters.drive(bench.store, letters.these(act, "abdee", limit=5)) == 1
    for id in "ab":
        bench.redis.delete(bench.keys.job(id))


def test_spread_over_time(bench: Bench) -> None:
    """F1: per_second of 4 schedules one every 250 ms, across pages; who is in line does not expire."""
    fail(bench, *(f"{n:03}" for n in range(520)))
    act = letters.replaying(bench.keys, 4)
    assert letters.drive(bench.store, letters.every(act, bench.keys)) == 520
    due = [score for _, score in bench.redis.zrange(bench.keys.scheduled, 0, -1, withscores=True)]
    assert bench.lane() == ["000"] and len(due) == 519
    steps = [int(later - sooner) for sooner, later in pairwise(due)]
    assert steps.count(250) >= 515 and 250 <= min(steps) <= max(steps) < 2_000, "between scripts a bit more"
    record = bench.record("001")
    assert record.status is JobStatus.SCHEDULED and record.flags & 4 and record.at == due[0]
    assert bench.record("000").flags == 0 and bench.redis.llen(bench.keys.wake) == 1


def test_what_fails_again_meanwhile_is_not_run_again_for_ever(bench: Bench) -> None:
    """F1: only what had failed when it began."""
    fail(bench, *(f"{n:04}" for n in range(600)))
    steps = letters.every(letters.deleting(bench.keys), bench.keys)
    answers = bench.store.run_many(next(steps))
    late = [f"late{n}" for n in range(10)]
    until_next_ms = answers[0].now
    while bench.run(letters.oldest(bench.keys, 0, None)).now <= until_next_ms:
        pass
    fail(bench, *late)
    try:
        while True:
            answers = bench.store.run_many(steps.send(answers))
    except StopIteration as end:
        assert end.value == 600
    assert set(bench.run(letters.latest(bench.keys, 0, 20)).ids) == set(late)


def test_only_dead_letters(bench: Bench) -> None:
    """F1: what waits, runs, or has ended otherwise is left alone by whatever is done to many."""
    fail(bench, "f")
    bench.enqueue("r", "s")
    taken = bench.take(ME)
    bench.settle(ME, ended(taken["s"], ME, JobStatus.SUCCEEDED))
    bench.enqueue("q")
    bench.enqueue("d", delay_ms=60_000)
    before = bench.state()
    for act in (letters.replaying(bench.keys, None), letters.deleting(bench.keys)):
        assert letters.drive(bench.store, letters.these(act, ["r", "s", "q", "d", "gone"])) == 0
        assert bench.state() == before
    assert letters.drive(bench.store, letters.these(act, ["r", "f"])) == 1


# -- purge ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", ["lane:default", "scheduled", "ended:succeeded"])
def test_a_purge_leaves_nothing_of_a_place_and_all_of_the_others(bench: Bench, place: str) -> None:
    """I: records, places and unique slots go, in bounded pieces."""
    bench.register(ME)
    ids = [f"s{n:03}" for n in range(600)]
    for at in (0, 300):
        bench.enqueue(*ids[at : at + 300])
    for _, job in bench.take(ME, 600).items():
        bench.settle(ME, ended(job, ME, JobStatus.SUCCEEDED))
    bench.enqueue(*(f"q{n:03}" for n in range(300)))
    bench.enqueue("qu", unique="h")
    bench.enqueue(*(f"d{n}" for n in range(7)), delay_ms=60_000)
    bench.enqueue("high", lane="high")
    drop_wake(bench)
    letter = {"lane:default": "q", "scheduled": "d", "ended:succeeded": "s"}[place]
    told: list[tuple[int, int]] = []
    steps = letters.purge(bench.keys, [place], lambda *one: told.append(one))
    expected = {"q": 301, "d": 7, "s": 600}[letter]
    assert letters.drive(bench.store, steps) == expected and told[-1] == (expected, 0)
    state = bench.state()
    jobs = {name[4] for name in state if name.startswith("job:")}
    assert jobs == {"q", "d", "s", "h"} - {letter} and place not in state
    assert ("unique:h" in state) == (letter != "q")


def test_a_purge_spares_what_is_elsewhere_by_now(bench: Bench) -> None:
    """I: a lane holds ids of jobs that run or were moved; the record decides."""
    bench.register(ME)
    bench.enqueue("r")
    bench.take(ME)
    bench.enqueue("high", lane="high")
    bench.redis.rpush(bench.keys.lane("default"), "r", "high", "gone")
    assert letters.drive(bench.store, letters.purge(bench.keys, ["lane:default"])) == 0
    assert (bench.status("r"), bench.status("high")) == ("running", "queued")


def test_somebody_who_waits_for_a_purged_job_is_told(bench: Bench) -> None:
    """I, E1: he does not wait out his timeout for a job that is not there any more."""
    bench.enqueue("a")
    bench.run(verbs.wait(bench.keys, "a", "c1"))
    letters.drive(bench.store, letters.purge(bench.keys, browsing.places([JobStatus.QUEUED], ["default"])))
    assert "waiters" not in bench.state()
