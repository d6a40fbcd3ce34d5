"""The seed's words, as written: every code block, against a real server and a real worker process."""

from __future__ import annotations

import re
import time
import typing
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ardiq import JobStatus
from ardiq.enqueuing import PLAIN, CallOptions
from tests.acceptance import seeded
from tests.acceptance.seeded import BLOCKS, SEED, Project, block, blocks, forget, table
from tests.admin_client import other_database

DATABASE = 9  # the seed's queue is called "default": nobody else's database may have it


@pytest.fixture(params=["shop", "kiosk"])
def project(
    request: pytest.FixtureRequest,
    redis_url: str,
    tmp_path: Path,
    settings: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Project]:
    """Twice: lanes defined by ``Ardiq(priorities=...)`` as in the seed, and in the setting ARDIQ."""
    url = other_database(redis_url, DATABASE)
    forget(url)
    made = Project(request.param, url, tmp_path)
    settings.ARDIQ = made.ARDIQ
    monkeypatch.syspath_prepend(str(seeded.PROJECT))
    made.load()
    yield made
    made.unload()
    forget(url)


def test_the_copy_is_the_seed() -> None:
    """L1: these are the blocks and the table of the seed document, none left out."""
    original = seeded.ROOT.parent / "shared" / "SEED.md"
    if not original.exists():
        pytest.skip("the seed document is not beside this repository")
    text = original.read_text()
    assert blocks(text) == BLOCKS
    assert table(text) == table(SEED)


def test_no_block_is_forgotten() -> None:
    """L1: each block of the seed is one that a test below runs."""
    words = (
        "print(job.id)",
        "delay_ms=5000",
        "reminder",
        "digest",
        "sync_account",
        "notify",
        "alert",
        "timeout=5",
    )
    assert [block(word) for word in words] == BLOCKS


def test_enqueue_returns_a_handle(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    """L1, L2, L3: a job of a task in tasks.py, a uuid hex as its id, run by the worker command."""
    job = project.run(block("print(job.id)"))["job"]
    assert capsys.readouterr().out == job.id + "\n"
    assert re.fullmatch("[0-9a-f]{32}", job.id) and uuid.UUID(job.id).version in (4, 7)
    assert job.status_sync() is JobStatus.QUEUED
    output = project.burst()
    assert f"{project.name}.tasks.add" in output, "the banner lists the tasks that were found"
    assert job.status_sync() is JobStatus.SUCCEEDED
    assert job.result_sync().value == 5
    assert project.ran() == ["add 2 3"]


def test_one_off_overrides(project: Project) -> None:
    """L1: the job goes to the lane high, is scheduled, and runs five seconds after it was enqueued."""
    project.run(block("delay_ms=5000"))
    waiting = project.job()
    assert (waiting.status, waiting.lane, waiting.args) == (JobStatus.SCHEDULED, "high", [2, 3])
    assert waiting.scheduled_at == waiting.enqueue_time + 5000
    if project.name == "shop":  # where its lanes were said makes no difference to five seconds
        with project.worker():
            result = project.app.result_sync(waiting.id, timeout=15)
        assert result is not None and result.value == 5
        assert 5000 <= result.start - waiting.enqueue_time < 10_000


def test_run_after_a_delay(project: Project) -> None:
    """L1: thirty seconds from now, scheduled until then; a worker leaves it alone."""
    project.run(block("reminder"), user_id=7)
    project.burst()
    job = project.job()
    assert (job.name, job.args) == (f"{project.name}.tasks.reminder", [7])
    assert (job.status, job.scheduled_at) == (JobStatus.SCHEDULED, job.enqueue_time + 30_000)
    assert project.ran() == []


def test_run_at_a_wall_clock_time(project: Project) -> None:
    """L1: at this absolute time, to the millisecond."""
    run_at = project.run(block("digest"))["run_at"]
    project.burst()
    job = project.job()
    assert (job.status, job.scheduled_at) == (JobStatus.SCHEDULED, run_at)
    assert 3_590_000 < run_at - time.time() * 1000 <= 3_600_000
    assert project.ran() == []


def test_the_same_id_makes_no_duplicate(project: Project) -> None:
    """L1: enqueued twice before it ran and once after, it is one job and runs once."""
    project.run(block("sync_account"), account_id=42)
    project.run(block("sync_account"), account_id=42)
    assert project.job().id == "sync:42"
    project.burst()
    project.run(block("sync_account"), account_id=42)
    project.burst()
    assert project.job().status is JobStatus.SUCCEEDED
    assert project.ran() == ["sync_account 42"]


def test_a_stale_job_is_dropped(project: Project) -> None:
    """L1: with a window of 60 s it runs in time; the same line with a window that has passed is forgotten."""
    written = block("notify")
    project.run(written, user_id=7)
    in_time = project.job()
    assert in_time.expires_at == in_time.enqueue_time + 60_000
    project.run(written.replace("60_000", "20"), user_id=8)
    time.sleep(0.05)  # the window itself has to pass; Redis counts it by its own clock
    project.burst()
    statuses = {tuple(job.args): job.status for job in project.jobs()}
    assert statuses == {(7,): JobStatus.SUCCEEDED, (8,): JobStatus.EXPIRED}
    assert project.ran() == ["notify 7"]


def test_higher_lanes_are_drained_first(project: Project) -> None:
    """L1: alert jumps the queue, whenever it was enqueued; report is left for last."""
    for _ in range(3):
        project.run(block("alert"))
    project.run("await digest.enqueue()")
    project.burst("--concurrency", "1")
    assert project.ran() == ["alert"] * 3 + ["digest"] + ["report"] * 3


def test_a_result_is_waited_for(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    """L1: result(timeout=5) has the value as soon as the worker has it."""
    with project.worker():
        began = time.monotonic()
        names = project.run(block("timeout=5"))
        assert time.monotonic() - began < 5
    assert names["result"].success is True
    assert capsys.readouterr().out == "5\n"


def test_the_options_table(project: Project) -> None:
    """L1, C3: the five options have the types and defaults of the seed, and no default changes a job."""
    rows = table(SEED)
    assert list(rows) == ["task_id", "priority", "delay_ms", "schedule_ms", "expire_ms"]
    kinds = typing.get_type_hints(CallOptions)
    for name, (kind, default) in rows.items():
        assert kinds[name] == eval(kind), name  # noqa: S307 - our own fixture
        assert str(getattr(PLAIN, name)) == {"a uuid": "None", "task's default": "None"}.get(default, default)
    defaults = {name: getattr(PLAIN, name) for name in rows}
    project.run("await add.options(**defaults).enqueue(2, 3)", defaults=defaults)
    job = project.job()
    assert uuid.UUID(job.id).hex == job.id
    assert (job.lane, job.status) == ("default", JobStatus.QUEUED)
    assert (job.scheduled_at, job.expires_at) == (None, None)
