"""Jobs that were told to stop and do not: their slots are lost, and too many of them end the worker (R17)."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

import pytest

from ardiq import Ardiq
from ardiq.worker import worker as worker_module
from ardiq.worker.slots import Slots
from tests.workers import Working, until

Make = Callable[..., Working]


def patience(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """How long a job may go on after it was told to stop; the constant is for people, not for tests."""
    leaked = Slots.leaked
    monkeypatch.setattr(Slots, "leaked", lambda self, _: leaked(self, seconds))


@pytest.fixture
def gate() -> threading.Event:
    return threading.Event()


@pytest.mark.fault("47", "threads that do not end: exit 75")
def test_threads_that_do_not_end(
    app: Ardiq, working: Make, monkeypatch: pytest.MonkeyPatch, gate: threading.Event
) -> None:
    """R17: a timed-out thread keeps its slot and its job; when more than half the slots are lost, the worker
    drains and asks to be restarted. Its other jobs go on meanwhile."""
    patience(monkeypatch, 0.5)

    @app.task(name="stuck", timeout=0.1, max_retries=0)
    def stuck() -> None:
        gate.wait(20)  # one call into C: no bytecode at which anything could be raised

    @app.task(name="quick")
    async def quick() -> int:
        return 1

    with working(concurrency=4, threads=4, grace_ms=500) as here:
        for _ in range(2):
            stuck.enqueue_sync()
        until(lambda: here.worker._pump and here.worker._slots.leaked(0) == 2)
        assert quick.enqueue_sync().result_sync(timeout=10).value == 1  # type: ignore[union-attr]
        assert here.worker.exit_code == 0
        stuck.enqueue_sync()
        until(lambda: here.worker.exit_code == 75, what="a worker that asks to be restarted")
        here.ends()
        assert here.worker.stuck >= 1
        gate.set()


@pytest.mark.fault("43", "cancelled a second time")
def test_a_task_that_swallows_its_cancellation(
    app: Ardiq, working: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fault 43: it is cancelled a second time; one that stops then has cost nothing."""
    patience(monkeypatch, 2.0)
    swallowed, begun = [], threading.Event()  # type: ignore[var-annotated]

    @app.task(name="deaf")
    async def deaf() -> None:
        begun.set()
        while len(swallowed) < 2:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                swallowed.append(1)

    with working(concurrency=1) as here:
        job = deaf.enqueue_sync()
        assert begun.wait(10) and job.abort_sync()
        assert job.result_sync(timeout=10).aborted  # type: ignore[union-attr]
        assert here.worker.exit_code == 0 and len(swallowed) == 2
        until(lambda: here.worker._slots.leaked(0) == 0)
    assert worker_module.LEAKS == 10.0
