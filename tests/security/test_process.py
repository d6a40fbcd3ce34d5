"""A worker process, seen from outside."""

from __future__ import annotations

import os
from pathlib import Path

from ardiq import Ardiq
from tests.workers import Workers

LISTENS = "0A"  # the state in /proc/net/tcp
ACCEPTS = "00010000"  # the flag in /proc/net/unix


def listening(pid: int) -> list[str]:
    """Sockets of a process that wait for connections."""
    own = set()
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        try:
            own.add(os.readlink(entry))
        except OSError:
            continue  # closed meanwhile
    found = []
    for table, field, wanted, inode in (
        ("tcp", 3, LISTENS, 9), ("tcp6", 3, LISTENS, 9), ("unix", 3, ACCEPTS, 6),
    ):  # fmt: skip
        path = Path(f"/proc/{pid}/net/{table}")
        for line in path.read_text().splitlines()[1:] if path.exists() else ():
            words = line.split()
            if words[field] == wanted and f"socket:[{words[inode]}]" in own:
                found.append(line)
    return found


def test_it_listens_on_nothing(workers: Workers, app: Ardiq) -> None:
    """S10, S13: no port and no socket file, at work or at rest."""
    process = workers.start("--processes", "2")
    assert app.ref("add").enqueue_sync(1, 2).result_sync(timeout=30).value == 3  # type: ignore[union-attr]
    children = Path(f"/proc/{process.popen.pid}/task/{process.popen.pid}/children").read_text().split()
    for pid in (process.popen.pid, *map(int, children)):
        assert listening(pid) == []
    assert listening(os.getpid()) is not None
    assert process.stop(30) == 0
