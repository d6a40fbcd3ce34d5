"""``durability=``: an enqueue that returns when its job is on a replica, or on the disk. On own servers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from django.db import transaction
from redis.exceptions import ResponseError

from ardiq import Ardiq, Job
from ardiq.core.errors import ArdiqError, BrokerError, NotDurable
from ardiq.enqueuing import Task
from ardiq.signals import job_enqueued
from ardiq.store import confirming
from tests.django.conftest import Work
from tests.server import admin, free_port, own_server
from tests.workers import until

Enqueue = Callable[[Ardiq, Task[..., Any]], list[Job[Any]]]


class Pair:
    """A primary and its replica."""

    def __init__(self, primary: str, replica: str) -> None:
        self.url, self.replica = primary, admin(replica)
        self._port = int(primary.rpartition(":")[2].partition("/")[0])
        self.attach()

    def attach(self) -> None:
        self.replica.replicaof("127.0.0.1", self._port)
        until(lambda: self.replica.info("replication").get("master_link_status") == "up", 30, "a replica")

    def detach(self) -> None:
        self.replica.replicaof("NO", "ONE")


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    with own_server(tmp_path, "--repl-diskless-sync-delay", "0") as primary, own_server(tmp_path) as replica:
        found = Pair(primary, replica)
        yield found
        found.replica.close()


def task_of(url: str, queue: str, **options: Any) -> tuple[Ardiq, Task[..., Any]]:
    app = Ardiq(queue, redis_url=url)
    task: Task[..., Any] = app.task(name="t", **options)(lambda n=0: None)
    return app, task


def one(app: Ardiq, task: Task[..., Any]) -> list[Job[Any]]:
    return [task.enqueue_sync()]


def one_async(app: Ardiq, task: Task[..., Any]) -> list[Job[Any]]:
    async def enqueue() -> Job[Any]:
        return await task.enqueue()

    return [asyncio.run(enqueue())]


def many(app: Ardiq, task: Task[..., Any]) -> list[Job[Any]]:
    return app.enqueue_many_sync(task.prepare(n) for n in range(600))


def many_async(app: Ardiq, task: Task[..., Any]) -> list[Job[Any]]:
    async def enqueue() -> list[Job[Any]]:
        return await app.enqueue_many(task.prepare(n) for n in range(600))

    return asyncio.run(enqueue())


ways = pytest.mark.parametrize("enqueue", [one, one_async, many, many_async])


def waits(app: Ardiq) -> int:
    return app.queue_size_sync()


@ways
def test_it_is_on_the_replica(pair: Pair, queue_name: str, enqueue: Enqueue) -> None:
    """B1: when the call returns, a failover to this replica loses nothing of it; who listens hears of it."""
    app, task = task_of(pair.url, queue_name)
    heard: list[str] = []
    with hearing(heard.append):
        jobs = enqueue(app, task.options(durability="replica"))
    assert pair.replica.exists(*(app.broker.keys.job(job.id) for job in jobs)) == len(jobs)
    assert heard == [job.id for job in jobs] and waits(app) == len(jobs)


@ways
def test_no_replica_has_it(pair: Pair, queue_name: str, enqueue: Enqueue) -> None:
    """B1: the call says so in time, with the ids of what is stored; a repeat says it again, and makes no
    second job; with the replica back it has it."""
    app, task = task_of(pair.url, queue_name)
    asking = task.options(durability="replica")
    enqueue(app, asking)
    before = waits(app)
    pair.detach()
    begin = time.monotonic()
    with pytest.raises(NotDurable) as caught:
        enqueue(app, asking)
    assert time.monotonic() - begin < 10
    ids = caught.value.ids
    assert len(ids) == before and waits(app) == 2 * before
    again = asking.options(task_id=ids[0])
    with pytest.raises(NotDurable) as caught:
        again.enqueue_sync(0)
    assert caught.value.ids == ids[:1] and waits(app) == 2 * before
    pair.attach()
    assert again.enqueue_sync(0).id == ids[0] and waits(app) == 2 * before


def test_a_repeat_that_writes_nothing_waits_all_the_same(pair: Pair, queue_name: str) -> None:
    """B1: on a new connection, on which nothing was written yet."""
    _, task = task_of(pair.url, queue_name)
    job = task.options(task_id="a").enqueue_sync()
    pair.detach()
    other, again = task_of(pair.url, queue_name)
    with pytest.raises(NotDurable):
        again.options(task_id="a", durability="replica").enqueue_sync()
    assert waits(other) == 1 and job.status_sync() == "queued"


@contextmanager
def hearing(listen: Callable[[str], object]) -> Iterator[None]:
    """Who listens hears of jobs when they are stored, and before anything is waited for."""

    def hear(sender: object, event: Any, **kwargs: object) -> None:
        listen(event.id)

    job_enqueued.connect(hear)
    try:
        yield
    finally:
        job_enqueued.disconnect(hear)


@ways
def test_a_failover_between_has_lost_it(pair: Pair, queue_name: str, enqueue: Enqueue) -> None:
    """B1: who serves the queue by the time it is asked has a replica, and knows nothing of the job, or of one
    of many: that confirms nothing."""
    app, task = task_of(pair.url, queue_name)
    heard: list[str] = []

    def failover(id: str) -> None:
        heard.append(id)
        if len(heard) == 1:
            with admin(pair.url) as server:
                server.delete(app.broker.keys.job(id))
                server.client_kill_filter(_type="normal", skipme=True)

    with hearing(failover), pytest.raises(NotDurable) as caught:
        enqueue(app, task.options(durability="replica"))
    assert caught.value.ids == heard


@ways
def test_it_has_run_and_left_nothing(pair: Pair, queue_name: str, enqueue: Enqueue, work: Work) -> None:
    """B1: a job that is gone because it has ended, before anybody was asked, is not lost."""
    app, task = task_of(pair.url, queue_name, result_ttl_ms=0)
    ran: list[str] = []

    def run(id: str) -> None:
        if not ran:
            work(app)
        ran.append(id)

    with hearing(run):
        enqueue(app, task.options(durability="replica"))
        ran.clear()
        task.options(task_id="mine", expire_ms=60_000, durability="replica").enqueue_sync()
    assert ran == ["mine"] and waits(app) == 0


def test_each_of_those_who_wait_together_hears_of_its_own(pair: Pair, queue_name: str) -> None:
    """B1: what is lost of one says nothing of the others."""
    app, task = task_of(pair.url, queue_name)
    names = [f"n{n}" for n in range(20)]

    async def run() -> list[Any]:
        asking = (task.options(task_id=name, durability="replica").enqueue() for name in names)
        return await asyncio.gather(*asking, return_exceptions=True)

    with admin(pair.url) as server, hearing(lambda id: id == "n7" and server.delete(app.broker.keys.job(id))):
        jobs = asyncio.run(run())
    assert [name for name, job in zip(names, jobs, strict=True) if isinstance(job, NotDurable)] == ["n7"]
    assert [job.id for job in jobs if isinstance(job, Job)] == [name for name in names if name != "n7"]


def test_others_go_on_meanwhile(pair: Pair, queue_name: str) -> None:
    """B1: what one coroutine waits for holds up no other one; many are asked for together."""
    app, task = task_of(pair.url, queue_name)
    pair.detach()

    async def run() -> tuple[float, float]:
        begin = time.monotonic()
        asking = [asyncio.ensure_future(_ends(task.options(durability="replica"))) for _ in range(20)]
        await asyncio.sleep(0.1)
        await task.enqueue()
        plain = time.monotonic() - begin
        assert all(isinstance(error, NotDurable) for error in await asyncio.gather(*asking))
        return plain, time.monotonic() - begin

    async def _ends(asking: Task[..., Any]) -> BaseException | None:
        try:
            await asking.enqueue()
        except NotDurable as error:
            return error
        return None

    plain, all_of_them = asyncio.run(run())
    assert plain < confirming.LONGEST_MS / 1000 and all_of_them < 10
    assert waits(app) == 21


@ways
def test_it_is_on_the_disk(tmp_path: Path, queue_name: str, enqueue: Enqueue) -> None:
    """B1: with everysec, too, where it takes up to a second."""
    with own_server(tmp_path, "--appendonly", "yes") as url:
        app, task = task_of(url, queue_name)
        if not _knows_waitaof(url):
            pytest.skip(OLD)
        jobs = enqueue(app, task.options(durability="fsync"))
        assert waits(app) == len(jobs)


OLD = "this server does not know WAITAOF"


def _knows_waitaof(url: str) -> bool:
    with admin(url) as client:
        try:
            client.execute_command("WAITAOF", 0, 0, 1)
        except ResponseError as error:
            assert "unknown command" in str(error)
            return False
    return True


@ways
@pytest.mark.parametrize("lacks", ["WAITAOF", "append-only file"])
def test_a_server_that_cannot_tell(tmp_path: Path, queue_name: str, lacks: str, enqueue: Enqueue) -> None:
    """B1: an older server, or one that writes no file: an error that says what is needed; nothing is
    stored."""
    with own_server(tmp_path) as url:
        knows = _knows_waitaof(url)
    if not knows and lacks != "WAITAOF":
        pytest.skip(OLD)
    options = ("--rename-command", "WAITAOF", "") if knows and lacks == "WAITAOF" else ()
    with own_server(tmp_path, *options) as url:
        app, task = task_of(url, queue_name)
        with pytest.raises(BrokerError, match=rf"durability='fsync' needs .*{lacks}.*Nothing was stored"):
            enqueue(app, task.options(durability="fsync"))
        assert waits(app) == 0


@pytest.mark.django_db(transaction=True)
def test_what_it_cannot_be_asked_with(redis_url: str, queue_name: str) -> None:
    """B1: a job that leaves later has nobody who waits; on_commit=False says that it leaves now."""
    app, task = task_of(redis_url, queue_name)
    asking = task.options(durability="fsync")
    with transaction.atomic():
        with pytest.raises(ArdiqError, match="on_commit=False"):
            asking.enqueue_sync()
        with pytest.raises(ArdiqError, match="on_commit=False"):
            app.enqueue_many_sync([asking.prepare()])
    for wrong in ({"on_commit": True}, {"durable": True}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            asking.options(**wrong)
    with pytest.raises(ValueError, match="'replica' or 'fsync'"):
        task.options(durability="always")
    _, durable = task_of(redis_url, queue_name + "d", durable=True)
    with pytest.raises(ArdiqError, match="durable=False"):
        durable.options(durability="fsync").enqueue_sync()
    _, other = task_of(f"redis://127.0.0.1:{free_port()}/0", queue_name)
    with pytest.raises(BrokerError):
        other.options(durability="replica").enqueue_sync()
    assert waits(app) == 0


def test_in_tests_there_is_no_other_place(queue_name: str) -> None:
    """A fake server is part of the process: nothing is waited for."""
    pytest.importorskip("fakeredis")
    app, task = task_of(f"fake://{queue_name}", queue_name)
    for enqueue in (one, one_async):
        enqueue(app, task.options(durability="replica"))
        enqueue(app, task.options(durability="fsync"))
    assert waits(app) == 4
