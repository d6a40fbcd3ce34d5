"""Settings that are overridden, a network that is not touched, a password that is not shown."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import os
import subprocess
import sys
import traceback
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command
from django.core.management.base import SystemCheckError
from django.test import override_settings

import ardiq
from ardiq import Ardiq, BrokerError
from ardiq.management import banner
from tests.server import free_port

ROOT = Path(__file__).resolve().parents[2]
SECRET = "hunter2-swordfish"


def put(redis_url: str, queue: str, **options: Any) -> Any:
    return override_settings(ARDIQ={queue: {"REDIS_URL": redis_url, **options}})


def test_lanes_of_a_task_follow_the_setting(redis_url: str, queue_name: str) -> None:
    """A2: the lane of a task that exists already is that of the setting in force, and back again."""
    with put(redis_url, queue_name, PRIORITIES=["low", "default", "high"]):
        app = Ardiq(queue_name)
        task = app.task(name="t")(lambda data=None: None)
        assert (task.priority, task.enqueue_sync().info_sync().lane) == ("default", "default")  # type: ignore[union-attr]
        with put(redis_url, queue_name, PRIORITIES=["one", "two"], DEFAULT_PRIORITY="one"):
            assert (task.priority, task.enqueue_sync().info_sync().lane) == ("one", "one")  # type: ignore[union-attr]
            with pytest.raises(ValueError, match="its lanes are one, two"):
                task.options(priority="high")
        assert task.enqueue_sync().info_sync().lane == "default"  # type: ignore[union-attr]
        with put(redis_url, queue_name, MAX_PAYLOAD_BYTES=100), pytest.raises(ValueError, match=r"\(100\)"):
            task.enqueue_sync("x" * 200)
        assert task.enqueue_sync("x" * 200).created is True


def test_the_server_follows_the_setting(redis_url: str, queue_name: str) -> None:
    """A2: the next call goes to the server that is named now, in sync and async code."""
    with put(redis_url, queue_name):
        app = Ardiq(queue_name)
        assert app.queue_size_sync() == 0
        with put(f"redis://127.0.0.1:{free_port()}/0", queue_name):
            with pytest.raises(BrokerError):
                app.queue_size_sync()
            with pytest.raises(BrokerError):
                asyncio.run(app.queue_size())
        assert app.queue_size_sync() == asyncio.run(app.queue_size()) == 0


def test_wrong_settings_are_told_at_first_use(queue_name: str) -> None:
    """A1: a task of a queue whose setting is wrong says so when it is used, as ImproperlyConfigured."""
    with put("redis://localhost/0", queue_name):
        task = Ardiq(queue_name).task(name="t")(lambda: None)
    with put("redis://localhost/0", queue_name, PRIORITES=["a"]):
        for use in (task.enqueue_sync, lambda: task.priority, lambda: task.options(priority="a")):
            with pytest.raises(ImproperlyConfigured, match="Did you mean PRIORITIES"):
                use()


GUARD = """
import socket, sys

def refuse(self, *address):
    raise AssertionError(f"touched the network: {address}")

for name in ("connect", "connect_ex", "sendto", "bind"):
    setattr(socket.socket, name, refuse)
socket.getaddrinfo = lambda *a, **k: refuse(None, *a)

import django
django.setup()
from django.core.management import call_command
from django.core.management.base import SystemCheckError
import shop.tasks
assert shop.tasks.add.name == "shop.tasks.add" and shop.tasks.add.priority == "default"
shop.tasks.add.options(priority="high", delay_ms=5).prepare(2, 3)
call_command("check")
call_command("migrate", verbosity=0)
call_command("makemigrations", "--check", "--dry-run", "ardiq", verbosity=0)
print("quiet")
"""


@pytest.mark.parametrize(
    "url", ["redis://127.0.0.1:{port}/0", "redis://no-such-host.invalid/0", "embedded://"]
)
def test_the_network_is_left_alone(url: str, tmp_path: Path) -> None:
    """A3: importing tasks.py, check and migrate work where no server is, and open no socket."""
    ardiq_setting = {"default": {"REDIS_URL": url.format(port=free_port())}}
    done = subprocess.run(
        [sys.executable, "-c", GUARD],
        cwd=tmp_path,
        env=os.environ
        | {
            "DJANGO_SETTINGS_MODULE": "seedsettings",
            "SEED_APP": "shop",
            "ARDIQ_TEST_SETTINGS": json.dumps(ardiq_setting),
            "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests" / "seedproject")]),
        },
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stdout.splitlines()[-1:]) == (0, ["quiet"]), done.stderr
    assert list(tmp_path.iterdir()) == [], "no server directory was made"


def closed(form: str) -> str:
    return form.format(secret=SECRET, place=f"127.0.0.1:{free_port()}")


URLS = {
    "user and password": "redis://user:{secret}@{place}/0",
    "password alone": "redis://:{secret}@{place}/0",
    "in the query": "redis://{place}/0?password={secret}",
    "with an @ inside": "redis://user:{secret}@{secret}@{place}/0",
    "tls": "rediss://user:{secret}@{place}/0",
    "socket": "unix://user:{secret}@/nowhere/redis.sock",
    "socket and query": "unix:///nowhere/redis.sock?password={secret}",
}


def everything_said(error: BaseException) -> str:
    """The message, the repr, the traceback, and all errors behind it."""
    return "".join(traceback.format_exception(error)) + repr(error)


@pytest.mark.parametrize("form", URLS.values(), ids=URLS)
def test_a_password_is_never_shown(form: str, caplog: pytest.LogCaptureFixture) -> None:
    """A4: not in repr, not in errors, not in logs, not in the banner."""
    caplog.set_level(logging.DEBUG)
    app = Ardiq("secretive", redis_url=closed(form))
    job = app.job("x")
    task = app.task(name="t")(lambda: None)
    said = [repr(thing) for thing in (app, task, task.options(delay_ms=1), job, app.options, app.broker)]
    said += [str(app.options), *banner.lines("worker", [app.options], False)]
    for call in (task.enqueue_sync, job.status_sync, lambda: asyncio.run(app.queue_size())):
        with pytest.raises(BrokerError) as caught:
            call()
        said.append(everything_said(caught.value))
    said.append(caplog.text)
    assert SECRET not in "\n".join(said)


@pytest.mark.parametrize(
    "given",
    [
        {"redis_url": f"http://user:{SECRET}@host"},
        {"redis_url": f"redis://user:{SECRET}@host:port/0"},
        {"redis_options": {"password": SECRET, 5: 6}},
        {"redis_options": {"password": SECRET}, "concurrency": 0},
        {"redis_options": [f"redis://user:{SECRET}@host"]},
    ],
)
def test_a_refusal_shows_no_password(given: dict[str, Any], queue_name: str) -> None:
    """A4: what is wrong with settings is told without the password, in code and in settings."""
    with pytest.raises(ValueError) as caught:
        Ardiq(queue_name, **given)
    assert SECRET not in everything_said(caught.value)
    with override_settings(ARDIQ={"default": {key.upper(): value for key, value in given.items()}}):
        with pytest.raises(ImproperlyConfigured) as improper:
            ardiq.queue().options  # noqa: B018
        assert SECRET not in everything_said(improper.value)
        said = io.StringIO()
        with pytest.raises(SystemCheckError) as failed:
            call_command("check", stdout=said, stderr=said)
        assert SECRET not in said.getvalue() + everything_said(failed.value)


def test_the_worker_command_shows_no_password() -> None:
    """A4: its banner, and its complaints while it waits for a server that is not there."""
    url = closed(URLS["user and password"])
    process = subprocess.Popen(
        [sys.executable, "-m", "django", "ardiq_worker", "-v", "3"],
        cwd=ROOT,
        env=os.environ
        | {
            "DJANGO_SETTINGS_MODULE": "tests.settings",
            "ARDIQ_TEST_SETTINGS": json.dumps({"default": {"REDIS_URL": url}}),
            "PYTHONUNBUFFERED": "1",
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    seen = ""
    for line in process.stdout:
        seen += line
        if "Waiting for Redis" in line:
            break
    process.terminate()
    seen += process.communicate(timeout=30)[0]
    assert "user:********@" in seen and "Waiting for Redis" in seen, seen
    assert SECRET not in seen
    assert process.returncode == 0
