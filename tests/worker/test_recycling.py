"""The end of a worker that was not told to stop: its limits, leaked slots, and what ``run`` makes of them."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ardiq import Ardiq, JobStatus, owners, running, signals
from ardiq.worker import limits as limits_module
from ardiq.worker.limits import Limits, resident_mb
from ardiq.worker.worker import Worker
from tests.server import answers, free_port, need_binary, start_server, stop_server
from tests.workers import Workers, until

pytestmark = pytest.mark.slow

HAZARDS = {"ardiq_test_apps": "tests.shop,tests.faults.hazards"}


@pytest.mark.fault("45", "--max-jobs")
def test_enough_jobs(workers: Workers, app: Ardiq) -> None:
    """H1: exactly so many begin; the rest stays where it is, uncharged; exit 0, and the log says why."""
    jobs = [app.send_sync(name, 0.01) for name in ("nap", "doze") * 10]
    process = workers.spawn("--max-jobs", "7", CONCURRENCY=4)
    assert process.ends(30) == 0, process.text
    assert "Draining for a restart: 7 jobs have run, and --max-jobs is 7." in process.text
    assert len(workers.notes("start")) == 7 and workers.registered() == set()
    infos = [info for job in jobs if (info := job.info_sync())]
    assert sorted(info.status for info in infos) == [JobStatus.QUEUED] * 13 + [JobStatus.SUCCEEDED] * 7
    assert {(info.tries, info.crashes) for info in infos if info.status is JobStatus.QUEUED} == {(0, 0)}


def test_enough_jobs_in_a_burst(workers: Workers, app: Ardiq) -> None:
    """H1, H7: a burst that reaches the limit ends early, with 0; one that does not ends as ever."""
    for _ in range(5):
        app.send_sync("nap", 0)
    assert workers.spawn("--burst", "--max-jobs", "3").ends(30) == 0
    assert len(workers.notes("start")) == 3
    process = workers.spawn("--burst", "--max-jobs", "3")
    assert process.ends(30) == 0 and "Draining" not in process.text
    assert len(workers.notes("start")) == 5


@pytest.mark.fault("45", "--max-rss")
def test_too_much_memory(workers: Workers, app: Ardiq) -> None:
    """H1: a task that leaks ends the worker, gracefully: what runs may end; exit 0."""
    most = resident_mb() + 150
    process = workers.start("--max-rss", str(most), **HAZARDS)
    assert app.send_sync("hoard", 10).result_sync(timeout=20).success  # type: ignore[union-attr]
    running_on = app.send_sync("nap", 2)
    until(lambda: any(words[1] == running_on.id for words in workers.notes("start")))
    assert app.send_sync("hoard", most).result_sync(timeout=20).success  # type: ignore[union-attr]
    assert process.ends(30) == 0, process.text
    assert f"MB of memory are in use, and --max-rss is {most:,}." in process.text
    assert running_on.status_sync() is JobStatus.SUCCEEDED and workers.registered() == set()


@pytest.mark.parametrize("option", ["--max-rss", "--max-jobs", "--processes"])
def test_limits_that_make_no_sense(workers: Workers, option: str) -> None:
    """H1: a sentence, and exit 1."""
    process = workers.spawn(option, "0")
    assert process.ends(30) == 1 and f"{option} 0: give a whole number above 0." in process.text


def test_a_limit_below_the_start(workers: Workers) -> None:
    """H1: it would be restarted for ever and never work."""
    process = workers.spawn("--max-rss", "5")
    assert process.ends(30) == 1
    assert "--max-rss 5: a worker of this project takes" in process.text


def test_the_workers_of_a_process_share_it(redis_url: str, queue_name: str) -> None:
    """H1: two queues, one process: what one reaches ends both; the exit code is that of the first."""
    apps = [Ardiq(f"{queue_name}-{name}", ["default"], redis_url) for name in "ab"]

    async def main() -> list[Worker]:
        limits = Limits()
        workers = [running.build(app.queue_name, app.options, limits=limits) for app in apps]
        loop = asyncio.get_running_loop()
        await running.run(workers, lambda: loop.call_later(0.5, workers[0].recycle, "a test"))
        return workers

    workers = running.complete(main())
    assert [worker.exit_code for worker in workers] == [75, 0]


def test_how_limits_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """H1: what is held may run, too; memory is looked at once a second."""
    limits = Limits(jobs=5)
    held = {"a", "b"}
    limits.holds(held)
    assert (limits.left(10), limits.left(2)) == (3, 2)
    limits.count([_held(True), _held(False), _held(True)])
    held.clear()
    assert (limits.left(10), limits.check()) == (3, "")
    limits.count([_held(True)] * 3)
    assert limits.left(10) == 0 and limits.check() == "5 jobs have run, and --max-jobs is 5"
    assert Limits().left(10) == 10 and Limits().check() == ""
    looks: list[int] = []
    monkeypatch.setattr(limits_module, "resident_mb", lambda: looks.append(1) or 300)
    limits = Limits(rss_mb=200)
    assert (limits.check(), looks) == ("", [])
    limits._looked -= 2
    assert limits.check() == limits.check() == "300 MB of memory are in use, and --max-rss is 200"
    assert looks == [1]


def _held(began: bool) -> Any:
    return type("Held", (), {"began": float(began)})()


# -- run() ----------------------------------------------------------------------------------------


def test_run_returns_although_a_task_does_not(app: Ardiq, monkeypatch: pytest.MonkeyPatch) -> None:
    """B11: a library call comes back to its caller, whatever the task makes of its cancellation."""
    begun, release = threading.Event(), False

    @app.task(name="deaf")
    async def deaf() -> None:
        begun.set()
        while not release:
            try:
                await asyncio.sleep(0.2)
            except asyncio.CancelledError:
                continue

    short = _with(app, monkeypatch, grace_ms=200, lease_ms=1_000)
    job = deaf.enqueue_sync()
    thread = threading.Thread(target=app.run)
    thread.start()
    assert begun.wait(15)
    begin = time.monotonic()
    app.stop()
    thread.join(20)
    assert not thread.is_alive(), "run() does not return"
    assert time.monotonic() - begin < 10 and short[0].stuck == 1
    release = True
    assert job.abort_sync()
    app.run(burst=True)


def test_run_leaves_a_thread_behind(app: Ardiq, monkeypatch: pytest.MonkeyPatch) -> None:
    """B11: nor does it wait for a thread that a task has started and that does not return."""
    begun, gate = threading.Event(), threading.Event()

    @app.task(name="hang")
    async def hang() -> None:
        begun.set()
        await asyncio.to_thread(gate.wait, 60)

    _with(app, monkeypatch, grace_ms=200, lease_ms=1_000)
    job = hang.enqueue_sync()
    thread = threading.Thread(target=app.run)
    thread.start()
    assert begun.wait(15)
    app.stop()
    thread.join(20)
    assert not thread.is_alive(), "run() does not return"
    gate.set()
    assert job.status_sync() is JobStatus.QUEUED and job.abort_sync()
    app.run(burst=True)


def test_run_ends_though_all_threads_of_the_loop_hang(app: Ardiq, monkeypatch: pytest.MonkeyPatch) -> None:
    """B11: with receivers of signals to be heard out as well, which needs no thread of the loop."""
    gate, heard = threading.Event(), threading.Event()
    monkeypatch.setattr(running, "_courier", signals.Courier(owners.task_of))

    @app.task(name="hang", timeout=0.2, max_retries=0)
    async def hang() -> None:
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(1))
        await asyncio.to_thread(gate.wait, 60)

    def receive(**kwargs: Any) -> None:
        heard.set()

    _with(app, monkeypatch, grace_ms=200, lease_ms=1_000)
    signals.job_failed.connect(receive)
    try:
        job = hang.enqueue_sync()
        thread = threading.Thread(target=app.run, daemon=True)
        thread.start()
        until(lambda: job.status_sync() is JobStatus.FAILED, 15)
        app.stop()
        thread.join(15)
        assert not thread.is_alive() and heard.is_set()
    finally:
        gate.set()
        signals.job_failed.disconnect(receive)


def test_run_asks_for_a_new_process(app: Ardiq, monkeypatch: pytest.MonkeyPatch) -> None:
    """R17: slots that are lost cannot be had back by calling it again, so the process should end, with 75."""
    made = _with(app, monkeypatch)

    @app.task(name="recycle")
    async def recycle() -> None:
        made[0].recycle("a test")

    job = recycle.enqueue_sync()
    with pytest.raises(SystemExit) as caught:
        app.run()
    assert caught.value.code == 75
    assert job.status_sync() is JobStatus.SUCCEEDED


def test_run_where_a_loop_runs(app: Ardiq) -> None:
    """A sentence, not a coroutine that nobody awaits."""

    async def main() -> None:
        with pytest.raises(RuntimeError, match="event loop of its own"):
            app.run(burst=True)

    asyncio.run(main())


def _with(app: Ardiq, monkeypatch: pytest.MonkeyPatch, **overrides: Any) -> list[Worker]:
    """``run`` makes its worker with these options; it is added to the list that is returned."""
    build: Callable[..., Worker] = running.build
    made: list[Worker] = []

    def wrapped(queue: str, options: Any, **more: Any) -> Worker:
        made.append(build(queue, replace(options, **overrides), **more))
        return made[-1]

    monkeypatch.setattr(running, "build", wrapped)
    return made


# -- Redis goes away ------------------------------------------------------------------------------


@pytest.mark.fault("12", "no worker exits because its connection dropped")
@pytest.mark.parametrize("arguments", [(), ("--burst",), ("--processes", "2")], ids=["one", "burst", "two"])
def test_a_worker_does_not_exit_for_its_server(
    workers: Workers, tmp_path: Path, queue_name: str, arguments: tuple[str, ...]
) -> None:
    """H5: gone for seconds, idle or busy: the same processes go on, and what they did is kept."""
    binary, port = need_binary(), free_port()
    workers.url = workers.direct = f"redis://127.0.0.1:{port}/0"
    server = start_server(binary, tmp_path, port, "--appendonly", "yes")
    try:
        assert answers(workers.url, 10)
        app = Ardiq(queue_name, ["low", "default", "high"], workers.url)
        jobs = [app.send_sync("nap", 2) for _ in range(2)]
        process = workers.spawn(*arguments, LEASE_MS=20_000, CONCURRENCY=1)
        until(lambda: workers.notes("start"), 30)
        stop_server(server)
        until(lambda: workers.notes("end") and "Waiting for Redis" in process.text, 30)
        time.sleep(1)
        assert process.popen.poll() is None, process.text
        server = start_server(binary, tmp_path, port, "--appendonly", "yes")
        assert answers(workers.url, 10)
        for job in jobs:
            assert job.result_sync(timeout=30).success  # type: ignore[union-attr]
        assert len(workers.notes("start")) == 2
        if arguments != ("--burst",):
            assert process.popen.poll() is None, process.text
            process.signal()
        assert process.ends(30) == 0, process.text
    finally:
        stop_server(server)


def test_a_burst_that_never_reaches_its_server(workers: Workers) -> None:
    """H5: it has not done what it was started for, so it must not look as if it had."""
    process = workers.spawn("--burst", REDIS_URL=f"redis://127.0.0.1:{free_port()}/0")
    assert process.ends(30) == 1, process.text
