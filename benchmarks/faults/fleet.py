"""The worker processes of a cell: started again when they exit, killed and frozen with all their children."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

from harness.processes import marked

from faults.peers import Peer

RESTART = 0.5  # seconds until a worker that has exited is started again, as an init system would


class Process:
    """One worker process. Everything that descends from it carries its name in the environment."""

    def __init__(self, peer: Peer, name: str, url: str, journal: Path) -> None:
        self.name = name
        self.asked = False  # whether the harness has made it exit
        self.exited: float | None = None
        with (journal.parent / f"worker-{name}.log").open("wb") as log:
            self.popen = subprocess.Popen(
                peer.command(name, url),
                cwd=journal.parent,
                env=peer.surroundings(url, journal, name),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._mark = f"FAULTS_WORKER={name}".encode()
        self._run = f"FAULTS_JOURNAL={journal}".encode()

    def tree(self) -> list[int]:
        """It and its descendants, those that have left its session included."""
        return marked(self._mark, self._run)

    def signal_all(self, number: int) -> None:
        for pid in self.tree():
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                continue

    def kill_all(self) -> None:
        """Until none is left: a process may fork between the look and the kill."""
        self.asked = True
        while self.tree():
            self.signal_all(signal.SIGKILL)
            time.sleep(0.005)
        self.popen.wait()

    def terminate(self) -> None:
        self.asked = True
        if self.popen.poll() is None:
            self.popen.terminate()


class Fleet:
    """Nodes of equally many slots. ``keep`` is to be called all the time: it restarts who has exited."""

    def __init__(self, peer: Peer, url: str, journal: Path) -> None:
        self._peer, self._url, self._journal = peer, url, journal
        self._started = 0
        self.nodes: list[list[Process]] = []
        self.exits = 0  # those that nobody asked for
        self.codes: list[int] = []
        self.slowest_stop = 0.0
        self._stopping: dict[Process, float] = {}

    @property
    def processes(self) -> list[Process]:
        return [process for node in self.nodes for process in node]

    def start(self, nodes: int = 1) -> None:
        for _ in range(nodes):
            self.nodes.append([self._new() for _ in range(self._peer.processes)])

    def _new(self) -> Process:
        self._started += 1
        return Process(self._peer, f"w{self._started}", self._url, self._journal)

    def keep(self) -> None:
        now = time.monotonic()
        for node in self.nodes:
            for place, process in enumerate(node):
                if process.popen.poll() is None:
                    continue
                if process.exited is None:
                    self._has_exited(process, now)
                elif now - process.exited >= RESTART:
                    process.kill_all()  # whatever it has left behind
                    node[place] = self._new()

    def _has_exited(self, process: Process, now: float) -> None:
        process.exited = now
        if not process.asked:
            self.exits += 1
            self.codes.append(process.popen.returncode)
        elif process in self._stopping:
            self.slowest_stop = max(self.slowest_stop, now - self._stopping.pop(process))

    def names(self) -> set[str]:
        return {process.name for process in self.processes}

    def kill(self) -> None:
        """kill -9 of everything at once, as when a machine goes down."""
        for process in self.processes:
            process.asked = True
            process.signal_all(signal.SIGKILL)
        for process in self.processes:
            process.kill_all()

    def terminate(self) -> None:
        for process in self.processes:
            self._stopping[process] = time.monotonic()
            process.terminate()

    def freeze(self, node: int) -> None:
        for process in self.nodes[node]:
            process.signal_all(signal.SIGSTOP)

    def thaw(self, node: int) -> None:
        for process in self.nodes[node]:
            process.signal_all(signal.SIGCONT)

    def close(self) -> None:
        for process in self.processes:
            process.kill_all()
