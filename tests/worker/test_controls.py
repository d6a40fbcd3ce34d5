"""A worker that is told something: its queue is paused, be quiet, work again, stop."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from ardiq import Ardiq, Job, JobStatus
from ardiq.store import controls
from tests.server import admin
from tests.workers import Workers, Working, until

Make = Callable[..., Working]


class Door:
    """Jobs of ``app`` begin, and end when the door is opened."""

    def __init__(self, app: Ardiq) -> None:
        self.began: list[str] = []
        self.open = threading.Event()

        @app.task(name="through")
        async def through(name: str) -> str:
            self.began.append(name)
            while not self.open.is_set():
                await asyncio.sleep(0.01)
            return name

        self.task = through

    def send(self, *names: str, **options: Any) -> list[Job[Any]]:
        return [self.task.options(**options).enqueue_sync(name) for name in names]


@pytest.fixture
def door(app: Ardiq) -> Door:
    return Door(app)


def ends(jobs: list[Job[Any]]) -> list[Any]:
    results = [job.result_sync(timeout=20) for job in jobs]
    return [result.value for result in results if result]


def test_pause_and_resume(app: Ardiq, working: Make, door: Door, caplog: pytest.LogCaptureFixture) -> None:
    """What runs ends, what is enqueued meanwhile waits, and a sleeping worker is woken by the resume."""
    caplog.set_level(logging.INFO, "ardiq.worker")
    with working():
        first = door.send("runs")
        until(lambda: door.began == ["runs"], 10, "the first job")
        assert app.pause_queue_sync("deploy", by="ann") is True
        second = door.send("waits")
        door.open.set()
        assert ends(first) == ["runs"]
        until(lambda: "is paused by ann: deploy" in caplog.text, 10, "a line of the log")
        assert second[0].status_sync() is JobStatus.QUEUED
        [pause] = app.pauses_sync()
        assert (pause.lane, pause.reason, pause.by) == ("", "deploy", "ann")
        assert app.resume_queue_sync() is True
        assert ends(second) == ["waits"] and app.pauses_sync() == []
        until(lambda: "Nothing of queue" in caplog.text, 10, "another line")


def hears(app: Ardiq, url: str) -> None:
    """Wait until a worker listens, for 3 s: over TLS that takes longer than its first job. Nodes of a Cluster
    tell of their own listeners only."""
    end = time.monotonic() + 3
    with admin(url) as client:
        while not client.pubsub_numsub(app.broker.keys.control)[0][1] and time.monotonic() < end:
            time.sleep(0.02)


def test_what_was_taken_and_not_begun_goes_back(
    app: Ardiq, working: Make, door: Door, redis_url: str
) -> None:
    """A worker holds more than it runs; of a paused queue it keeps what runs, and the order holds."""
    with working(concurrency=1, prefetch=5) as here:
        hears(app, redis_url)
        jobs = door.send("a", "b", "c")
        until(lambda: here.worker.running == 1 and app.queue_size_sync() == 0, 10, "jobs that are held")
        app.pause_queue_sync()
        until(lambda: app.queue_size_sync() == 2, 10, "jobs that went back")
        door.open.set()
        assert ends(jobs[:1]) == ["a"]
        assert door.began == ["a"]
        app.resume_queue_sync()
        assert ends(jobs) == ["a", "b", "c"] == door.began


def test_a_lost_message_costs_what_was_taken(app: Ardiq, working: Make, door: Door) -> None:
    """Then what this worker holds still runs, and its next claim brings nothing."""
    with working(concurrency=1, prefetch=1) as here:
        jobs = door.send("runs", "held", "waits")
        until(lambda: here.worker.running == 1 and app.queue_size_sync() == 1, 10, "a job that is held")
        # As if nobody had heard it: the key without the message.
        app.broker.store.run(_quietly(app))
        door.open.set()
        assert ends(jobs[:2]) == ["runs", "held"]
        time.sleep(0.3)
        assert jobs[2].status_sync() is JobStatus.QUEUED
        app.resume_queue_sync()
        assert ends(jobs) == ["runs", "held", "waits"]


def _quietly(app: Ardiq) -> Any:
    from ardiq.store.scripts import Call

    return Call(("HSET", app.broker.keys.paused, "queue", "1\n\n"), int)


def test_a_paused_lane(app: Ardiq, working: Make, door: Door) -> None:
    door.open.set()
    app.pause_queue_sync(lane="high")
    with working():
        held, free = door.send("h", priority="high"), door.send("d")
        assert ends(free) == ["d"] and held[0].status_sync() is JobStatus.QUEUED
        app.resume_queue_sync(lane="high")
        assert ends(held) == ["h"]


def test_a_burst_of_a_paused_queue_ends(app: Ardiq, door: Door) -> None:
    """H7: nothing is due that may run."""
    [job] = door.send("a")
    app.pause_queue_sync()
    from ardiq import running

    worker = running.build(app.queue_name, app.options, burst=True)
    asyncio.run(asyncio.wait_for(running.run([worker]), 20))
    assert job.status_sync() is JobStatus.QUEUED and door.began == []


@pytest.mark.parametrize("heard", [True, False], ids=["by message", "by the next renewal"])
def test_quiet_and_back_to_work(app: Ardiq, working: Make, door: Door, heard: bool) -> None:
    """It ends what runs, hands back what it held, takes no more, and shows it; told to, it works again."""
    lease = 30_000 if heard else 1_500

    def told(order: Any) -> None:
        [one] = until(app.workers_sync, 10, "a worker that registers")
        if heard:
            assert app.tell_worker_sync("here", order, by="ann") is True
        else:
            app.broker.store.run(_ordered(app, one.id, order))

    with working(concurrency=1, prefetch=3, lease_ms=lease) as here:
        jobs = door.send("a", "b")
        until(lambda: here.worker.running == 1, 10, "the first job")
        told("quiet")
        until(lambda: app.workers_sync()[0].about.get("state") == "quiet", 10, "a quiet worker")
        until(lambda: app.queue_size_sync() == 1, 10, "a job that went back")
        door.open.set()
        assert ends(jobs[:1]) == ["a"]
        time.sleep(0.3)
        assert jobs[1].status_sync() is JobStatus.QUEUED, "a quiet worker takes nothing"
        told("work")
        assert ends(jobs) == ["a", "b"]
        until(lambda: app.workers_sync()[0].about.get("state") == "", 10, "a worker like any other")


def test_a_quiet_worker_that_lost_a_reply(app: Ardiq, working: Make, door: Door) -> None:
    """R5: what its last claim brought, unheard, goes back while it is quiet, and not only after that."""
    from ardiq.store import verbs

    with working(lease_ms=1_500):
        [one] = until(app.workers_sync, 10, "a worker that registers")
        app.broker.store.run(_ordered(app, one.id, "quiet"))
        until(lambda: app.workers_sync()[0].about.get("state") == "quiet", 10, "a quiet worker")
        time.sleep(0.2)  # no claim of its own is on its way
        [job] = door.send("a")
        lanes = [(lane, 1) for lane in app.options.priorities]
        claimed = app.broker.store.run(verbs.claim(app.broker.keys, one.id, 1, 1_500, 1, lanes))
        assert [id for id, _ in claimed.jobs] == [job.id] and job.status_sync() is JobStatus.RUNNING
        until(lambda: job.status_sync() is JobStatus.QUEUED, 10, "a job that went back")
        assert door.began == []


def _ordered(app: Ardiq, worker: str, order: Any) -> Any:
    from ardiq.store.scripts import Call

    return Call(("HSET", app.broker.keys.worker(worker), "order", order), int)


def test_stop(app: Ardiq, working: Make, door: Door) -> None:
    """H3: like a signal: what runs may end, and it signs off."""
    with working() as here:
        jobs = door.send("a")
        until(lambda: door.began == ["a"], 10, "the first job")
        assert app.tell_worker_sync(app.workers_sync()[0].id, "stop") is True
        until(lambda: here.worker._slots.closed, 10, "a worker that stops")
        door.open.set()
        here.ends()
    assert ends(jobs) == ["a"] and app.workers_sync() == []


def test_whom_to_tell(app: Ardiq, working: Make) -> None:
    """Nobody of that name is no error; a word that is no order is; so is a name that two have."""
    assert app.tell_worker_sync("nobody", "quiet") is False
    assert app.tell_worker_sync("0" * 32, "quiet") is False
    with pytest.raises(ValueError, match="Did you mean quiet"):
        app.tell_worker_sync("nobody", "quit")  # type: ignore[arg-type]
    with working(), working():
        until(lambda: len(app.workers_sync()) == 2, 10, "two workers")
        with pytest.raises(LookupError, match="Several workers are named 'here'"):
            app.tell_worker_sync("here", "stop")


def test_the_same_from_a_loop(app: Ardiq, door: Door) -> None:
    """C2: every verb has its twin."""

    async def main() -> None:
        for name in "abc":
            await door.task.options(priority="low").enqueue(name)
        assert await app.pause_queue("why", lane="low", by="ann") is True
        assert [(one.lane, one.reason) for one in await app.pauses()] == [("low", "why")]
        assert await app.resume_queue(lane="low") is True
        assert await app.move_waiting("low", "high") == 3
        assert await app.purge_waiting("low") == 0
        assert await app.workers() == []
        assert await app.tell_worker("nobody", "quiet") is False
        assert await app.purge_waiting() == 3

    asyncio.run(main())
    assert app.queue_size_sync() == 0


def test_what_is_refused(app: Ardiq) -> None:
    with pytest.raises(ValueError, match="'hihg' is no lane"):
        app.pause_queue_sync(lane="hihg")
    with pytest.raises(ValueError, match="in this lane already"):
        app.move_waiting_sync("low", "low")
    with pytest.raises(ValueError, match="is no lane"):
        app.move_waiting_sync("low", "hihg")
    with pytest.raises(ValueError, match="is no lane"):
        app.purge_waiting_sync("hihg")


@pytest.mark.slow
def test_one_of_several_processes_is_stopped(workers: Workers, app: Ardiq) -> None:
    """H4: its supervisor does not start another one in its place; when the last is stopped it ends well."""
    process = workers.spawn("--processes", "2", LEASE_MS=3_000, CONCURRENCY=2)
    until(lambda: len(workers.registered()) == 2, 40, "children that register")
    first, second = app.workers_sync()
    app.tell_worker_sync(first.id, "stop")
    until(lambda: len(workers.registered()) == 1, 20, "a worker that has stopped")
    assert app.send_sync("nap", 0.01).result_sync(timeout=20)
    assert [one.id for one in app.workers_sync()] == [second.id]
    assert controls.ORDERS == ("quiet", "work", "stop")
    app.tell_worker_sync(second.id, "stop")
    assert process.ends(20) == 0, process.text
