"""Enqueuing in bulk, and by name."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any

import pytest
from django.db import transaction

import ardiq
from ardiq import Ardiq, Job, JobStatus
from ardiq.core.address import parse
from ardiq.core.errors import TooLarge
from ardiq.core.job import JobRecord
from ardiq.core.outcome import read_call
from ardiq.enqueuing import Prepared, Task
from ardiq.signals import job_enqueued
from ardiq.store import verbs
from tests.django.conftest import Stored, Work
from tests.server import admin


@pytest.fixture
def add(app: Ardiq) -> Task[..., int]:
    @app.task(name="add")
    async def add(a: int, b: int) -> int:
        return a + b

    return add


def both(app: Ardiq, calls: list[Prepared]) -> list[list[Job[Any]]]:
    """The same calls by enqueue_many and by its sync twin."""
    return [asyncio.run(app.enqueue_many(calls)), app.enqueue_many_sync(calls)]


def test_any_iterable_gives_jobs_in_order(app: Ardiq, add: Task[..., int], work: Work) -> None:
    """C9: a generator, mixed tasks and options; Jobs come back in the order of the calls."""
    other = app.task(name="other", priority="high")(lambda text: text)

    def calls() -> Iterator[Prepared]:
        for n in range(5):
            yield add.prepare(n, n)
            yield other.prepare(text=f"t{n}")
        yield add.options(task_id="mine", delay_ms=60_000).prepare(1, 1)

    for jobs in (asyncio.run(app.enqueue_many(calls())), app.enqueue_many_sync(calls())):
        work(app)
        results = values(jobs[:10])
        assert results == [value for n in range(5) for value in (n + n, f"t{n}")]
        assert jobs[10].id == "mine" and jobs[10].status_sync() is JobStatus.SCHEDULED


def values(jobs: list[Job[Any]]) -> list[Any]:
    return [job.result_sync().value for job in jobs]  # type: ignore[union-attr]


def test_nothing_is_a_no_op() -> None:
    """C9: [] answers [], without asking the server."""
    nowhere = Ardiq("nowhere", redis_url="redis://127.0.0.1:1/0")
    assert both(nowhere, []) == [[], []]


def commands(url: str) -> int:
    """Scripts that were run so far, on all masters of a Cluster."""
    places = parse(url).places if url.startswith("redis+cluster:") else ()
    total = 0
    for one in [f"redis://{host}:{port}/0" for host, port in places] or [url]:
        with admin(one) as client:
            stats = client.info("commandstats")
        total += sum(stats.get(name, {"calls": 0})["calls"] for name in ("cmdstat_evalsha", "cmdstat_eval"))
    return total


def test_a_round_trip_for_each_five_hundred(app: Ardiq, add: Task[..., int], redis_url: str) -> None:
    """C9: 2,000 jobs take two to four round trips; every one of them is there."""
    calls = [add.prepare(n, n) for n in range(2_000)]
    app.enqueue_many_sync(calls[:1])  # the script is known from here on
    for send in (app.enqueue_many_sync, lambda calls: asyncio.run(app.enqueue_many(calls))):
        before, size = commands(redis_url), app.queue_size_sync()
        jobs = send(calls)
        assert 2 <= commands(redis_url) - before <= 4
        assert app.queue_size_sync() - size == len({job.id for job in jobs}) == 2_000


def test_all_or_none_is_checked_before_any_is_sent(
    app: Ardiq, add: Task[..., int], stored: Stored, redis_url: str
) -> None:
    """C9, C5: one bad call among 1,500, the last, and nothing is stored."""

    def calls(last: Any) -> Iterator[Any]:
        yield from (add.prepare(n, n) for n in range(1_500))
        yield last

    other = Ardiq("other-queue", redis_url=redis_url)
    bad = [
        (TypeError, r"cannot encode args\[1\]", add.prepare(1, object())),
        (TypeError, r"takes prepared calls, got 5; write task\.prepare", 5),
        (ValueError, "belongs to the queue 'other-queue'", other.task(lambda: None).prepare()),
    ]
    for kind, words, call in bad:
        for send in (app.enqueue_many_sync, lambda calls: asyncio.run(app.enqueue_many(calls))):
            with pytest.raises(kind, match=words):
                send(calls(call))
    with pytest.raises(TypeError, match="missing a required argument"):
        app.enqueue_many_sync(add.prepare(n) for n in range(3))
    assert stored() == set()


def test_order_over_tasks_and_batches(app: Ardiq, add: Task[..., int]) -> None:
    """C9: runs of one task, longer and shorter than a batch, between single calls of others."""
    other = app.task(name="other")(lambda a, b: a)
    turns = [(add, 501), (other, 1), (add, 1), (other, 3), (add, 1_200), (add.options(expire_ms=1_000), 2)]
    calls = [task.prepare(n, len(turns)) for task, count in [*turns, (other, 700)] for n in range(count)]
    for jobs in both(app, calls):
        raws = app.broker.store.run(verbs.read(app.broker.keys, [job.id for job in jobs]))
        records = [JobRecord(job.id, raw) for job, raw in zip(jobs, raws, strict=True)]
        assert [record.name for record in records] == [call.name for call in calls]
        assert [read_call(app.broker.codec, record)[0] for record in records] == [
            list(call.args) for call in calls
        ]
    assert app.queue_size_sync() == 2 * len(calls)


def test_one_that_is_too_large(app: Ardiq, add: Task[..., int], stored: Stored, redis_url: str) -> None:
    """C5, C9: the limit is that of the call with its signature, to the byte; nothing is stored beyond it."""
    size = len(add.prepare("x" * 100, 1).build(app.broker)[3])
    small = Ardiq(app.queue_name, redis_url=redis_url, max_payload_bytes=size)
    for text, fits in (("x" * 101, False), ("x" * 100, True)):
        calls = [*(small.ref("add").prepare(n, n) for n in range(600)), small.ref("add").prepare(text, 1)]
        for send in (small.enqueue_many_sync, lambda calls: asyncio.run(small.enqueue_many(calls))):
            if fits:
                assert len(send(calls)) == 601
                continue
            with pytest.raises(TooLarge, match=f"take {size + 1} bytes"):
                send(calls)
            assert stored() == set()


def test_a_large_batch_between_single_jobs(app: Ardiq, add: Task[..., int]) -> None:
    """C9: batches and single enqueues of one loop at once lose nothing and keep their own answers."""

    async def mixed() -> list[Job[Any]]:
        batch = app.enqueue_many(add.prepare(n, n) for n in range(1_200))
        many, *single = await asyncio.gather(batch, *(add.enqueue(n, n) for n in range(200)))
        return [*many, *single]

    jobs = asyncio.run(mixed())
    assert len({job.id for job in jobs}) == app.queue_size_sync() == 1_400
    info = jobs[-1].info_sync()
    assert info is not None and info.args == [199, 199]


def test_by_name_without_importing(app: Ardiq, work: Work, redis_url: str) -> None:
    """C10: a producer that knows only the name; some worker knows the task."""
    producer = Ardiq(app.queue_name, redis_url=redis_url, priorities=["low", "default", "high"])
    jobs = [producer.send_sync("shop.add", 2, b=3), producer.ref("shop.add").enqueue_sync(2, 3)]
    jobs.append(asyncio.run(producer.send("shop.add", a=2, b=3)))
    high = producer.ref("shop.add").options(priority="high", task_id="h").enqueue_sync(2, 3)
    assert high.info_sync().lane == "high"  # type: ignore[union-attr]
    jobs += [high, *producer.enqueue_many_sync([producer.ref("shop.add").prepare(2, 3)])]

    @app.task(name="shop.add")
    def add(a: int, b: int) -> int:
        return a + b

    work(app)
    assert values(jobs) == [5] * 5


def test_a_registered_name_brings_its_own_policy(app: Ardiq) -> None:
    """C10: the lane, uniqueness and signature of a task that is registered here apply by name, too."""

    @app.task(name="urgent", priority="high", unique=True)
    def urgent(n: int) -> None: ...

    job = app.send_sync("urgent", 1)
    assert job.info_sync().lane == "high"  # type: ignore[union-attr]
    assert app.ref("urgent").enqueue_sync(n=1) == job
    with pytest.raises(TypeError, match=r"urgent\(n: 'int'\)"):
        app.send_sync("urgent", 1, 2)


def test_a_name_registered_by_another_ardiq_of_the_queue(app: Ardiq, redis_url: str, settings: Any) -> None:
    """C10: ardiq.queue(...).send finds what an Ardiq in code has registered for the same queue."""
    settings.ARDIQ = {app.queue_name: {"REDIS_URL": redis_url, "PRIORITIES": ["low", "default", "high"]}}
    app.task(name="urgent", priority="high")(lambda: None)
    job = ardiq.queue(app.queue_name).send_sync("urgent")
    assert job.info_sync().lane == "high"  # type: ignore[union-attr]


def test_a_name_that_cannot_be_one(app: Ardiq, stored: Stored) -> None:
    """C10: a name that no task could have is refused, with the rule."""
    for name in ("", "no spaces", "a" * 201, "brace{}"):
        with pytest.raises(ValueError, match="no valid task name"):
            app.send_sync(name)
    assert stored() == set()


@pytest.mark.parametrize("flushed", [False, True])
def test_order_is_kept_also_on_a_server_that_does_not_know_the_script(
    app: Ardiq, redis_url: str, flushed: bool
) -> None:
    """C9, C12: jobs of one bulk stand in their lane as they were given, whatever the server knew."""
    count = 2_100
    if flushed:
        with admin(redis_url) as server:
            server.script_flush()
    calls = [app.ref("t").prepare(number) for number in range(count)]
    jobs = asyncio.run(app.enqueue_many(calls))
    with admin(redis_url) as server:
        lane = server.lrange(app.broker.keys.lane(app.options.default_priority), 0, -1)
    assert [id.decode() for id in lane] == [job.id for job in jobs]


@pytest.mark.parametrize("commits", [False, True])
@pytest.mark.django_db(transaction=True)
def test_who_listens_may_use_the_queue(
    app: Ardiq, add: Task[..., int], stored: Stored, commits: bool
) -> None:
    """C9, P1: also while further batches of the bulk are under way: nobody gets the reply of another."""
    heard: list[str] = []

    def listen(sender: object, event: Any, **kwargs: object) -> None:
        if event.name == "add":
            heard.append(event.id)
            info = app.job(event.id).info_sync()
            assert info is not None and info.id == event.id
            seen.append(app.send_sync("other", event.id).id)

    seen: list[str] = []
    job_enqueued.connect(listen)
    try:
        with transaction.atomic() if commits else nullcontext():
            jobs = app.enqueue_many_sync(add.prepare(n, n) for n in range(1_600))
    finally:
        job_enqueued.disconnect(listen)
    assert heard == [job.id for job in jobs]
    assert len(seen) == len(jobs) and stored() == {*heard, *seen}
