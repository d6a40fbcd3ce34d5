"""Jobs that are about an object: they are found by it, and cost nothing to those that are not."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.db import transaction

import ardiq
from ardiq import Ardiq, JobStatus, references
from ardiq.core.job import JobRecord
from ardiq.core.reference import Reference
from ardiq.store import fsck
from ardiq.store.client import Store
from ardiq.store.keys import Keys
from tests.django.conftest import Work
from tests.django.rows import Desk, FrontDesk, Lamp, Seat, shapes
from tests.server import admin

__all__ = ["shapes"]

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("shapes")]


@pytest.fixture
def user() -> User:
    return User.objects.create(username="ines")


@pytest.fixture
def task(app: Ardiq) -> Any:
    @app.task(name="touch", subject="user", max_retries=0)
    def touch(user: Any, number: int = 0) -> int:
        return number

    return touch


def ids(app: Ardiq, instance: Any, most: int = 50) -> list[str]:
    return [info.id for info in app.jobs_for_sync(instance, most)]


def test_jobs_are_found_by_their_object(app: Ardiq, task: Any, work: Work, user: User) -> None:
    """The argument that the task names, or what the call says; newest first, in every state."""
    other = User.objects.create(username="other")

    @app.task(name="plain")
    def plain(number: int) -> int:
        return number

    first = task.enqueue_sync(user, 1)
    task.enqueue_sync(other)
    work(app)
    second = plain.options(subject=user, delay_ms=60_000).enqueue_sync(2)
    plain.enqueue_sync(3)
    task.enqueue_sync(None)
    found = app.jobs_for_sync(user)
    assert {info.id: info.status for info in found} == {
        second.id: JobStatus.SCHEDULED,
        first.id: JobStatus.SUCCEEDED,
    }
    assert found[0].enqueue_time >= found[1].enqueue_time
    assert found[1].result is not None and found[1].result.value == 1
    info = first.info_sync()
    assert info is not None and info.subject == Reference("auth.user", user.pk, "default")
    assert asyncio.run(app.jobs_for(user)) == app.jobs_for_sync(user)
    assert app.jobs_for_sync(Group.objects.create(name="none")) == []


def test_a_subject_by_call_beats_that_of_the_task(app: Ardiq, task: Any, user: User) -> None:
    other = User.objects.create(username="other")
    job = task.options(subject=other).enqueue_sync(user)
    assert ids(app, other) == [job.id] and ids(app, user) == []


def test_every_way_to_enqueue_tags(app: Ardiq, task: Any, user: User) -> None:
    """Async, in bulk, by name, at commit, unique, replaced."""

    async def send() -> str:
        return str((await task.enqueue(user)).id)

    made = [asyncio.run(send())]
    made += [job.id for job in app.enqueue_many_sync(task.prepare(user, n) for n in range(3))]
    made.append(app.ref("touch").options(unique=True).enqueue_sync(user, 77).id)
    again = app.ref("touch").options(unique=True).enqueue_sync(user, 77)
    assert again.id == made[-1] and not again.created
    with transaction.atomic():
        made.append(task.enqueue_sync(user, 5).id)
        assert made[-1] not in ids(app, user)
    made.append(task.options(task_id="mine").enqueue_sync(user).id)
    assert sorted(ids(app, user)) == sorted(made)


def test_a_durable_job_keeps_its_subject(app: Ardiq, task: Any, user: User) -> None:
    job = task.options(durable=True).enqueue_sync(user)
    assert ids(app, user) == [job.id]


def test_proxies_and_odd_keys(app: Ardiq) -> None:
    """A proxy, or a copy from another database, is the same object; keys may be UUIDs or several columns."""

    @app.task(name="any")
    def any_(row: Any) -> None: ...

    desk = Desk.objects.create(name="front")
    proxy = FrontDesk.objects.get()
    copy = Desk.objects.get()
    copy._state.db = "replica"
    job = any_.options(subject=proxy).enqueue_sync(1)
    assert ids(app, desk) == ids(app, proxy) == ids(app, copy) == [job.id]
    for row in (Lamp.objects.create(), Seat.objects.create(row="A", number=1)):
        job = any_.options(subject=row).enqueue_sync(2)
        [info] = app.jobs_for_sync(row)
        assert info.id == job.id and info.subject is not None
        assert references.resolve(info.subject) == row


@pytest.mark.parametrize("value", [User(username="new"), 7, "auth.user"])
def test_what_is_no_object_is_refused(app: Ardiq, task: Any, value: Any) -> None:
    words = "has not been saved" if isinstance(value, User) else "a job is about a model instance"
    with pytest.raises((TypeError, ValueError), match=words):
        task.options(subject=value)
    with pytest.raises((TypeError, ValueError), match=words):
        task.enqueue_sync(value)
    with pytest.raises((TypeError, ValueError), match=words):
        app.jobs_for_sync(value)


@pytest.mark.parametrize(("name", "error"), [("usr", ValueError), (3, TypeError)])
def test_a_task_names_one_of_its_parameters(app: Ardiq, name: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="subject="):
        app.task(name="x", subject=name)(lambda user: None)


@pytest.mark.parametrize("most", [0, 201, True, "5"])
def test_an_answer_is_bounded(app: Ardiq, user: User, most: Any) -> None:
    with pytest.raises(ValueError, match="most="):
        app.jobs_for_sync(user, most)


def test_gone_jobs_leave_the_list(app: Ardiq, task: Any, user: User, redis_url: str) -> None:
    """Deleted jobs are not answered, and their ids leave Redis when somebody looks or enqueues."""
    jobs = [task.enqueue_sync(user, n) for n in range(12)]
    for job in jobs:
        assert job.delete_sync()
    key = Keys(app.queue_name).prefix + "subject:" + references.subject_hash(references.of(user))
    with admin(redis_url) as client:
        assert client.zcard(key) == 12
        last = task.enqueue_sync(user)
        assert client.zcard(key) == 11
        assert ids(app, user, most=3) == [last.id]
        assert ids(app, user) == [last.id]
        assert client.zcard(key) == 1


def test_another_life_of_an_id_is_not_of_this_object(app: Ardiq, task: Any, user: User) -> None:
    other = User.objects.create(username="other")
    task.options(task_id="sync").enqueue_sync(user).delete_sync()
    task.options(task_id="sync").enqueue_sync(other)
    assert ids(app, user) == [] and ids(app, other) == ["sync"]


def test_an_object_lists_a_thousand_jobs_and_expires(
    app: Ardiq, task: Any, user: User, redis_url: str
) -> None:
    """Bounded in number and in time: 30 days after the job that is due last."""
    for _ in range(3):
        app.enqueue_many_sync(task.prepare(user, n) for n in range(400))
    key = Keys(app.queue_name).prefix + "subject:" + references.subject_hash(references.of(user))
    day = 86_400_000
    with admin(redis_url) as client:
        assert client.zcard(key) == 1000
        assert 29 * day < client.pttl(key) <= 30 * day
        task.options(delay_ms=100 * day).enqueue_sync(user)
        assert 129 * day < client.pttl(key) <= 130 * day
        task.enqueue_sync(user)
        assert 129 * day < client.pttl(key)


def test_large_parts_are_left_out(app: Ardiq, user: User) -> None:
    @app.task(name="big", subject="user")
    def big(user: Any, text: str) -> None: ...

    job = big.enqueue_sync(user, "x" * 100_000)
    [info] = app.jobs_for_sync(user)
    assert (info.id, info.args, info.problem) == (job.id, [], "Left out of a list, because it is large.")


def test_untagged_jobs_are_stored_as_before(app: Ardiq, task: Any, user: User, redis_url: str) -> None:
    """No key and no byte more for a task without a subject; it takes the short way."""

    @app.task(name="plain")
    def plain(number: int) -> None: ...

    assert plain.plain and not task.plain
    plain.enqueue_sync(1)
    with admin(redis_url) as client:
        prefix = Keys(app.queue_name).prefix
        assert not list(client.scan_iter(prefix + "subject:*"))
        assert (
            JobRecord("x", client.get(next(client.scan_iter(prefix + "job:*")))).call.count(b"subject") == 0
        )


def test_fsck_knows_the_lists(app: Ardiq, task: Any, user: User, redis_url: str) -> None:
    """A list is in order with jobs that are gone; one that would never expire is a finding, and repaired."""
    task.enqueue_sync(user).delete_sync()
    task.enqueue_sync(user)
    keys, store = Keys(app.queue_name), app.broker.store
    assert isinstance(store, Store)
    assert fsck.check(store, keys).found == 0
    key = keys.prefix + "subject:" + references.subject_hash(references.of(user))
    with admin(redis_url) as client:
        client.persist(key)
        report = fsck.check(store, keys, repair=True)
        assert [finding.kind for finding in report.findings] == ["ttl"] and report.repaired == 1
        assert client.ttl(key) > 0
    assert fsck.check(store, keys).found == 0


def test_a_list_of_a_wrong_type_stops_no_job(app: Ardiq, task: Any, user: User, redis_url: str) -> None:
    key = Keys(app.queue_name).prefix + "subject:" + references.subject_hash(references.of(user))
    with admin(redis_url) as client:
        client.set(key, "odd", ex=60)
        job = task.enqueue_sync(user)
        assert job.status_sync() is JobStatus.QUEUED
        client.delete(key)


def test_all_queues_of_settings_are_asked(redis_url: str, queue_name: str, settings: Any, user: User) -> None:
    """``ardiq.jobs_for`` merges what the queues know."""
    other = f"{queue_name}-2"
    settings.ARDIQ = {alias: {"REDIS_URL": redis_url} for alias in (queue_name, other)}
    made = []
    for alias in (queue_name, other):
        app = ardiq.queue(alias)
        made.append(app.ref("somewhere").options(subject=user).enqueue_sync().id)
    try:
        assert sorted(info.id for info in ardiq.jobs_for_sync(user)) == sorted(made)
        assert len(ardiq.jobs_for_sync(user, most=1)) == 1
        assert {info.queue for info in asyncio.run(ardiq.jobs_for(user))} == {queue_name, other}
    finally:
        with admin(redis_url) as client:
            for key in list(client.scan_iter(Keys(other).prefix + "*")):
                client.delete(key)
