"""The commit of verdicts, cut off anywhere. Row 4."""

from __future__ import annotations

import time

import pytest

from tests.faults.field import Field
from tests.faults.netproxy import Network
from tests.faults.report import Report
from tests.workers import until

# Inside the first line, inside the name of the script, in the middle of the verdicts, before the last byte.
BYTES = (1, 9, 40, 120, 300, 700)
BATCH = 4  # of a field: CONCURRENCY


@pytest.fixture
def field(field_behind: Field) -> Field:
    return field_behind


@pytest.mark.soak
@pytest.mark.fault("4", "the connection breaks after k bytes of a commit, and after all of it")
def test_a_commit_is_cut(field: Field, network: Network, report: Report) -> None:
    """It is repeated until it is answered: each job ends once, and nothing runs again."""
    worker = field.start(LEASE_MS=5_000)
    for number, count in enumerate(BYTES, 1):
        network.cut_requests("settle", count)
        field.enqueue(8)
        until(lambda number=number: network.cuts == number, what=f"cut after {count} bytes")  # type: ignore[misc]
        field.wait_done()
    for number in (1, 2):
        network.lose_replies("settle", 1)
        field.enqueue(8)
        until(lambda number=number: network.lost == number, what="a lost reply")  # type: ignore[misc]
        field.wait_done()
    assert worker.stop() == 0, worker.text
    field.count(report)
    report.note = f"{network.cuts} cut, {network.lost} lost"
    assert (report.lost, report.twice, report.stuck) == (0, 0, 0)
    assert field.succeeded()
    assert field.tally() == {(1, 0): len(field.ids)}


@pytest.mark.soak
@pytest.mark.fault("4", "killed while a commit is on its way")
@pytest.mark.parametrize("count", [9, 300, None], ids=lambda count: f"{count} bytes" if count else "all")
def test_killed_in_a_commit(field: Field, network: Network, report: Report, count: int | None) -> None:
    """The script is atomic: each job of the batch has ended or is held, and no third thing."""
    if count is None:
        network.lose_replies("settle", 1)
    else:
        network.cut_requests("settle", count)
    ids = field.enqueue(16)
    first = field.start()
    until(lambda: network.cuts or network.lost, what="the cut")
    first.kill()
    time.sleep(0.1)
    field.settle()
    second = field.start()
    field.wait_done()
    field.count(report)
    assert (report.lost, report.stuck) == (0, 0)
    assert report.twice <= BATCH + BATCH
    if count is None:
        # It was executed, and so the first batch at least has not run again.
        assert report.twice <= BATCH
    assert field.succeeded(ids)
    assert second.stop() == 0, second.text
