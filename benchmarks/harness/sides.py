"""The two sides: how each starts its worker, and how a client of each is run. Nothing else differs."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from harness.environments import BENCHMARKS, OURS, PEER, Environment

CLIENT_SECONDS = 300
_PAGE = os.sysconf("SC_PAGE_SIZE")
_TICK = os.sysconf("SC_CLK_TCK")


class SideError(RuntimeError):
    """A worker or a client of one side failed; the text ends with the tail of its log."""


@dataclass(frozen=True)
class Side:
    name: str
    environment: Environment
    worker: tuple[str, ...]  # arguments after the interpreter, run in the folder of the side

    @property
    def folder(self) -> Path:
        return BENCHMARKS / self.name

    def surroundings(self, **extra: object) -> dict[str, str]:
        """Environment variables for a process of this side, cleared of what could tilt the run."""
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("PYTHON", "ARDIQ_", "DJANGO_", "BENCH_"))
        }
        paths = os.pathsep.join([str(self.folder), str(BENCHMARKS)])
        given = {f"BENCH_{name.upper()}": str(value) for name, value in extra.items()}
        return {**kept, "PYTHONPATH": paths, **given}

    def client(self, url: str, action: str, **params: object) -> dict[str, Any]:
        """Run one action of client.py in a process of its own and return what it found."""
        return self.run(BENCHMARKS / "client.py", action, json.dumps(params), url=url, concurrency=10)

    def idle_memory(self) -> float:
        """RSS in MB of an interpreter of this side that has imported everything but the product."""
        return float(self.run(self.folder / "idle.py")["rss_mb"])

    def run(self, script: Path, *words: str, **surroundings: object) -> dict[str, Any]:
        """Run a script and read its last line as JSON. Raises SideError when it exits with an error."""
        done = subprocess.run(
            [str(self.environment.python), str(script), *words],
            cwd=self.folder,
            env=self.surroundings(**surroundings),
            capture_output=True,
            text=True,
            timeout=CLIENT_SECONDS,
        )
        if done.returncode:
            raise SideError(f"{self.name}: {script.name} {' '.join(words)[:200]}\n{done.stderr[-3000:]}")
        return dict(json.loads(done.stdout.splitlines()[-1]))


OURS_SIDE = Side("ours", OURS, ("manage.py", "ardiq_worker", "--no-reload"))
PEER_SIDE = Side("peer", PEER, ("-m", "ardiq", "run", "side:app", "--quiet"))
SIDES = {side.name: side for side in (OURS_SIDE, PEER_SIDE)}


class Worker:
    """One worker process of a side. Use it as a context manager; leaving it stops the process."""

    def __init__(self, side: Side, url: str, concurrency: int, folder: Path, last: int = 0) -> None:
        self.side = side
        self.marks = folder / "marks.json"
        self.marks.unlink(missing_ok=True)
        self._log = folder / f"worker-{side.name}.log"
        self._env = side.surroundings(url=url, concurrency=concurrency, marks=self.marks, last=last)

    def __enter__(self) -> Worker:
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [str(self.side.environment.python), *self.side.worker],
                cwd=self.side.folder,
                env=self._env,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.pid = self._process.pid
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.terminate()
        try:
            self._process.wait(15)
        except subprocess.TimeoutExpired:
            os.killpg(self.pid, signal.SIGKILL)
            self._process.wait()

    def check(self) -> None:
        """Raises SideError when the worker is no longer there."""
        if self._process.poll() is not None:
            raise self._failed(f"the worker ended with {self._process.returncode}")

    def _failed(self, what: str) -> SideError:
        tail = self._log.read_text(errors="replace")[-3000:]
        return SideError(f"{self.side.name}: {what}\n{tail}")

    def wait_marks(self, seconds: float) -> dict[str, float]:
        """What the last job noted: monotonic times of the first start and the last finish, CPU seconds."""
        deadline = time.monotonic() + seconds
        while not self.marks.exists():
            self.check()
            if time.monotonic() > deadline:
                raise self._failed(f"the jobs did not end within {seconds:.0f} s")
            time.sleep(0.005)
        return dict(json.loads(self.marks.read_text()))

    def wait_idle(self, seconds: float = 30) -> None:
        """Return once the process has started up: half a second with next to no CPU time."""
        deadline = time.monotonic() + seconds
        time.sleep(1)
        while time.monotonic() < deadline:
            self.check()
            before = self.cpu_seconds()
            time.sleep(0.5)
            if before > 0.05 and self.cpu_seconds() - before <= 0.02:
                return
        raise self._failed(f"the worker was never idle within {seconds:.0f} s")

    def cpu_seconds(self) -> float:
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICK

    def rss_mb(self) -> float:
        """Resident memory of the worker and all processes under it, MB (10**6 bytes)."""
        pids, total = [self.pid], 0
        while pids:
            pid = pids.pop()
            total += int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE
            pids += map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
        return total / 1e6
