"""The server goes away and comes back; replies get lost: the worker goes on by itself."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ardiq import Ardiq, BrokerError, JobStatus, current_job
from ardiq.store import verbs
from ardiq.store.scripts import script
from tests.admin_client import direct
from tests.proxy import Proxy
from tests.server import admin, answers, free_port, need_binary, start_server, stop_server
from tests.workers import Working, until

Make = Callable[..., Working]


class Server:
    """A server of this test alone, that can be stopped and started on its port."""

    def __init__(self, directory: Path) -> None:
        self._directory, self._port = directory, free_port()
        self.url = f"redis://127.0.0.1:{self._port}/0"
        self._process: Any = None

    def start(self) -> None:
        self._process = start_server(need_binary(), self._directory, self._port, "--appendonly", "yes")
        assert answers(self.url, 10)

    def stop(self) -> None:
        if self._process is not None:
            stop_server(self._process)
            self._process = None


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path)
    server.start()
    yield server
    server.stop()


def test_a_server_that_comes_back(server: Server) -> None:
    """H5: works again within 5 s of its return, by itself; what ran meanwhile is settled; nothing is lost."""
    app = Ardiq("default", redis_url=server.url, max_retries=0)
    starts: list[int] = []

    @app.task(name="slow")
    def slow(n: int) -> int:
        starts.append(n)
        time.sleep(0.5)
        return n

    with Working(app, concurrency=2):
        jobs = [slow.enqueue_sync(n) for n in range(4)]
        until(lambda: len(starts) >= 2)
        server.stop()
        time.sleep(0.8)
        server.start()
        begin = time.monotonic()
        fresh = until_enqueued(slow)
        assert fresh.result_sync(timeout=8).value == 9
        assert time.monotonic() - begin < 5.5
        assert [job.result_sync(timeout=8).value for job in jobs] == [0, 1, 2, 3]
    assert sorted(starts) == [0, 1, 2, 3, 9], "nothing ran twice"


def until_enqueued(task: Any) -> Any:
    while True:
        try:
            return task.enqueue_sync(9)
        except BrokerError:
            time.sleep(0.05)


@pytest.mark.fault("17", "every connection is cut, again and again")
def test_every_connection_is_cut(app: Ardiq, working: Make, redis_url: str) -> None:
    """H5: again and again, in the middle of work: each job runs once and ends."""
    starts: list[int] = []
    task = app.task(name="t")(starts.append)
    with admin(redis_url) as client, working():
        for round_ in range(5):
            jobs = app.enqueue_many_sync(task.prepare(round_ * 40 + n) for n in range(40))
            client.client_kill_filter(_type="normal", skipme=True)
            client.client_kill_filter(_type="pubsub")
        for job in jobs:
            job.result_sync(timeout=10)
        until(lambda: len(starts) >= 200)
    assert sorted(starts) == list(range(200))


@pytest.fixture
def proxy(redis_url: str, queue_name: str) -> Iterator[Proxy]:
    proxy = Proxy(direct(redis_url, queue_name))
    yield proxy
    proxy.close()


@pytest.mark.parametrize("verb", ["claim", "settle"])
def test_replies_that_get_lost(app: Ardiq, working: Make, proxy: Proxy, verb: str) -> None:
    """H5, R5: a claim or a settle whose reply is lost: nothing leaks, nothing runs twice, no crash."""
    starts: list[int] = []
    task = app.task(name="t")(starts.append)
    jobs = [task.enqueue_sync(n) for n in range(60)]
    sha, text = script(verb).sha.encode(), script(verb).text
    proxy.only_if = lambda request: sha in request or text in request
    proxy.lose = 3
    with working(redis_url=proxy.url, prefetch=0):
        for job in jobs:
            assert job.result_sync(timeout=20).success  # type: ignore[union-attr]
    assert proxy.lost == 3
    assert sorted(starts) == list(range(60))
    infos = [job.info_sync() for job in jobs]
    assert {(info.status, info.tries, info.crashes) for info in infos if info} == {
        (JobStatus.SUCCEEDED, 1, 0)
    }


@pytest.mark.fault("16", "SCRIPT FLUSH, ten times")
def test_scripts_are_flushed(app: Ardiq, working: Make, redis_url: str) -> None:
    """R13: a failover or an administrator: nobody notices."""
    task = app.task(name="t")(lambda n: n)
    with admin(redis_url) as client, working():
        for n in range(10):
            client.script_flush()
            assert task.enqueue_sync(n).result_sync(timeout=5).value == n  # type: ignore[union-attr]


def test_a_lost_lease(app: Ardiq, working: Make, redis_url: str) -> None:
    """R4, R5: the worker lets go of what it held, takes a new name, and goes on; the job runs again."""
    runs: list[bool] = []

    @app.task(name="long")
    async def long() -> int:
        job = current_job()
        assert job is not None
        try:
            await asyncio.sleep(0.1 if runs else 30)
        finally:
            runs.append(job.lease_lost)
        return len(runs)

    with admin(redis_url) as client, working(lease_ms=600) as here:
        job = long.enqueue_sync()
        until(lambda: job.status_sync() is JobStatus.RUNNING)
        name = here.worker._held_by.lease.token
        app.broker.store.run(verbs.register(app.broker.keys, "0" * 32, 60_000, {"name": "reaper"}))

        def reaped() -> bool:
            """As if another worker had done it. A beat in between keeps the lease: then once more."""
            client.zadd(app.broker.keys.workers, {name: 1}, xx=True)
            app.broker.store.run(verbs.claim(app.broker.keys, "0" * 32, 1, 60_000, 0, [("default", 0)]))
            return client.zscore(app.broker.keys.workers, name) is None

        until(reaped)
        app.broker.store.run(verbs.unregister(app.broker.keys, "0" * 32))
        found = job.result_sync(timeout=10)
        assert here.worker._held_by.lease.token != name
    assert found is not None and found.value == 2
    assert runs == [True, False]
    info = job.info_sync()
    assert info is not None and (info.crashes, info.tries) == (1, 1)
