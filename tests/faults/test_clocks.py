"""Workers whose clocks are wrong. Rows 31 and 56."""

from __future__ import annotations

import random
import time

import pytest

from tests.faults.field import Field
from tests.faults.report import Report
from tests.workers import until

HOUR = 3_600


@pytest.mark.soak
@pytest.mark.fault("31", "worker clocks an hour ahead, an hour behind, and stepping")
def test_wrong_clocks(field: Field, report: Report) -> None:
    """Leases, delays, due times and the times on record are those of the server."""
    crew = [field.start(ardiq_test_clock=clock) for clock in (f"{HOUR}", f"-{HOUR}", f"-{HOUR},{HOUR},2.5")]
    told = field.enqueue(9, "clock")
    ids = field.enqueue(60, "nap", 0.1) + field.enqueue(30, "doze", 0.1)
    # Longer than two leases: a worker that took its own clock for the server's would be reaped.
    slow = field.enqueue(3, "nap", 4.0)
    begin = time.time()
    due = field.enqueue(10, "add", 1, 2, delay_ms=1_500)
    field.wait_done()
    off = {round((field.app.job(id).result_sync().value - begin) / HOUR) for id in told}  # type: ignore[union-attr]
    assert off & {1, -1}, "the clocks of the workers are not wrong"
    field.count(report, ids + slow)
    late = [(field.app.job(id).result_sync().start / 1000 - begin) for id in due]  # type: ignore[union-attr]
    report.note = f"delay of 1.5 s: {min(late):.2f} to {max(late):.2f} s"
    assert (report.lost, report.twice, report.stuck) == (0, 0, 0)
    assert field.succeeded() and field.tally(ids + slow) == {(1, 0): len(ids + slow)}
    assert min(late) > 1.4 and max(late) < 1.5 + 10
    for id in ids:
        result = field.app.job(id).result_sync()
        assert result is not None and result.enqueue_time <= result.start <= result.finish
        assert abs(result.finish / 1000 - time.time()) < 120
    for process in crew:
        assert process.stop() == 0, process.text


@pytest.mark.soak
@pytest.mark.fault("56", "twenty worker processes on wrong clocks, some killed")
def test_recurring_tasks_on_wrong_clocks(field: Field, report: Report) -> None:
    """G4: a task of every second makes one job a second, whoever is there and whatever his clock says."""
    dice, options = random.Random(56), {"ardiq_test_beat": "1", "CONCURRENCY": 1, "THREADS": 1}
    crew = [
        field.spawn(
            ardiq_test_clock=f"{dice.randint(-9 * HOUR, 9 * HOUR)},{dice.randint(-HOUR, HOUR)},9", **options
        )
        for _ in range(20)
    ]
    until(lambda: len(field.workers.registered()) == 20, 120, "twenty workers")

    def mark() -> int:
        return int(field.client.hget(field.keys.cron, "mark:beat"))

    begun, first = len(field.starts()), mark()
    for victim in crew[:3]:
        time.sleep(2)
        victim.kill()
    time.sleep(4)
    for process in crew[3:]:
        process.signal()
    for process in crew[3:]:
        assert process.ends(60) == 0, process.text
    lived = (mark() - first) // 1_000

    def drained() -> bool:
        # A burst makes nothing due. What the killed ones held comes back when their leases are over.
        assert field.spawn("--burst", **options).ends(60) == 0
        return not field.held()

    until(drained, 60)
    report.twice = sum(max(0, count - 1) for count in field.starts().values())
    report.note = f"{lived} occurrences"
    # What a killed worker ran starts again; the beat whose second has just come may be on its way.
    assert lived >= 8 and report.twice <= 3
    assert abs(len(field.starts()) - begun - lived) <= 1


@pytest.mark.soak
@pytest.mark.fault("31", "a worker whose clock is ahead is killed")
def test_a_dead_worker_with_a_wrong_clock(field: Field, report: Report) -> None:
    """Its lease ends by the clock of the server, neither an hour early nor an hour late."""
    field.enqueue(4, "nap", 0.5)
    first = field.start(ardiq_test_clock=f"{HOUR}")
    field.wait_started(4)
    first.kill()
    killed = time.monotonic()
    field.start(ardiq_test_clock=f"-{HOUR}")
    until(lambda: field.crashes() == 4, 20)
    report.recovery = time.monotonic() - killed
    field.wait_done()
    field.count(report)
    assert (report.lost, report.twice, report.stuck) == (0, 4, 0)
