"""Signals: the first lets running jobs end, the second hurries, the third waits for nobody."""

from __future__ import annotations

import signal
import time

import pytest

from ardiq import Ardiq, JobStatus
from tests.workers import Workers, until


@pytest.mark.fault("5", "SIGTERM and SIGINT, busy, with jobs in hand")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
def test_running_jobs_may_end(workers: Workers, app: Ardiq, number: signal.Signals) -> None:
    """H3: no more are claimed, what has not started goes back uncharged, exit 0."""
    process = workers.start(CONCURRENCY=2, PREFETCH=4)
    running = [app.send_sync(name, 0.6) for name in ("nap", "doze")]
    until(lambda: len(workers.notes("start")) == 2)
    waiting = [app.send_sync("nap", 0) for _ in range(6)]
    time.sleep(0.1)
    process.signal(number)
    assert process.ends() == 0, process.text
    assert [job.status_sync() for job in running] == [JobStatus.SUCCEEDED] * 2
    infos = [job.info_sync() for job in waiting]
    assert [(info.status, info.tries, info.crashes) for info in infos if info] == [
        (JobStatus.QUEUED, 0, 0)
    ] * 6
    assert len(workers.notes("start")) == 2 and workers.registered() == set()
    # What was handed back keeps its turn.
    assert workers.spawn("--burst", CONCURRENCY=1, PREFETCH=0).ends() == 0
    assert [words[1] for words in workers.notes("start")[2:]] == [job.id for job in waiting]


@pytest.mark.fault("6", "handed back, uncharged")
def test_when_the_grace_is_over(workers: Workers, app: Ardiq) -> None:
    """H3: what still runs is cancelled or interrupted, and handed back uncharged; exit 0."""
    process = workers.start(GRACE_MS=300)
    jobs = [app.send_sync(name, 30) for name in ("nap", "nap")]
    until(lambda: len(workers.notes("start")) == 2)
    begin = time.monotonic()
    process.signal()
    assert process.ends() == 0, process.text
    assert 0.3 <= time.monotonic() - begin < 3
    infos = [job.info_sync() for job in jobs]
    assert [(info.status, info.tries, info.crashes) for info in infos if info] == [
        (JobStatus.QUEUED, 0, 0)
    ] * 2


@pytest.mark.fault("7", "second signal")
def test_the_second_signal(workers: Workers, app: Ardiq) -> None:
    """H3: two seconds at most; sync and async jobs are handed back."""
    process = workers.start()
    job = app.send_sync("nap", 30)
    until(lambda: workers.notes("start"))
    process.signal()
    until(lambda: "SIGTERM: Stopping; 1 running job may end within 25 s." in process.text)
    time.sleep(0.2)
    assert process.popen.poll() is None
    begin = time.monotonic()
    process.signal()
    until(lambda: "Stopped." in process.text)
    assert time.monotonic() - begin < 2.2
    assert process.ends() == 0, process.text
    info = job.info_sync()
    assert info is not None and (info.status, info.tries, info.crashes) == (JobStatus.QUEUED, 0, 0)


@pytest.mark.fault("7", "third signal")
def test_the_third_signal(workers: Workers, app: Ardiq) -> None:
    """H3: at once, also when a task swallows every cancellation."""
    process = workers.start(LEASE_MS=1_000)
    job = app.send_sync("insist")
    until(lambda: workers.notes("start"))
    for count, words in enumerate(("1 running job may end", "at once; 1 running job is handed back.", ""), 1):
        process.signal()
        if words:
            until(lambda words=words: words in process.text, what=f"signal {count}")  # type: ignore[misc]
    begin = time.monotonic()
    assert process.ends() == 130
    assert time.monotonic() - begin < 0.5
    job.abort_sync()
    assert workers.spawn("--burst", LEASE_MS=1_000).ends() == 0


@pytest.mark.fault("43", "a stop, and a task that swallows it")
def test_a_task_that_cannot_be_stopped(workers: Workers, app: Ardiq) -> None:
    """H3: the worker does not wait for it for ever; its lease runs out and the job goes to another."""
    process = workers.start(LEASE_MS=1_000, GRACE_MS=100)
    job = app.send_sync("insist")
    until(lambda: workers.notes("start"))
    begin = time.monotonic()
    process.signal()
    assert process.ends() == 0
    assert time.monotonic() - begin < 5 and "Jobs that did not stop: 1." in process.text
    assert job.abort_sync()
    workers.start(LEASE_MS=1_000)
    assert job.result_sync(timeout=10).aborted  # type: ignore[union-attr]


def test_stopped_before_it_has_reached_redis(workers: Workers) -> None:
    """H3, H5: a worker that waits for its server stops like any other."""
    process = workers.spawn(REDIS_URL="redis://127.0.0.1:1/0")
    until(lambda: "Waiting for Redis" in process.text, 30)
    assert process.stop() == 0, process.text


def test_the_third_signal_reaches_a_blocked_loop(workers: Workers, app: Ardiq) -> None:
    """H3: a task that blocks the loop keeps nobody from stopping the worker at once."""
    process = workers.start(LEASE_MS=5_000)
    app.send_sync("clog", 20)
    until(lambda: workers.notes("start"))
    begin = time.monotonic()
    for _ in range(3):
        process.signal()
        time.sleep(0.2)  # signals of one kind that come together are one
    assert process.ends(5) == 130, process.text
    assert time.monotonic() - begin < 3


def test_signals_are_left_as_they_were_found(app: Ardiq) -> None:
    """B11: ``run()`` answers signals only while it runs."""

    def mine(number: int, frame: object) -> None: ...

    before = signal.signal(signal.SIGTERM, mine)
    try:
        app.run(burst=True)
        assert signal.getsignal(signal.SIGTERM) is mine
    finally:
        signal.signal(signal.SIGTERM, before)
