"""A server under callgrind: the same work is the same number of instructions on any machine, at any load.

That shows what a verb does. What memory adds, instructions do not show: CPU time does (meter.py).
"""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

from harness.server import Server, ServerError

from ardiq.store.client import Store
from ardiq.store.scripts import Call
from growth.meter import Reading


class Counted(Server):
    """It loads what lies in its folder as dump.rdb: filling it would take an hour."""

    START_SECONDS = 120

    def __init__(self, binary: str, folder: Path) -> None:
        if not shutil.which("callgrind_control"):
            raise ServerError("--instructions needs valgrind with callgrind_control on PATH")
        super().__init__(binary, folder)
        self.dumps = folder / "callgrind"
        self.UNDER = ("valgrind", "--tool=callgrind", f"--callgrind-out-file={self.dumps}")

    def __enter__(self) -> Server:
        super().__enter__()
        while self.info("persistence")["loading"] != "0":
            time.sleep(1)
        return self

    def meter(self, store: Store) -> Counter:
        return Counter(self, store)


class Counter:
    """As Meter, for instructions."""

    def __init__(self, server: Counted, store: Store) -> None:
        self._server, self._store = server, store
        self._dumped = 0
        self._own = 0.0
        self._own = median(self.take([])[0].server for _ in range(3))

    def take(self, calls: Sequence[Call]) -> tuple[Reading, list[Any]]:
        self._control("--zero")
        replies = self._store.run_many(calls)
        self._control("--dump")
        self._dumped += 1
        dump = self._server.dumps.with_name(f"callgrind.{self._dumped}")
        totals = [line for line in dump.read_text().splitlines() if line.startswith("totals:")]
        dump.unlink()
        return Reading(int(totals[-1].split()[1]) - self._own, 0.0), replies

    def _control(self, what: str) -> None:
        command = ["callgrind_control", what, str(self._server.pid)]
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=120)
