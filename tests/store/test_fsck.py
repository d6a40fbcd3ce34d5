"""R20: whatever is damaged is found by the check and by the referee of the tests, repaired, and then gone."""

from __future__ import annotations

import inspect
import itertools
import threading
from collections.abc import Callable, Iterator

import pytest

from ardiq.core.job import JobStatus
from ardiq.store import fsck, keys, verbs
from ardiq.store.findings import LISTED, TEXTS, Ids
from ardiq.store.fsck import Report
from ardiq.store.keys import Keys
from ardiq.store.scripts import Call, script
from tests.keyspace import faults, table
from tests.store.bench import Bench, ended, succeeded

W1, W2, GHOST = "1" * 32, "2" * 32, "9" * 32
Damage = Callable[[Bench], None]


def look(bench: Bench, *, repair: bool = False, **options: object) -> Report:
    return fsck.check(bench.store, bench.keys, repair=repair, **options)  # type: ignore[arg-type]


def kinds(report: Report) -> list[tuple[str, str]]:
    return sorted((finding.kind, finding.subject) for finding in report.findings)


@pytest.fixture
def busy(bench: Bench) -> Bench:
    """Three jobs in each state, two workers, results with and without waiters."""
    bench.register(W1, W2)
    for name in ("r", "s", "e"):
        bench.enqueue(*(f"{name}{n}" for n in range(3)), lane="high")
    bench.claim(W1, 3)
    bench.claim(W2, 3)
    ended = bench.take(W2, 3, number=2)
    bench.run(verbs.wait(bench.keys, "e0", "client"))
    bench.settle(W2, *(succeeded(job, W2, claim=2) for job in ended.values()))
    bench.enqueue(*(f"q{n}" for n in range(3)))
    bench.enqueue("u", unique="slot")
    bench.enqueue(*(f"d{n}" for n in range(3)), delay_ms=600_000)
    bench.run(verbs.wait(bench.keys, "q0", "client"))
    bench.run(verbs.abort(bench.keys, "r0", 1_000, b"out"))
    return bench


def out_of_its_lane(bench: Bench) -> None:
    bench.redis.lrem(bench.keys.lane("default"), 0, "q1")


def in_the_lane_twice(bench: Bench) -> None:
    bench.redis.rpush(bench.keys.lane("default"), "q1")


def without_a_due_time(bench: Bench) -> None:
    bench.redis.zrem(bench.keys.scheduled, "d1")


def held_by_nobody(bench: Bench) -> None:
    bench.redis.hdel(bench.keys.held(W1), "r1")


def queued_and_scheduled(bench: Bench) -> None:
    bench.redis.zadd(bench.keys.scheduled, {"q1": 5})


def running_and_scheduled(bench: Bench) -> None:
    bench.redis.zadd(bench.keys.scheduled, {"r1": 5})


def held_by_two(bench: Bench) -> None:
    bench.redis.hset(bench.keys.held(W2), "r1", 7)


def held_while_queued(bench: Bench) -> None:
    bench.redis.hset(bench.keys.held(W2), "q1", 7)


def ended_and_scheduled(bench: Bench) -> None:
    bench.redis.zadd(bench.keys.scheduled, {"e1": 5})


def ended_and_held(bench: Bench) -> None:
    bench.redis.hset(bench.keys.held(W1), "e1", 7)


def alive_with_a_ttl(bench: Bench) -> None:
    for id in ("q1", "d1", "r1"):
        bench.redis.expire(bench.keys.job(id), 600)


def an_unregistered_worker(bench: Bench) -> None:
    bench.redis.zrem(bench.keys.workers, W1)


def a_worker_that_never_was(bench: Bench) -> None:
    bench.redis.hset(bench.keys.held(GHOST), mapping={"q1": 3, "nothing": 4})


def scheduled_without_a_record(bench: Bench) -> None:
    bench.redis.zadd(bench.keys.scheduled, {"nothing": 5})


def held_without_a_record(bench: Bench) -> None:
    bench.redis.hset(bench.keys.held(W1), "nothing", 5)


def a_slot_of_nobody(bench: Bench) -> None:
    bench.redis.set(bench.keys.unique("left"), "nothing")


def a_slot_of_an_ended_job(bench: Bench) -> None:
    bench.redis.set(bench.keys.unique("left"), "e1")


def a_slot_of_another(bench: Bench) -> None:
    bench.redis.set(bench.keys.unique("left"), "u")


def waiters_of_an_ended_job(bench: Bench) -> None:
    bench.redis.hset(bench.keys.waiters, "e1", "client")


def waiters_of_nothing(bench: Bench) -> None:
    bench.redis.hset(bench.keys.waiters, "nothing", "client")


def a_mark_on_an_ended_job(bench: Bench) -> None:
    bench.redis.zadd(bench.keys.aborts, {"e1": 5})


def a_mark_on_nothing(bench: Bench) -> None:
    bench.redis.zadd(bench.keys.aborts, {"nothing": 5})


# what is done to the queue -> what the check calls it, and whether the referee looks at such things
PLANTED: dict[Damage, tuple[list[tuple[str, str]], bool]] = {
    out_of_its_lane: ([("lost", "q1")], True),
    in_the_lane_twice: ([("twice", "q1")], True),
    without_a_due_time: ([("lost", "d1")], True),
    held_by_nobody: ([("lost", "r1")], True),
    queued_and_scheduled: ([("twice", "q1")], True),
    running_and_scheduled: ([("twice", "r1")], True),
    held_by_two: ([("twice", "r1")], True),
    held_while_queued: ([("twice", "q1")], True),
    ended_and_scheduled: ([("ended", "e1")], True),
    ended_and_held: ([("ended", "e1")], True),
    alive_with_a_ttl: ([("ttl", "d1"), ("ttl", "q1"), ("ttl", "r1")], True),
    an_unregistered_worker: ([("orphan", W1)], True),
    a_worker_that_never_was: ([("orphan", GHOST), ("stray", "nothing"), ("twice", "q1")], True),
    scheduled_without_a_record: ([("stray", "nothing")], False),
    held_without_a_record: ([("stray", "nothing")], False),
    a_slot_of_nobody: ([("slot", "left")], False),
    a_slot_of_an_ended_job: ([("slot", "left")], False),
    a_slot_of_another: ([("slot", "left")], False),
    waiters_of_an_ended_job: ([("waiter", "e1")], False),
    waiters_of_nothing: ([("waiter", "nothing")], False),
    a_mark_on_an_ended_job: ([("abort", "e1")], False),
    a_mark_on_nothing: ([("abort", "nothing")], False),
}


def test_a_queue_in_order(busy: Bench) -> None:
    """R20: both find nothing, every job was looked at, and a look changes nothing."""
    before = busy.state()
    assert faults(busy.redis, busy.keys.queue) == []
    for repair in (False, True):
        report = look(busy, repair=repair)
        assert (kinds(report), report.notes, report.looked_at) == ([], [], 16)
    assert busy.state() == before


@pytest.mark.parametrize("damage", PLANTED, ids=lambda damage: damage.__name__)
def test_damage(busy: Bench, damage: Damage) -> None:
    """R20: found by both, told again until somebody repairs it, then found by neither; and all jobs run."""
    wanted, refereed = PLANTED[damage]
    damage(busy)
    assert bool(faults(busy.redis, busy.keys.queue)) == refereed
    before = busy.state()
    for _ in range(2):
        report = look(busy)
        assert kinds(report) == wanted
        assert (report.found, report.repaired) == (len(wanted), 0)
    assert busy.state() == before

    mended = look(busy, repair=True)
    assert mended.repaired == mended.found > 0
    assert {kind for kind, _ in kinds(mended)} <= {kind for kind, _ in wanted}
    assert all(finding.repaired and "; " in finding.text for finding in mended.findings)
    assert faults(busy.redis, busy.keys.queue) == []
    assert kinds(look(busy)) == []
    everything_runs(busy)


def everything_runs(bench: Bench) -> None:
    """Every job that is left is claimed once, with at most the crash that its repair has cost."""
    bench.redis.delete(bench.keys.aborts)
    for worker in (W1, W2):
        bench.register(worker)
    held = {id.decode() for worker in (W1, W2) for id in bench.redis.hkeys(bench.keys.held(worker))}
    found = bench.take(W1, 20, number=9)
    assert not held & set(found)
    assert held | set(found) == {"r0", "r1", "r2", "s0", "s1", "s2", "q0", "q1", "q2", "u"}
    assert all(job.crashes <= 1 for job in found.values())
    assert {id.decode() for id in bench.redis.zrange(bench.keys.scheduled, 0, -1)} == {"d0", "d1", "d2"}


def test_what_a_repair_writes(busy: Bench) -> None:
    """R20: due at the time of its record; run again with one crash more, at the head of its lane."""
    due = busy.redis.zscore(busy.keys.scheduled, "d1")
    for damage in (without_a_due_time, held_by_nobody, out_of_its_lane):
        damage(busy)
    look(busy, repair=True)
    assert busy.redis.zscore(busy.keys.scheduled, "d1") == due
    assert busy.lane("high") == ["r1"]
    assert (busy.record("r1").crashes, busy.record("r1").status) == (1, JobStatus.QUEUED)
    assert (busy.lane()[0], busy.record("q1").crashes) == ("q1", 0)
    assert busy.redis.llen(busy.keys.wake) == 1


def test_a_full_server_can_be_repaired(busy: Bench) -> None:
    """R8, R20: no repair needs memory that is not there."""
    for damage in (without_a_due_time, held_by_nobody, out_of_its_lane, an_unregistered_worker):
        damage(busy)
    before = busy.redis.config_get("maxmemory")["maxmemory"]
    try:
        busy.redis.config_set("maxmemory", 1)
        report = look(busy, repair=True)
    finally:
        busy.redis.config_set("maxmemory", before)
    assert report.repaired == report.found >= 3
    assert kinds(look(busy)) == []


def test_the_end_of_a_slot_is_no_slot(bench: Bench) -> None:
    """R20, C7: what is remembered of a slot that a claim has freed outlives its job, and is no fault."""
    bench.register(W1)
    bench.enqueue("a", unique="h", unique_until_start=True, unique_ttl_ms=60_000)
    bench.settle(W1, ended(bench.take(W1)["a"], W1, JobStatus.SUCCEEDED, ttl_ms=0))
    assert bench.redis.exists(bench.keys.unique("end:a"))
    assert kinds(look(bench)) == []


def test_what_is_only_told(busy: Bench) -> None:
    """R20: no key that is not ours, and no record that cannot be read, is ever touched."""
    prefix = busy.keys.prefix
    busy.redis.set(prefix + "surprise\n", "1")
    busy.redis.set(prefix + "passing", "1", ex=600)
    busy.redis.set(prefix + "lane:odd", "1")
    busy.redis.rpush(busy.keys.job("list"), "1")
    busy.redis.rpush(busy.keys.unique("list"), "1")
    busy.redis.set(busy.keys.job("cut"), busy.redis.get(busy.keys.job("e1"))[:60])
    busy.redis.set(busy.keys.job("newer"), b"Z" + busy.redis.get(busy.keys.job("q1"))[1:])
    busy.redis.hset(busy.keys.held(W1), "newer", 1)
    before = {key: busy.redis.dump(key) for key in busy.redis.scan_iter(prefix + "*")}
    for repair in (False, True):
        assert kinds(look(busy, repair=repair)) == [
            ("type", "job:list"), ("type", "lane:odd"), ("type", "unique:list"), ("unknown", "surprise\\n"),
            ("unreadable", "cut"), ("unreadable", "newer"),
        ]  # fmt: skip
    assert {key: busy.redis.dump(key) for key in busy.redis.scan_iter(prefix + "*")} == before
    for name in ("surprise\n", "lane:odd", "job:list", "unique:list", "job:cut", "job:newer"):
        busy.redis.delete(prefix + name)
    busy.redis.hdel(busy.keys.held(W1), "newer")


@pytest.mark.parametrize("name", ["scheduled", "workers", "waiters", "aborts"])
def test_a_key_of_the_wrong_type_on_which_all_rests(bench: Bench, name: str) -> None:
    """R20: it is told, and that the rest could not be looked at."""
    bench.enqueue("a")
    bench.redis.set(bench.keys.prefix + name, "1")
    report = look(bench, repair=True)
    assert kinds(report) == [("type", name)]
    assert "not looked at" in report.notes[0]
    bench.redis.delete(bench.keys.prefix + name)


def test_results_that_are_kept_for_ever(bench: Bench) -> None:
    """R20: worth a note where nobody asked for it, never a fault."""
    bench.register(W1)
    bench.enqueue("a")
    bench.settle(W1, *(succeeded(job, W1, ttl_ms=-1) for job in bench.take(W1).values()))
    report = look(bench)
    assert report.found == 0 and "1 ended jobs are kept until deleted" in report.notes[0]
    assert look(bench, for_ever=True).notes == []


def test_stale_ids_in_lanes_are_no_fault(bench: Bench) -> None:
    """R20: the record decides where a job is; a lane may hold ids of jobs that are elsewhere."""
    bench.register(W1)
    bench.enqueue("a", "b", "c")
    bench.claim(W1, 1)
    bench.redis.rpush(bench.keys.lane("default"), "a", "nothing")
    bench.redis.rpush(bench.keys.lane("low"), "b")
    assert kinds(look(bench)) == []
    bench.redis.delete(bench.keys.lane("low"))


def test_dead_workers_that_nobody_reaps(bench: Bench) -> None:
    """R20: no fault, the next worker takes over; but worth a note."""
    bench.enqueue("a")
    bench.register(W1)
    bench.claim(W1)
    bench.redis.zadd(bench.keys.workers, {W1: 1})
    report = look(bench)
    assert report.found == 0 and "no worker runs" in report.notes[0]


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Pages and lanes so small that a handful of jobs has many of them."""
    for name, value in {"PAGE": 7, "BATCH": 3, "SHORT": 20, "GATHERED": 25}.items():
        monkeypatch.setattr(fsck, name, value)
    yield


@pytest.mark.usefixtures("small")
def test_many_pages_and_long_lanes(bench: Bench) -> None:
    """R20: nothing is missed between pages, also in a lane that no script may search."""
    bench.register(W1)
    bench.enqueue(*(f"q{n:03}" for n in range(300)))
    bench.enqueue(*(f"d{n:03}" for n in range(100)), delay_ms=600_000)
    bench.enqueue(*(f"r{n:03}" for n in range(100)), lane="high")
    bench.claim(W1, 100, lanes=["high"])
    assert kinds(look(bench)) == []
    lost = [f"{letter}{n:03}" for letter in "qdr" for n in range(0, 100, 9)]
    for id in lost:
        bench.redis.lrem(bench.keys.lane("default"), 0, id)
        bench.redis.zrem(bench.keys.scheduled, id)
        bench.redis.hdel(bench.keys.held(W1), id)
    assert kinds(look(bench)) == sorted(("lost", id) for id in lost)
    assert look(bench, repair=True).repaired == len(lost)
    assert kinds(look(bench)) == []
    assert bench.redis.llen(bench.keys.lane("default")) == 300


@pytest.mark.usefixtures("small")
def test_long_lanes_in_motion(bench: Bench, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """R20: while jobs come in, go out and come back, only those that are lost are found, all of them."""
    monkeypatch.setattr(fsck, "PAGE", 40)
    lost = {f"lost{n}" for n in range(5)}
    bench.enqueue(*(f"old{n}" for n in range(300)), *lost)
    for id in lost:
        bench.redis.lrem(bench.keys.lane("default"), 0, id)
    stop = threading.Event()
    broken: list[BaseException] = []

    def moving(worker: str) -> None:
        own = Bench(redis_url, bench.keys.queue)
        try:
            own.register(worker)
            for number in itertools.count(1):
                if stop.is_set() and own.redis.llen(own.keys.lane("default")) == 0:
                    return
                if not stop.is_set():
                    own.enqueue(*(f"{worker[:2]}{number}-{n}" for n in range(8)))
                taken = own.take(worker, 12, number)
                back = [job for job in taken.values() if hash((job.id, number)) % 3 == 0]
                done = [succeeded(job, worker, number, ttl_ms=0) for job in taken.values() if job not in back]
                own.settle(worker, *done, *(verbs.given_back(job, number) for job in back))
        except BaseException as error:
            broken.append(error)
        finally:
            own.close()

    threads = [threading.Thread(target=moving, args=(worker,)) for worker in (W1, W2)]
    for thread in threads:
        thread.start()
    found: set[str] = set()
    try:
        for _ in range(25):
            report = look(bench)
            assert {kind for kind, _ in kinds(report)} <= {"lost"}, report.findings
            found = {id for _, id in kinds(report)}
            assert found == lost
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert broken == []
    assert look(bench, repair=True).repaired == len(lost)
    assert kinds(look(bench)) == []


def test_more_findings_than_are_listed(bench: Bench) -> None:
    """R20: all are counted and repaired; memory is bounded."""
    many = LISTED + 200
    for at in range(0, many, verbs.CHUNK):
        bench.enqueue(*(f"q{n}" for n in range(at, min(at + verbs.CHUNK, many))))
    bench.redis.delete(bench.keys.lane("default"))
    report = look(bench, repair=True)
    assert (report.found, report.repaired, len(report.findings)) == (many, many, LISTED)
    assert bench.redis.llen(bench.keys.lane("default")) == many


def test_an_orphan_that_held_thousands(bench: Bench) -> None:
    """R20: handed back in pages, as one finding."""
    bench.register(W1)
    for at in range(0, 1_000, verbs.CHUNK):
        bench.enqueue(*(f"q{n}" for n in range(at, at + verbs.CHUNK)))
        bench.claim(W1, verbs.CHUNK)
    bench.redis.zrem(bench.keys.workers, W1)
    report = look(bench, repair=True)
    assert kinds(report) == [("orphan", W1)]
    assert bench.redis.llen(bench.keys.lane("default")) == 1_000
    assert not bench.redis.exists(bench.keys.held(W1))


def test_a_user_that_may_not_scan(busy: Bench) -> None:
    """R20: what can be told from the places is told, and what was not looked for."""
    held_while_queued(busy)
    alive_with_a_ttl(busy)
    user = f"few-{busy.keys.queue}"
    busy.redis.acl_setuser(
        user, enabled=True, nopass=True, keys=["*"], channels=["*"], commands=["+@all", "-scan"]
    )
    try:
        busy.store.run(Call(("AUTH", user, "any"), bool))
        report = look(busy, lanes=["low", "default", "high"])
    finally:
        busy.store.close()
        busy.redis.acl_deluser(user)
    assert kinds(report) == [("ttl", "d1"), ("ttl", "q1"), ("ttl", "r1"), ("twice", "q1")]
    assert "may not SCAN" in report.notes[0]
    assert report.looked_at >= 13
    assert look(busy, repair=True).repaired == 4


def test_every_word_of_the_script_has_a_sentence() -> None:
    """R20: and no sentence is without a word that is said."""
    text = script("mend").text.decode()
    for kind, word in TEXTS:
        assert f"'{word}'" in text or f"'{word} '" in text, (kind, word)


def test_the_keys_are_those_of_the_table() -> None:
    """R20: what the check takes for ours is what keys.py promises, and what Keys makes."""
    for pattern, kind in table():
        assert keys.type_of(pattern.pattern.replace(".+", "x")) == kind
    made = Keys("q")
    for name, method in inspect.getmembers(made, callable):
        if not name.startswith("_") and name != "done":
            key = method(JobStatus.FAILED) if name == "ended" else method("x")
            assert keys.type_of(key.removeprefix(made.prefix)), name
    assert not any(map(keys.type_of, ["", "job:", "job", "control", "done:x", "scheduled:x", "wake:"]))


def test_ids_take_little_memory() -> None:
    """R20: what is in is in, what is not is not; about ten bytes each."""
    ids = Ids(20_000)
    names = [b"%032x" % n for n in range(20_000)]
    assert not any(map(ids.add, names)) and all(map(ids.add, names[:100]))
    assert all(name in ids for name in names[::50]) and not any(b"x" + name in ids for name in names[::50])
    size = sum(len(bucket) * bucket.itemsize for bucket in ids._buckets)
    assert size == 8 * 20_000
