"""The same id from many processes; aborts at any moment of a job's life. Rows 54 and 55."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from ardiq import JobStatus
from tests.faults.field import Field, Watch
from tests.faults.netproxy import Network
from tests.faults.report import Report
from tests.workers import ROOT

PROCESSES, ROUNDS = 50, 200


@pytest.fixture
def network(redis_url: str) -> Iterator[Network]:
    network = Network(redis_url)
    yield network
    network.close()


@pytest.mark.soak
@pytest.mark.fault("54", "one id, 50 processes, 200 rounds")
def test_the_same_ids(field: Field, report: Report) -> None:
    """In each round exactly one is told that the job is new, and each job runs once."""
    command = [sys.executable, "-m", "tests.faults.racing", field.url, field.queue]
    done = subprocess.run(
        [*command, str(PROCESSES), str(ROUNDS)], cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    made = [int(word) for word in done.stdout.split()]
    assert Counter(made) == {1: ROUNDS}
    ids = [f"round-{number}" for number in range(ROUNDS)]
    worker = field.start()
    field.wait_done(ids)
    assert worker.stop() == 0, worker.text
    report.lost, report.twice, report.stuck = 0, sum(made) - ROUNDS, 0
    report.note = f"{PROCESSES * ROUNDS} enqueues, {ROUNDS} jobs"
    assert field.tally(ids) == {(1, 0): ROUNDS}


@pytest.mark.fault("55", "aborts that race with claims, ends, retries and hand-backs")
def test_aborts_at_any_moment(field: Field, report: Report) -> None:
    """One outcome each, which never changes; what nobody could abort has succeeded."""
    dice = random.Random(55)
    heard: dict[str, bool] = {}
    crew = [field.start(), field.start()]
    ids = [*field.enqueue(120, "nap", 0.03), *field.enqueue(60, "doze", 0.03), *field.enqueue(20, "hot")]

    def abort(id: str) -> None:
        time.sleep(dice.uniform(0, 0.04))
        heard[id] = field.app.job(id).abort_sync()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(abort, ids[:90:2]))
        # And a worker that hands back and one that takes over in the middle of it.
        crew[0].signal()
        list(pool.map(abort, [*ids[90:180:2], *ids[180:]]))
    field.wait_done(ids)
    before = field.records(ids)
    assert crew[0].ends() == 0 and crew[1].stop() == 0, crew[1].text
    assert field.records(ids) == before
    field.count(report, ids)
    kinds = Counter(field.statuses(ids).values())
    report.note = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))
    report.twice = None
    assert (report.lost, report.stuck) == (0, 0)
    assert set(kinds) <= {JobStatus.SUCCEEDED, JobStatus.ABORTED}
    for id, status in field.statuses(ids).items():
        # A job that heard too late may succeed all the same; one that nobody could abort has.
        assert heard.get(id) or status is JobStatus.SUCCEEDED, (id, status)


@pytest.mark.fault("55", "an abort of what a dead worker held")
def test_an_abort_outlives_the_worker(field: Field, report: Report) -> None:
    """It is marked, the worker is killed before it hears of it, and nobody runs the job again."""
    ids = field.enqueue(2, "nap", 30) + field.enqueue(2, "doze", 30)
    first = field.start(LEASE_MS=1_000)
    field.wait_started(4)
    first.signal(signal.SIGSTOP)  # it hears nothing any more
    assert all(field.app.job(id).abort_sync() for id in ids)
    first.kill()
    field.start(LEASE_MS=1_000)
    field.wait_done(ids)
    field.count(report)
    assert (report.lost, report.twice, report.stuck) == (0, 0, 0)
    assert set(field.statuses().values()) == {JobStatus.ABORTED}


@pytest.mark.fault("55", "an abort while its worker is cut off")
def test_an_abort_that_nobody_hears(
    fields: Callable[..., Field], redis_url: str, network: Network, report: Report
) -> None:
    """The worker asks for what it missed as soon as it listens again."""
    field = fields(network.url, redis_url)
    ids = field.enqueue(3, "nap", 60)
    worker = field.start(LEASE_MS=6_000)
    field.wait_started(3)
    network.refuse()
    assert all(field.app.job(id).abort_sync() for id in ids)
    network.accept()
    watch = Watch()
    field.wait_done(ids, 10)
    report.recovery = watch.seconds
    field.count(report)
    assert watch.seconds < 5
    assert (report.lost, report.twice, report.stuck) == (0, 0, 0)
    assert set(field.statuses().values()) == {JobStatus.ABORTED}
    assert worker.stop() == 0, worker.text
