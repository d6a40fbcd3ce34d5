"""Who enqueued a job, and in which request: told by jobs where PROPAGATE names it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser, User
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory
from django.utils.functional import SimpleLazyObject

from ardiq import Ardiq, Job
from ardiq.core.outcome import read_call
from ardiq.origin import Origin, origin, read_origin, remember_request
from ardiq.store import inspector
from tests.workers import Working

ANN = User(username="ann")
HERE = {"request": "POST /cart/pay/", "user": "ann"}


@pytest.fixture
def app(redis_url: str, queue_name: str) -> Ardiq:
    return Ardiq(queue_name, redis_url=redis_url, propagate=["enqueued_by"], max_retries=0)


def told(job: Job[Any], app: Ardiq) -> Origin:
    """What a job tells of its origin."""
    [view] = app.broker.store.run(inspector.jobs(app.broker.keys, [job.id]))
    assert view is not None and view.record is not None
    meta = read_call(app.broker.codec, view.record)[2]
    return read_origin(meta.get("context", {}).get("enqueued_by"))


def request(user: Any = ANN, path: str = "/cart/pay/") -> HttpRequest:
    """One whose user somebody has asked for, as a view that needs a login has."""
    made = RequestFactory().post(f"{path}?card=4242")
    if user is not None:
        made._cached_user = user  # type: ignore[attr-defined]
    return made


def viewed(send: Callable[[], Any], made: HttpRequest) -> Any:
    """What ``send`` makes in a view."""
    found: list[Any] = []

    def view(request: HttpRequest) -> HttpResponse:
        found.append(send())
        return HttpResponse()

    remember_request(view)(made)
    assert origin() is None, "it ends with the request"
    return found[0]


def test_a_job_tells_who_enqueued_it(app: Ardiq) -> None:
    """ADMIN 5.4: its request without what stands behind the question mark, and its user; on every way."""
    add = app.task(name="add")(lambda: None)
    job = viewed(add.enqueue_sync, request())
    [many] = viewed(lambda: app.enqueue_many_sync([add.prepare()]), request())
    assert told(job, app) == told(many, app) == HERE
    assert told(add.enqueue_sync(), app) == {}, "outside of a request nobody is named"


def test_the_user_that_nobody_has_asked_for(app: Ardiq) -> None:
    """No session is read for it, and nobody is made up: neither for who is not signed in."""
    add = app.task(name="add")(lambda: None)
    for user in (None, AnonymousUser()):
        assert told(viewed(add.enqueue_sync, request(user)), app) == {"request": "POST /cart/pay/"}


def test_a_user_that_was_assigned(app: Ardiq) -> None:
    """By login(), logout(), a REST framework, or who acts for somebody else: that one counts, whomever the
    session names. One that nobody has looked at stays unlooked at."""
    add = app.task(name="add")(lambda: None)
    bea, looked = User(username="bea"), SimpleLazyObject(lambda: User(username="cyd"))
    assert str(looked.username) == "cyd"
    unlooked = SimpleLazyObject(lambda: pytest.fail("asked for"))

    def by(user: Any, cached: Any = ANN) -> str | None:
        made = request(cached)
        made.user = user
        return told(viewed(add.enqueue_sync, made), app).get("user")

    assert [by(bea), by(bea, None), by(looked), by(AnonymousUser()), by(None)] == [
        "bea",
        "bea",
        "cyd",
        None,
        None,
    ]
    assert [by(unlooked), by(unlooked, None), by(object())] == ["ann", None, None]


def test_an_async_view(app: Ardiq) -> None:
    add = app.task(name="add")(lambda: None)
    found: list[Any] = []

    async def view(made: HttpRequest) -> HttpResponse:
        await asyncio.sleep(0)
        found.append(await add.enqueue())
        return HttpResponse()

    asyncio.run(remember_request(view)(request()))  # type: ignore[arg-type]
    assert told(found[0], app) == HERE


def test_bounds(app: Ardiq) -> None:
    """However long they are, and whatever somebody else has written."""
    add = app.task(name="add")(lambda: None)
    long = told(viewed(add.enqueue_sync, request(User(username="u" * 500), f"/{'p' * 5_000}/")), app)
    assert {name: len(text) for name, text in long.items()} == {"request": 200, "user": 150}
    assert read_origin({"user": 7, "request": "x" * 900, "more": "y"}) == {"request": "x" * 200}
    assert read_origin(None) == read_origin("ann") == {}


def test_jobs_of_jobs_pass_it_on(app: Ardiq) -> None:
    """Also what a job enqueues has come of that request; one from elsewhere has not."""
    child = app.task(name="child")(lambda: None)

    @app.task(name="parent")
    def parent() -> str:
        return child.enqueue_sync().id

    first, other = viewed(parent.enqueue_sync, request()), parent.enqueue_sync()
    with Working(app):
        ids = [job.result_sync(timeout=20).value for job in (first, other)]
    assert [told(app.job(id), app) for id in ids] == [HERE, {}]


def test_off_by_default(redis_url: str, queue_name: str) -> None:
    app = Ardiq(queue_name, redis_url=redis_url)
    add = app.task(name="add")(lambda: None)
    assert told(viewed(add.enqueue_sync, request()), app) == {}
