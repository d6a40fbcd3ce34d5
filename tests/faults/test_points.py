"""Every fault point of a worker: killed there, frozen there, broken there. Rows 1, 3 and 8."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest

from ardiq.worker import faults
from tests.faults.field import Field, Watch
from tests.faults.netproxy import Network
from tests.faults.report import Report
from tests.workers import Process, until

# When a point is reached, and what the test must do for it.
HITS = {"before_claim": 3, "after_claim": 2, "before_start": 5, "after_task": 5, "before_flush": 3,
        "after_flush": 3}  # fmt: skip
# The relay has tests of its own (test_outbox.py): nothing lies in an outbox here.
POINTS = [point for point in faults.POINTS if not point.endswith("_push")]
WITH_LOST_REPLY = ("before_reconcile", "after_reconcile")
WITH_SIGTERM = ("before_give_back", "before_unregister")
LEASE = {"LEASE_MS": 1_000}
HELD = 8  # of one worker of a field: CONCURRENCY + PREFETCH
UNCOMMITTED = 8  # what may have ended while the last batch was on its way


@pytest.fixture
def field(field_behind: Field) -> Field:
    return field_behind


def victim(field: Field, point: str, action: str) -> Process:
    """A worker to which it happens, brought to the point."""
    armed: dict[str, Any] = {"ardiq_fault": f"{point}:{action}:{HITS.get(point, 1)}"}
    # Not by ``start``, which waits to see it registered: it may be dead by then.
    return field.spawn(**LEASE, **armed)


def lead(field: Field, network: Network, process: Process, point: str) -> None:
    """Bring about what a point needs beyond work."""
    if point in WITH_LOST_REPLY:
        field.wait_started(1)
        network.lose_replies("claim", 1)
    elif point in WITH_SIGTERM:
        field.wait_started(3)
        process.signal()


@pytest.mark.soak
@pytest.mark.fault("1", "killed at a fault point")
@pytest.mark.fault("3", "killed at a fault point")
@pytest.mark.parametrize("point", POINTS)
def test_killed_at(field: Field, network: Network, report: Report, point: str) -> None:
    """0 lost, and nothing starts again that was not held."""
    ids = field.enqueue(30, "nap", 0.05) + field.enqueue(10, "doze", 0.05)
    process = victim(field, point, "kill")
    lead(field, network, process, point)
    assert process.ends() == -signal.SIGKILL, process.text
    begun, watch = len(field.workers.notes("start")), Watch()
    heir = field.start(**LEASE)
    field.wait_started(begun + 1)
    field.wait_done()
    field.count(report)
    report.recovery = watch.seconds
    charged = field.crashes(ids)
    report.note = f"{charged} charged"
    assert (report.lost, report.stuck) == (0, 0)
    assert field.succeeded()
    # What was held and had not begun is charged as well; what had not been held is not.
    assert report.twice <= charged <= HELD + UNCOMMITTED
    assert heir.stop() == 0, heir.text


@pytest.mark.soak
@pytest.mark.fault("8", "frozen at a fault point, and let go when others have its jobs")
@pytest.mark.parametrize("point", [point for point in POINTS if point != "after_register"])
def test_frozen_at(field: Field, network: Network, report: Report, point: str) -> None:
    """Wherever a worker sleeps longer than its lease: 0 lost, and no end of a job is written twice."""
    ids = field.enqueue(40, "who", 0.05) + field.enqueue(20, "who_sync", 0.05)
    process = victim(field, point, "stop")
    lead(field, network, process, point)
    until(lambda: stopped(process), what="frozen")
    heir = field.start(**LEASE)
    field.wait_done()
    raw = field.records(ids)
    process.signal(signal.SIGCONT)
    if point in WITH_SIGTERM:
        assert process.ends() == 0, process.text
    else:
        field.enqueue(10)
        field.wait_done()
        assert process.stop() == 0, process.text
    assert field.records(ids) == raw, "the end of a job was written again"
    assert heir.stop() == 0, heir.text
    field.count(report)
    charged = field.crashes(ids)
    report.note = f"{charged} charged, 0 of {len(ids)} ends rewritten"
    assert (report.lost, report.stuck) == (0, 0)
    assert field.succeeded()
    # Beside what runs or waits in it, it holds what has ended and is not committed: that, too, runs again.
    assert report.twice <= charged <= HELD + UNCOMMITTED


@pytest.mark.soak
@pytest.mark.fault("3", "an error of the worker itself")
@pytest.mark.parametrize("point", ["after_claim", "before_flush", "after_flush", "before_give_back"])
def test_broken_at(field: Field, network: Network, report: Report, point: str) -> None:
    """R14: a worker that cannot go on ends loudly, and what it held goes on elsewhere."""
    ids = field.enqueue(40, "nap", 0.05)
    process = victim(field, point, "raise")
    lead(field, network, process, point)
    assert process.ends() not in (0, 75), process.text
    assert "The fault that ARDIQ_FAULT asked for" in process.text
    heir = field.start(**LEASE)
    field.wait_done()
    field.count(report)
    assert (report.lost, report.stuck) == (0, 0)
    assert field.succeeded()
    # Beside what it held: what had ended and was not committed, for it had stopped committing.
    assert report.twice <= field.crashes(ids) <= HELD + UNCOMMITTED
    assert heir.stop() == 0, heir.text


@pytest.mark.fault("1", "killed after the claim, before the start")
def test_killed_after_a_claim(field: Field, report: Report) -> None:
    """Nothing had begun, so nothing begins twice; a crash is counted, and no attempt."""
    ids = field.enqueue(6)
    watch = killed(field, "after_claim:kill")
    field.start(**LEASE)
    field.wait_started(1)
    report.recovery = watch.seconds
    field.wait_done()
    field.count(report)
    assert (report.lost, report.twice, report.stuck) == (0, 0, 0)
    assert field.tally(ids) == {(1, 1): 6}
    assert watch.seconds < 15


@pytest.mark.fault("3", "killed after the task, before the commit")
def test_killed_before_a_commit(field: Field, report: Report) -> None:
    """The bodies had ended, and nobody knows: they run again, once."""
    ids = field.enqueue(4)
    watch = killed(field, "before_flush:kill")
    field.start(**LEASE)
    field.wait_done()
    report.recovery = watch.seconds
    field.count(report)
    assert (report.lost, report.stuck) == (0, 0)
    assert report.twice <= 4
    assert field.tally(ids) == {(1, 1): 4}


def killed(field: Field, fault: str) -> Watch:
    process = field.spawn(**LEASE, ardiq_fault=fault)
    assert process.ends() == -signal.SIGKILL, process.text
    return Watch()


def stopped(process: Process) -> bool:
    stat = Path(f"/proc/{process.popen.pid}/stat").read_text()
    return stat.rpartition(")")[2].split()[0] == "T"
