"""Slips that people make, and what they hear: the value, the rule, the way out."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ardiq import Ardiq
from ardiq.core import events
from ardiq.core.errors import Retry
from ardiq.core.events import Event
from ardiq.worker import log as job_log

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture
def nowhere(queue_name: str) -> Ardiq:
    return Ardiq(queue_name, redis_url="redis://127.0.0.1:1/0")


@pytest.mark.parametrize(
    ("option", "hint"),
    [("retries", "max_retries"), ("time_out", "Did you mean timeout"), ("sturdy", "Known: .*timeout")],
)
def test_an_unknown_option_of_a_task(nowhere: Ardiq, option: str, hint: str) -> None:
    """B1: it is named, and what was meant, or what there is."""
    with pytest.raises(TypeError, match=f"@task knows no option '{option}'.*{hint}"):
        nowhere.task(**{option: 3})(lambda: None)


def counting() -> Any:
    yield 1


async def streaming() -> Any:
    yield 1


@pytest.mark.parametrize("thing", [counting, streaming, Path], ids=["generator", "async generator", "class"])
def test_what_cannot_be_a_task(nowhere: Ardiq, thing: Callable[..., Any]) -> None:
    """B1: what returns no result when it is called is refused at decoration, not at the first run."""
    with pytest.raises(TypeError, match="a function that returns, not a class or generator"):
        nowhere.task(thing)


def test_a_database_that_does_not_exist(nowhere: Ardiq) -> None:
    """D1: a typo in using= would silently send the job before the commit."""
    with pytest.raises(ValueError, match="using='nope': there is no such database; DATABASES has default"):
        nowhere.ref("t").options(using="nope")


def test_warnings_of_retries_are_read_at_warning(caplog: pytest.LogCaptureFixture) -> None:
    """H8: a failing attempt is a warning, one that asked for it is not; both are wanted."""
    failing = Event(events.RETRIED, "1", "t", "q", "default", error=ValueError("no"))
    asking = Event(events.RETRIED, "2", "t", "q", "default", error=Retry("later"))
    with caplog.at_level(logging.WARNING, "ardiq"):
        assert job_log.wanted(events.RETRIED)
        job_log.write(failing)
        job_log.write(asking)
    assert [record.job_id for record in caplog.records] == ["1"]


@pytest.mark.parametrize("timeout", ["5", -1, True, float("nan")])
def test_a_timeout_that_is_none(nowhere: Ardiq, timeout: Any) -> None:
    """E1: what is not a number of seconds is said to be none."""
    with pytest.raises(TypeError, match="give a number of seconds"):
        nowhere.job("x").result_sync(timeout=timeout)


def command(*args: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(ROOT / "tests" / "manage.py"), "ardiq_worker", *args],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=30,
    )


def test_a_wrong_queue_ends_the_command_also_while_it_would_reload() -> None:
    """H1, H6: no change of code can mend a command line, so nobody waits for one."""
    done = command("--queue", "mails", "--reload")
    assert done.returncode == 1 and "There is no queue 'mails'" in done.stderr


def test_a_burst_without_redis_says_so_and_ends() -> None:
    """H7: it was to do what is due and end; whoever started it hears that it could not."""
    done = command("--burst", ARDIQ_TEST_SETTINGS='{"default": {"REDIS_URL": "redis://127.0.0.1:1/0"}}')
    assert done.returncode == 1 and "cannot be reached" in done.stderr


@pytest.mark.parametrize(
    ("setting", "code"),
    [
        ('{"REDIS_URL": "redis://127.0.0.1:1/0"}', "ardiq.E001"),
        ('{"default": {"PRIORITIES": ["low", "low"]}}', "ardiq.E0"),
        ('{"default": {"CONCURENCY": 3}}', "ardiq.E0"),
    ],
    ids=["flat", "doubled lane", "unknown option"],
)
def test_wrong_settings_reach_the_system_check_although_there_are_tasks(setting: str, code: str) -> None:
    """A1: tasks.py is imported before checks run, and must not get in their way."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "tests" / "manage.py"), "check"],
        env={**os.environ, "ARDIQ_TEST_SETTINGS": setting, "ARDIQ_TEST_APPS": "tests.shop"},
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.returncode == 1 and code in done.stderr and "HINT" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("name", ["delay_ms", "schedule_ms", "expire_ms"])
def test_none_is_no_time(nowhere: Ardiq, name: str) -> None:
    """C3: a value that somebody forgot to fill in is not taken for 0, which would be at once, or never."""
    with pytest.raises(TypeError, match=f"{name}=None: give a whole number of milliseconds"):
        nowhere.ref("task").options(**{name: None})
