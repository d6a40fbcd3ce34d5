"""A process that gets no more files or threads. Row 46."""

from __future__ import annotations

import resource

import pytest

from tests.faults.field import Field, Watch
from tests.faults.netproxy import Network
from tests.faults.report import Report
from tests.workers import Process, until


@pytest.fixture
def field(field_behind: Field) -> Field:
    return field_behind


def cpu(process: Process) -> float:
    """Seconds of processor that a process has used."""
    with open(f"/proc/{process.popen.pid}/stat") as stat:
        words = stat.read().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / 100


@pytest.mark.soak
@pytest.mark.fault("46", "no file descriptors left, while every connection breaks")
def test_no_more_files(field: Field, network: Network, report: Report) -> None:
    """It waits without spinning, and works again by itself when there are some."""
    # A lease that outlasts it: the job that takes all files is not to be stopped before its time.
    worker = field.start(LEASE_MS=20_000)
    limit = 64
    resource.prlimit(worker.popen.pid, resource.RLIMIT_NOFILE, (limit, limit))
    hog = field.enqueue(1, "grab", 6.0)
    until(lambda: field.workers.notes("full"), what="no more files")
    network.break_all()
    ids = field.enqueue(20) + field.enqueue(10, "doze")
    used, watch = cpu(worker), Watch()
    until(lambda: field.workers.notes("end") or worker.popen.poll() is not None, 30, "files again")
    assert worker.popen.poll() is None, worker.text
    spent = (cpu(worker) - used) / watch.seconds
    watch = Watch()
    until(lambda: set(field.ended()) & set(ids), 20, "work again")
    report.recovery = watch.seconds
    field.wait_done()
    field.count(report, ids)
    report.note = f"{spent:.0%} of a processor meanwhile"
    assert spent < 0.3
    assert report.recovery < 5
    # A task that gets no file fails like any other, and is retried; no start of it is anybody's crash.
    report.twice = None
    assert (report.lost, report.stuck, field.crashes()) == (0, 0, 0)
    assert field.succeeded(ids)
    assert hog
    assert worker.stop() == 0, worker.text


@pytest.mark.fault("46", "no more threads than one")
def test_few_threads(field: Field, report: Report) -> None:
    """Sync jobs share the one that there is, and somebody is told; nothing fails, nothing is lost."""
    worker = field.start(ardiq_test_threads="1")
    ids = field.enqueue(12, "doze", 0.05) + field.enqueue(12)
    field.wait_done()
    assert "have to share 1 threads" in worker.text and "Traceback" not in worker.text
    field.count(report)
    assert (report.lost, report.twice, report.stuck) == (0, 0, 0)
    assert field.succeeded(ids)
    assert worker.stop() == 0, worker.text


@pytest.mark.soak
@pytest.mark.fault("46", "no threads at all")
def test_no_threads(field: Field, report: Report) -> None:
    """A worker that cannot run what it claims says so, and holds on to nothing."""
    worker = field.start(ardiq_test_threads="0")
    ids = field.enqueue(6, "doze", 0.05)
    until(lambda: "thread" in worker.text, what="it says so")
    field.enqueue(6)
    helper = field.start()
    field.wait_done()
    field.count(report)
    report.note = f"exit {worker.popen.poll()}"
    assert (report.lost, report.twice, report.stuck) == (0, 0, 0)
    assert field.succeeded(ids)
    worker.stop()
    assert helper.stop() == 0, helper.text
