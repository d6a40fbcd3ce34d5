"""Progress and kept logs: what a running job tells of itself, and how long it is known."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from ardiq import Ardiq, Job, LogLine, Progress, TaskResult, current_job
from ardiq.core.context import JobContext, running
from ardiq.core.errors import QueueFull
from ardiq.core.registry import Definition
from ardiq.core.reports import LINES_MOST, LOGS_MOST
from ardiq.store.keys import Keys
from ardiq.store.refusals import Refused
from ardiq.worker import keeping
from ardiq.worker.reports import WorkerReports
from tests.server import admin
from tests.workers import Working, until

Make = Callable[..., Working]

shop = logging.getLogger("shop.orders")


@pytest.fixture(autouse=True)
def level() -> Iterator[None]:
    """What a project configures."""
    before = shop.level
    shop.setLevel(logging.DEBUG)
    yield
    shop.setLevel(before)


def result(job: Job[Any], seconds: float = 20) -> TaskResult:
    found = job.result_sync(timeout=seconds)
    assert found is not None
    return found


def here() -> JobContext:
    job = current_job()
    assert job is not None
    return job


def colours(app: Ardiq, body: Callable[[], Any], colour: str, **options: Any) -> Any:
    """The same body as an async task or a sync one."""

    async def in_loop() -> Any:
        return await asyncio.to_thread(body)

    return app.task(name="tell", **options)(in_loop if colour == "async" else body)


# -- progress -------------------------------------------------------------------------------------


@pytest.mark.parametrize("colour", ["async", "sync"])
def test_progress_is_seen_while_the_job_runs_and_after(app: Ardiq, working: Make, colour: str) -> None:
    """B9, E4: in info() within a moment, from wherever the task calls it; the latest report stays."""
    seen = threading.Event()

    def body() -> None:
        here().progress(3, 12, "reading")
        assert seen.wait(20)
        here().progress(12, 12, "read")

    task = colours(app, body, colour)
    with working():
        job = task.enqueue_sync()
        assert job.progress_sync() is None
        shown = until(job.progress_sync, 20)
        assert (shown.done, shown.total, shown.message, shown.percent) == (3, 12, "reading", 25)
        info = job.info_sync()
        assert info.progress == shown and info.started_at <= shown.at
        seen.set()
        assert result(job).success
        info = job.info_sync()
    assert (info.progress.done, info.progress.message, info.progress.fraction) == (12, "read", 1.0)
    assert asyncio.run(job.progress()) == info.progress


def test_many_reports_are_few_writes(app: Ardiq, working: Make, redis_url: str, queue_name: str) -> None:
    """B9: a task that tells its progress a hundred thousand times is not slowed by Redis, and writes about
    twice a second; the last one is there as soon as its result is."""

    def body() -> float:
        began = time.monotonic()
        for n in range(100_000):
            here().progress(n, 100_000)
        here().progress(100_000, 100_000, "done")
        return time.monotonic() - began

    task = app.task(name="many")(body)
    key = Keys(queue_name).progress
    with working(), admin(redis_url) as client:
        before = client.info("commandstats").get("cmdstat_set", {}).get("calls", 0)
        job = task.enqueue_sync()
        seconds = result(job).value
        shown = job.progress_sync()
        written = client.info("commandstats").get("cmdstat_set", {}).get("calls", 0) - before
        assert client.pttl(key(job.id)) > 0
    assert (shown.done, shown.message) == (100_000, "done")
    # Two for its claim and its verdict, a few for others on this server: not a hundred thousand.
    assert written < 50 + 10 * seconds


def test_progress_of_a_run_before_is_not_shown_for_this_one(app: Ardiq, working: Make) -> None:
    """E4: while the job waits for its retry the last report is known; once it runs it must tell anew."""
    go, told = threading.Event(), threading.Event()

    @app.task(name="twice", backoff_ms=300)
    def twice() -> None:
        if here().attempt == 1:
            here().progress(9, 10, "nearly")
            raise OSError("not yet")
        told.set()
        assert go.wait(20)

    with working():
        job = twice.enqueue_sync()
        shown = until(job.progress_sync, 20)
        assert shown.message == "nearly"
        assert told.wait(20)
        until(lambda: job.status_sync() == "running", 20)
        assert job.progress_sync() is None
        go.set()
        assert result(job).success


@pytest.mark.parametrize("how", ["replay", "replace", "delete"])
def test_a_new_life_shows_nothing_of_the_last(app: Ardiq, working: Make, how: str) -> None:
    """E4, C6: neither progress nor logs, although the id is the same."""
    talk = threading.Event()
    talk.set()

    @app.task(name="once", keep_logs=True)
    def once() -> None:
        if talk.is_set():
            here().progress(1, 2, "first life")
            shop.info("first life")

    with working():
        job = once.options(task_id="same").enqueue_sync()
        result(job)
        assert job.progress_sync() and job.logs_sync()
        talk.clear()
        if how == "replay":
            assert job.replay_sync()
        elif how == "delete":
            assert job.delete_sync()
            assert job.progress_sync() is None and job.logs_sync() == []
            once.options(task_id="same").enqueue_sync()
        else:
            assert once.options(task_id="same", replace=True).enqueue_sync().created
        until(lambda: job.status_sync() == "succeeded", 20)
        assert job.info_sync().progress is None
        assert job.logs_sync() == []
        talk.set()
        assert job.replay_sync()
        until(lambda: [line.message for line in job.logs_sync()] == ["first life"], 20)


def test_reports_live_as_long_as_the_record(app: Ardiq, working: Make, redis_url: str) -> None:
    """E7: after the TTL of the result nothing of them is left, and with a result that is not stored they go
    at once."""
    keys = Keys(app.queue_name)

    def body() -> None:
        here().progress(1, 2)
        shop.info("a line")

    kept = app.task(name="kept", keep_logs=True, result_ttl_ms=60_000)(body)
    gone = app.task(name="gone", keep_logs=True, result_ttl_ms=0)(body)
    for_ever = app.task(name="for_ever", keep_logs=True, result_ttl_ms=-1)(body)
    with working(), admin(redis_url) as client:
        jobs = [task.enqueue_sync() for task in (kept, gone, for_ever)]
        until(lambda: [job.status_sync() for job in jobs] == ["succeeded", "not_found", "succeeded"], 20)
        left = [[client.pttl(key(job.id)) for key in (keys.progress, keys.logs)] for job in jobs]
        jobs[2].delete_sync()
        assert not client.exists(keys.progress(jobs[2].id), keys.logs(jobs[2].id))
    assert all(50_000 < ms <= 60_000 for ms in left[0])
    assert left[1] == [-2, -2]
    assert all(ms > 100_000_000_000 for ms in left[2])


@pytest.mark.parametrize(("ttl", "left"), [(0, -2), (60_000, 60_000)])
def test_what_an_earlier_attempt_has_told(
    app: Ardiq, working: Make, redis_url: str, ttl: int, left: int
) -> None:
    """E7: lives no longer than the record either, when the last attempt has told nothing."""
    keys = Keys(app.queue_name)

    @app.task(keep_logs=True, result_ttl_ms=ttl, backoff_ms=1_500)
    def talkative_at_first() -> None:
        if here().attempt == 1:
            here().progress(1, 2)
            shop.info("a line")
            raise ValueError("again")

    with working(), admin(redis_url) as client:
        job = talkative_at_first.enqueue_sync()
        until(lambda: client.exists(keys.progress(job.id)), what="a report")
        until(lambda: job.status_sync() in ("succeeded", "not_found"), 20)
        for key in (keys.progress, keys.logs):
            assert left - 10_000 < client.pttl(key(job.id)) <= left


@pytest.mark.parametrize("error", [Refused("denied"), QueueFull("full")])
def test_lines_that_come_late_on_a_server_that_refuses_them(error: Exception) -> None:
    """A thread that logs in the name of a job that has ended: what it says is kept nowhere for ever."""

    class Store:
        async def run(self, call: object) -> list[str]:
            raise error

    reports = WorkerReports(Store(), Keys("q"), 0)  # type: ignore[arg-type]
    job = JobContext("a", "task", 1, "q", "default", worker="w", claim=1)
    reports.log(job, "late")
    asyncio.run(reports._write([(job, 1_000)], all=False))
    assert reports.told == {}


# -- kept logs ------------------------------------------------------------------------------------


@pytest.mark.parametrize("colour", ["async", "sync"])
def test_logs_of_a_job_are_kept_when_asked_for(app: Ardiq, working: Make, colour: str) -> None:
    """H8: INFO and above, of any logger, of this job alone, also when it fails; nothing without keep_logs."""

    def body() -> None:
        shop.debug("too low")
        shop.info("order %s", here().id)
        logging.getLogger("elsewhere").warning("zwei\nZeilen é \udcff")
        try:
            1 / 0  # noqa: B018
        except ZeroDivisionError:
            shop.exception("oh")
        raise ValueError("the end")

    task = colours(app, body, colour, keep_logs=True, max_retries=0)
    silent = app.task(name="silent")(lambda: shop.info("not kept"))
    asked = silent.options(keep_logs=True)
    refused = task.options(keep_logs=False)
    with working():
        jobs = [one.enqueue_sync() for one in (task, task, silent, asked, refused)]
        for job in jobs:
            result(job)
        logs = [job.logs_sync() for job in jobs]
    for job, lines in zip(jobs[:2], logs[:2], strict=True):
        assert [(line.level, line.logger) for line in lines] == [
            ("INFO", "shop.orders"), ("WARNING", "elsewhere"), ("ERROR", "shop.orders"),
        ]  # fmt: skip
        assert lines[0].message == f"order {job.id}"
        assert lines[1].message == "zwei\nZeilen é \\udcff"
        assert lines[2].message.startswith("oh\nTraceback") and "ZeroDivisionError" in lines[2].message
        assert abs(lines[0].at / 1000 - time.time()) < 60
    assert [[line.message for line in lines] for lines in logs[2:]] == [[], ["not kept"], []]
    assert asyncio.run(jobs[0].logs()) == logs[0]


def test_of_very_many_lines_the_latest_are_kept(app: Ardiq, working: Make, redis_url: str) -> None:
    """H8: at most 500 lines, 2,000 characters each, 64 KiB in all; also when they come in many writes."""

    @app.task(name="short", keep_logs=True)
    def short() -> None:
        for n in range(3_000):
            shop.info("line %d", n)

    @app.task(name="long", keep_logs=True)
    def long() -> None:
        for n in range(4):
            time.sleep(0.6)
            for m in range(100):
                shop.info("%d %s", 100 * n + m, "ä" * 3_000)

    keys = Keys(app.queue_name)
    with working(), admin(redis_url) as client:
        jobs = [short.enqueue_sync(), long.enqueue_sync()]
        for job in jobs:
            assert result(job).success
        logs = [job.logs_sync() for job in jobs]
        assert client.strlen(keys.logs(jobs[1].id)) <= LOGS_MOST
    assert [line.message for line in logs[0]] == [f"line {n}" for n in range(3_000 - LINES_MOST, 3_000)]
    numbers = [int(line.message.split()[0]) for line in logs[1]]
    assert numbers[-1] == 399 and numbers == sorted(numbers) and len(numbers) >= 8
    assert all(len(line.message) == 2_000 for line in logs[1])


def test_what_errors_say_is_kept_out_of_logs_of_a_discreet_task(app: Ardiq, working: Make) -> None:
    """S7, H8: with sensitive= the frames and the type of an error are kept, its message is not."""

    @app.task(name="pay", keep_logs=True, sensitive=("card",))
    def pay(card: str) -> None:
        try:
            raise ValueError(f"no such card {card}")
        except ValueError:
            shop.exception("refused")

    with working():
        job = pay.enqueue_sync("4111-1111")
        result(job)
        (line,) = job.logs_sync()
    assert line.message.startswith("refused\n  File ") and line.message.endswith("\nValueError")
    assert "4111-1111" not in line.message


def test_a_line_that_cannot_be_formatted_disturbs_nobody(capsys: pytest.CaptureFixture[str]) -> None:
    """H8: as logging itself has it, it is told on stderr and the job goes on."""
    lines: list[str] = []

    class Heard:
        def progress(self, job: JobContext, done: float, total: float | None, message: str) -> None: ...
        def log(self, job: JobContext, line: str) -> None:
            lines.append(line)

    job = JobContext("id", "name", 1, "queue", "lane", reports=Heard())
    keeping.keep(job, Definition("name", len, "queue"))
    (keeper,) = [one for one in logging.getLogger().handlers if isinstance(one, keeping._Keeper)]
    token = running.set(job)
    try:
        for value in ("no number", 1):
            keeper.handle(shop.makeRecord("shop", logging.INFO, "", 1, "%d", (value,), None))
    finally:
        running.reset(token)
    assert [line.endswith(', "INFO", "shop", "1"]') for line in lines] == [True]
    assert "no number" in capsys.readouterr().err


def test_shapes() -> None:
    """E4: what a page wants to show: a fraction and whole percent, None without a total."""
    assert [(p.fraction, p.percent) for p in (
        Progress(1, 3, "", 0), Progress(5, None, "", 0), Progress(9, 3, "", 0), Progress(0, 0, "", 0),
        Progress(999, 1000, "", 0),
    )] == [(1 / 3, 33), (None, None), (1.0, 100), (1.0, 100), (0.999, 99)]  # fmt: skip
    assert LogLine(1, "INFO", "shop", "x").level == "INFO"
