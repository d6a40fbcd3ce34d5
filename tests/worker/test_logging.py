"""Log lines about jobs: always the same fields, the id of the job on everything logged inside it."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from ardiq import Ardiq, Job, Retry
from ardiq.worker import log as job_log
from tests.workers import Workers, Working

Make = Callable[..., Working]
FIELDS = {"job_id", "task", "queue", "lane", "worker", "attempt", "duration_ms"}


def done(job: Job[Any]) -> None:
    job.result_sync(timeout=10)


@pytest.fixture(autouse=True)
def at_debug(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "ardiq")


@pytest.fixture
def carrying() -> Iterator[None]:
    """Job ids on every record, as the command switches them on; off again after the test."""
    before = logging.getLogRecordFactory()
    job_log.carry_job_ids()
    yield
    logging.setLogRecordFactory(before)


def lines(caplog: pytest.LogCaptureFixture, job: Job[Any]) -> list[tuple[str, str]]:
    """(level, what happened) of the lines about a job."""
    found = [record for record in caplog.records if getattr(record, "job_id", "") == job.id]
    assert all(set(vars(record)) >= FIELDS for record in found)
    return [(record.levelname, record.getMessage().split(" ", 2)[2]) for record in found]


def test_the_fields_of_every_line(app: Ardiq, working: Make, caplog: pytest.LogCaptureFixture) -> None:
    """H8: on the logger ardiq, with stable fields for structured logs."""
    task = app.task(name="shop.add")(lambda a, b: a + b)
    with working():
        job = task.options(priority="high").enqueue_sync(1, 2)
        done(job)
    started, ended = (record for record in caplog.records if getattr(record, "job_id", "") == job.id)
    for record in (started, ended):
        assert record.name == "ardiq"
        values = {name: getattr(record, name) for name in FIELDS - {"duration_ms"}}
        assert values == {
            "job_id": job.id, "task": "shop.add", "queue": app.queue_name, "lane": "high", "worker": "here",
            "attempt": 1,
        }  # fmt: skip
    assert (started.levelname, ended.levelname) == ("DEBUG", "INFO")
    assert 0 <= ended.duration_ms < 5_000  # type: ignore[attr-defined]


def test_what_happened_decides_the_level(app: Ardiq, working: Make, caplog: pytest.LogCaptureFixture) -> None:
    """H8, B8: failures are errors, retries warnings, a requested retry is information."""

    @app.task(max_retries=1)
    def broken() -> None:
        raise ValueError("no")

    @app.task(max_retries=1)
    async def asks() -> None:
        raise Retry("later", delay_ms=1)

    with working():
        failed, asked = broken.enqueue_sync(), asks.enqueue_sync()
        expired = broken.options(expire_ms=1, delay_ms=30).enqueue_sync()
        for job in (failed, asked, expired):
            done(job)
    found = {
        job: [line for line in lines(caplog, job) if line[0] != "DEBUG"] for job in (failed, asked, expired)
    }
    assert [level for level, _ in found[failed]] == ["WARNING", "ERROR"]
    assert [level for level, _ in found[asked]] == ["INFO", "ERROR"]
    assert [level for level, _ in found[expired]] == ["WARNING"]
    assert "failed and will be retried" in found[failed][0][1] and "ValueError: no" in found[failed][0][1]
    assert "asked to be retried in 0.001 s" in found[asked][0][1]
    assert re.search(r"be retried in \S+ s; it ran \d+ ms \(ValueError", found[failed][0][1])
    tracebacks = [record for record in caplog.records if record.exc_info and record.job_id == failed.id]  # type: ignore[attr-defined]
    assert len(tracebacks) == 1, "only the last failure is worth a traceback"


def test_no_arguments_and_no_results(app: Ardiq, working: Make, caplog: pytest.LogCaptureFixture) -> None:
    """H8: never, at any level."""
    task = app.task(name="t", max_retries=0)(lambda secret: secret[::-1])
    bad = app.task(name="bad", max_retries=0)(lambda secret: 1 / 0)
    with working():
        done(task.enqueue_sync("s3cret-argument"))
        done(bad.enqueue_sync("s3cret-argument"))
    assert "s3cret" not in caplog.text and "tnemugra" not in caplog.text


@pytest.mark.parametrize("colour", ["async", "sync"])
def test_the_users_own_lines(
    app: Ardiq, working: Make, caplog: pytest.LogCaptureFixture, carrying: None, colour: str
) -> None:
    """H8: what user code logs inside a job carries its id and task; outside it is empty."""
    own = logging.getLogger("shop.own")

    def speak() -> None:
        own.warning("inside")

    async def speak_async() -> None:
        own.warning("inside")

    task = app.task(name="speak")(speak_async if colour == "async" else speak)
    with working():
        jobs = [task.enqueue_sync() for _ in range(3)]
        for job in jobs:
            done(job)
    own.warning("outside")
    mine = [record for record in caplog.records if record.name == "shop.own"]
    assert [(record.job_id, record.task) for record in mine[-1:]] == [("", "")]  # type: ignore[attr-defined]
    assert {record.job_id for record in mine[:-1]} == {job.id for job in jobs}  # type: ignore[attr-defined]
    assert {record.task for record in mine[:-1]} == {"speak"}  # type: ignore[attr-defined]


def test_hostile_text_stays_on_one_line(app: Ardiq, working: Make, caplog: pytest.LogCaptureFixture) -> None:
    """H8: an exception cannot forge a line, whatever its message holds or does."""

    class Mute(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no text")

    @app.task(max_retries=1)
    def forge(mute: bool) -> None:
        raise Mute if mute else ValueError("x\n2026 ERROR forged \x1b[31m")

    with working():
        done(forge.enqueue_sync(False))
        done(forge.enqueue_sync(True))
    messages = [record.getMessage() for record in caplog.records if record.name == "ardiq"]
    assert messages and all(message.isprintable() for message in messages)


def test_what_a_process_shows(workers: Workers, app: Ardiq) -> None:
    """H8: -v 2 logs every job on one line; -v 1 only what deserves attention; user lines as they come."""
    job = app.send_sync("murmur", "s3cret-argument")
    process = workers.spawn("--burst", "-v", "2")
    assert process.ends() == 0
    (line,) = [line for line in process.text.splitlines() if job.id in line]
    assert "INFO" in line and "murmur" in line and "succeeded after" in line
    assert "s3cret" not in process.text
    job = app.send_sync("murmur", "s3cret-argument")
    process = workers.spawn("--burst")
    assert process.ends() == 0
    assert job.id not in process.text
