"""The lease of a worker: renewed from a thread of its own, and believed no longer than it lasts."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from ardiq import Ardiq, JobStatus, current_job
from ardiq.core.errors import BrokerError
from ardiq.store.keys import Keys
from ardiq.store.verbs import Renewed
from ardiq.worker.lease import Lease, Renewal
from ardiq.worker.outage import Outage
from tests.server import admin
from tests.workers import Workers, Working, until

Make = Callable[..., Working]


def test_a_name_never_comes_back() -> None:
    """R3: 128 random bits for each lease."""
    assert len({Lease(1_000).token for _ in range(1_000)}) == 1_000
    assert len(Lease(1_000).token) == 32


def test_a_lease_is_believed_while_it_lasts(monkeypatch: pytest.MonkeyPatch) -> None:
    """R4: reckoned from when the renewal was sent; an older answer shortens nothing."""
    now = 100.0
    monkeypatch.setattr("ardiq.worker.lease.time.monotonic", lambda: now)
    lease = Lease(2_000)
    assert not lease.believed
    lease.renewed(100.0)
    now = 101.9
    assert lease.believed
    lease.renewed(101.5)
    lease.renewed(101.0)
    now = 103.4
    assert lease.believed
    now = 103.6
    assert not lease.believed
    assert lease.believed_since(0) is False
    lease.renewed(103.0)
    assert lease.believed and lease.believed_since(103.6) and not lease.believed_since(103.5), "it had lapsed"
    now = 103.7
    lease.renewed(103.7)
    assert lease.believed_since(103.6), "not this time"
    lease.lost = True
    assert not lease.believed and not lease.believed_since(103.7)


class Server:
    """Answers renewals as the test says."""

    def __init__(self) -> None:
        self.asked = 0
        self.answer: Any = Renewed(0, 0, ())

    def run(self, call: object) -> Any:
        self.asked += 1
        if isinstance(self.answer, BaseException):
            raise self.answer
        return self.answer

    def close(self) -> None: ...


def renewal(server: Server, lease: Lease, told: list[Renewed]) -> Renewal:
    return Renewal(
        server, Keys("q"), lease.length_ms, lambda: lease, dict, time.monotonic,  # type: ignore[arg-type]
        lambda lease, answer: told.append(answer), Outage(),
    )  # fmt: skip


def test_a_renewal_that_fails_is_tried_again() -> None:
    """R5, H5: an unreachable server does not end the thread, and extends nothing."""
    server, lease, told = Server(), Lease(60), list[Renewed]()
    server.answer = BrokerError("gone")
    thread = renewal(server, lease, told)
    thread.start()
    until(lambda: server.asked >= 3)
    assert told == [] and not lease.believed
    server.answer = Renewed(0, 5, ("a",))
    until(lambda: told)
    assert lease.believed and told[0].aborted == ("a",)
    thread.stop()
    thread.join(5)
    assert not thread.is_alive()


def test_a_lost_lease_is_told_and_not_extended() -> None:
    """R3: the pump hears of it also when it claims nothing."""
    server, lease, told = Server(), Lease(60), list[Renewed]()
    server.answer = Renewed(0, 0, (), lost=True)
    thread = renewal(server, lease, told)
    thread.start()
    until(lambda: told)
    thread.stop()
    thread.join(5)
    assert told[0].lost and not lease.believed


def test_a_thread_that_computes_does_not_lose_it(app: Ardiq, working: Make) -> None:
    """R5: sync tasks longer than the lease, and more of them than there are cores."""

    @app.task(max_retries=0)
    def spin() -> None:
        end = time.monotonic() + 1.2
        while time.monotonic() < end:
            pass

    with working(lease_ms=500):
        jobs = [spin.enqueue_sync() for _ in range(3)]
        for job in jobs:
            assert job.result_sync(timeout=15).success  # type: ignore[union-attr]
    infos = [job.info_sync() for job in jobs]
    assert [(info.tries, info.crashes) for info in infos if info] == [(1, 0)] * 3


@pytest.mark.fault("9", "blocked for a lease and a half")
def test_a_loop_that_is_blocked_for_a_while_does_not_lose_it(workers: Workers, app: Ardiq) -> None:
    """R5, R6: up to two leases; nobody reaps it meanwhile, and the job is charged nothing."""
    crew = [workers.start(LEASE_MS=1_000) for _ in range(2)]
    job = app.send_sync("clog", 1.6)
    found = job.result_sync(timeout=15)
    assert found is not None and found.value == "done"
    info = job.info_sync()
    assert info is not None and (info.crashes, len(workers.notes("start"))) == (0, 1)
    # Somebody is told, and where it hangs.
    text = "".join(process.text for process in crew)
    assert text.count("The event loop has been blocked for") == 1 and "in clog" in text


@pytest.mark.fault("10", "exit 70, stacks, dead letter at the limit")
def test_a_loop_that_hangs_for_good_is_let_go(workers: Workers, app: Ardiq) -> None:
    """R6: its stacks are shown, its lease runs out, it exits with 70, and the job goes to somebody else."""
    process = workers.start(LEASE_MS=400, CRASH_LIMIT=1)
    job = app.send_sync("clog", 60)
    until(lambda: workers.notes("start"))
    begin = time.monotonic()
    assert process.ends() == 70, process.text
    assert time.monotonic() - begin < 5
    assert "The event loop is blocked" in process.text and "in clog" in process.text
    workers.start(LEASE_MS=400, CRASH_LIMIT=1)
    found = job.result_sync(timeout=15)
    assert found is not None and found.status is JobStatus.FAILED
    assert found.error is not None and found.error.type.endswith("JobCrashed")


def test_nothing_starts_under_a_lease_that_is_not_believed(
    app: Ardiq, working: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R4: what was claimed and not started goes back, and is run under a later claim, here or elsewhere."""
    gate = threading.Event()

    @app.task(name="first")
    def first() -> None:
        gate.wait(10)

    @app.task(name="second")
    def second() -> str:
        job = current_job()
        assert job is not None
        return job.fence

    with working(concurrency=1, threads=1, prefetch=2) as here:
        first.enqueue_sync()
        job = second.enqueue_sync()
        until(lambda: job.status_sync() is JobStatus.RUNNING, what="claimed ahead")
        held = until(lambda: here.worker._held_by.held.get(job.id))
        until(lambda: here.worker._slots.crew.load == 2, what="waiting for the thread")
        with monkeypatch.context() as frozen:
            # Every claim of the pump would renew it.
            frozen.setattr(Lease, "renewed", lambda self, sent: None)
            held.lease.end = 0.0
            gate.set()
            until(lambda: held.over, what="handed back")
        found = job.result_sync(timeout=10)
    assert found is not None and found.tries == 1
    token, _, claim = found.value.partition(":")
    assert token == held.lease.token and int(claim) > held.claim


def test_an_abort_whose_message_is_lost(app: Ardiq, working: Make, redis_url: str) -> None:
    """E5: it is marked in Redis before anybody is told, and the next renewal brings it."""
    began = threading.Event()

    @app.task
    async def long() -> None:
        began.set()
        await asyncio.sleep(30)

    with working(lease_ms=3_000), admin(redis_url) as client:
        job = long.enqueue_sync()
        assert began.wait(10)
        time_left = time.monotonic() + 3
        client.zadd(app.broker.keys.aborts, {job.id: 1})
        result = job.result_sync(timeout=10)
    assert result is not None and result.status is JobStatus.ABORTED
    assert time.monotonic() < time_left
