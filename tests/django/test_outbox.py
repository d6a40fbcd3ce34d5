"""Durable enqueue: a job is a row of the transaction first, and of Redis once that has committed."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.contrib.auth.models import User
from django.db import connections, transaction
from django.test import TestCase

from ardiq import Ardiq, Job, JobStatus, outbox
from ardiq.enqueuing import Task
from ardiq.models import Outbox
from ardiq.store import verbs
from ardiq.store.newjobs import new_job
from tests.django.conftest import Stored, Work
from tests.server import free_port

committing = pytest.mark.django_db(transaction=True)


class Undo(Exception):
    pass


@pytest.fixture
def add(app: Ardiq) -> Task[..., int]:
    @app.task(name="add", durable=True)
    def add(a: int, b: int) -> int:
        return a + b

    return add


@pytest.fixture
def away(queue_name: str) -> Ardiq:
    """The same queue, on a server that is not there."""
    return Ardiq(queue_name, redis_url=f"redis://127.0.0.1:{free_port()}/0")


def rows() -> list[str]:
    return [row.job for row in Outbox.objects.all()]


Path = Callable[[Task[..., Any]], list[Job[Any]]]

PATHS: dict[str, Path] = {
    "plain": lambda task: [task.enqueue_sync(1, 1)],
    "delay": lambda task: [task.options(delay_ms=60_000).enqueue_sync(1, 1)],
    "schedule": lambda task: [task.options(schedule_ms=4_000_000_000_000).enqueue_sync(1, 1)],
    "task_id": lambda task: [task.options(task_id="mine").enqueue_sync(1, 1)],
    "unique": lambda task: [task.options(unique=True).enqueue_sync(1, 1)],
    "expire": lambda task: [task.options(expire_ms=60_000).enqueue_sync(1, 1)],
    "bulk": lambda task: task.app.enqueue_many_sync([task.prepare(n, n) for n in range(3)]),
    "send": lambda task: [task.app.send_sync("add", 1, 1)],
    "ref": lambda task: [task.app.ref("elsewhere").options(durable=True).enqueue_sync(1, 1)],
    "async": lambda task: async_to_sync(in_a_loop)(task),
}


async def in_a_loop(task: Task[..., Any]) -> list[Job[Any]]:
    return [await task.enqueue(1, 1), *await task.app.enqueue_many([task.prepare(2, 2)])]


each_path = pytest.mark.parametrize("path", PATHS.values(), ids=PATHS)


@committing
@each_path
def test_at_commit(add: Task[..., int], stored: Stored, path: Path) -> None:
    """D4: on every path the job is a row of the transaction, and leaves at commit, when the row goes."""
    with transaction.atomic():
        jobs = path(add)
        assert (stored(), set(rows())) == (set(), {job.id for job in jobs})
        assert {job.status_sync() for job in jobs} == {JobStatus.NOT_FOUND}
    assert (stored(), rows()) == ({job.id for job in jobs}, [])


@committing
@each_path
def test_never_after_a_rollback(add: Task[..., int], stored: Stored, path: Path) -> None:
    """D4: rolled back, there is neither a row nor a job, on every path."""
    with pytest.raises(Undo), transaction.atomic():
        path(add)
        raise Undo
    assert (stored(), rows()) == (set(), [])


@committing
@each_path
def test_without_a_transaction_at_once(add: Task[..., int], stored: Stored, path: Path) -> None:
    """D4: outside atomic() the row is a transaction of its own, and the job leaves at once."""
    jobs = path(add)
    assert (stored(), rows()) == ({job.id for job in jobs}, [])


@committing
@each_path
def test_redis_away(add: Task[..., int], away: Ardiq, path: Path, caplog: Any) -> None:
    """D4: with Redis away no call fails, in a transaction or outside: the rows wait, which is logged."""
    task = Task(away, add.definition)
    away.registry.add(add.definition)
    with caplog.at_level(logging.WARNING, "ardiq"), transaction.atomic():
        jobs = path(task)
    assert rows() == [job.id for job in jobs]
    assert "left in the outbox" in caplog.text
    assert path(task)
    assert len(rows()) == 2 * len(jobs)


@committing
def test_a_request_waits_for_redis_once(away: Ardiq, monkeypatch: pytest.MonkeyPatch) -> None:
    """D4: after one push that found Redis away, the next ones are left to the relay without a try."""
    task, tries = away.task(name="t", durable=True)(lambda: None), []
    monkeypatch.setattr(away.broker.store, "run", lambda call: tries.append(call) or run(call))
    run = type(away.broker.store).run.__get__(away.broker.store)
    with transaction.atomic():
        for _ in range(20):
            task.enqueue_sync()
    assert (len(tries), len(rows())) == (1, 20)


@committing
def test_savepoints(add: Task[..., int], stored: Stored) -> None:
    """D4: what a savepoint rolled back leaves neither row nor job; the rest goes at the outermost commit."""
    with transaction.atomic():
        first = add.enqueue_sync(1, 1)
        with pytest.raises(Undo), transaction.atomic():
            add.enqueue_sync(2, 2)
            with transaction.atomic():
                add.enqueue_sync(2, 3)
            raise Undo
        with transaction.atomic():
            third = add.enqueue_sync(3, 3)
        assert rows() == [first.id, third.id]
    assert (stored(), rows()) == ({first.id, third.id}, [])


@committing
def test_savepoints_by_hand(add: Task[..., int], stored: Stored) -> None:
    """D1, D4: Django tells nobody of them, so a job that came behind one leaves all the same."""
    with transaction.atomic():
        # Django 6.1 has another name for it.
        sid = getattr(transaction, "savepoint_create", transaction.savepoint)()
        job = add.enqueue_sync(1, 1)
        assert rows() == [job.id]
        transaction.savepoint_rollback(sid)
        assert rows() == []
    assert (stored(), rows()) == ({job.id}, [])


@committing
def test_a_delay_counts_from_the_call(add: Task[..., int]) -> None:
    """D4: not from the push, and neither does what is shown as the time of the enqueue."""
    with transaction.atomic():
        before = time.time() * 1000
        job = add.options(delay_ms=60_000).enqueue_sync(1, 1)
        time.sleep(0.6)
    info = job.info_sync()
    assert info is not None and info.scheduled_at == info.enqueue_time + 60_000
    assert abs(info.enqueue_time - before) < 400


@committing
def test_a_delay_that_is_over_at_the_push(add: Task[..., int]) -> None:
    """D4: then the job is ready."""
    with transaction.atomic():
        job = add.options(delay_ms=100).enqueue_sync(1, 1)
        time.sleep(0.2)
    assert job.status_sync() is JobStatus.QUEUED


@committing
def test_an_expiry_counts_from_the_call(add: Task[..., int], work: Work, app: Ardiq) -> None:
    """D4: a job that was pushed after its window never runs."""
    with transaction.atomic():
        job = add.options(expire_ms=100).enqueue_sync(1, 1)
        time.sleep(0.2)
    work(app)
    assert job.status_sync() is JobStatus.EXPIRED


@committing
def test_answers_of_calls_outside(add: Task[..., int]) -> None:
    """D4: when Redis has answered, the handle is that of the job that is there."""
    first = add.options(task_id="mine").enqueue_sync(1, 1)
    again = add.options(task_id="mine").enqueue_sync(1, 1)
    assert (first.created, again.created) == (True, False)
    one = add.options(unique=True).enqueue_sync(5, 5)
    many = add.app.enqueue_many_sync([add.prepare(1, 2), add.options(unique=True).prepare(5, 5)])
    assert many[1] == one and not many[1].created


@committing
@pytest.mark.parametrize("way", ["deleted", "not kept"])
def test_a_row_makes_one_job(app: Ardiq, add: Task[..., int], work: Work, stored: Stored, way: str) -> None:
    """D4: pushed twice it is one job, also when that one has ended and is gone in between."""
    job = add.enqueue_sync(1, 1)
    row = outbox.row_of(app.queue_name, new_job("other", "default", "add", b"call"))
    for age in (0, 5_000):
        app.broker.store.run(verbs.enqueue(app.broker.keys, [outbox.job_of(row, age)]))
    assert stored() == {job.id, "other"}
    Job("other", app.broker).abort_sync()
    Job("other", app.broker).delete_sync()
    app.broker.store.run(verbs.enqueue(app.broker.keys, [outbox.job_of(row, 9_000)]))
    assert stored() == {job.id}
    other = outbox.row_of(app.queue_name, new_job("other", "default", "add", b"call"))
    app.broker.store.run(verbs.enqueue(app.broker.keys, [outbox.job_of(other, 0)]))
    assert stored() == {job.id, "other"}, "another call under the same id is another call"


@committing
def test_who_says_so(redis_url: str, queue_name: str) -> None:
    """D4: the call, else the task, else DURABLE of the queue; on_commit=False overrules the last two."""
    app = Ardiq(queue_name, redis_url=redis_url, durable=True)
    by_queue, by_task = app.task(name="q")(lambda: None), app.task(name="t", durable=True)(lambda: None)
    never = app.task(name="n", durable=False)(lambda: None)
    with transaction.atomic():
        wanted = [by_queue.enqueue_sync(), by_task.enqueue_sync(), never.options(durable=True).enqueue_sync()]
        others = [
            by_queue.options(durable=False).enqueue_sync(),
            by_task.options(durable=False).enqueue_sync(),
            by_task.options(on_commit=False).enqueue_sync(),
            by_queue.options(on_commit=False).enqueue_sync(),
            never.enqueue_sync(),
        ]
        assert rows() == [job.id for job in wanted]
        assert [job.status_sync() for job in others] == ["not_found"] * 2 + ["queued"] * 2 + ["not_found"]
    with pytest.raises(ValueError, match="durable=True and on_commit=False"):
        by_task.options(durable=True, on_commit=False)
    with pytest.raises(TypeError, match="durable=1"):
        by_task.options(durable=1)
    with pytest.raises(TypeError, match="durable='yes'"):
        app.task(name="x", durable="yes")(lambda: None)


@committing
def test_another_database(app: Ardiq, add: Task[..., int], stored: Stored, replica: str) -> None:
    """D4: the row is in the database that using= names, and in its transaction; also in a batch."""
    there = add.options(using=replica)
    with transaction.atomic(using=replica):
        jobs = app.enqueue_many_sync([there.prepare(1, 1), there.prepare(2, 2)])
        assert stored() == set()
    with pytest.raises(Undo), transaction.atomic(using=replica):
        there.enqueue_sync(1, 1)
        jobs.append(add.enqueue_sync(1, 1))
        raise Undo
    assert stored() == {job.id for job in jobs}


@committing
def test_a_batch_of_many_kinds(app: Ardiq, add: Task[..., int], stored: Stored) -> None:
    """D4: durable calls and others in one batch, handles in order, from sync code and from async."""
    plain = app.task(name="plain")(lambda n: None)
    calls = [(plain.prepare(n) if n % 3 else add.prepare(n, n)) for n in range(1_100)]
    many = [app.enqueue_many_sync(calls), asyncio.run(app.enqueue_many(calls))]
    for jobs in many:
        assert [jobs[n].info_sync().args[0] for n in (0, 1, 2, 3, 500, 600, 1_099)] == [
            0,
            1,
            2,
            3,
            500,
            600,
            1_099,
        ]  # type: ignore[union-attr]
    assert (len(stored()), rows()) == (2_200, [])


@committing
def test_a_transaction_under_async_code(add: Task[..., int], stored: Stored) -> None:
    """D4: a coroutine that a sync view runs inside its transaction is part of it; one on its own is not."""

    async def view() -> None:
        await add.enqueue(1, 1)

    with pytest.raises(Undo), transaction.atomic():
        async_to_sync(view)()
        raise Undo
    assert (stored(), rows()) == (set(), [])

    def block() -> None:
        with transaction.atomic():
            User.objects.create(username="x")
            add.enqueue_sync(1, 1)

    async_to_sync(sync_to_async(block))()
    assert (len(stored()), User.objects.count(), rows()) == (1, 1, [])


@committing
def test_a_transaction_by_hand(add: Task[..., int], stored: Stored) -> None:
    """D4: nobody tells when it commits, so that the row is left to the relay."""
    transaction.set_autocommit(False)
    try:
        job = add.enqueue_sync(1, 1)
        transaction.commit()
    finally:
        transaction.set_autocommit(True)
    assert (stored(), rows()) == (set(), [job.id])


@committing
def test_no_table(add: Task[..., int]) -> None:
    """D4: the error of the database says which table it misses, and how it is made."""
    with connections["default"].schema_editor() as editor:
        editor.delete_model(Outbox)
    try:
        with pytest.raises(Exception, match="ardiq_outbox") as caught:
            add.enqueue_sync(1, 1)
        assert "manage.py migrate ardiq --database default" in caught.value.__notes__[0]
    finally:
        with connections["default"].schema_editor() as editor:
            editor.create_model(Outbox)


@pytest.mark.usefixtures("lent", "redis_url", "queue_name")
class InATestCase(TestCase):
    add: Any
    stored: Any

    def test_only_the_wrapper_is_no_transaction(self) -> None:
        """D2: in a TestCase a durable job is enqueued at once, and leaves no row."""
        job = self.add.enqueue_sync(1, 1)
        assert (self.stored(), rows()) == ({job.id}, [])

    def test_a_transaction_of_the_test_counts(self) -> None:
        """D2: its commit is captured as Django's own hooks are."""
        with self.captureOnCommitCallbacks(execute=True) as hooks, transaction.atomic():
            job = self.add.enqueue_sync(1, 1)
            assert self.stored() == set()
        assert (len(hooks), self.stored(), rows()) == (1, {job.id}, [])
