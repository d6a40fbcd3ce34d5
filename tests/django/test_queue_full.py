"""R21: a server without memory, and a queue at its cap: QueueFull, and nothing half-stored."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from django.contrib.auth.models import User
from django.db import transaction

from ardiq import Ardiq, Job, JobStatus
from ardiq.core.errors import BrokerError, QueueFull
from ardiq.enqueuing import Task
from ardiq.store import verbs
from ardiq.store.refusals import Refused, refused
from tests.django.conftest import Work
from tests.server import answers, free_port, need_binary, start_server, stop_server

enqueue_when_full = pytest.mark.fault("25", "maxmemory on enqueue")
Enqueue = Callable[[Task[..., Any]], Any]

PATHS: dict[str, Enqueue] = {
    "plain": lambda task: task.enqueue_sync(1),
    "async": lambda task: asyncio.run(_enqueued(task)),
    "delay": lambda task: task.options(delay_ms=60_000).enqueue_sync(1),
    "task_id": lambda task: task.options(task_id="mine").enqueue_sync(1),
    "replace": lambda task: task.options(task_id="ended", replace=True).enqueue_sync(1),
    "unique": lambda task: task.options(unique=True).enqueue_sync(1),
    "bulk": lambda task: task.app.enqueue_many_sync([task.prepare(n) for n in range(700)]),
    "mixed bulk": lambda task: task.app.enqueue_many_sync(
        [task.options(unique=True, delay_ms=n % 3 * 60_000).prepare(n) for n in range(30)]
    ),
    "async bulk": lambda task: asyncio.run(_enqueued_many(task)),
}
each_path = pytest.mark.parametrize("path", PATHS.values(), ids=PATHS)


async def _enqueued(task: Task[..., Any]) -> None:
    await task.enqueue(1)


async def _enqueued_many(task: Task[..., Any]) -> None:
    await task.app.enqueue_many([task.prepare(n) for n in range(700)])


class Server:
    """A server of the test's own, whose memory can be full."""

    def __init__(self, url: str, queue: str) -> None:
        self.client: Any = redis.Redis.from_url(url)
        self.app = Ardiq(queue, redis_url=url)
        self.task: Task[..., Any] = self.app.task(name="double")(lambda n: 2 * n)

    def fill(self) -> None:
        self.client.config_set("maxmemory", 1)

    def empty(self) -> None:
        self.client.config_set("maxmemory", 0)

    def content(self) -> dict[bytes, bytes]:
        return {key: self.client.dump(key) for key in self.client.scan_iter()}


@pytest.fixture
def server(tmp_path: Path, queue_name: str) -> Iterator[Server]:
    port = free_port()
    process = start_server(need_binary(), tmp_path, port)
    url = f"redis://127.0.0.1:{port}/0"
    assert answers(url, 10)
    server = Server(url, queue_name)
    yield server
    server.client.close()
    stop_server(process)


@enqueue_when_full
@each_path
def test_no_memory(server: Server, path: Enqueue, work: Work) -> None:
    """R21: raised to the caller on every path, with the way out, and not a byte was stored."""
    server.task.options(task_id="ended").enqueue_sync(1)
    work(server.app)
    before = server.content()
    server.fill()
    with pytest.raises(QueueFull, match="no memory left, so nothing was stored") as caught:
        path(server.task)
    assert isinstance(caught.value, BrokerError)
    assert server.content() == before
    server.empty()
    path(server.task)
    assert len(server.content()) > len(before)


@enqueue_when_full
@pytest.mark.django_db(transaction=True)
def test_no_memory_at_commit(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    """R21, D1: the data is committed, the request goes on, later hooks run; the log has the id."""
    after: list[str] = []
    server.fill()
    with caplog.at_level(logging.ERROR, "ardiq"), transaction.atomic():
        User.objects.create(username="x")
        job = server.task.enqueue_sync(1)
        server.app.enqueue_many_sync([server.task.prepare(1)])
        transaction.on_commit(lambda: after.append("ran"))
    assert User.objects.exists() and after == ["ran"]
    assert [record.message for record in caplog.records if job.id in record.message]
    assert all("although its transaction has committed" in record.message for record in caplog.records)
    assert len(caplog.records) == 2
    assert server.content() == {}


@pytest.mark.fault("26", "maxmemory on finish")
def test_a_full_server_can_be_drained(server: Server, work: Work) -> None:
    """R8: what was stored before is claimed, run, retried and settled without a byte to spare."""
    tries: list[int] = []

    @server.app.task(name="twice", backoff_ms=1, max_retries=1)
    def twice(n: int) -> int:
        tries.append(n)
        if tries.count(n) == 1:
            raise ValueError("once more")
        return n

    jobs: list[Job[Any]] = [server.task.enqueue_sync(n) for n in range(100)]
    again = [twice.enqueue_sync(n) for n in range(20)]
    server.fill()
    for _ in range(20):
        work(server.app)
        if all(job.status_sync().finished for job in again):
            break
    assert [job.result_sync().value for job in jobs] == [2 * n for n in range(100)]  # type: ignore[union-attr]
    assert [job.result_sync().tries for job in again] == [2] * 20  # type: ignore[union-attr]


# -- the cap of a queue ---------------------------------------------------------------------------


@pytest.fixture
def capped(redis_url: str, queue_name: str) -> Ardiq:
    return Ardiq(queue_name, ["low", "default", "high"], redis_url, max_queued=5)


@pytest.fixture
def task(capped: Ardiq) -> Task[..., Any]:
    return capped.task(name="task")(lambda n=0: n)


def test_a_cap(capped: Ardiq, task: Task[..., Any], work: Work) -> None:
    """R21: jobs of all lanes and scheduled ones count; the message has queue, numbers and the way out."""
    for lane in ("low", "default", "high"):
        task.options(priority=lane).enqueue_sync()
    task.options(delay_ms=600_000).enqueue_sync()
    task.enqueue_sync()
    words = (
        rf"'{capped.queue_name}' is full.*5 jobs wait, 1 more .*MAX_QUEUED, which is 5.*start more of them"
    )
    with pytest.raises(QueueFull, match=words):
        task.enqueue_sync()
    work(capped)
    assert task.enqueue_sync().status_sync() is JobStatus.QUEUED


def test_a_cap_takes_a_batch_whole_or_not(
    capped: Ardiq, task: Task[..., Any], redis_url: str, stored: Callable[[], set[str]]
) -> None:
    """R21: four do not fit into two places, two do."""
    first = {job.id for job in capped.enqueue_many_sync([task.prepare()] * 3)}
    for options in ({}, {"delay_ms": 600_000}):
        batch = [task.options(**options).prepare(n) for n in range(4)] if options else [task.prepare()] * 4
        with pytest.raises(QueueFull, match="3 jobs wait, 4 more") as caught:
            capped.enqueue_many_sync(batch)
        assert caught.value.room == 2
        assert stored() == first
    assert len(capped.enqueue_many_sync([task.prepare()] * 2)) == 2


def test_a_cap_and_what_is_there_already(capped: Ardiq, task: Task[..., Any]) -> None:
    """R10, R21: the same id, the same unique call, and a repeat after a lost reply take no room."""
    own = task.options(task_id="own").enqueue_sync()
    unique = task.options(unique=True)
    once = unique.enqueue_sync(7)
    jobs = [task.prepare(n).build(capped.broker) for n in range(3)]
    call = verbs.enqueue(capped.broker.keys, jobs, capped.broker.limit)
    assert capped.broker.store.run(call) == [True] * 3
    assert capped.broker.store.run(call) == [True] * 3
    again = task.options(task_id="own").enqueue_sync(1)
    assert (again.id, again.created) == (own.id, False)
    assert unique.enqueue_sync(7).id == once.id
    for full in (task, unique, task.options(task_id="another")):
        with pytest.raises(QueueFull):
            full.enqueue_sync(8)


def test_a_cap_and_a_new_life(capped: Ardiq, task: Task[..., Any], work: Work) -> None:
    """R21: an ended job that is replaced waits again, and counts."""
    task.options(task_id="own").enqueue_sync()
    work(capped)
    capped.enqueue_many_sync([task.prepare()] * 5)
    with pytest.raises(QueueFull):
        task.options(task_id="own", replace=True).enqueue_sync()
    assert capped.status_sync("own") is JobStatus.SUCCEEDED


def test_calls_that_only_leave_together(capped: Ardiq, task: Task[..., Any]) -> None:
    """R21: of coroutines whose calls share a round trip, as many are served as there is room for."""

    async def main() -> list[Any]:
        return await asyncio.gather(*(task.enqueue(n) for n in range(20)), return_exceptions=True)

    answers = asyncio.run(main())
    assert sum(isinstance(one, Job) for one in answers) == 5
    assert sum(isinstance(one, QueueFull) for one in answers) == 15
    assert capped.queue_size_sync() == 5


def test_no_cap_by_default(redis_url: str, queue_name: str) -> None:
    """R21: nothing is counted then."""
    assert Ardiq(queue_name, redis_url=redis_url).broker.limit == ""


def test_how_servers_say_it() -> None:
    """R21: Redis 6.2 wraps the refusal of a script's command; redis-py leaves the code out."""
    for text in (
        "OOM command not allowed when used memory > 'maxmemory'. script: 12, on @user_script:45.",
        "ERR Error running script (call to f_12): @user_script:45: -OOM command not allowed when used memory "
        "> 'maxmemory'.",
        "command not allowed when used memory > 'maxmemory'.",
    ):
        assert isinstance(refused(text), QueueFull)
    assert isinstance(refused("NOPERM this user has no permissions"), Refused)
