"""Workers whose clocks are wrong. Row 31."""

from __future__ import annotations

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
