"""What holds of the child processes of a worker whatever their worker, their jobs and their threads do."""

from __future__ import annotations

import os
import signal
import time
from typing import Any

import pytest

from ardiq import Ardiq, Job, JobStatus
from ardiq.worker import forked
from ardiq.worker.forked import Forked
from ardiq.worker.isolation import REPORT, SETTLED
from ardiq.worker.line import framed
from tests.server import admin
from tests.workers import Process, Workers, until

MILL: dict[str, Any] = {"ardiq_test_apps": "tests.shop,tests.mill", "CONCURRENCY": 6, "BACKOFF_MS": 1}


def starts(workers: Workers, job: Job[Any]) -> list[list[str]]:
    return [words for words in workers.notes("start") if words[1] == job.id]


def make_suspect(app: Ardiq, url: str, job: Job[Any], crashes: int = 1) -> None:
    with admin(url) as client:
        client.setrange(app.broker.keys.job(job.id), 5, f"{crashes:02x}")


def stopped_by_its_own_clock(workers: Workers, worker: Process, jobs: list[Job[Any]], lease: float) -> None:
    """Stop the worker alone: its jobs hear of the end of the lease, and not before."""
    for job in jobs:
        until(lambda job=job: starts(workers, job), 40, "a job that begins")  # type: ignore[misc]
    time.sleep(1.5 * lease)
    assert not workers.notes("heard"), "renewals reach the children"
    stopped = time.monotonic()
    os.kill(worker.popen.pid, signal.SIGSTOP)
    heard = until(lambda: len(found := workers.notes("heard")) == len(jobs) and found, 10, "all that heard")
    assert 0.5 * lease < time.monotonic() - stopped < lease + 1
    assert {words[1] for words in heard} == {job.id for job in jobs}
    assert {words[3] for words in heard} == {"True"}, "current_job().lease_lost"


@pytest.mark.slow
@pytest.mark.fault("5", "only the worker is stopped: its children believe their own clock")
def test_a_child_believes_the_lease_and_not_its_luck(workers: Workers, app: Ardiq, redis_url: str) -> None:
    """R4: the children of a worker that stands still stop by themselves when its lease ends, as threads do;
    another worker does their jobs meanwhile, and what they have to say counts for nothing."""
    worker = workers.start(**MILL, LEASE_MS=1_500)
    jobs = [app.send_sync("heed", 60)]
    for name in ("heed_in_thread", "heed_on_loop"):
        job = app.ref(name).options(delay_ms=500).enqueue_sync(60)
        make_suspect(app, redis_url, job)
        jobs.append(job)
    stopped_by_its_own_clock(workers, worker, jobs, 1.5)
    kinds = {words[1]: words[2] for words in workers.notes("heard")}
    assert list(map(kinds.get, (job.id for job in jobs))) == [
        "JobHandedBack",
        "JobHandedBack",
        "CancelledError",
    ]
    second = workers.start(**MILL, LEASE_MS=1_500)
    for job in jobs:
        until(lambda job=job: len(starts(workers, job)) == 2, 40, "the second run")  # type: ignore[misc]
    os.kill(worker.popen.pid, signal.SIGCONT)
    until(lambda: "lease is lost" in worker.text, what="a worker that hears of it")
    for job in jobs:
        assert job.abort_sync()
        found = job.result_sync(timeout=20)
        assert found is not None and found.aborted and len(starts(workers, job)) == 2
    assert worker.stop() == 0 == second.stop(), worker.text + second.text


@pytest.mark.slow
def test_a_child_that_does_not_stop_is_ended(workers: Workers, app: Ardiq) -> None:
    """R4: a job that goes on past the lease whatever is raised in it ends with its process, uncharged."""
    worker = workers.start(**MILL, LEASE_MS=1_500)
    job = app.send_sync("resist", 60)
    pid = int(until(lambda: starts(workers, job), 40)[0][3])
    os.kill(worker.popen.pid, signal.SIGSTOP)
    until(lambda: workers.notes("resists"), 10, "a job that was told")
    until(lambda: ended(pid), 15, "the end of its process")
    os.kill(worker.popen.pid, signal.SIGCONT)
    until(lambda: len(starts(workers, job)) == 2, 20, "the second run")
    info = job.info_sync()
    assert info is not None and (info.tries, info.crashes) == (0, 0)
    assert job.abort_sync()


def ended(pid: int) -> bool:
    try:
        return open(f"/proc/{pid}/stat").read().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


@pytest.mark.slow
@pytest.mark.fault("44", "a call whose decoding kills the process, with innocents")
@pytest.mark.parametrize("name", ["pid", "doze"])
def test_a_call_that_kills_who_reads_it(workers: Workers, app: Ardiq, redis_url: str, name: str) -> None:
    """F4: charged as a crash each time, and a dead letter at CRASH_LIMIT, whatever the executor; innocents
    beside it are charged nothing beyond what company costs."""
    deadly = {
        "SERIALIZER": "ardiq.core.extensions.pack",
        "DESERIALIZER": "tests.mill.poison.loads",
        "LEASE_MS": 1_500,
    }
    innocents = [app.send_sync("pid") for _ in range(3)]
    guilty = app.send_sync(name, "poison")
    innocents += [app.send_sync("pid") for _ in range(3)]
    if name == "doze":
        make_suspect(app, redis_url, guilty)  # its worker would be the first to die
    worker = workers.start(**MILL, **deadly)
    found = guilty.result_sync(timeout=60)
    assert found is not None and found.status is JobStatus.FAILED and found.error is not None, worker.text
    assert "crash 3, and CRASH_LIMIT is 3" in found.error.message and "SIGKILL" in found.error.message
    info = guilty.info_sync()
    assert info is not None and (info.tries, info.crashes) == (0, 3)
    assert all((found := job.result_sync(timeout=20)) and found.success for job in innocents)
    assert worker.popen.poll() is None and "put off" not in worker.text
    assert worker.stop() == 0


def test_what_nobody_reads_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread that a task has left in a child may tell what it likes: while the child has no job that is
    dropped, and while it has one no more is kept than is read soon."""
    child = Forked(lambda: None, "test", ())
    report = framed((REPORT, "fence", None, ["a line"]))
    child.data_received(report * 1_000)
    assert len(child._messages) == 0
    child.take()
    child.data_received(report * 1_000 + framed((SETTLED, [], [])))
    assert len(child._messages) == forked.UNREAD + 1 and child._messages[-1][0] == SETTLED
    child.put_down()
    child.data_received(report)
    assert len(child._messages) == 0


@pytest.mark.slow
def test_a_thread_that_is_left(workers: Workers, app: Ardiq) -> None:
    """B5: what it logs between two jobs and during another is neither kept nor in the way."""
    workers.start(**MILL)
    first = app.send_sync("mutter", 3)
    assert first.result_sync(timeout=40) is not None
    time.sleep(1)
    second = app.send_sync("report", 2)
    assert (found := second.result_sync(timeout=20)) and found.success
    assert [line.message for line in second.logs_sync()] == ["step 1 of 2 for None", "step 2 of 2 for None"]
