"""The job list: every state and queue in one, nearest to now first; filters, counts, search and pages."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.test import Client
from pytest_django.fixtures import Settings

from ardiq import Ardiq, JobStatus, operations
from ardiq.adminui import lists, sources
from ardiq.operations import Order
from ardiq.store.browsing import Keep
from ardiq.store.client import Store
from ardiq.store.keys import Keys
from tests.admin.conftest import CARD, LIST, Shop, SignIn, Work, ids
from tests.server import admin
from tests.topologies import mode


@contextmanager
def round_trips() -> Iterator[list[int]]:
    """Counts the round trips of sync stores."""
    seen: list[int] = []
    real = Store.run_many

    def counting(self: Store, calls: Any) -> Any:
        seen.append(1)
        return real(self, calls)

    Store.run_many = counting  # type: ignore[method-assign]
    try:
        yield seen
    finally:
        Store.run_many = real  # type: ignore[method-assign]


@pytest.fixture
def mixed(shop: Shop, work: Work) -> dict[str, str]:
    """A job of every state but running: {state: id}."""
    made = {
        "succeeded": shop.add.enqueue_sync(1, 2).id,
        "failed": shop.charge.enqueue_sync(7, CARD, 9.5).id,
        "expired": shop.add.options(expire_ms=1).enqueue_sync(1).id,
    }
    time.sleep(0.01)
    work()
    while Store.run_many and not shop.app.job(made["failed"]).status_sync().finished:
        time.sleep(0.02)
        work()
    made["queued"] = shop.add.options(priority="high").enqueue_sync(3, 4).id
    made["scheduled"] = shop.add.options(delay_ms=3_600_000).enqueue_sync(5, 6).id
    aborted = shop.add.enqueue_sync(0)
    assert aborted.abort_sync()
    return {**made, "aborted": aborted.id}


def test_one_list_over_all_states(boss: Client, mixed: dict[str, str]) -> None:
    """L4: every job once; what is still to come stands where its time is as near as its neighbours'."""
    found = ids(boss)
    assert sorted(found) == sorted(mixed.values())
    assert found[-1] == mixed["scheduled"]
    text = boss.get(LIST).content.decode()
    for label in ("Succeeded (1)", "Failed (1)", "Scheduled (1)", "Queued (1)", "Running (0)", "Expired (1)"):
        assert label in text
    assert "shop.charge" in text and "ValueError: card ******** declined for 9.5" in text
    assert CARD not in text


def test_filters(boss: Client, mixed: dict[str, str], app: Ardiq) -> None:
    """By state, by queue, by task, and together."""
    for state, id in mixed.items():
        assert ids(boss, f"?state={state}") == [id]
    assert ids(boss, "?task=shop.charge") == [mixed["failed"]]
    assert ids(boss, "?task=shop.charge&state=queued") == []
    assert len(ids(boss, f"?queue={app.queue_name}")) == 6
    assert ids(boss, "?state__in=failed,queued&o=5.1") == [mixed["failed"], mixed["queued"]]


@pytest.mark.parametrize("query", ["?state=nonsense", "?queue=nowhere", "?task=no.such", "?q=nothing"])
def test_a_filter_that_fits_nothing_shows_nothing(boss: Client, mixed: dict[str, str], query: str) -> None:
    assert ids(boss, query) == []


def test_bad_queries_are_answered_as_in_any_admin(boss: Client, mixed: dict[str, str]) -> None:
    """A page or a lookup that is none, a field that is not offered, facets, a popup."""
    assert boss.get(LIST + "?p=x").status_code == 200
    assert boss.get(LIST + "?worker__exact=x").status_code == 400
    assert boss.get(LIST + "?state__contains=x").status_code == 400
    assert boss.get(LIST + "?_facets=True").status_code == 200
    assert boss.get(LIST + "?o=3.-2.99").status_code == 200
    assert boss.get(LIST + "?all=").status_code == 200
    response = boss.get(f"{LIST}nope/change/", follow=True)
    assert response.redirect_chain and "doesn’t exist" in response.content.decode()
    assert "kept for 24 h" in response.content.decode()


def test_search(boss: Client, mixed: dict[str, str]) -> None:
    """A whole id, the start of one, a part of a name."""
    assert ids(boss, f"?q={mixed['failed']}") == [mixed["failed"]]
    assert ids(boss, f"?q={mixed['failed'][:10]}") == [mixed["failed"]]
    assert ids(boss, "?q=CHARGE") == [mixed["failed"]]


def test_a_whole_id_is_found_without_a_search(boss: Client, mixed: dict[str, str]) -> None:
    """O(1): nothing is searched for a job that is there."""
    with round_trips() as seen:
        ids(boss, f"?q={mixed['failed']}")
    assert len(seen) <= 5


def test_pages_hold_every_job_once(boss: Client, shop: Shop, work: Work) -> None:
    """Merged over lanes and states, forwards and backwards."""
    made = [shop.add.prepare(n) for n in range(60)]
    made += [shop.add.options(priority="low").prepare(n) for n in range(50)]
    done = [job.id for job in shop.app.enqueue_many_sync(made)]
    work()
    late = [shop.add.options(priority=lane) for lane in ("low", "default", "high")]
    more = [job.id for job in shop.app.enqueue_many_sync(late[n % 3].prepare(n) for n in range(90))]
    for order in ("", "&o=5"):
        pages = [ids(boss, f"?p={number}{order}") for number in range(1, 5)]
        found = [id for page in pages for id in page]
        assert sorted(found) == sorted(done + more)
        newest, oldest = set(found[:90]), set(found[-90:])
        assert (oldest if order else newest) == set(more)


@pytest.mark.parametrize("query", ["", "?state=failed", "?p=2", "?task=shop.add", "?q=shop.ad", "?all="])
def test_few_round_trips(boss: Client, shop: Shop, query: str) -> None:
    """At most five, whatever is asked for."""
    shop.app.enqueue_many_sync(shop.add.prepare(n) for n in range(120))
    with round_trips() as seen:
        assert boss.get(LIST + query).status_code == 200
    assert 1 <= len(seen) <= 5


def test_a_bounded_search_says_so(boss: Client, shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """The numbers are those of what was looked at, and the page says what was not."""
    monkeypatch.setattr(sources, "SEARCHED", 500)
    monkeypatch.setattr("ardiq.adminui.filters.TALLIED", 1000)
    old = shop.give.enqueue_sync(1)
    shop.app.enqueue_many_sync(shop.add.prepare(n) for n in range(1_100))
    text = boss.get(LIST + "?task=shop.give").content.decode()
    assert "Searched the newest 500 of 1,101 jobs" in text and old.id not in text
    assert "task, among the newest 1,000" in text
    assert "Searched" not in boss.get(LIST).content.decode()


def test_a_merged_list_ends_and_says_so(boss: Client, shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """A list of one state goes to its end."""
    monkeypatch.setattr(lists, "DEEPEST", 2)
    shop.app.enqueue_many_sync(shop.add.prepare(n) for n in range(160))
    assert "ends after 2 pages" in boss.get(LIST + "?p=2").content.decode()
    assert boss.get(LIST + "?p=3").headers["Location"].endswith("?e=1")
    assert len(ids(boss, "?state=queued&p=4")) == 10


def test_no_jobs_yet(boss: Client, shop: Shop) -> None:
    """An example, and what to start."""
    text = boss.get(LIST).content.decode()
    assert "No jobs yet" in text and ".enqueue(" in text and "python manage.py ardiq_worker" in text
    shop.add.enqueue_sync(1)
    text = boss.get(LIST).content.decode()
    assert "No jobs yet" not in text and "no worker is running" in text


def test_expired_records_leave_the_list(boss: Client, shop: Shop, work: Work, redis_url: str) -> None:
    """A queue in which nothing ends any more is tidied by whoever looks at it."""
    gone = [shop.add.enqueue_sync(n).id for n in range(3)]
    work()
    kept = shop.fail.enqueue_sync().id
    work()
    keys = Keys(shop.app.queue_name)
    with admin(redis_url) as client:
        client.delete(*(keys.job(id) for id in gone))
    assert ids(boss) == [kept]
    assert "Succeeded (0)" in boss.get(LIST).content.decode()


def test_what_cannot_be_read_is_listed(
    sign_in: SignIn, shop: Shop, redis_url: str, settings: Settings
) -> None:
    """S3: under another SECRET_KEY calls do not verify, and a record may be of a newer version."""
    job = shop.add.enqueue_sync(1, 2)
    settings.SECRET_KEY = "another"
    boss = sign_in(superuser=True)
    assert ids(boss) == [job.id]
    text = boss.get(f"{LIST}{job.id}/change/").content.decode()
    assert "cannot be read" in text and "signature" in text
    with admin(redis_url) as client:
        client.setrange(Keys(shop.app.queue_name).job(job.id), 0, b"?")
    assert ids(boss) == [job.id]
    assert "unreadable" in boss.get(f"{LIST}{job.id}/change/").content.decode()


@pytest.fixture
def two(app: Ardiq, redis_url: str, queue_name: str, settings: Settings) -> Iterator[list[Ardiq]]:
    """A second queue in settings."""
    other = f"{queue_name}-b"
    settings.ARDIQ = {name: {"REDIS_URL": redis_url} for name in (queue_name, other)}
    yield [Ardiq(queue_name), Ardiq(other)]
    with admin(redis_url) as client:
        for key in client.scan_iter(Keys(other).prefix + "*"):
            client.unlink(key)


@pytest.fixture
def six(app: Ardiq, redis_url: str, queue_name: str, settings: Settings) -> Iterator[list[Ardiq]]:
    """Six queues on one server, each with some jobs."""
    names = [queue_name, *(f"{queue_name}-{number}" for number in range(5))]
    settings.ARDIQ = {name: {"REDIS_URL": redis_url} for name in names}
    apps = [Ardiq(name) for name in names]
    for each in apps:
        each.enqueue_many_sync(each.ref("shop.any").prepare(n, who="ann") for n in range(30))
    yield apps
    with admin(redis_url) as client:
        for each in apps[1:]:
            for key in client.scan_iter(Keys(each.queue_name).prefix + "*"):
                client.unlink(key)


@pytest.mark.parametrize(
    ("query", "shown"),
    [
        ("", 50), ("?p=4", 30), ("?o=5", 50), ("?state=queued", 50), ("?when=1h", 50), ("?tries=more", 0),
        ("?when=1h&state=queued", 50), ("?task=shop.any", 50), ("?q=shop.an", 50), ("?q=kwargs.who=ann", 50),
        ("?worker=abababab", 0), ("?queue={queue}", 30), ("?queue={queue}&when=1h", 30),
        ("?queue={queue}&state=failed", 0), ("?queue={queue}&q=shop", 30), ("?q={id}", 1), ("?q=nothing", 0),
    ],
)  # fmt: skip
def test_as_few_for_many_queues(boss: Client, six: list[Ardiq], query: str, shown: int) -> None:
    """R9: six queues of one server cost no more round trips than one. (Each has a node of its own on a
    Cluster, which is asked by itself.)"""
    last = six[-1].ref("shop.any").enqueue_sync(1) if "{id}" in query else None
    asked = query.format(queue=six[3].queue_name, id=last.id if last else "")
    with round_trips() as seen:
        assert len(ids(boss, asked)) == shown
    assert 1 <= len(seen) <= 5 * (6 if "cluster" in mode() else 1)


def test_other_pages_over_many_queues(boss: Client, six: list[Ardiq]) -> None:
    """R9: the page of a job, which may be in any of them, and that of bulk operations."""
    job = six[4].ref("shop.any").enqueue_sync(1)
    for each in six:
        operations.start(each.broker, Order("retry", [JobStatus.FAILED], Keep(), 1))
    for address in (f"{LIST}{job.id}/change/", f"{LIST}_bulk/"):
        with round_trips() as seen:
            text = boss.get(address).content.decode()
        assert six[4].queue_name in text, address
        assert len(seen) <= 5 * (6 if "cluster" in mode() else 1), address


def test_an_argument_in_many_queues(boss: Client, six: list[Ardiq], monkeypatch: pytest.MonkeyPatch) -> None:
    """R9: calls are read in READS steps at most, however many there are; each job is found once."""
    monkeypatch.setattr(sources, "READ", 10)
    made = [each.ref("shop.any").enqueue_sync(number, who="bob").id for number, each in enumerate(six)]
    with round_trips() as seen:
        assert sorted(ids(boss, "?q=kwargs.who=bob")) == sorted(made)
    assert len(seen) <= (4 + sources.READS) * (6 if "cluster" in mode() else 1)
    assert ids(boss, "?q=args.0=3&o=5")[0] != made[3] == ids(boss, "?q=args.0=3")[0]


def test_queues_are_merged(boss: Client, two: list[Ardiq]) -> None:
    """One list, in order of time, and a filter that tells them apart."""
    made = []
    for n in range(20):
        made.append(two[n % 2].send_sync("shop.any", n).id)
        time.sleep(0.002)
    assert ids(boss) == made[::-1]
    assert ids(boss, "?o=5") == made
    assert ids(boss, f"?queue={two[1].queue_name}") == made[1::2][::-1]
    assert f"{two[1].queue_name} (10)" in boss.get(LIST).content.decode()


def test_an_id_in_two_queues(boss: Client, two: list[Ardiq]) -> None:
    """The queue that settings name first is meant, the page says so, and no action guesses."""
    for app in two:
        app.ref("shop.any").options(task_id="same").enqueue_sync()
    second = two[1]
    assert ids(boss) == ["same", "same"]
    text = boss.get(f"{LIST}same/change/").content.decode()
    assert f"another job of this id in {second.queue_name}" in text
    response = boss.post(LIST, {"action": "abort_selected", "_selected_action": ["same"]}, follow=True)
    assert "also in another queue" in response.content.decode()
    filtered = f"_changelist_filters=queue%3D{second.queue_name}"
    asked = boss.get(f"{LIST}same/abort/?{filtered}")
    assert json.loads(asked.context["pairs"]) == [[second.queue_name, "same"]]


def test_queues_and_workers(boss: Client, shop: Shop, sign_in: SignIn) -> None:
    """Few rows, read only, from the same kind of QuerySet."""
    shop.add.enqueue_sync(1)
    shop.add.options(priority="high").enqueue_sync(1)
    text = boss.get("/admin/ardiq/queue/").content.decode()
    assert shop.app.queue_name in text and "high 1, default 1, low 0" in text and "Nobody works here" in text
    assert boss.get(f"/admin/ardiq/queue/{shop.app.queue_name}/change/").status_code == 200
    assert boss.get("/admin/ardiq/worker/").status_code == 200


def test_a_worker_is_listed(boss: Client, app: Ardiq) -> None:
    """With its name, its place and what it does."""
    from ardiq.store import verbs

    about = {"name": "mails", "host": "web1", "pid": "7", "concurrency": "16", "lanes": "low,default,high"}
    about |= {"version": "1.2.0", "django": "6.1.3", "python": "3.13.0"}
    app.broker.store.run(verbs.register(app.broker.keys, "f" * 32, 30_000, about))
    app.broker.store.run(verbs.renew(app.broker.keys, "f" * 32, 30_000, {"running": 3, "processed": 12}))
    text = boss.get("/admin/ardiq/worker/").content.decode()
    assert "mails" in text and "3 of 16" in text and "12" in text
    assert "web1 · 7" in text and "ardiq 1.2.0, Django 6.1.3, Python 3.13.0" in text
    text = boss.get(f"/admin/ardiq/worker/{'f' * 32}/change/").content.decode()
    assert "low, default, high" in text
