"""Suspects whose worker stops, whose process only just starts, or that start processes themselves (R7)."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Callable
from typing import Any

import pytest

from ardiq import Ardiq, JobStatus, current_job
from ardiq.worker import suspects as suspects_module
from ardiq.worker.apart import processors
from ardiq.worker.held import Held, Stop
from ardiq.worker.slots import Slots
from ardiq.worker.suspects import Suspects
from tests.server import admin
from tests.worker.test_suspects import SHORT, _lives, suspect
from tests.workers import Workers, Working, until

HAZARDS = {"ardiq_test_apps": "tests.shop,tests.faults.hazards"}
Make = Callable[..., Working]


def test_one_that_is_aborted_before_its_first_step(
    app: Ardiq, working: Make, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """E5: in the very turn of the loop in which it is started; neither it nor its slot is lost."""
    start = Slots._start

    def start_and_abort(slots: Slots, held: Held) -> bool:
        if held.record.crashes:
            slots._loop.call_soon(slots.tell_to_stop, held, Stop.ABORT)
        return start(slots, held)

    monkeypatch.setattr(Slots, "_start", start_and_abort)
    add = app.task(name="add")(lambda a, b: a + b)
    job: Any = suspect(app, redis_url, "add", 2, 3)
    with working(concurrency=1):
        assert job.result_sync(timeout=15).status is JobStatus.ABORTED
        assert add.enqueue_sync(1, 1).result_sync(timeout=15).value == 2  # type: ignore[union-attr]


def test_one_that_is_found_to_run_here_while_the_worker_stops(
    app: Ardiq, working: Make, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """H3: it goes back at once, uncharged; nobody waits for the lease."""

    async def taken_back(suspects: Suspects, held: Held) -> None:
        here.stop()
        await asyncio.sleep(0.3)
        suspects._take_back(held)

    monkeypatch.setattr(Suspects, "_isolate", taken_back)
    app.task(name="add")(lambda a, b: a + b)
    job: Any = suspect(app, redis_url, "add", 2, 3)
    with working() as here:
        here.ends(15)
    info = job.info_sync()
    assert (info.status, info.crashes, info.tries) == (JobStatus.QUEUED, 1, 0)


def test_one_that_has_not_begun_when_the_worker_stops(
    app: Ardiq, working: Make, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """H3: what has not started is handed back at once, and gets no grace."""
    starting: list[Held] = []

    async def start_slowly(suspects: Suspects, held: Held) -> None:
        starting.append(held)
        await asyncio.sleep(60)

    monkeypatch.setattr(Suspects, "_isolate", start_slowly)
    app.task(name="add")(lambda a, b: a + b)
    job: Any = suspect(app, redis_url, "add", 2, 3)
    with working(grace_ms=40_000) as here:
        until(lambda: starting, what="a suspect that starts")
        begin = time.monotonic()
        here.stop()
        here.ends(20)
    assert time.monotonic() - begin < 15
    info = job.info_sync()
    assert (info.status, info.crashes, info.tries) == (JobStatus.QUEUED, 1, 0)


@pytest.mark.fault("44", "dies and leaves a process behind")
def test_one_that_starts_processes(workers: Workers, app: Ardiq, redis_url: str) -> None:
    """R7: it may, as in its worker; and its own death is seen although another process holds its pipe."""
    workers.start(**SHORT, **HAZARDS)
    try:
        tidy, fatal = (suspect(app, redis_url, "litter", die) for die in (False, True))
        result = tidy.result_sync(timeout=40)  # type: ignore[attr-defined]
        assert result.success and result.value == -signal.SIGKILL, result
        result = fatal.result_sync(timeout=60)  # type: ignore[attr-defined]
        assert result.status is JobStatus.FAILED and "crash 3" in result.error.message, result
    finally:
        for words in workers.notes("litter"):
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(words[1]), signal.SIGKILL)


def test_no_more_at_once_than_there_is_room_for(
    app: Ardiq, working: Make, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R7: also when many are claimed together."""
    most = processors()
    there: list[int] = []
    now = 0

    async def count(suspects: Suspects, held: Held) -> None:
        nonlocal now
        now += 1
        there.append(now)
        await asyncio.sleep(0.1)
        now -= 1
        suspects._share(held)

    monkeypatch.setattr(suspects_module, "PER_PROCESSOR", 1)
    monkeypatch.setattr(Suspects, "_isolate", count)
    app.task(name="add")(lambda a, b: a + b)
    jobs: list[Any] = [suspect(app, redis_url, "add", 1, n) for n in range(most + 3)]
    time.sleep(0.6)
    with working(concurrency=most + 3):
        assert [job.result_sync(timeout=20).value for job in jobs] == [1 + n for n in range(most + 3)]
    # One that waits too long on a busy machine is handed back, and comes here again.
    assert len(there) >= most + 3 and max(there) == most


def test_one_that_runs_here_counts_all_the_same(app: Ardiq, working: Make, redis_url: str) -> None:
    """R7: the mark that makes a crash count is set for each of them, not for the first of a task only."""

    @app.task(name="local")
    def local() -> bool:
        job = current_job()
        assert job is not None
        with admin(redis_url) as client:
            flags: Any = client.getrange(app.broker.keys.job(job.id), 1, 1)
        return int(flags, 16) >= 8

    with working():
        for _ in range(2):
            job: Any = suspect(app, redis_url, "local")
            assert job.result_sync(timeout=30).value is True


def kill_nursery(workers: Workers) -> None:
    nursery = int(workers.notes("start")[0][5])
    assert nursery not in {os.getpid(), *(process.popen.pid for process in workers.all)}
    os.kill(nursery, signal.SIGKILL)


def test_one_whose_nursery_dies(workers: Workers, app: Ardiq, redis_url: str) -> None:
    """R7: what was forked from it goes on; nothing starts twice, and the next ones get a new one."""
    workers.start(**SHORT)
    job: Any = suspect(app, redis_url, "doze", 3)
    until(lambda: workers.notes("start"), 40)
    kill_nursery(workers)
    assert job.result_sync(timeout=20).success
    assert len(workers.notes("start")) == 1 and job.info_sync().crashes == 1
    job = suspect(app, redis_url, "add", 2, 3)
    assert job.result_sync(timeout=40).value == 5


def test_one_that_is_stopped_when_its_nursery_is_dead(workers: Workers, app: Ardiq, redis_url: str) -> None:
    """E5: it is killed all the same."""
    workers.start(**SHORT)
    job: Any = suspect(app, redis_url, "doze", 60)
    until(lambda: workers.notes("start"), 40)
    kill_nursery(workers)
    assert job.abort_sync() and job.result_sync(timeout=15).status is JobStatus.ABORTED
    until(lambda: not _lives(int(workers.notes("start")[0][3])), what="the end of the child")
