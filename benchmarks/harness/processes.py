"""What the kernel says of processes: who descends from whom, their memory, their CPU time. Linux only."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path

_PAGE = os.sysconf("SC_PAGE_SIZE")
_TICK = os.sysconf("SC_CLK_TCK")


def marked(*marks: bytes) -> list[int]:
    """Processes that carry all of these ``NAME=value`` in their environment, wherever they have gone."""
    found = []
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        with contextlib.suppress(OSError):
            environment = (folder / "environ").read_bytes()
            if all(mark + b"\0" in environment for mark in marks):
                found.append(int(folder.name))
    return found


def kill(*marks: bytes) -> None:
    """Until none is left: a process may fork between the look and the kill."""
    while pids := [pid for pid in marked(*marks) if not _is_gone(pid)]:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.005)


def reap() -> None:
    """End what a harness that was killed has left behind: its server, workers and clients carry its pid."""
    for folder in Path("/proc").iterdir():
        with contextlib.suppress(OSError, ValueError):
            names = dict(word.partition(b"=")[::2] for word in (folder / "environ").read_bytes().split(b"\0"))
            owner = int(names.get(b"BENCH_OWNER", b"0"))
            if owner and not Path(f"/proc/{owner}").exists():
                os.kill(int(folder.name), signal.SIGKILL)


def _is_gone(pid: int) -> bool:
    """Dead, though perhaps not yet waited for by its parent."""
    fields = _fields(pid)
    return not fields or fields[0] in "ZX"


def _fields(pid: int) -> list[str]:
    """The fields of /proc/PID/stat from the state on; none when the process is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def tree(pid: int) -> list[int]:
    """The process and all that descend from it."""
    found = [pid]
    for one in found:
        with contextlib.suppress(OSError):
            for task in Path(f"/proc/{one}/task").iterdir():
                found += map(int, (task / "children").read_text().split())
    return found


def cpu_seconds(pid: int) -> float:
    """CPU time of the process, of its descendants, and of those that it has waited for."""
    total = 0.0
    for one in tree(pid):
        fields = _fields(one)
        # The clock of another process: to the nanosecond, where its stat counts ticks of 10 ms.
        with contextlib.suppress(OSError):
            total += time.clock_gettime((~one << 3) | 2)
        if fields:
            total += (int(fields[13]) + int(fields[14])) / _TICK
    return total


def rss_mb(pid: int) -> float:
    """Resident memory of the process and its descendants, MB (10**6 bytes); shared pages count in each."""
    total = 0
    for one in tree(pid):
        with contextlib.suppress(OSError):
            total += int(Path(f"/proc/{one}/statm").read_text().split()[1]) * _PAGE
    return total / 1e6


def pss_mb(pid: int) -> float:
    """The same, with a page that several processes share counted once."""
    total = 0
    for one in tree(pid):
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{one}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1]) * 1024
    return total / 1e6
