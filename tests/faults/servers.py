"""Servers that a test may hurt: each is its own process with its own data, on a port that stays its own."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from tests.server import free_port, need_binary, start_server, stop_server
from tests.workers import until

Aof = str | None  # "everysec", "always", or None: nothing is kept

_FAKETIME = (
    "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1",
    "/usr/lib/aarch64-linux-gnu/faketime/libfaketime.so.1",
    "/usr/lib64/faketime/libfaketime.so.1",
    "/usr/local/lib/faketime/libfaketime.so.1",
)


def need_faketime() -> str:
    """Path of the library that lies about the time; without it the row says why it does not run."""
    for path in _FAKETIME:
        if os.path.exists(path):
            return path
    pytest.skip("libfaketime is not installed (apt-get install faketime)")


class HurtServer:
    """A server process. ``aof``: how its append-only file is written."""

    def __init__(self, directory: Path, *options: str, aof: Aof = None, own_clock: bool = False) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.directory, self.port = directory, free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._binary = self._with_clock(need_faketime()) if own_clock else need_binary()
        self._options = ["--dir", str(directory), "--enable-debug-command", "yes"]
        self._options += ["--enable-protected-configs", "yes", *options]
        if aof:
            self._options += ["--appendonly", "yes", "--appendfsync", aof]
        self._process: subprocess.Popen[bytes] | None = None
        self.was_loading = False
        self.client: Any = redis.Redis.from_url(self.url, socket_timeout=60, socket_connect_timeout=5)

    # -- life -------------------------------------------------------------------------------------

    def start(self, *options: str) -> HurtServer:
        """Returns when it has read its data and serves. ``options`` for this time only."""
        for _ in range(3):  # the port of a server that has just died may not be free yet
            self._process = start_server(self._binary, self.directory, self.port, *self._options, *options)
            until(lambda: self._serves() or self._process.poll() is not None, 30, "a server that serves")
            if self._process.poll() is None:
                return self
            self.stop()
        pytest.fail(f"the server does not start; see {self.directory}", pytrace=False)

    def _serves(self) -> bool:
        try:
            return bool(self.client.ping())
        except redis.BusyLoadingError:
            self.was_loading = True
        except (redis.ConnectionError, redis.TimeoutError):
            pass
        return False

    def stop(self) -> None:
        """As a service manager does it: SIGTERM."""
        if self._process is not None:
            self.client.close()
            stop_server(self._process)
            self._process = None

    def kill(self) -> None:
        """kill -9: nothing is said to anybody."""
        pid = int(self.client.info("server")["process_id"])
        os.kill(pid, signal.SIGKILL)
        self.stop()

    def restart(self, away: float) -> float:
        """Away for so many seconds. Answers when it was back (monotonic)."""
        self.stop()
        time.sleep(away)
        self.start()
        return time.monotonic()

    def wipe(self) -> None:
        """Delete all that a stopped server has kept."""
        assert self._process is None, "stop the server first"
        shutil.rmtree(self.directory / "appendonlydir", ignore_errors=True)
        for file in self.directory.glob("*.rdb"):
            file.unlink()

    # -- its append-only file ---------------------------------------------------------------------

    @property
    def journal(self) -> Path:
        """The part of the append-only file that grows."""
        return max((self.directory / "appendonlydir").glob("*.incr.aof"))

    def cut_journal(self, size: int) -> None:
        """What a power loss leaves of it: the first ``size`` bytes, be it in the middle of a command."""
        assert self._process is None, "stop the server first"
        os.truncate(self.journal, size)
        if check := shutil.which("redis-check-aof") or shutil.which("valkey-check-aof"):
            subprocess.run([check, "--fix", str(self.journal)], input=b"y\n", check=True, capture_output=True)

    # -- what may happen to it while it runs ------------------------------------------------------

    def drop_all(self) -> None:
        """CLIENT KILL of every connection but ours."""
        self.client.client_kill_filter(_type="normal", skipme=True)
        self.client.client_kill_filter(_type="pubsub", skipme=True)

    def pause(self, seconds: float) -> None:
        """CLIENT PAUSE: commands wait."""
        self.client.client_pause(int(seconds * 1000))

    def sleep(self, seconds: float) -> None:
        """DEBUG SLEEP: the whole server stands still. Returns when it is awake again."""
        self.client.execute_command("DEBUG", "SLEEP", seconds)

    @contextlib.contextmanager
    def full(self) -> Iterator[None]:
        """Out of memory for as long as the block lasts: whatever wants more is refused."""
        self.client.config_set("maxmemory-policy", "noeviction")
        self.client.config_set("maxmemory", "1mb")
        try:
            yield
        finally:
            self.client.config_set("maxmemory", "0")

    # -- its replica ------------------------------------------------------------------------------

    def follow(self, primary: HurtServer) -> None:
        """Become the replica of another server. Returns when both hold the same."""
        self.client.replicaof("127.0.0.1", primary.port)
        until(lambda: self._in_sync(primary), 30, "a replica that is in sync")

    def _in_sync(self, primary: HurtServer) -> bool:
        mine, theirs = self.client.info("replication"), primary.client.info("replication")
        if mine["role"] != "slave" or mine.get("master_link_status") != "up":
            return False
        state = theirs.get("slave0")
        return bool(state) and state["state"] == "online"

    def hand_over_to(self, replica: HurtServer) -> None:
        """FAILOVER: the replica gets everything and takes over; this one is read-only when it returns."""
        self.client.execute_command("FAILOVER", "TO", "127.0.0.1", replica.port)
        until(lambda: self.client.info("replication")["role"] == "slave", 20, "a primary that is demoted")
        until(lambda: replica.client.info("replication")["role"] == "master", 20, "a replica promoted")

    # -- its clock --------------------------------------------------------------------------------

    def _with_clock(self, library: str) -> str:
        """A binary whose time of day is ours plus what ``shift`` says; its monotonic clock stays right."""
        self._offset = self.directory / "clock"
        self._offset.write_text("+0\n")
        wrapper = self.directory / "server-with-a-clock-of-its-own"
        wrapper.write_text(
            "#!/bin/sh\n"
            f"export LD_PRELOAD={library} FAKETIME_TIMESTAMP_FILE={self._offset} FAKETIME_NO_CACHE=1 "
            f'FAKETIME_DONT_FAKE_MONOTONIC=1 DONT_FAKE_MONOTONIC=1\nexec {need_binary()} "$@"\n'
        )
        wrapper.chmod(0o755)
        try:
            subprocess.run([str(wrapper), "--version"], timeout=5, check=True, capture_output=True)
        except subprocess.TimeoutExpired:
            pytest.skip("this server hangs under libfaketime, as one that uses jemalloc does")
        return str(wrapper)

    def shift(self, seconds: int) -> None:
        """Move its clock at once, to so many seconds from the right time."""
        fresh = self._offset.with_suffix(".new")
        fresh.write_text(f"{seconds:+d}\n")
        fresh.replace(self._offset)
        until(lambda: abs(self.client.time()[0] - time.time() - seconds) < 3, 10, "a clock that has moved")
