"""The relay, turn by turn, on the database of the test. tests/faults/test_outbox.py kills whole processes."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.db import DatabaseError, connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from ardiq import Ardiq, Job, relay
from ardiq.connection import broker
from ardiq.core.events import Event
from ardiq.enqueuing import Task
from ardiq.models import Once, Outbox
from ardiq.relay import Relay
from ardiq.signals import job_enqueued
from ardiq.store.scripts import Call
from tests.django.conftest import Stored
from tests.server import free_port

pytestmark = pytest.mark.django_db(transaction=True)

NOW = timedelta(0)
Leave = Callable[..., list[str]]


@pytest.fixture
def leave(queue_name: str) -> Leave:
    """Jobs that are left in the outbox, because Redis is away."""
    away = Ardiq(queue_name, ["low", "default", "high"], redis_url=f"redis://127.0.0.1:{free_port()}/0")
    task: Task[..., Any] = away.task(name="t", durable=True)(lambda n, text="": None)

    def leave(count: int, text: str = "", **options: Any) -> list[str]:
        return [task.options(**options).enqueue_sync(n, text).id for n in range(count)]

    return leave


@pytest.fixture
def heard() -> Iterator[list[str]]:
    """Ids of the jobs that job_enqueued is sent of."""
    ids: list[str] = []

    def listen(sender: object, event: Event, **kwargs: object) -> None:
        ids.append(event.id)

    job_enqueued.connect(listen)
    yield ids
    job_enqueued.disconnect(listen)


def fails(ids: object, using: str) -> None:
    raise DatabaseError("gone away")


def rows() -> list[str]:
    return [row.job for row in Outbox.objects.all()]


def test_what_is_left_is_pushed(app: Ardiq, leave: Leave, stored: Stored) -> None:
    """D4: in the order of the calls, and then the rows are gone."""
    ids = leave(250)
    found = Relay(app.options)
    assert found.turn(NOW) == 250
    assert (stored(), rows()) == (set(ids), [])
    lane = app.broker.keys.lane("default")
    queued = app.broker.store.run(Call(("LRANGE", lane, 0, -1), lambda reply: [id.decode() for id in reply]))
    assert queued == ids
    assert found.turn(NOW) == 0


def test_who_listens_hears_of_it(app: Ardiq, leave: Leave) -> None:
    """D4: job_enqueued is sent at the push, once for each job, with no rows locked; a receiver may fail."""
    heard: list[tuple[str, str, bool]] = []

    def listen(sender: object, event: Event, **kwargs: object) -> None:
        heard.append((event.id, event.name, connection.in_atomic_block))
        raise ValueError("ignored")

    ids = leave(3)
    job_enqueued.connect(listen)
    try:
        assert Relay(app.options).turn(NOW) == 3
        assert Relay(app.options).turn(NOW) == 0
    finally:
        job_enqueued.disconnect(listen)
    assert heard == [(id, "t", False) for id in ids]


def test_a_row_that_comes_again_is_told_once(
    app: Ardiq, leave: Leave, heard: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """D4: a row that was pushed and could not be deleted is pushed again to no effect, and told once."""
    ids, found = leave(2), Relay(app.options)
    with monkeypatch.context() as patched:
        patched.setattr(relay.outbox, "delete", fails)
        assert found.turn(NOW) == 0
    assert found.turn(NOW) == 2
    assert heard == ids


@pytest.mark.parametrize("is_async", [False, True])
def test_a_row_that_its_writer_could_not_delete_is_told_once(
    app: Ardiq, stored: Stored, heard: list[str], monkeypatch: pytest.MonkeyPatch, is_async: bool
) -> None:
    """D4: its writer has pushed it and told of it; the relay that meets it later does not tell again."""
    task: Task[..., Any] = app.task(name="t", durable=True)(lambda: None)

    async def enqueue() -> Job[Any]:
        return await task.enqueue()

    with monkeypatch.context() as patched:
        patched.setattr(relay.outbox, "delete", fails)
        job = async_to_sync(enqueue)() if is_async else task.enqueue_sync()
    assert rows() == heard == [job.id]
    assert Relay(app.options).turn(NOW) == 1
    assert (heard, stored(), rows()) == ([job.id], {job.id}, [])


def test_what_is_pushed_in_a_test_is_told(app: Ardiq, leave: Leave, heard: list[str]) -> None:
    """D4, D6: job_enqueued is sent of what run_jobs() pushes, as of what a worker does."""
    ids = leave(2)
    assert Relay(app.options).here() == 2
    assert heard == ids


def test_young_rows_are_their_writers(app: Ardiq, leave: Leave) -> None:
    """D4: what was written a moment ago is about to be pushed at commit."""
    ids = leave(2)
    Outbox.objects.filter(job=ids[0]).update(created=timezone.now() - timedelta(minutes=1))
    assert Relay(app.options).turn(relay.GRACE) == 1
    assert rows() == ids[1:]


def test_only_its_own_queue(app: Ardiq, leave: Leave, queue_name: str) -> None:
    """D4: each queue is relayed by its own workers; a row of no known lane waits, and says why."""
    leave(3)
    Outbox.objects.filter(id=Outbox.objects.first().id).update(queue="elsewhere")  # type: ignore[union-attr]
    last = Outbox.objects.last()
    assert last is not None
    Outbox.objects.filter(id=last.id).update(lane="gone")
    assert Relay(app.options).turn(NOW) == 1
    last.refresh_from_db()
    assert len(rows()) == 2 and "no lane of " + queue_name in last.error


def test_a_delay_counts_from_the_call(app: Ardiq, leave: Leave) -> None:
    """D4: by the clock of the database, also when the push comes an hour later."""
    (id,) = leave(1, delay_ms=7_200_000)
    Outbox.objects.update(created=timezone.now() - timedelta(hours=1))
    Relay(app.options).turn(NOW)
    info = Job[Any](id, app.broker).info_sync()
    assert info is not None and info.scheduled_at is not None
    left = info.scheduled_at - timezone.now().timestamp() * 1000
    assert abs(left - 3_600_000) < 5_000


def test_redis_away(app: Ardiq, leave: Leave, caplog: Any) -> None:
    """D4: rows stay, with the reason for people; it is logged once, and the pauses grow."""
    leave(3)
    options = replace(app.options, redis_url=f"redis://127.0.0.1:{free_port()}/0", durable=True)
    found = Relay(options)
    with caplog.at_level(logging.WARNING, "ardiq.worker"):
        assert [found.turn(NOW), found.turn(NOW)] == [0, 0]
    assert [(row.attempts, "127.0.0.1" in row.error) for row in Outbox.objects.all()] == [(2, True)] * 3
    assert caplog.text.count("3 jobs wait in the outbox") == 1
    assert found._failures == 2
    assert Relay(app.options).turn(NOW) == 3


def test_a_full_queue_takes_what_fits(app: Ardiq, leave: Leave, stored: Stored) -> None:
    """D4: as many as there is room for, oldest first; the rest waits."""
    ids = leave(5)
    assert Relay(replace(app.options, max_queued=2)).turn(NOW) == 2
    assert (stored(), rows()) == (set(ids[:2]), ids[2:])
    assert "MAX_QUEUED" in Outbox.objects.first().error  # type: ignore[union-attr]


def test_batches_are_bounded(app: Ardiq, leave: Leave, monkeypatch: pytest.MonkeyPatch) -> None:
    """D4: by rows and by bytes, so that no turn takes the memory of a worker."""
    sizes: list[int] = []
    own = broker(app.options)
    run = own.store.run
    monkeypatch.setattr(own.store, "run", lambda call: sizes.append(len(call.command)) or run(call))
    monkeypatch.setattr("ardiq.outbox.MOST_BYTES", 5_000)
    leave(6, "x" * 2_000)
    assert Relay(app.options).turn(NOW) <= 6
    while rows():
        Relay(app.options).turn(NOW)
    assert len(sizes) >= 3


def test_pushed_twice_is_one_job(app: Ardiq, leave: Leave, monkeypatch: pytest.MonkeyPatch) -> None:
    """D4: a relay that dies between the push and the delete leaves the row to the next one, to no effect."""
    (id,) = leave(1)
    with monkeypatch.context() as patch:
        patch.setattr("ardiq.outbox.delete", lambda ids, using: 1 / 0)
        assert Relay(app.options).turn(NOW) == 0
    job = Job[Any](id, app.broker)
    job.abort_sync()
    job.delete_sync()
    assert rows() == [id]
    assert Relay(app.options).turn(NOW) == 1
    assert (job.status_sync(), rows()) == ("not_found", [])


def test_the_database_fails(app: Ardiq, leave: Leave, monkeypatch: pytest.MonkeyPatch, caplog: Any) -> None:
    """D4: it is tried again, and no exception leaves the relay."""
    leave(1)
    found = Relay(replace(app.options, durable=True))
    with monkeypatch.context() as patch:
        patch.setattr(Relay, "_due", lambda *args: 1 / 0)
        assert found.turn(NOW) == 0
    assert "cannot be read" in caplog.text and "ZeroDivisionError" in caplog.text
    assert found.turn(NOW) == 1


def test_what_an_idle_turn_costs(app: Ardiq) -> None:
    """D4: one query on a short index; and none for a table that is not there, for ten minutes."""
    found = Relay(app.options)
    found.turn(NOW)
    with CaptureQueriesContext(connection) as queries:
        found.turn(NOW)
    asked = [query["sql"] for query in queries if "ardiq" in query["sql"]]
    assert len(asked) == 1, asked
    plan = connection.ops.explain_query_prefix() if connection.vendor == "sqlite" else ""
    if plan:
        with connection.cursor() as cursor:
            cursor.execute(f"{plan} {asked[0]}")
            assert "ardiq_outbox_queue" in str(cursor.fetchall())
    absent = Relay(app.options)
    with connection.schema_editor() as editor:
        editor.delete_model(Outbox)
    try:
        absent.turn(NOW)
        with CaptureQueriesContext(connection) as queries:
            absent.turn(NOW)
    finally:
        with connection.schema_editor() as editor:
            editor.create_model(Outbox)
    assert len(queries) == 0


def test_when_it_is_in_use(app: Ardiq) -> None:
    """D4: when the queue is durable, or a task of it is, or runs once."""
    assert not relay.in_use(app.options)
    assert relay.in_use(replace(app.options, durable=True))
    app.task(name="once", once=True)(lambda: None)
    assert relay.in_use(app.options)


def test_marks_are_purged(app: Ardiq) -> None:
    """D5: by age, in bounded statements, and only those of its queue."""
    old = timezone.now() - timedelta(days=8)
    queue = app.queue_name
    Once.objects.bulk_create(
        Once(id=f"{queue[-6:]}{n}", queue=queue if n else "else", job=str(n), result=b"", created=old)
        for n in range(1_200)
    )
    Once.objects.create(id="young", queue=queue, job="young", result=b"")
    Relay(app.options).turn(NOW)
    assert sorted(Once.objects.values_list("job", flat=True)) == ["0", "young"]
