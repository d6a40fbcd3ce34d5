"""The moment of the commit: what leaves together, in which order, and what is heard when it cannot leave."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext

from ardiq import Ardiq, BrokerError, NotEnqueued
from ardiq.enqueuing import Task
from ardiq.models import Outbox
from ardiq.store.scripts import Call
from tests.admin_client import admin
from tests.django.conftest import Stored
from tests.server import free_port

pytestmark = pytest.mark.django_db(transaction=True)


class Undo(Exception):
    pass


@pytest.fixture
def add(app: Ardiq) -> Task[..., int]:
    return app.task(name="add")(lambda a, b: a + b)


@pytest.fixture
def nowhere(queue_name: str) -> Ardiq:
    return Ardiq(queue_name, redis_url=f"redis://127.0.0.1:{free_port()}/0")


@pytest.fixture
def trips(app: Ardiq, monkeypatch: pytest.MonkeyPatch) -> list[Call]:
    """The calls that go to Redis from here."""
    made: list[Call] = []
    run = app.broker.store.run
    monkeypatch.setattr(app.broker.store, "run", lambda call: made.append(call) or run(call))
    return made


def queued(app: Ardiq) -> list[str]:
    lane = app.broker.keys.lane("default")
    found: list[str] = app.broker.store.run(
        Call(("LRANGE", lane, 0, -1), lambda reply: [id.decode() for id in reply])
    )
    return found


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    """The ids of jobs that the log says were not enqueued."""
    texts = [record.getMessage() for record in caplog.records]
    return [text.split()[1] for text in texts if "was not enqueued, although its transaction has" in text]


def test_one_round_trip(app: Ardiq, add: Task[..., int], trips: list[Call]) -> None:
    """D1: what one transaction enqueues one after the other leaves together, in the order of the calls."""
    with transaction.atomic():
        jobs = [add.enqueue_sync(n, n) for n in range(30)]
        with transaction.atomic(savepoint=False):
            jobs.append(add.options(task_id="mine").enqueue_sync(1, 1))
        jobs.append(app.send_sync("add", 2, 2))
    assert len(trips) == 1
    assert queued(app) == [job.id for job in jobs]


def test_very_many(app: Ardiq, add: Task[..., int], trips: list[Call]) -> None:
    """D1: in round trips of 500."""
    with transaction.atomic():
        jobs = [add.enqueue_sync(n, n) for n in range(1_100)]
    assert len(trips) == 3
    assert queued(app) == [job.id for job in jobs]


def test_durable_ones_too(app: Ardiq, add: Task[..., int], trips: list[Call]) -> None:
    """D4: one push and one DELETE for all durable jobs of a transaction."""
    durable = add.options(durable=True)
    with CaptureQueriesContext(connection) as queries, transaction.atomic():
        jobs = [durable.enqueue_sync(n, n) for n in range(10)]
    assert len(trips) == 1 and queued(app) == [job.id for job in jobs]
    assert [query["sql"].split()[0] for query in queries].count("DELETE") == 1
    assert not Outbox.objects.exists()


def test_hooks_of_the_project_keep_their_place(app: Ardiq, add: Task[..., int]) -> None:
    """D1: what was registered before a job runs before it leaves, what was registered after it after it."""
    seen: list[int] = []

    def look() -> None:
        seen.append(app.queue_size_sync())

    with transaction.atomic():
        transaction.on_commit(look)
        add.enqueue_sync(1, 1)
        add.enqueue_sync(2, 2)
        transaction.on_commit(look)
        add.enqueue_sync(3, 3)
        transaction.on_commit(look, robust=True)
    assert seen == [0, 2, 3]


def test_only_what_no_savepoint_has_rolled_back(app: Ardiq, add: Task[..., int], stored: Stored) -> None:
    """D1: whatever the nesting, and also when somebody still holds the hook of what was rolled back."""
    held: list[Any] = []
    kept: list[str] = []

    def undone() -> None:
        with pytest.raises(Undo), transaction.atomic():
            add.enqueue_sync(0, 0)
            with transaction.atomic():
                add.enqueue_sync(0, 1)
            held.extend(connection.run_on_commit)
            raise Undo

    with transaction.atomic():
        undone()
        kept.append(add.enqueue_sync(1, 1).id)
        undone()
        with transaction.atomic():
            kept.append(add.enqueue_sync(2, 2).id)
            with transaction.atomic():
                kept.append(add.enqueue_sync(3, 3).id)
            kept.append(add.enqueue_sync(4, 4).id)
            undone()
        kept.append(add.enqueue_sync(5, 5).id)
        undone()
    assert stored() == set(kept) and queued(app) == kept
    assert held


def test_the_whole_of_it_rolled_back(
    add: Task[..., int], stored: Stored, caplog: pytest.LogCaptureFixture
) -> None:
    """D1: by an inner block without a savepoint, by set_rollback, by a commit that fails: silently."""
    with transaction.atomic():
        add.enqueue_sync(1, 1)
        with pytest.raises(Undo), transaction.atomic(savepoint=False):
            add.enqueue_sync(2, 2)
            raise Undo
        assert connection.needs_rollback
    with transaction.atomic():
        add.enqueue_sync(3, 3)
        transaction.set_rollback(True)
    with pytest.raises(IntegrityError), transaction.atomic():
        add.enqueue_sync(4, 4)
        Permission.objects.create(content_type_id=1_000_000, codename="x", name="x")
    assert (stored(), caplog.text) == (set(), "")


def test_redis_is_away(nowhere: Ardiq, caplog: pytest.LogCaptureFixture) -> None:
    """D1: one error names all jobs of the transaction, and each is logged; none that was rolled back."""
    charge = nowhere.ref("shop.charge")
    with pytest.raises(NotEnqueued, match=r"has committed, but not enqueued: shop\.charge") as caught:
        with transaction.atomic():
            User.objects.create(username="x")
            jobs = [charge.enqueue_sync(1)]
            with pytest.raises(ZeroDivisionError), transaction.atomic():
                gone = charge.enqueue_sync(2)
                raise ZeroDivisionError
            jobs += [charge.enqueue_sync(3)]
            transaction.on_commit(lambda: None)
            with transaction.atomic():
                jobs += [charge.enqueue_sync(4)]
            jobs += nowhere.enqueue_many_sync(charge.prepare(n) for n in range(2))
    assert User.objects.exists()
    assert isinstance(caught.value, BrokerError)
    assert caught.value.ids == [job.id for job in jobs]
    assert told(caplog) == [job.id for job in jobs[:3]] + ["bulk"]
    assert gone.id not in caplog.text + str(caught.value)


def test_redis_is_away_for_a_hook(nowhere: Ardiq, add: Task[..., int], stored: Stored) -> None:
    """D1: a hook of the project that bears it in a transaction of its own takes nothing from the outer."""

    def hook() -> None:
        with pytest.raises(NotEnqueued) as caught, transaction.atomic():
            inner.append(nowhere.ref("shop.charge").enqueue_sync(1).id)
        assert caught.value.ids == inner

    inner: list[str] = []
    with transaction.atomic():
        transaction.on_commit(hook)
        job = add.enqueue_sync(1, 1)
    assert inner and stored() == {job.id}


def test_redis_is_away_for_very_many(nowhere: Ardiq, caplog: pytest.LogCaptureFixture) -> None:
    """D1: the message stays readable, the error has all ids; a bulk is named by its first job."""
    charge = nowhere.ref("shop.charge")
    with pytest.raises(NotEnqueued, match=" and 80 more") as caught, transaction.atomic():
        jobs = [charge.enqueue_sync(n) for n in range(100)]
    assert caught.value.ids == [job.id for job in jobs]
    caplog.clear()
    with pytest.raises(NotEnqueued) as caught, transaction.atomic():
        bulk = nowhere.enqueue_many_sync(charge.prepare(i) for i in range(1_200))
    assert f"A bulk of 1,200 jobs of {nowhere.queue_name} ({bulk[0].id} is the first) was not" in caplog.text
    assert len(caught.value.ids) == 1_200
    caplog.clear()
    with pytest.raises(NotEnqueued), transaction.atomic():
        again = charge.options(task_id="mine").enqueue_sync(5)
    assert told(caplog) == [again.id]


def test_a_hook_of_the_project_raises(
    app: Ardiq, add: Task[..., int], stored: Stored, redis_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """D1: Django drops the hooks behind it: each job that does not leave for that is logged, durable ones are
    left to a relay, and one that is robust drops nothing. Nor does a reply that asks for another try keep
    what Django has dropped."""
    with admin(redis_url) as client:
        client.script_flush()
    try:
        with transaction.atomic():
            first = add.enqueue_sync(1, 1)
            transaction.on_commit(lambda: 1 / 0)
            lost = [add.enqueue_sync(2, 2), add.enqueue_sync(3, 3)]
            safe = add.options(durable=True).enqueue_sync(4, 4)
    except ZeroDivisionError:
        pass
    assert stored() == {first.id}
    assert sorted(told(caplog)) == sorted(job.id for job in lost)
    assert [row.job for row in Outbox.objects.all()] == [safe.id]
    with transaction.atomic():
        transaction.on_commit(lambda: 1 / 0, robust=True)
        second = add.enqueue_sync(5, 5)
    assert stored() == {first.id, second.id}


def test_a_queue_that_is_nearly_full(
    redis_url: str, queue_name: str, caplog: pytest.LogCaptureFixture
) -> None:
    """D1, R21: as many as fit leave, oldest first; the request goes on, and the log has the others."""
    app = Ardiq(queue_name, redis_url=redis_url, max_queued=3)
    task = app.task(name="t")(lambda n: n)
    after: list[str] = []
    with caplog.at_level(logging.ERROR, "ardiq"), transaction.atomic():
        jobs = [task.enqueue_sync(n) for n in range(5)]
        transaction.on_commit(lambda: after.append("ran"))
    assert queued(app) == [job.id for job in jobs[:3]] and after == ["ran"]
    assert told(caplog) == [job.id for job in jobs[3:]]
    Outbox.objects.all().delete()
    with transaction.atomic():
        waits = [task.options(durable=True).enqueue_sync(n) for n in range(2)]
    assert [row.job for row in Outbox.objects.all()] == [job.id for job in waits]


def test_nothing_of_one_transaction_is_left_for_the_next(
    nowhere: Ardiq, add: Task[..., int], stored: Stored, caplog: pytest.LogCaptureFixture
) -> None:
    """D1: after a failed commit the connection is as new."""
    with pytest.raises(NotEnqueued), transaction.atomic():
        nowhere.ref("t").enqueue_sync(1)
        add.enqueue_sync(1, 1)
    caplog.clear()
    with transaction.atomic():
        job = add.enqueue_sync(2, 2)
    assert (stored(), caplog.text) == ({job.id}, "")
