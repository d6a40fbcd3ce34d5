"""One server fault from beginning to end: workers in full swing, the fault, the return, the reckoning."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.faults.field import Field
from tests.faults.netproxy import Network
from tests.faults.report import Report
from tests.faults.servers import HurtServer
from tests.workers import Process, until

WORKS_AGAIN = 5.0  # seconds after the return of Redis in which every worker must have started a job
MOST_CPU = 0.2  # of one core, for a worker whose server is away
SHORT = 0.25  # seconds of processor time that nobody asks about
_TICKS = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid: int) -> float:
    """Processor time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


class Trial:
    """Two workers on a server of their own, perhaps with a network between them."""

    network: Network

    def __init__(self, server: HurtServer, field: Field, report: Report) -> None:
        self.server, self.field, self.report = server, field, report
        self.processes: list[Process] = []
        self.cpu = 0.0

    def begin(self, jobs: int, *, workers: int = 2, seconds: float = 0.1, **options: Any) -> None:
        """Workers that are in the middle of jobs, half of them async, half sync. The lease outlasts the fault
        unless ``options`` say otherwise."""
        options = {"LEASE_MS": 10_000} | options
        for _ in range(workers):
            self.processes.append(self.field.start(**options))
        self.load(jobs, seconds)
        self.field.wait_started(min(jobs, 4 * workers))

    def load(self, jobs: int, seconds: float = 0.1) -> None:
        self.field.enqueue(jobs // 2, "nap", seconds)
        self.field.enqueue(jobs - jobs // 2, "doze", seconds)

    @contextmanager
    def away(self) -> Iterator[None]:
        """While Redis is away no worker may spin, and none may end."""
        before = {process.popen.pid: cpu_seconds(process.popen.pid) for process in self.processes}
        begin = time.monotonic()
        yield
        passed = time.monotonic() - begin
        self.alive()
        used = max(cpu_seconds(pid) - seconds for pid, seconds in before.items())
        self.cpu = used / passed
        # In less time than that a worker that has just run some jobs looks like one that spins.
        if used > SHORT:
            assert self.cpu < MOST_CPU, f"a worker spins while its server is away: {self.cpu:.0%} of a core"

    def alive(self) -> None:
        for process in self.processes:
            assert process.popen.poll() is None, f"a worker has ended: {process.text}"

    def starts_since(self, moment: float) -> dict[int, float]:
        """Process id -> when it, or a child of it, first started a job after a moment (monotonic)."""
        found: dict[int, float] = {}
        for words in self.field.workers.notes("start"):
            at = float(words[4])
            for pid in (int(words[3]), int(words[5])):
                if at > moment:
                    found[pid] = min(found.get(pid, at), at)
        return found

    def works_again(self, since: float, within: float = WORKS_AGAIN) -> None:
        """Every worker starts jobs again, soon, and by itself."""
        workers = {process.popen.pid for process in self.processes}

        def all_work() -> bool:
            self.alive()
            if self.field.client.llen(self.field.keys.lane("default")) < 10:
                self.load(20)
            return workers <= set(self.starts_since(since))

        until(all_work, within + 20, "every worker that works again")
        found = self.starts_since(since)
        self.report.recovery = round(min(found.values()) - since, 2)
        last = max(at for pid, at in found.items() if pid in workers) - since
        self.report.note = f"all workers after {last:.1f} s, cpu while away {self.cpu:.0%}"
        assert last <= within, [process.text[-2_000:] for process in self.processes]

    def end(self, *, twice: int = 0, seconds: float = 60) -> None:
        """All ends; nobody has ended meanwhile; then the workers stop as they should."""
        self.field.wait_done(seconds=seconds)
        self.alive()
        self.field.count(self.report)
        assert (self.report.lost, self.report.stuck) == (0, 0)
        assert self.report.twice is not None and self.report.twice <= twice, self.repeated()
        assert self.field.succeeded()
        for process in self.processes:
            process.signal()
        for process in self.processes:
            assert process.ends() == 0, process.text

    def repeated(self) -> str:
        """For the message of a failed test: what started again, where and when."""
        again = {id for id, times in self.field.starts().items() if times > 1}
        lines = [" ".join(words) for words in self.field.workers.notes() if words[1] in again]
        logs = [process.text[-1_500:] for process in self.processes]
        return "\n".join([f"{len(again)} jobs started again:", *lines[:40], *logs])


MakeTrial = Callable[..., Trial]


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[Callable[..., HurtServer]]:
    """``servers(aof="always")`` starts a server of this test alone."""
    made: list[HurtServer] = []

    def make(*options: str, **how: Any) -> HurtServer:
        server = HurtServer(tmp_path / f"server-{len(made)}", *options, **how)
        made.append(server)
        return server.start()

    yield make
    for server in made:
        server.stop()


@pytest.fixture
def networks() -> Iterator[Callable[[str], Network]]:
    """``networks(url)`` puts a network in front of a server."""
    made: list[Network] = []

    def make(url: str) -> Network:
        made.append(Network(url))
        return made[-1]

    yield make
    for network in made:
        network.close()


@pytest.fixture
def trial(
    servers: Callable[..., HurtServer],
    networks: Callable[[str], Network],
    fields: Callable[..., Field],
    report: Report,
) -> MakeTrial:
    """``trial(aof="everysec")`` on a new server; with ``network=True`` there is one between."""

    def make(*options: str, network: bool = False, **how: Any) -> Trial:
        server = servers(*options, **how)
        if not network:
            return Trial(server, fields(server.url), report)
        between = networks(server.url)
        made = Trial(server, fields(between.url, server.url), report)
        made.network = between
        return made

    return make
