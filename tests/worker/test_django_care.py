"""Django inside jobs: database connections are cared for, the async ORM works, language does not leak."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.db import connection, connections
from django.utils import translation

from ardiq import Ardiq, Job, TaskResult, signals
from tests.workers import ROOT, Workers, Working

Make = Callable[..., Working]


def result(job: Job[Any], seconds: float = 15) -> TaskResult:
    found = job.result_sync(timeout=seconds)
    assert found is not None and found.success, found
    return found


@pytest.fixture
def database(tmp_path: Path, django_db_blocker: Any, settings: Any) -> Iterator[Path]:
    """A database in a file, which every thread opens for itself."""
    path = tmp_path / "care.sqlite3"
    sqlite3.connect(path).execute("CREATE TABLE word (text TEXT)")
    # Laid aside and not closed: the database of the other tests is in memory, and gone with its connection.
    opened = connections["default"]
    del connections["default"]
    before = connections.settings["default"]["NAME"]
    connections.settings["default"]["NAME"] = str(path)
    forget = sync_to_async(_forget_connection)  # the thread of async code serves all tests of a process
    asyncio.run(forget())
    with django_db_blocker.unblock():
        yield path
    asyncio.run(forget())
    connections.settings["default"]["NAME"] = before
    connections["default"] = opened


def _forget_connection() -> None:
    with suppress(AttributeError):
        del connections["default"]


class Watch:
    """The connection objects that jobs used, and whether they are closed."""

    def __init__(self) -> None:
        self.seen: dict[int, Any] = {}
        self.threads: set[int] = set()

    def look(self) -> int:
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM word")
            row = cursor.fetchone()
        wrapper = connections["default"]
        self.seen[id(wrapper)] = wrapper
        self.threads.add(threading.get_ident())
        return int(row[0])

    @property
    def open(self) -> int:
        return sum(wrapper.connection is not None for wrapper in self.seen.values())


@pytest.mark.parametrize("colour", ["async", "sync"])
def test_connections_are_closed_after_each_job(
    app: Ardiq, working: Make, database: Path, colour: str
) -> None:
    """H9: with CONN_MAX_AGE 0 none stays open, in threads and in what async jobs used."""
    watch = Watch()

    async def look_async() -> int:
        return await sync_to_async(watch.look)()

    task = app.task(name="look")(look_async if colour == "async" else watch.look)
    with working():
        found = [result(job).value for job in [task.enqueue_sync() for _ in range(12)]]
        assert watch.open == 0
    assert found == [0] * 12 and watch.seen


def test_a_connection_past_its_age_is_replaced(
    app: Ardiq, working: Make, database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """H9: a kept connection serves the next job of its thread, and one past its age is replaced."""
    monkeypatch.setitem(connections.settings["default"], "CONN_MAX_AGE", None)
    seen: list[Any] = []

    @app.task(max_retries=0)
    def use(outlived: bool) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
        seen.append(connection.connection)
        if outlived:
            connection.close_at = time.monotonic() - 1

    with working(concurrency=1):
        for outlived in (False, True, False):
            result(use.enqueue_sync(outlived))
    assert seen[0] is seen[1] is not seen[2]


def test_queries_do_not_pile_up(app: Ardiq, working: Make, database: Path, settings: Any) -> None:
    """H9: reset_queries around each job, so that DEBUG does not eat the memory of a worker."""
    settings.DEBUG = True
    counts: list[int] = []

    @app.task
    def use() -> None:
        with connection.cursor() as cursor:
            for _ in range(3):
                cursor.execute("SELECT 1")
        counts.append(len(connection.queries_log))

    with working(concurrency=1):
        for _ in range(4):
            result(use.enqueue_sync())
    assert len(set(counts)) == 1 and counts[0] <= 6


def test_async_jobs_do_not_wait_for_each_others_orm(app: Ardiq, working: Make, database: Path) -> None:
    """H9: each has a thread-sensitive context of its own: two calls that block meet each other."""
    barrier = threading.Barrier(2, timeout=10)

    @app.task(max_retries=0)
    async def meet() -> None:
        await sync_to_async(barrier.wait, thread_sensitive=True)()

    with working():
        for job in [meet.enqueue_sync(), meet.enqueue_sync()]:
            result(job)


def test_the_orm_in_a_process(workers: Workers, app: Ardiq) -> None:
    """H9: the async ORM and the sync one, on a database that was migrated."""
    migrate = [sys.executable, str(ROOT / "tests" / "manage.py"), "migrate", "contenttypes", "-v", "0"]
    subprocess.run(migrate, env=workers.environment(), cwd=ROOT, check=True, timeout=60)
    jobs = [app.send_sync(name) for name in ("rows", "rows_sync") * 3]
    process = workers.spawn("--burst")
    assert process.ends() == 0, process.text
    assert [job.result_sync().success for job in jobs] == [True] * 6, process.text  # type: ignore[union-attr]


@pytest.mark.parametrize("colour", ["async", "sync"])
def test_a_language_does_not_leak(app: Ardiq, working: Make, colour: str) -> None:
    """H9: what one job activates is not active in the next."""

    def speak() -> str:
        before = translation.get_language()
        translation.activate("de")
        return str(before)

    async def speak_async() -> str:
        return speak()

    task = app.task(name="speak")(speak_async if colour == "async" else speak)
    with working(concurrency=1):
        assert {result(task.enqueue_sync()).value for _ in range(3)} == {"en-us"}


def test_receivers_of_signals_and_hooks_use_the_orm(app: Ardiq, working: Make, database: Path) -> None:
    """H9, F2: sync and async ones, whatever colour the job is."""
    watch, told = Watch(), []

    def receive(sender: Any, event: Any, **kwargs: Any) -> None:
        watch.look()
        told.append(f"signal {event.kind}")

    async def receive_async(sender: Any, event: Any, **kwargs: Any) -> None:
        await sync_to_async(watch.look)()
        told.append(f"async signal {event.kind}")

    @app.on_error
    def hook(error: BaseException, job: Any) -> None:
        watch.look()
        told.append("hook")

    @app.on_error
    async def hook_async(error: BaseException, job: Any) -> None:
        await sync_to_async(watch.look)()
        told.append("async hook")

    @app.task(name="sync", max_retries=0)
    def sync() -> None:
        raise ValueError

    @app.task(name="async", max_retries=0)
    async def in_loop() -> None:
        raise ValueError

    signals.job_failed.connect(receive)
    signals.job_failed.connect(receive_async)
    try:
        with working():
            for task in (sync, in_loop):
                assert not task.enqueue_sync().result_sync(timeout=20).success
    finally:
        signals.job_failed.disconnect(receive)
        signals.job_failed.disconnect(receive_async)
    assert sorted(told) == sorted(["hook", "async hook", "signal failed", "async signal failed"] * 2)
