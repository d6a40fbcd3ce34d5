"""``embedded://``: one server per directory, whoever comes first, whatever happened before."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from ardiq.core.errors import ArdiqError, BrokerError
from ardiq.store import embedded
from tests.server import need_binary

ROOT = Path(__file__).resolve().parents[2]
ENSURE = "import sys; from pathlib import Path; from ardiq.store import embedded; "
ENSURE += "print(embedded.ensure(Path(sys.argv[1])))"


@pytest.fixture
def short() -> Iterator[Path]:
    """A temporary directory with a short path, so that a socket may lie in it; pytest's own are long."""
    with tempfile.TemporaryDirectory(prefix="ardiq-") as name:
        yield Path(name).resolve()


@pytest.fixture
def directory(short: Path) -> Iterator[Path]:
    need_binary()
    directory = short / "ser ver"
    yield directory
    embedded.stop(directory)


def client(url: str) -> redis.Redis:
    return redis.Redis.from_url(url, decode_responses=True)


def pid_of(url: str) -> int:
    with client(url) as link:
        return int(link.info("server")["process_id"])


def kill_server(url: str) -> None:
    pid = pid_of(url)
    os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        with client(url) as link:
            try:
                link.ping()
            except redis.ConnectionError:
                return
        time.sleep(0.01)
    pytest.fail("the server survived SIGKILL")


def test_it_starts_once_and_is_private(directory: Path) -> None:
    url = embedded.ensure(directory)
    assert url.startswith("unix:///")
    first = pid_of(url)
    assert embedded.ensure(directory) == url
    assert pid_of(url) == first
    assert directory.stat().st_mode & 0o777 == 0o700
    assert (directory / "server.sock").stat().st_mode & 0o777 == 0o700
    assert (directory / "server.pid").read_text().strip() == str(first)
    with client(url) as link:
        config = link.config_get("*")
    assert config["port"] == "0"
    assert config["appendonly"] == "yes"
    assert config["appendfsync"] == "everysec"
    assert config["maxmemory-policy"] == "noeviction"


def test_processes_that_start_at_once_share_one_server(directory: Path) -> None:
    command = [sys.executable, "-c", ENSURE, str(directory)]
    processes = [subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    urls = {process.communicate(timeout=60)[0].strip() for process in processes}
    assert [process.returncode for process in processes] == [0] * 4
    assert len(urls) == 1
    # It outlives all of them, in a session of its own: no Ctrl-C of theirs reaches it.
    pid = pid_of(urls.pop())
    assert os.getsid(pid) == pid
    assert (directory / "server.log.old").exists() is False, "a second server was started"


def test_data_survive_a_stop_and_a_start(directory: Path) -> None:
    with client(embedded.ensure(directory)) as link:
        link.set("kept", "yes")
    assert embedded.stop(directory) is True
    assert embedded.stop(directory) is False
    assert not (directory / "server.sock").exists()
    with client(embedded.ensure(directory)) as link:
        assert link.get("kept") == "yes"


def test_a_killed_server_is_replaced(directory: Path) -> None:
    url = embedded.ensure(directory)
    with client(url) as link:
        link.set("kept", "yes")
    time.sleep(1.2)  # the log is on disk every second
    killed = pid_of(url)
    kill_server(url)
    assert (directory / "server.sock").exists() and (directory / "server.pid").exists()
    assert embedded.ensure(directory) == url
    assert pid_of(url) != killed
    with client(url) as link:
        assert link.get("kept") == "yes"


def test_a_killed_server_can_be_stopped(directory: Path) -> None:
    kill_server(embedded.ensure(directory))
    assert embedded.stop(directory) is False


def test_a_pid_that_belongs_to_somebody_else_means_nothing(directory: Path) -> None:
    directory.mkdir(mode=0o700)
    (directory / "server.pid").write_text(f"{os.getpid()}\n")
    (directory / "server.sock").touch()
    assert pid_of(embedded.ensure(directory)) != os.getpid()


def test_a_long_path_gets_a_socket_elsewhere(short: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    need_binary()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(short))
    directory, copy = short / ("long" * 30), short / ("copy" * 30)
    try:
        url = embedded.ensure(directory)
        assert url.startswith(f"unix://{short}/ardiq-{os.getuid()}/")
        assert (short / f"ardiq-{os.getuid()}").stat().st_mode & 0o777 == 0o700
        # A copy of the directory does not join the server of the original.
        shutil.copytree(directory, copy, ignore=shutil.ignore_patterns("*.lock"))
        assert embedded.ensure(copy) != url
        # A process that knows another runtime directory finds the same server.
        monkeypatch.setenv("XDG_RUNTIME_DIR", "")
        assert embedded.ensure(directory) == url
    finally:
        stopped = [embedded.stop(directory), embedded.stop(copy)]
    assert stopped == [True, True]


def test_a_runtime_directory_of_somebody_else_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    need_binary()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    (tmp_path / f"ardiq-{os.getuid()}").symlink_to(tmp_path)
    with pytest.raises(BrokerError, match="must be a directory of mode 700"):
        embedded.ensure(tmp_path / ("long" * 30))


def test_without_a_server_the_message_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded, "find_spec", lambda name: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert embedded.binary() is None
    with pytest.raises(ArdiqError, match=r'pip install "django-ardiq\[embedded\]"'):
        embedded.ensure(tmp_path / "server")


def test_on_windows_the_message_says_what_else_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded.sys, "platform", "win32")
    with pytest.raises(BrokerError, match="point REDIS_URL at a server instead"):
        embedded.ensure(tmp_path)


def test_a_server_on_path_is_taken_when_the_extra_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = tmp_path / "redis-server"
    server.write_text("#!/bin/sh\necho 'bad option'; exit 1\n")
    server.chmod(0o755)
    monkeypatch.setattr(embedded, "find_spec", lambda name: None)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    monkeypatch.setattr(
        embedded.shutil, "which", lambda name: str(server) if name == "redis-server" else None
    )
    assert embedded.binary() == str(server)
    with pytest.raises(BrokerError, match=r"refused to start\. bad option"):
        embedded.ensure(tmp_path / "server")


def test_a_directory_that_is_used_for_something_else_is_refused(tmp_path: Path) -> None:
    directory = tmp_path / "project"
    directory.mkdir()
    directory.chmod(0o755)
    (directory / "manage.py").touch()
    with pytest.raises(BrokerError, match="open to other users and not empty"):
        embedded.ensure(directory)
    assert directory.stat().st_mode & 0o777 == 0o755


def test_a_server_that_cannot_start_shows_its_log(directory: Path) -> None:
    directory.mkdir(mode=0o700)
    (directory / "appendonlydir").touch()  # where the server wants a directory
    with pytest.raises(BrokerError, match="ended while it started") as caught:
        embedded.ensure(directory)
    assert "appendonly" in str(caught.value)
