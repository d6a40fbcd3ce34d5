"""The QuerySet over Redis: each public method does what it does over a database, or refuses."""

from __future__ import annotations

import asyncio
import inspect
import json
import pickle
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.db import NotSupportedError
from django.db.models import Count, F, Q, QuerySet

from ardiq.models import Job, Queue, Worker
from tests.admin.conftest import Shop, Work

WORKS = """
aaggregate acontains acount aearliest aexists afirst aget aggregate ain_bulk aiterator alast alatest all
as_manager complex_filter contains count db defer distinct earliest exists filter first get in_bulk iterator
last latest none only order_by ordered plan query reading resolve_expression reverse search select_related
source totally_ordered using values values_list
"""
WITHOUT = """
alias annotate create delete difference explain extra get_or_create intersection select_for_update union
update update_or_create
"""
REFUSES: dict[str, tuple[Any, ...]] = {
    **dict.fromkeys(WITHOUT.split(), ()),
    "bulk_create": ([],),
    "bulk_update": ([], []),
    "dates": ("at", "day"),
    "datetimes": ("at", "day"),
    "exclude": (Q(state="failed"),),
    "prefetch_related": ("x",),
    "raw": ("",),
}
ASYNC: dict[str, tuple[Any, ...]] = {
    "abulk_create": ([],),
    "abulk_update": ([], []),
    "acreate": (),
    "adelete": (),
    "aexplain": (),
    "aget_or_create": (),
    "aupdate": (),
    "aupdate_or_create": (),
}
NEWER = {"fetch_mode"}  # of Django 6.1: how related objects are fetched, and there are none


@pytest.fixture
def made(shop: Shop, work: Work) -> list[str]:
    """Ids, the newest first: queued, failed, succeeded."""
    succeeded = shop.add.enqueue_sync(1)
    work()
    failed = shop.fail.enqueue_sync()
    work()
    return [shop.add.enqueue_sync(2).id, failed.id, succeeded.id]


def keys(rows: Any) -> list[str]:
    return [row.pk for row in rows]


def test_every_public_method_has_been_thought_of() -> None:
    """A new Django may bring a new one."""
    public = {name for name, _ in inspect.getmembers(QuerySet) if not name.startswith("_")}
    assert public - set(WORKS.split()) - set(REFUSES) - set(ASYNC) - NEWER == set()


@pytest.mark.parametrize("name", REFUSES)
def test_refused(app: object, name: str) -> None:
    with pytest.raises(NotSupportedError, match="lie in Redis"):
        getattr(Job.objects.all(), name)(*REFUSES[name])


@pytest.mark.parametrize("name", ASYNC)
def test_refused_async(app: object, name: str) -> None:
    with pytest.raises(NotSupportedError):
        asyncio.run(getattr(Job.objects.all(), name)(*ASYNC[name]))


@pytest.mark.parametrize(
    "ask",
    [
        lambda jobs: jobs.filter(task__icontains="x"),
        lambda jobs: jobs.filter(state__gt="a"),
        lambda jobs: jobs.filter(at__isnull=True),
        lambda jobs: jobs.filter(worker="x"),
        lambda jobs: jobs.filter(lane="low"),
        lambda jobs: jobs.filter(~Q(state="failed")),
        lambda jobs: jobs.filter(Q(state="failed") | Q(task="x")),
        lambda jobs: jobs.filter(id=F("task")),
        lambda jobs: jobs.filter(pk__in=jobs.values("pk")),
        lambda jobs: jobs.distinct("task").count(),
        lambda jobs: jobs.aggregate(n=Count("pk")),
        lambda jobs: list(jobs.order_by("task")),
        lambda jobs: list(jobs.order_by("?")),
        lambda jobs: list(jobs.values_list("id", named=True)),
        lambda jobs: str(jobs.query),
        lambda jobs: Job(id="x").save(),
        lambda jobs: Job(id="x").delete(),
    ],
)
def test_what_redis_cannot_answer_is_refused(app: object, ask: Any) -> None:
    """Never a wrong answer instead: each raises when it is asked for."""
    with pytest.raises((NotSupportedError, Exception)) as caught:  # a field that is none: FieldError
        ask(Job.objects.all())
    assert isinstance(caught.value, NotSupportedError) or "worker" in str(caught.value)


@pytest.mark.django_db  # Django 6.1 asks a database how many ids in_bulk may name
def test_reading(made: list[str]) -> None:
    """What works, against the same jobs in a list."""
    jobs = Job.objects.all()
    assert keys(jobs) == made and len(jobs) == jobs.count() == 3 and jobs.exists() and bool(jobs)
    assert keys(jobs.reverse()) == keys(jobs.order_by("at")) == made[::-1]
    assert keys(Job.objects.all()[1:2]) == made[1:2] and Job.objects.all()[2].pk == made[2]
    assert keys(jobs.filter(state="failed")) == [made[1]]
    assert keys(jobs.filter(state__in=["failed", "queued"])) == made[:2]
    assert keys(jobs.filter(Q(state="failed") | Q(state="queued"))) == made[:2]
    assert keys(jobs.filter(state="failed").filter(state="queued")) == []
    assert keys(jobs.filter(task="shop.fail")) == [made[1]] and jobs.filter(task="shop.fail").count() == 1
    assert keys(jobs.filter(pk__in=made[:2], state="queued")) == made[:1]
    assert keys(jobs.search("FAI")) == [made[1]] and keys(jobs.search(made[2][:12])) == [made[2]]
    assert keys(jobs.none()) == [] and jobs.none().count() == 0
    assert jobs.get(pk=made[1]).state == "failed" and jobs.first().pk == made[0] and jobs.last().pk == made[2]
    assert jobs.latest("at").pk == made[0] and jobs.earliest("at").pk == made[2]
    assert set(jobs.in_bulk(made[:2])) == set(made[:2]) and jobs.in_bulk([]) == {}
    assert jobs.contains(jobs[0]) and not jobs.filter(state="failed").contains(jobs[0])
    assert keys(jobs.iterator()) == made and keys(jobs.distinct()) == made and keys(jobs.only("id")) == made
    assert list(jobs.values("id", "state")[:1]) == [{"id": made[0], "state": "queued"}]
    assert list(jobs.values_list("id", flat=True)) == made
    assert list(jobs.values_list("id", "task")[:1]) == [(made[0], "shop.add")]
    assert jobs.aggregate() == {}
    with pytest.raises(Job.DoesNotExist):
        jobs.get(pk="nope")
    with pytest.raises(Job.MultipleObjectsReturned):
        jobs.get(task="shop.add")


@pytest.mark.django_db(transaction=True)
def test_reading_async(made: list[str]) -> None:
    async def read() -> None:
        jobs = Job.objects.all()
        assert await jobs.acount() == 3 and await jobs.aexists()
        assert (await jobs.afirst()).pk == made[0] and (await jobs.alast()).pk == made[2]
        assert (await jobs.aget(pk=made[1])).task == "shop.fail"
        assert [job.pk async for job in jobs] == made
        assert [job.pk async for job in jobs.aiterator()] == made
        assert set(await jobs.ain_bulk(made)) == set(made)

    asyncio.run(read())


def test_pickling(made: list[str]) -> None:
    jobs = Job.objects.filter(state="failed")
    again = pickle.loads(pickle.dumps(jobs))
    assert keys(again) == [made[1]] and again[0].reading.error.type == "RuntimeError"
    assert keys(pickle.loads(pickle.dumps(Job.objects.all().query)).order_by or []) == []


def test_a_job_reads_itself_again(made: list[str], shop: Shop) -> None:
    job = Job.objects.get(pk=made[0])
    shop.app.job(made[0]).abort_sync()
    job.refresh_from_db()
    assert job.state == "aborted"


def test_few_rows(app: object) -> None:
    """Queues and workers: filtered and ordered in Python, by any field."""
    name = Queue.objects.get().pk
    assert keys(Queue.objects.filter(name=name, failed=0).order_by("-waiting")) == [name]
    assert Queue.objects.filter(waiting=7).count() == 0 and Worker.objects.count() == 0
    with pytest.raises(NotSupportedError):
        Queue.objects.filter(waiting__gt=0)


@pytest.mark.django_db
def test_dumpdata_has_nothing_of_ours(made: list[str]) -> None:
    """No database holds jobs, so that a dump of one holds none, and nothing of their payloads."""
    out = StringIO()
    # Of our app alone: other tests define models in other apps, whose tables exist only while they run.
    call_command("dumpdata", "ardiq", stdout=out)
    assert json.loads(out.getvalue()) == []
    assert list(Job.objects.using("default")) == []
    assert Job._base_manager.using("default").get(pk=made[0]).pk == made[0]


@pytest.mark.django_db
def test_migrations_are_up_to_date() -> None:
    call_command("makemigrations", "ardiq", check=True, dry_run=True, stdout=StringIO())
