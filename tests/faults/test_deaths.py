"""Processes that die, freeze and are told to stop. Rows 2, 5, 6, 8, 10, 11."""

from __future__ import annotations

import random
import signal
import time
from collections import Counter

import pytest

from ardiq import JobStatus
from tests.faults.field import LEASE_MS, Field, Watch
from tests.faults.report import Report
from tests.workers import Working, until

LEASE = LEASE_MS / 1000
HELD = 8  # of one worker of a field


@pytest.mark.soak
@pytest.mark.fault("2", "kill -9 of one of three workers, five times")
def test_killed_beside_others(field: Field, report: Report) -> None:
    """The others go on; what the dead held starts again within a lease and a second."""
    ids = field.enqueue(300, "nap", 0.1) + field.enqueue(150, "doze", 0.1)
    crew = [field.start(CRASH_LIMIT=20) for _ in range(3)]
    for death in range(5):
        seen = len(field.workers.notes("start"))
        field.wait_started(min(seen + 30, len(ids)))
        victim = crew[death % 3]
        victim.kill()
        crew[death % 3] = field.start(CRASH_LIMIT=20)
    field.wait_done(seconds=90)
    field.count(report)
    report.note = f"{field.crashes()} charged"
    assert (report.lost, report.stuck) == (0, 0)
    assert field.succeeded()
    assert report.twice <= field.crashes() <= 5 * (HELD + 4)
    for process in crew:
        assert process.stop() == 0, process.text


@pytest.mark.soak
@pytest.mark.fault("2", "kill -9 in mid-task: when it starts again")
def test_how_soon_it_starts_again(field: Field, report: Report) -> None:
    """B of the promise: at most a lease and a second after the death; here also a child must start up."""
    # Long enough for the second worker to come up while they run.
    ids = field.enqueue(2, "nap", 4.0) + field.enqueue(2, "doze", 4.0)
    first = field.start()
    field.wait_started(4)
    field.start()
    first.kill()
    watch = Watch()
    until(lambda: field.crashes() == 4, 40, "reaped")
    report.recovery = watch.seconds
    # The lease had been renewed at most this long ago; one more second for the look of an idle worker.
    assert watch.seconds <= LEASE + 1 + 1, "the machine may be busy: one second of tolerance"
    field.wait_done(ids)
    field.count(report)
    assert (report.lost, report.twice, report.stuck) == (0, 4, 0)
    assert field.tally() == {(1, 1): 4}


@pytest.mark.soak
@pytest.mark.fault("5", "SIGTERM at random moments, twelve processes")
def test_told_to_stop_at_random(field: Field, report: Report) -> None:
    """Idle, busy, at start-up, in a claim: exit 0, each job started once, none charged."""
    dice = random.Random(5)
    ids = field.enqueue(400, "nap", 0.03) + field.enqueue(200, "doze", 0.03)
    slowest = 0.0
    for _ in range(6):
        pair = [field.start(), field.spawn()]
        for process in dice.sample(pair, 2):
            time.sleep(dice.uniform(0, 0.3))
            # A process that has no handler yet dies of the signal; it cannot hold anything then.
            unborn = not process.text
            begin = time.monotonic()
            code = process.stop()
            slowest = max(slowest, time.monotonic() - begin)
            assert code == 0 or (unborn and code == -signal.SIGTERM), process.text
    last = field.start()
    field.wait_done()
    assert last.stop() == 0, last.text
    field.count(report)
    report.note = f"slowest stop {slowest:.1f} s"
    assert (report.lost, report.twice, report.stuck) == (0, 0, 0)
    assert field.tally(ids) == {(1, 0): 600}
    assert field.workers.registered() == set()


@pytest.mark.soak
@pytest.mark.fault("5", "stopped at 150 random ms, in one process")
def test_stopped_at_every_moment(field: Field, report: Report) -> None:
    """The same in one process, where a hundred lives take seconds: a stop at every moment of a claim."""
    dice, ran = random.Random(55), Counter[int]()

    @field.app.task(name="tick", max_retries=0)
    async def tick(n: int) -> None:
        ran[n] += 1

    @field.app.task(name="tock", max_retries=0)
    def tock(n: int) -> None:
        ran[n] += 1

    jobs, n = [], 0
    for _ in range(150):
        more = range(n, n + 20)
        jobs += field.app.enqueue_many_sync((tick if i % 2 else tock).prepare(i) for i in more)
        n += 20
        with Working(field.app, concurrency=4, prefetch=4) as here:
            time.sleep(dice.uniform(0, 0.02))
            here.stop()
            here.ends()
    with Working(field.app, concurrency=4):
        field.wait_done([job.id for job in jobs])
    report.lost = sum(job.status_sync() is JobStatus.NOT_FOUND for job in jobs)
    report.twice, report.stuck = sum(ran.values()) - len(ran), 0
    assert ran == Counter(range(n))
    assert field.tally([job.id for job in jobs]) == {(1, 0): n}


@pytest.mark.fault("6", "SIGTERM, and a task longer than the grace period")
def test_what_outlasts_the_grace_starts_elsewhere(field: Field, report: Report) -> None:
    """Handed back uncharged, and started by another worker without waiting for a lease."""
    # Long enough for the second worker to come up while they run.
    ids = field.enqueue(2, "nap", 8) + field.enqueue(1, "potter", 8)
    first = field.start(LEASE_MS=30_000, GRACE_MS=200)
    field.wait_started(3)
    field.start(LEASE_MS=30_000)
    first.signal()
    watch = Watch()
    field.wait_started(6, 25)
    report.recovery = watch.seconds
    # Far from the 30 s of a lease, also on a busy machine.
    assert watch.seconds < 15
    assert first.ends() == 0, first.text
    field.wait_done()
    field.count(report)
    assert (report.lost, report.twice, report.stuck) == (0, 3, 0)
    assert field.tally(ids) == {(1, 0): 3}


@pytest.mark.fault("8", "a zombie: SIGSTOP for longer than the lease, then SIGCONT")
def test_a_zombie(field: Field, report: Report) -> None:
    """What it writes is refused: no result, no retry, no hand-back; it lets go of what it holds."""
    ids = field.enqueue(2, "who", 0.4) + field.enqueue(2, "who_sync", 0.4)
    # Held and not begun: only a hand-back of the zombie could touch them.
    behind = field.enqueue(3, "who", 0.05)
    zombie = field.start()
    field.wait_started(4)
    zombie.signal(signal.SIGSTOP)
    watch = Watch()
    heir = field.start()
    field.wait_done()
    report.recovery = watch.seconds
    before = field.records(ids + behind)
    zombie.signal(signal.SIGCONT)
    until(lambda: "The lease is lost" in zombie.text, what="it learns that its lease is lost")
    again = field.enqueue(6, "who", 0.05)
    field.wait_done(again)
    zombie.stop()
    changed = sum(one != two for one, two in zip(before, field.records(ids + behind), strict=True))
    field.count(report)
    report.note = f"0 writes accepted, {changed} results changed"
    assert changed == 0
    results = [field.app.job(id).result_sync() for id in ids + behind]
    assert all(result.success and result.value != zombie.popen.pid for result in results if result)
    assert None not in results
    assert (report.lost, report.stuck) == (0, 0)
    assert report.twice <= HELD
    assert heir.stop() == 0, heir.text


@pytest.mark.soak
@pytest.mark.fault("10", "the loop is blocked for ever")
def test_a_loop_blocked_for_ever(field: Field, report: Report) -> None:
    """Exit 70, once; from then on the guilty job blocks only processes of its own, which end alike, until it
    is dead at CRASH_LIMIT."""
    guilty = field.enqueue(1, "clog", 3_600)
    first = field.start(LEASE_MS=600)
    field.wait_started(1)
    watch = Watch()
    innocent = field.enqueue(12)
    assert first.ends() == 70, first.text
    report.recovery = watch.seconds
    assert watch.seconds < 3 * 0.6 + 3
    second = field.start(LEASE_MS=600)
    field.wait_done(innocent)
    assert second.popen.poll() is None, second.text
    field.wait_done(guilty, 30)
    result = field.app.job(guilty[0]).result_sync()
    assert result is not None and result.error is not None and "exit code 70" in result.error.message
    assert field.starts()[guilty[0]] == 3
    field.count(report)
    assert (report.lost, report.stuck) == (0, 0)
    assert report.twice <= HELD + 1
    assert field.succeeded(innocent)
    assert second.stop() == 0, second.text


@pytest.mark.soak
@pytest.mark.fault("11", "the interpreter is held in C for longer than the lease")
def test_an_interpreter_held_in_c(field: Field, report: Report) -> None:
    """No thread of the process runs, so no renewal either: like a zombie, and fenced like one."""
    guilty = field.enqueue(1, "seize", 5)
    first = field.start()
    field.wait_started(1)
    innocent = field.enqueue(10, "who", 0.05)
    second = field.start()
    field.wait_done(innocent)
    field.wait_done(guilty)
    before = field.records(field.ids)
    until(lambda: "The lease is lost" in first.text, what="it learns that its lease is lost")
    more = field.enqueue(4)
    field.wait_done(more)
    assert first.stop() == 0, first.text
    assert second.stop() == 0, second.text
    assert field.records(guilty + innocent) == before[: len(guilty + innocent)]
    field.count(report)
    assert (report.lost, report.stuck) == (0, 0)
    assert report.twice <= HELD
    assert field.succeeded()
