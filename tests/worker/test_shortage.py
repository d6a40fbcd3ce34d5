"""What a worker is short of for a while, as files or threads, costs what needs it and no more: none ends,
and no job is held for ever."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import socket
import socketserver
import sys
import threading
import time
import zoneinfo
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ardiq import Ardiq, JobStatus, running, signals
from ardiq.core import times
from ardiq.core.job import JobRecord
from ardiq.core.options import Options
from ardiq.core.retry import Ending
from ardiq.store import scripts, verbs
from ardiq.worker import forked
from ardiq.worker.children import Child
from ardiq.worker.held import Held
from ardiq.worker.lease import Lease, show_stacks
from ardiq.worker.probe import BREATH, Probe
from ardiq.worker.processes import Processes
from tests.proxy import Proxy
from tests.server import admin, own_server
from tests.worker.test_processes import crunch
from tests.workers import Working, until

Make = Callable[..., Working]


def no_file(*args: object, **kwargs: object) -> Any:
    raise OSError(24, "Too many open files")


def test_no_files_for_a_child(app: Ardiq, working: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """F2: jobs of the process executor are put off while no socket pair can be made, and then run."""
    left = [3]

    def pair(*args: Any) -> Any:
        if left[0] > 0:
            left[0] -= 1
            no_file()
        return socket.socketpair(*args)

    monkeypatch.setattr(forked, "socket", SimpleNamespace(socketpair=pair, socket=socket.socket))
    task = app.task(executor="process")(crunch)
    with working(concurrency=3):
        jobs = [task.enqueue_sync(1) for _ in range(3)]
        until(lambda: all(job.status_sync().finished for job in jobs), 40, "all have ended")
    assert left == [0]


def test_a_recurring_task_of_which_no_job_can_be_made(
    app: Ardiq, working: Make, caplog: pytest.LogCaptureFixture
) -> None:
    """G2: its key function raises at each occurrence; the others fire, jobs run, and the worker goes on."""
    fired: list[str] = []

    @app.cron(every=1, unique=lambda account: f"a{account}", name="broken")
    def broken(account: int = 0) -> None:
        fired.append("broken")

    @app.cron(every=1, name="whole")
    def whole() -> None:
        fired.append("whole")

    with working():
        until(lambda: fired.count("whole") >= 2, 20, "two occurrences")
        assert app.task(name="other")(lambda: 2).enqueue_sync().result_sync(timeout=10).value == 2  # type: ignore[union-attr]
    assert "broken" not in fired
    assert "No job can be made of recurring task broken" in caplog.text


def test_what_is_left_out_is_left_out(
    app: Ardiq, working: Make, redis_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """G2: it is tried once, told once, and does not come late when a job can be made again."""
    fired: list[str] = []
    healthy = threading.Event()

    def key() -> str:
        if not healthy.is_set():
            raise RuntimeError("no key")
        return "key"

    @app.cron(every=3_600, unique=key, name="broken")
    def broken() -> None:
        fired.append("broken")

    @app.cron(every=1, name="whole")
    def whole() -> None:
        fired.append("whole")

    keys = app.broker.keys
    with working():
        until(lambda: fired.count("whole") >= 1, 20, "the marks are there")
    with admin(redis_url) as client:
        client.hset(keys.cron, "mark:broken", 1)
    with working():
        until(lambda: fired.count("whole") >= 4, 20, "several looks")
        healthy.set()
        until(lambda: fired.count("whole") >= 6, 20, "more of them")
    assert "broken" not in fired
    assert caplog.text.count("No job can be made of recurring task broken") == 1


def test_scripts_are_there_before_files_run_out(
    app: Ardiq, working: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F2: whatever a worker ever sends was read when it started."""
    fired: list[int] = []

    @app.cron(every=1)
    def beat() -> None:
        fired.append(1)

    scripts.script.cache_clear()
    verbs.load_for_worker()
    monkeypatch.setattr(scripts, "_text", no_file)
    with working():
        until(lambda: len(fired) >= 2, 20, "two occurrences")


@pytest.mark.parametrize("call", [None, asyncio.to_thread], ids=["tasks", "threads"])
def test_the_way_to_redis_is_not_that_of_tasks(tmp_path: Path, queue_name: str, call: Any) -> None:
    """R14: tasks that hang in all threads of the loop do not keep the worker from coming back to Redis."""
    with own_server(tmp_path) as url:  # one that a proxy may stand in front of under another name
        come_back(url, queue_name, call)


def come_back(redis_url: str, queue_name: str, call: Any) -> None:
    proxy = Proxy(redis_url)
    far = proxy.url.replace("127.0.0.1", "localhost")
    app, gate = Ardiq(queue_name, redis_url=redis_url), threading.Event()

    @app.task(name="hang")
    async def hang() -> None:
        await asyncio.to_thread(gate.wait, 30) if call else await asyncio.sleep(0)

    quick = app.task(name="quick")(lambda: 1)
    try:
        with Working(app, redis_url=far, concurrency=60, lease_ms=3_000):
            hung = [hang.enqueue_sync() for _ in range(40)]
            until(lambda: all(job.status_sync() is not JobStatus.QUEUED for job in hung), 20)
            proxy.cut()
            assert quick.enqueue_sync().result_sync(timeout=8).value == 1  # type: ignore[union-attr]
            gate.set()
            until(lambda: all(job.status_sync().finished for job in hung), 20)
    finally:
        gate.set()
        proxy.close()


def test_no_job_waits_for_the_threads_of_tasks(app: Ardiq, working: Make) -> None:
    """R14: with tasks in all threads of the loop, error hooks run and processes start."""
    gate, told = threading.Event(), list[str]()

    @app.task(name="hang")
    async def hang() -> None:
        await asyncio.to_thread(gate.wait, 60)

    @app.task(name="fails", max_retries=0)
    def fails() -> None:
        raise ValueError("in vain")

    app.on_error(lambda error, job: told.append(str(error)))
    crunched = app.task(executor="process")(crunch)
    with working(concurrency=60):
        try:
            hung = [hang.enqueue_sync() for _ in range(40)]
            until(lambda: all(job.status_sync() is JobStatus.RUNNING for job in hung), 20)
            jobs: list[Any] = [fails.enqueue_sync(), crunched.enqueue_sync(1)]
            until(lambda: all(job.status_sync().finished for job in jobs), 20, "both have ended")
        finally:
            gate.set()
        until(lambda: all(job.status_sync().finished for job in hung), 20)
    assert "in vain" in told


@pytest.fixture(params=["ardiq", ""], ids=["own", "root"])
def raising(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """A handler that cannot open its file, where the project has put it."""
    tried: list[str] = []

    class Broken(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            tried.append(record.name)
            no_file()

    # Wherever earlier tests have sent what is logged.
    monkeypatch.setattr(logging.getLogger("ardiq"), "propagate", True)
    logger, handler = logging.getLogger(request.param), Broken()
    logger.addHandler(handler)
    yield tried
    logger.removeHandler(handler)


def test_a_log_that_cannot_be_written(
    app: Ardiq, working: Make, raising: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    """F2: jobs end as they would, sync and async, with hooks and without; what is logged goes to stderr."""

    @app.task(name="sync", max_retries=0)
    def sync() -> None:
        raise ValueError("sync")

    @app.task(name="in_loop", max_retries=0)
    async def in_loop() -> None:
        raise ValueError("in_loop")

    with working(concurrency=3):
        jobs = [task.enqueue_sync() for task in (sync, in_loop) for _ in range(4)]
        until(lambda: all(job.status_sync() is JobStatus.FAILED for job in jobs), 20)
        app.on_error(lambda error, job: None)
        job = sync.enqueue_sync()
        until(lambda: job.status_sync() is JobStatus.FAILED, 20)
    assert tried_by_workers(raising)
    assert "ValueError" in capfd.readouterr().err


def tried_by_workers(tried: list[str]) -> bool:
    return any(name.startswith("ardiq") for name in tried)


def test_no_thread_for_signals(
    app: Ardiq, working: Make, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """H2: a receiver that is connected while no thread is to be had hears nothing yet; jobs run."""
    plain, few, heard = threading.Thread.start, [True], []

    def start(self: threading.Thread) -> None:
        if few and self.name == "ardiq-signals":
            raise RuntimeError("can't start new thread")
        plain(self)

    monkeypatch.setattr(threading.Thread, "start", start)
    monkeypatch.setattr(running._courier, "_thread", None)  # of an earlier test
    task = app.task(name="quick")(lambda: 1)

    def receive(event: Any, **kwargs: Any) -> None:
        heard.append(event.id)

    with working():
        signals.job_succeeded.connect(receive)
        try:
            begun = time.monotonic()
            for _ in range(3):
                assert task.enqueue_sync().result_sync(timeout=10).success  # type: ignore[union-attr]
                time.sleep(0.3)  # a look of the worker at who receives
            assert heard == []
            told = caplog.text.count("Signals of jobs are left out")
            assert 1 <= told <= 1 + (time.monotonic() - begun) / signals.AGAIN
            few.clear()
            until(lambda: task.enqueue_sync().result_sync(timeout=10) and heard, 20, "they are heard again")
        finally:
            signals.job_succeeded.disconnect(receive)


def test_no_file_for_a_time_zone(app: Ardiq, working: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """F2: a job whose arguments cannot be read for want of a file waits, uncharged, and then runs."""
    left = [2]

    def zone(key: str) -> Any:
        if left[0] > 0:
            left[0] -= 1
            no_file()
        return zoneinfo.ZoneInfo(key)

    task = app.task(name="when", max_retries=0)(lambda moment: moment.tzinfo.key)
    job = task.enqueue_sync(datetime(2026, 1, 1, tzinfo=zoneinfo.ZoneInfo("Europe/Berlin")))
    monkeypatch.setattr(times, "zoneinfo", SimpleNamespace(ZoneInfo=zone))
    with working():
        result = job.result_sync(timeout=20)
    assert result is not None and (result.value, result.tries, left) == ("Europe/Berlin", 1, [0])


@pytest.mark.parametrize(
    "short", [OSError(24, "Too many open files"), MemoryError()], ids=["files", "memory"]
)
def test_a_deserializer_that_is_short_of_something(queue_name: str, redis_url: str, short: Exception) -> None:
    """F2: so is a job whose own deserializer could not do it."""
    left = [2]

    def read(body: bytes) -> Any:
        if left[0] > 0:
            left[0] -= 1
            raise short
        return json.loads(body)

    app = Ardiq(
        queue_name,
        redis_url=redis_url,
        serializer=lambda value: json.dumps(value).encode(),
        deserializer=read,
    )
    job = app.task(name="sum", max_retries=0)(lambda *parts: sum(parts)).enqueue_sync(1, 2)
    with Working(app):
        until(lambda: job.status_sync().finished, 20)
    result = job.result_sync()
    assert result is not None and (result.value, result.tries, left) == (3, 1, [0])


def test_a_pipe_that_cannot_be_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """F2: a supervisor that tries again and again loses nothing each time."""
    made: list[int] = []

    def pipe() -> tuple[int, int]:
        if made:
            no_file()
        made.extend(ends := plain())
        return ends

    plain = os.pipe
    monkeypatch.setattr(os, "pipe", pipe)
    with pytest.raises(OSError, match="Too many open files"):
        Child(["true"], {})
    for end in made:
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(end)


def test_a_process_that_dies_after_the_lease_had_lapsed() -> None:
    """R7: what it was given since then, it was given under the new lease: its death is charged."""
    lease, told = Lease(60_000), list[str]()
    lease.renewed(time.monotonic())
    lease.lapsed = time.monotonic()
    apart = Processes.__new__(Processes)
    apart._options = replace(Options(queue="q", redis_url=""), crash_limit=2)
    apart._judge = SimpleNamespace(tell=lambda kind, held, **more: told.append(kind))  # type: ignore[assignment]
    held = Held(JobRecord.unreadable("x", b"R" + b"0" * 60, "default"), 1, lease, lease.lapsed - 1, False)
    held.handed = lease.lapsed - 0.5
    assert apart._crashed(held, "died").ending is Ending.HANDED_BACK and told == []
    held.handed = lease.lapsed + 0.5
    assert apart._crashed(held, "died").error is not None and told == ["crashed"]


def test_a_probe_without_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """S10: a connection that cannot be accepted is looked at again in a while, and not without end."""
    tried: list[float] = []

    def refuse(self: object) -> Any:
        tried.append(time.monotonic())
        no_file()

    probe = Probe("127.0.0.1", 0, lambda: None)  # type: ignore[arg-type,return-value]
    monkeypatch.setattr(socketserver.TCPServer, "get_request", refuse)
    probe.start()
    try:
        with socket.create_connection(probe.socket.getsockname()):
            until(lambda: len(tried) >= 4, 10)
    finally:
        probe.stop()
    assert all(later - earlier >= BREATH for earlier, later in pairwise(tried))


def test_stacks_without_stderr(monkeypatch: pytest.MonkeyPatch) -> None:
    """R6: whoever closes stderr does not keep the worker from ending when its loop hangs."""
    monkeypatch.setattr(sys, "__stderr__", None)
    monkeypatch.setattr(sys, "stderr", None)
    show_stacks()
