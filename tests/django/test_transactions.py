"""Leaving at commit: inside atomic() a job is handed over when, and only when, the transaction commits."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.contrib.auth.models import User
from django.db import connections, transaction
from django.http import HttpRequest, HttpResponse
from django.test import AsyncClient, Client, TestCase, TransactionTestCase
from django.urls import path

from ardiq import Ardiq, Job, JobStatus
from ardiq.enqueuing import Task
from tests.django.conftest import Stored

committing = pytest.mark.django_db(transaction=True)


class Undo(Exception):
    pass


@pytest.fixture
def add(app: Ardiq) -> Task[..., int]:
    @app.task(name="add")
    def add(a: int, b: int) -> int:
        return a + b

    return add


Path = Callable[[Task[..., Any]], list[Job[Any]]]

PATHS: dict[str, Path] = {
    "plain": lambda task: [task.enqueue_sync(1, 1)],
    "delay": lambda task: [task.options(delay_ms=60_000).enqueue_sync(1, 1)],
    "schedule": lambda task: [task.options(schedule_ms=4_000_000_000_000).enqueue_sync(1, 1)],
    "task_id": lambda task: [task.options(task_id="mine").enqueue_sync(1, 1)],
    "unique": lambda task: [task.options(unique=True).enqueue_sync(1, 1)],
    "bulk": lambda task: task.app.enqueue_many_sync([task.prepare(n, n) for n in range(3)]),
    "timedelta": lambda task: [task.options(delay=timedelta(hours=1)).enqueue_sync(1, 1)],
    "replace": lambda task: [task.options(task_id="mine", replace=True).enqueue_sync(1, 1)],
    "mixed bulk": lambda task: task.app.enqueue_many_sync(
        [
            task.prepare(1, 1),
            task.options(delay_ms=60_000).prepare(2, 2),
            task.options(unique=True).prepare(3, 3),
        ]
    ),
    "large bulk": lambda task: task.app.enqueue_many_sync(task.prepare(n, n) for n in range(1_100)),
    "send": lambda task: [task.app.send_sync("add", 1, 1)],
    "ref": lambda task: [task.app.ref("add").options(expire_ms=60_000).enqueue_sync(1, 1)],
}
each_path = pytest.mark.parametrize("path", PATHS.values(), ids=PATHS)


@committing
@each_path
def test_at_commit(add: Task[..., int], stored: Stored, path: Path) -> None:
    """D1: on every path the Job has its final id at once, and Redis hears of it at commit."""
    with transaction.atomic():
        jobs = path(add)
        assert stored() == set()
        assert {job.status_sync() for job in jobs} == {JobStatus.NOT_FOUND}
    assert stored() == {job.id for job in jobs}


@pytest.mark.fault("34", "rolled back: never enqueued")
@committing
@each_path
def test_never_after_a_rollback(add: Task[..., int], stored: Stored, path: Path) -> None:
    """D1: rolled back, nothing was enqueued, on every path."""
    with pytest.raises(Undo), transaction.atomic():
        path(add)
        raise Undo
    assert stored() == set()


@committing
def test_savepoints(add: Task[..., int], stored: Stored) -> None:
    """D1: what a savepoint rolled back does not leave; the rest does, when the outermost commits."""
    with transaction.atomic():
        first = add.enqueue_sync(1, 1)
        with pytest.raises(Undo), transaction.atomic():
            add.enqueue_sync(2, 2)
            raise Undo
        with transaction.atomic():
            third = add.enqueue_sync(3, 3)
        assert stored() == set()
    assert stored() == {first.id, third.id}


@committing
def test_the_row_is_there_when_the_job_is(add: Task[..., int], app: Ardiq) -> None:
    """D1: hooks run in order: whoever sees the job can read the row that was written before it."""
    seen: list[tuple[bool, int]] = []
    with transaction.atomic():
        User.objects.create(username="x")
        transaction.on_commit(lambda: seen.append((User.objects.exists(), app.queue_size_sync())))
        add.enqueue_sync(1, 1)
        transaction.on_commit(lambda: seen.append((User.objects.exists(), app.queue_size_sync())))
    assert seen == [(True, 0), (True, 1)]


@committing
def test_without_a_transaction_at_once(add: Task[..., int], stored: Stored) -> None:
    """D1: outside atomic() nothing waits."""
    job = add.enqueue_sync(1, 1)
    assert stored() == {job.id}


@committing
def test_the_arguments_are_those_of_the_call(add: Task[..., int], app: Ardiq) -> None:
    """D1: encoded, checked and refused when called, not when the transaction commits."""
    data = [1]
    take = app.task(name="take")(lambda data: None)
    with transaction.atomic():
        job = take.enqueue_sync(data)
        data.append(2)
        with pytest.raises(TypeError):
            take.enqueue_sync(object())
    assert job.info_sync().args == [[1]]  # type: ignore[union-attr]


@committing
def test_opting_out(add: Task[..., int], stored: Stored) -> None:
    """D3: options(on_commit=False) leaves at once, and stays after a rollback."""
    with pytest.raises(Undo), transaction.atomic():
        job = add.options(on_commit=False).enqueue_sync(1, 1)
        assert stored() == {job.id}
        raise Undo
    assert stored() == {job.id}


@committing
def test_opting_out_in_bulk(app: Ardiq, add: Task[..., int], stored: Stored) -> None:
    """D3: in a batch each call says for itself whether it waits for the commit."""
    calls = [add.options(on_commit=False).prepare(1, 1), add.prepare(2, 2)]
    with transaction.atomic():
        jobs = app.enqueue_many_sync(calls)
        assert stored() == {jobs[0].id}
    assert stored() == {job.id for job in jobs}
    assert [job.info_sync().args for job in jobs] == [[1, 1], [2, 2]]  # type: ignore[union-attr]


@committing
def test_opting_out_for_a_queue(redis_url: str, queue_name: str, stored: Stored) -> None:
    """D3: ENQUEUE_ON_COMMIT=False opts the queue out, and on_commit=True a call back in."""
    app = Ardiq(queue_name, redis_url=redis_url, enqueue_on_commit=False)
    task = app.task(name="t")(lambda: None)
    with transaction.atomic():
        now = task.enqueue_sync()
        later = task.options(on_commit=True).enqueue_sync()
        many = app.enqueue_many_sync([task.prepare(), task.options(on_commit=True).prepare()])
        assert stored() == {now.id, many[0].id}
    assert stored() == {now.id, many[0].id, later.id, many[1].id}


@pytest.fixture
def replica() -> Iterator[str]:
    """A second database: another connection, with transactions of its own."""
    connections["replica"] = connections["default"].copy("replica")
    yield "replica"
    connections["replica"].close()
    del connections["replica"]


@committing
def test_another_database(add: Task[..., int], app: Ardiq, stored: Stored, replica: str) -> None:
    """D1: using= names the database whose transaction counts, for one job and in a batch."""
    there = add.options(using=replica)
    with transaction.atomic():
        now = there.enqueue_sync(1, 1)
        assert stored() == {now.id}
    with transaction.atomic(using=replica):
        later = there.enqueue_sync(1, 1)
        many = app.enqueue_many_sync([there.prepare(1, 1), add.prepare(2, 2)])
        assert stored() == {now.id, many[1].id}
    assert stored() == {now.id, later.id, *(job.id for job in many)}


@committing
def test_async_enqueue_does_not_wait(add: Task[..., int], stored: Stored) -> None:
    """D1: a coroutine has no transaction of its own (Django's are those of a thread): it enqueues at once."""

    async def enqueue() -> str:
        return (await add.enqueue(1, 1)).id

    assert asyncio.run(enqueue()) in stored()


async def in_a_loop(task: Task[..., Any]) -> list[Job[Any]]:
    """One on its own, and a batch whose second call waits for a commit."""
    waiting = task.options(on_commit=True)
    calls = [task.options(task_id="now").prepare(1, 1), waiting.prepare(2, 2), waiting.prepare(3, 3)]
    return [await waiting.enqueue(1, 1), *await task.app.enqueue_many(calls)]


@committing
def test_async_code_can_wait(add: Task[..., int], stored: Stored) -> None:
    """D1: options(on_commit=True) looks for the transaction in the thread of Django's async ORM."""
    with transaction.atomic():
        jobs = async_to_sync(in_a_loop)(add)
        assert stored() == {"now"}
    assert stored() == {job.id for job in jobs}
    assert [job.info_sync().args[0] for job in jobs] == [1, 1, 2, 3]  # type: ignore[union-attr]
    with pytest.raises(Undo), transaction.atomic():
        async_to_sync(in_a_loop)(add)
        raise Undo
    assert stored() == {job.id for job in jobs}
    alone = asyncio.run(in_a_loop(add.app.task(name="other")(lambda a, b: None)))
    assert {job.id for job in alone} <= stored()


# -- views ----------------------------------------------------------------------------------------


def write_and_enqueue(name: str) -> None:
    with transaction.atomic():
        User.objects.create(username=name)
        Site.seen.append((Site.add.enqueue_sync(1, 1), Site.stored()))
        if name == "undone":
            raise Undo


class Site:
    """Views, and what they have enqueued: (job, what was in Redis right after the call)."""

    add: Any
    stored: Any
    seen: list[tuple[Job[Any], set[str]]]

    @staticmethod
    def sync_view(request: HttpRequest, name: str) -> HttpResponse:
        write_and_enqueue(name)
        return HttpResponse("ok")

    @staticmethod
    async def async_view(request: HttpRequest, name: str) -> HttpResponse:
        await sync_to_async(write_and_enqueue)(name)
        return HttpResponse("ok")

    @staticmethod
    def view_with_coroutine(request: HttpRequest, name: str) -> HttpResponse:
        async_to_sync(Site.async_view)(request, name)
        return HttpResponse("ok")

    @staticmethod
    def whole_request(request: HttpRequest, name: str) -> HttpResponse:
        """Under ATOMIC_REQUESTS."""
        assert transaction.get_connection().in_atomic_block
        return Site.sync_view(request, name)


urlpatterns = [
    path(f"{view.__name__}/<name>", transaction.non_atomic_requests(view))
    for view in (Site.sync_view, Site.async_view, Site.view_with_coroutine)
] + [path("whole_request/<name>", Site.whole_request)]


@pytest.fixture
def site(add: Task[..., int], stored: Stored, settings: Any) -> Iterator[type[Site]]:
    settings.ROOT_URLCONF = __name__
    Site.add, Site.stored, Site.seen = add, staticmethod(stored), []
    connections["default"].settings_dict["ATOMIC_REQUESTS"] = True
    yield Site
    connections["default"].settings_dict["ATOMIC_REQUESTS"] = False


async def by_asgi(path: str) -> None:
    await AsyncClient().get(path)


@committing
@pytest.mark.parametrize("view", ["sync_view", "async_view", "view_with_coroutine", "whole_request"])
@pytest.mark.parametrize("get", [Client().get, async_to_sync(by_asgi)], ids=["WSGI", "ASGI"])
def test_views(site: type[Site], stored: Stored, get: Callable[[str], Any], view: str) -> None:
    """D1: under both handlers, in sync and async views, in a request that is one transaction."""
    get(f"/{view}/kept")
    ((job, before),) = site.seen
    assert (before, stored()) == (set(), {job.id})
    with pytest.raises(Undo):
        get(f"/{view}/undone")
    assert (len(site.seen), stored()) == (2, {job.id})
    assert [user.username for user in User.objects.all()] == ["kept"]


# -- Django's own test cases ----------------------------------------------------------------------


@pytest.mark.usefixtures("lent", "redis_url", "queue_name")
class InATestCase(TestCase):
    add: Any
    stored: Any

    def test_only_the_wrapper_is_no_transaction(self) -> None:
        """D2: in a TestCase, which never commits, a job that is enqueued is enqueued."""
        job = self.add.enqueue_sync(1, 1)
        assert self.stored() == {job.id}

    def test_a_transaction_of_the_test_counts(self) -> None:
        """D2: atomic() in the code under test is one; its commit is captured as Django's own hooks are."""
        with self.captureOnCommitCallbacks() as hooks, transaction.atomic():
            job = self.add.enqueue_sync(1, 1)
        assert (len(hooks), self.stored()) == (1, set())
        with self.captureOnCommitCallbacks(execute=True), transaction.atomic():
            job = self.add.enqueue_sync(1, 1)
        assert self.stored() == {job.id}

    @classmethod
    def setUpTestData(cls) -> None:
        User.objects.create(username="x")


@pytest.mark.usefixtures("lent", "redis_url", "queue_name")
class InATransactionTestCase(TransactionTestCase):
    add: Any
    stored: Any

    def test_commits_are_real(self) -> None:
        """D2: in a TransactionTestCase jobs leave at the real commit."""
        with transaction.atomic():
            job = self.add.enqueue_sync(1, 1)
            assert self.stored() == set()
        assert self.stored() == {job.id}


@pytest.mark.django_db
def test_pytest_django_is_a_test_case(add: Task[..., int], stored: Stored) -> None:
    """D2: the same for pytest's django_db."""
    job = add.enqueue_sync(1, 1)
    assert stored() == {job.id}
