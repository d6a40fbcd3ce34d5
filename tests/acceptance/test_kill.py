"""Done when 4: a worker killed in mid-run loses nothing, and one that is told to stop repeats nothing."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from ardiq import Ardiq, JobStatus
from tests.keyspace import faults
from tests.server import admin
from tests.workers import Workers, until

JOBS, DEATHS, HELD = 500, 5, 8
OPTIONS = {"LEASE_MS": 1_500, "CONCURRENCY": 4, "PREFETCH": HELD - 4, "CRASH_LIMIT": 20}

pytestmark = pytest.mark.slow


@pytest.fixture
def workers(redis_url: str, queue_name: str, tmp_path: Path) -> Iterator[Workers]:
    workers = Workers(redis_url, queue_name, tmp_path)
    yield workers
    workers.close()


@pytest.fixture
def app(redis_url: str, queue_name: str) -> Ardiq:
    return Ardiq(queue_name, ["low", "default", "high"], redis_url)


def starts(workers: Workers) -> Counter[str]:
    return Counter(words[1] for words in workers.notes("start"))


def enqueue(app: Ardiq) -> list[str]:
    """A mix: async and sync, three lanes."""
    naps, dozes = app.ref("nap"), app.ref("doze")
    lanes = ("low", "default", "high")
    calls = [(naps if n % 2 else dozes).options(priority=lanes[n % 3]).prepare(0.02) for n in range(JOBS)]
    return [job.id for job in app.enqueue_many_sync(calls)]


def all_ended(app: Ardiq, ids: list[str]) -> bool:
    counts = Counter(app.status_sync(id) for id in ids[-50:])
    return counts[JobStatus.SUCCEEDED] == 50 and all(app.status_sync(id).finished for id in ids)


def orderly(workers: Workers) -> None:
    """R20, while nothing moves."""
    with admin(workers.url) as client:
        assert faults(client, workers.queue) == []


@pytest.mark.fault("2", "kill -9 of the only worker, five times, 500 jobs")
def test_killed_five_times(workers: Workers, app: Ardiq) -> None:
    """F4, R3: 500 jobs, 5 times SIGKILL in mid-run: every job ends, none is stuck, none fails for it;
    starts beyond the first are at most what the dead workers held."""
    ids = enqueue(app)
    for death in range(DEATHS):
        process = workers.start(**OPTIONS)
        seen = len(workers.notes("start"))
        until(lambda seen=seen: len(workers.notes("start")) >= seen + 30, 60, f"work before death {death}")  # type: ignore[misc]
        process.kill()
        orderly(workers)
    last = workers.start(**OPTIONS)
    until(lambda: all_ended(app, ids), 180, "the end of every job")
    assert last.stop() == 0, last.text
    orderly(workers)
    assert {app.status_sync(id) for id in ids} == {JobStatus.SUCCEEDED}
    found = starts(workers)
    assert set(found) == set(ids)
    beyond = sum(found.values()) - JOBS
    crashes = sum(info.crashes for id in ids if (info := app.info_sync(id)))
    # What had ended but was not committed at the moment of death runs again as well: it was still held.
    assert beyond <= crashes <= DEATHS * HELD * 2
    assert workers.registered() == set()


@pytest.mark.fault("5", "SIGTERM of the only worker, five times, 500 jobs")
def test_stopped_five_times(workers: Workers, app: Ardiq) -> None:
    """H3: 500 jobs, 5 times SIGTERM in mid-run: nothing lost, nothing started twice, no crash counted."""
    ids = enqueue(app)
    for stop in range(DEATHS):
        process = workers.start(**OPTIONS)
        seen = len(workers.notes("start"))
        until(lambda seen=seen: len(workers.notes("start")) >= seen + 30, 60, f"work before stop {stop}")  # type: ignore[misc]
        assert process.stop() == 0, process.text
        orderly(workers)
        assert workers.registered() == set()
    last = workers.start(**OPTIONS)
    until(lambda: all_ended(app, ids), 180, "the end of every job")
    assert last.stop() == 0
    assert starts(workers) == Counter(ids)
    infos = [info for id in ids if (info := app.info_sync(id))]
    assert {(info.status, info.tries, info.crashes) for info in infos} == {(JobStatus.SUCCEEDED, 1, 0)}


@pytest.mark.fault("44", "a worker killed twice in the same job")
def test_a_job_that_kills_its_worker(workers: Workers, app: Ardiq) -> None:
    """F4: dead-lettered at the limit with the reason; the job beside it goes on."""
    options = OPTIONS | {"CRASH_LIMIT": 2, "LEASE_MS": 600}
    guilty = app.send_sync("insist")
    for death in range(2):
        process = workers.start(**options)
        until(lambda death=death: len(workers.notes("start")) > death, what=f"start {death}")  # type: ignore[misc]
        process.kill()
        time.sleep(0.6)
    innocent = app.send_sync("add", 1, 2)
    last = workers.start(**options)
    found = guilty.result_sync(timeout=20)
    assert found is not None and (found.status, found.tries) == (JobStatus.FAILED, 0)
    assert found.error is not None and "CRASH_LIMIT is 2" in found.error.message
    assert innocent.result_sync(timeout=20).value == 3  # type: ignore[union-attr]
    assert guilty.replay_sync() and guilty.info_sync().crashes == 0  # type: ignore[union-attr]
    until(lambda: len(workers.notes("start")) > 2)
    last.kill()
