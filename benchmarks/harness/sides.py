"""The sides: how a client of each is run, and how its worker is. Nothing else differs between them."""

from __future__ import annotations

import json
import os
import subprocess
import time
import uuid
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any

import bodies

from harness import environments, processes
from harness.environments import BENCHMARKS, Environment

CLIENT_SECONDS = 120
STOP_SECONDS = 15


class SideError(RuntimeError):
    """A worker or a client of one side failed; the text ends with the tail of its log."""


class Lacks(Exception):
    """The side has no such thing; the text is the reason."""


@dataclass(frozen=True)
class Side:
    """``adapter`` is a module in ``folder``, which is where clients and workers of the side run."""

    name: str
    environment: Environment
    adapter: str
    folder: Path = BENCHMARKS / "peers"
    variant: str = ""  # for an adapter that knows several ways to start a worker

    def surroundings(self, **extra: object) -> dict[str, str]:
        """Environment variables for a process of this side, cleared of what could tilt the run."""
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("PYTHON", "ARDIQ_", "DJANGO_", "CELERY_", "RQ_", "BENCH_"))
        }
        paths = os.pathsep.join([str(self.folder), str(BENCHMARKS)])
        given = {f"BENCH_{name.upper()}": str(value) for name, value in extra.items()}
        own = {
            "BENCH_ADAPTER": self.adapter,
            "BENCH_VARIANT": self.variant,
            "BENCH_OWNER": str(os.getpid()),
        }
        # Its own scripts first: a launcher that starts others by name must find those of its environment.
        path = os.pathsep.join([str(self.environment.python.parent), os.environ.get("PATH", "")])
        return {**kept, "PATH": path, "PYTHONPATH": paths, "PYTHONDONTWRITEBYTECODE": "1", **own, **given}

    def client(self, url: str, action: str, marks: Path | str = "", **params: object) -> dict[str, Any]:
        """Run one action of client.py in a process of its own and return what it found."""
        script, words = BENCHMARKS / "client.py", (action, json.dumps(params))
        return self.run(script, *words, url=url, concurrency=10, marks=marks)

    def start(self, url: str, action: str, **params: object) -> subprocess.Popen[bytes]:
        """The same beside what follows; the caller ends it."""
        return subprocess.Popen(
            [str(self.environment.python), str(BENCHMARKS / "client.py"), action, json.dumps(params)],
            cwd=self.folder,
            env=self.surroundings(url=url, concurrency=10),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def needs(self, *things: str) -> None:
        """Raises Lacks with the reason for the first of these that the side does not have."""
        for thing in things:
            if reason := self.lacks.get(thing):
                raise Lacks(reason)

    @property
    def lacks(self) -> dict[str, str]:
        return dict(_about(self)["lacks"])

    @property
    def stored(self) -> list[str] | None:
        """A command whose reply tells how many results are stored; its first word says how to read it."""
        found = _about(self)["stored"]
        return None if found is None else list(found)

    def idle_memory(self) -> float | None:
        """RSS in MB of an interpreter of this side that has imported everything but the product."""
        script = self.folder / ("idle.py" if self.folder.name == "ours" else f"{self.name}_idle.py")
        return float(self.run(script)["rss_mb"]) if script.exists() else None

    def run(
        self, script: Path, *words: str, within: float = CLIENT_SECONDS, **surroundings: object
    ) -> dict[str, Any]:
        """Run a script and read its last line as JSON. Raises SideError when it exits with an error."""
        done = subprocess.run(
            [str(self.environment.python), str(script), *words],
            cwd=self.folder,
            env=self.surroundings(**surroundings),
            capture_output=True,
            text=True,
            timeout=within,
        )
        if done.returncode:
            raise SideError(f"{self.name}: {script.name} {' '.join(words)[:200]}\n{done.stderr[-3000:]}")
        return dict(json.loads(done.stdout.splitlines()[-1]))


@cache
def _about(side: Side) -> dict[str, Any]:
    return side.client("redis://127.0.0.1:1/0", "about")


OURS_SIDE = Side("ours", environments.OURS, "side", BENCHMARKS / "ours")
PEER_SIDE = Side("ardiq", environments.PEER, "ardiq_side")
FIELD = (
    OURS_SIDE,
    PEER_SIDE,
    Side("vtasks", environments.VTASKS, "vtasks_side"),
    Side("streaq", environments.STREAQ, "streaq_side"),
    Side("taskiq", environments.TASKIQ, "taskiq_side"),
    Side("arq", environments.ARQ, "arq_side"),
    Side("rq", environments.RQ, "rq_side"),
    Side("celery", environments.CELERY, "celery_side"),
    Side("dramatiq", environments.DRAMATIQ, "dramatiq_side"),
    Side("huey", environments.HUEY, "huey_side"),
)
# Other ways to run the same, for who asks for them by name.
VARIANTS = (
    Side("celery_threads", environments.CELERY, "celery_side", variant="threads"),
    Side("rq_simple", environments.RQ, "rq_side", variant="simple"),
)
SIDES = {side.name: side for side in (*FIELD, *VARIANTS)}


@dataclass(frozen=True)
class Run:
    """What the bodies of a run have noted: monotonic seconds, and the CPU time of the worker until then."""

    first: float
    last: float
    ended: int
    cpu: float


class Worker:
    """The worker of a side. Use it as a context manager; leaving it stops every process of it.

    ``last``: how many jobs note when they started and ended, numbered from 0.
    """

    def __init__(
        self, side: Side, url: str, concurrency: int, folder: Path, last: int = 0, processes: int = 1
    ) -> None:
        self.side = side
        self.marks = folder / f"marks-{uuid.uuid4().hex}"
        self._jobs, self._words = last, (str(concurrency), str(processes))
        self._log = folder / f"worker-{side.name}.log"
        self._mark = f"BENCH_RUN={self.marks.name}"
        given: dict[str, object] = {"marks": self.marks} if last else {}
        if processes > 1:
            given["gate"] = processes
        self._env = side.surroundings(url=url, concurrency=concurrency, run=self.marks.name, **given)
        self._cpu = 0.0
        self._first: float | None = None

    def __enter__(self) -> Worker:
        if self._jobs:
            # One line more than there are jobs, see bodies.NOBODY.
            self.marks.write_bytes(bytes(16 * (self._jobs + 1)))
            self._starts, self._ends = bodies.columns(self.marks)
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [
                    str(self.side.environment.python),
                    str(BENCHMARKS / "launch.py"),
                    self.side.adapter,
                    *self._words,
                ],
                cwd=self.side.folder,
                env=self._env,
                stdin=subprocess.DEVNULL,
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
            self._process.wait(STOP_SECONDS if kind is None else 1)
        except subprocess.TimeoutExpired:
            pass  # one that still has jobs may want to finish them; nobody needs that
        finally:
            processes.kill(self._mark.encode())
            self._process.wait()
            for file in self.marks.parent.glob(self.marks.name + "*"):
                file.unlink()

    def check(self) -> None:
        """Raises SideError when the worker is no longer there."""
        if self._process.poll() is not None:
            raise self._failed(f"the worker ended with {self._process.returncode}")

    def _failed(self, what: str) -> SideError:
        tail = self._log.read_text(errors="replace")[-2000:]
        return SideError(f"{self.side.name}: {what}\n{tail}")

    def watch(self, start: float, seconds: float) -> Run:
        """Wait until all jobs have ended, or for so many seconds from when the first has started.

        Raises SideError when none has started after ``start`` seconds, or none has ended.
        """
        latest, ended = time.monotonic() + start, 0
        while ended < self._jobs:
            self.check()
            if self._first is None and (
                begun := [*filter(None, self._starts[:1000]), *filter(None, self._ends[:1000])]
            ):
                self._first, self._cpu = min(begun), self.cpu_seconds()
                latest = time.monotonic() + seconds
            while ended < self._jobs and self._ends[ended]:
                ended += 1
            if time.monotonic() > latest:
                break
            time.sleep(0.002)
        return self._seen(start)

    def _seen(self, start: float) -> Run:
        ends = [moment for moment in self._ends[: self._jobs] if moment]
        if not ends:
            what = (
                f"no job ended, {'none' if self._first is None else 'one'} had started, within {start:.0f} s"
            )
            raise self._failed(what)
        starts = [moment for moment in self._starts[: self._jobs] if moment]
        return Run(min(starts or ends), max(ends), len(ends), self.cpu_seconds() - self._cpu)

    def cpu_of_run(self) -> float:
        """CPU seconds since the first job started."""
        return self.cpu_seconds() - self._cpu

    def ended(self, number: int) -> bool:
        return bool(self._ends[number])

    def wait_marks(self, seconds: float) -> dict[str, float]:
        """As ``watch``, for who needs all jobs to end. Raises SideError when they have not."""
        run = self.watch(seconds, seconds)
        if run.ended < self._jobs:
            raise self._failed(f"{run.ended} of {self._jobs} jobs ended within {seconds:.0f} s")
        return {"first": run.first, "last": run.last, "cpu": run.cpu}

    def wait_idle(self, seconds: float = 60) -> None:
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
        return processes.cpu_seconds(self.pid)

    def rss_mb(self) -> float:
        return processes.rss_mb(self.pid)

    def pss_mb(self) -> float:
        return processes.pss_mb(self.pid)
