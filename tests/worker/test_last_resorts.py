"""What must hold when something fails that never should: a thread, a verdict, a worker just started."""

from __future__ import annotations

import asyncio
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest

from ardiq import Ardiq, JobStatus
from ardiq.worker.children import signal_name
from ardiq.worker.judge import Judge
from ardiq.worker.supervisor import RESTART, Supervisor
from ardiq.worker.threads import Crew
from tests.workers import Working


def test_a_verdict_that_cannot_be_made_after_hooks(
    app: Ardiq, working: Callable[..., Working], monkeypatch: pytest.MonkeyPatch
) -> None:
    """F2: with hooks as without them, the job fails and is not held for ever."""

    def fail(*args: object) -> bytes:
        raise ValueError("a history that cannot be read")

    monkeypatch.setattr(Judge, "_history", fail)
    heard: list[BaseException] = []
    app.on_error(lambda error, job: heard.append(error))

    @app.task(max_retries=3)
    def task() -> None:
        raise RuntimeError("no")

    with working():
        found = task.enqueue_sync().result_sync(timeout=10)
    assert found is not None and found.status is JobStatus.FAILED and len(heard) == 1
    assert found.error is not None and "history" in found.error.message


def test_a_first_thread_that_cannot_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fault 46: whoever handed the job over still has it, and nobody else does."""

    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    async def main() -> None:
        crew = Crew(2, lambda held: None, lambda batch: None, lambda: None)  # type: ignore[arg-type,return-value]
        held: Any = object()
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", refuse)
            with pytest.raises(RuntimeError):
                crew.submit(held)
        assert crew.load == 0 and crew.withdraw() == []

    asyncio.run(main())


def test_names_of_signals() -> None:
    """Most real-time signals have none, and may still end a process."""
    assert signal_name(signal.SIGKILL) == "SIGKILL"
    assert signal_name(40) == "signal 40"


def test_a_worker_that_asks_for_a_restart_as_soon_as_it_runs() -> None:
    """H4: it gets one, but not ten in a second."""
    starts: list[float] = []

    class Quick:
        pid = 0
        set_up = True

        def hear(self) -> None: ...

        def pass_on(self, heard: list[int]) -> None: ...

        def wait(self) -> int:
            return RESTART

    def start(number: int) -> Any:
        starts.append(time.monotonic())
        return Quick()

    supervisor = Supervisor(start, 1)
    while len(starts) < 3:
        supervisor._look(supervisor._places[0])
        time.sleep(0.01)
    assert all(later - earlier >= 1 for earlier, later in pairwise(starts))


def test_memory_is_known_without_a_file_left() -> None:
    """F2: each renewal tells it, and a task that takes all files must not end its worker: not even a module
    can be read from its file then, so that all must be there from the beginning."""
    script = """
from ardiq.worker.limits import resident_mb
files = []
try:
    while True:
        files.append(open("/dev/null"))
except OSError:
    print(resident_mb())
"""
    few = lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))  # noqa: E731
    told = subprocess.run([sys.executable, "-c", script], preexec_fn=few, capture_output=True, text=True)
    assert int(told.stdout) > 0, told.stderr
