"""The panel of the debug toolbar: what a request has enqueued, and nothing of any other."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.conf import settings
from django.contrib import admin
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.test import AsyncClient, Client, override_settings
from django.urls import include, path

from ardiq import Ardiq
from ardiq.contrib.debug_toolbar import MOST

Views = dict[str, Callable[..., Any]]

views: Views = {}
PAGE = "<html><body>done</body></html>"


def call(request: HttpRequest, name: str) -> HttpResponse:
    views[name]()
    return HttpResponse(PAGE)


async def acall(request: HttpRequest, name: str) -> HttpResponse:
    await views[name]()
    return HttpResponse(PAGE)


class Urls:
    """A URLconf that is made when the toolbar is installed: not before can its models be imported."""

    def __init__(self) -> None:
        self.urlpatterns = [
            path("sync/<name>/", call),
            path("async/<name>/", acall),
            path("__debug__/", include("debug_toolbar.urls")),
            path("admin/", admin.site.urls),
        ]


@pytest.fixture(autouse=True)
def toolbar() -> Iterator[None]:
    """A project with the toolbar, and with this panel alone."""
    views.clear()
    with (
        override_settings(DEBUG=True, INSTALLED_APPS=[*settings.INSTALLED_APPS, "debug_toolbar"]),
        override_settings(
            ROOT_URLCONF=Urls(),
        MIDDLEWARE=["debug_toolbar.middleware.DebugToolbarMiddleware", *settings.MIDDLEWARE],
        DEBUG_TOOLBAR_PANELS=["ardiq.contrib.debug_toolbar.JobsPanel"],
        DEBUG_TOOLBAR_CONFIG={
            "SHOW_TOOLBAR_CALLBACK": lambda request: True, "IS_RUNNING_TESTS": False, "RENDER_PANELS": True,
        },
    )):  # fmt: skip
        from debug_toolbar.toolbar import DebugToolbar

        DebugToolbar._panel_classes = None
        yield
        DebugToolbar._panel_classes = None


def test_jobs_of_a_request(app: Ardiq) -> None:
    """Task, queue, lane, size, and a link to the page of the job; delayed ones are told apart."""
    pay = app.task(name="shop.pay", priority="high")(lambda amount: None)
    jobs = []

    def view() -> None:
        jobs.append(pay.enqueue_sync(5))
        jobs.append(pay.options(delay_ms=60_000).enqueue_sync(6))

    views["two"] = view
    page = Client().get("/sync/two/").content.decode()
    assert "2 jobs enqueued" in page and "shop.pay" in page and "(delayed)" in page
    for job in jobs:
        assert job.id in page
    assert f"/admin/ardiq/job/{jobs[0].id}/change/" in page
    views["none"] = lambda: None
    page = Client().get("/sync/none/").content.decode()
    assert "0 jobs enqueued" in page and "No jobs were enqueued" in page and "shop.pay" not in page


def test_jobs_of_tasks_of_django(app: Ardiq, squared: Any) -> None:
    """J7: also when some were enqueued before the first request."""
    squared.enqueue(1)
    views["one"] = lambda: squared.enqueue(2)
    page = Client().get("/sync/one/").content.decode()
    assert "1 job enqueued" in page and "tests.parlour.tasks.squared" in page


@pytest.mark.django_db(transaction=True)
def test_jobs_that_leave_at_commit_are_seen(app: Ardiq) -> None:
    """D1: they are enqueued by this request, whenever they leave."""
    pay = app.task(name="shop.pay")(lambda: None)

    def view() -> None:
        with transaction.atomic():
            pay.enqueue_sync()

    views["commit"] = view
    assert "1 job enqueued" in Client().get("/sync/commit/").content.decode()


def test_jobs_of_an_async_view(app: Ardiq) -> None:
    @app.task(name="shop.mail")
    async def mail() -> None: ...

    async def view() -> None:
        await mail.enqueue()
        await asyncio.gather(*(mail.enqueue() for _ in range(2)))

    views["mail"] = view

    async def main() -> str:
        response = await AsyncClient().get("/async/mail/")
        return str(response.content.decode())

    page = asyncio.run(main())
    assert "3 jobs enqueued" in page and "shop.mail" in page


def test_requests_at_once_do_not_see_each_other(app: Ardiq) -> None:
    one, two = (app.task(name=name)(lambda: None) for name in ("only.one", "only.two"))
    both = threading.Barrier(2)

    def view(task: Any) -> Callable[[], None]:
        def enqueue() -> None:
            both.wait(10)
            task.enqueue_sync()
            both.wait(10)

        return enqueue

    views.update(one=view(one), two=view(two))
    pages: dict[str, str] = {}

    def get(name: str) -> None:
        pages[name] = Client().get(f"/sync/{name}/").content.decode()

    threads = [threading.Thread(target=get, args=(name,)) for name in ("one", "two")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert "only.one" in pages["one"] and "only.two" not in pages["one"]
    assert "only.two" in pages["two"] and "only.one" not in pages["two"]


def test_very_many_are_counted_and_not_all_shown(app: Ardiq) -> None:
    pay = app.task(name="shop.pay")(lambda n: None)
    views["many"] = lambda: app.enqueue_many_sync(pay.prepare(n) for n in range(MOST + 20))
    page = Client().get("/sync/many/").content.decode()
    assert f"{MOST + 20} jobs enqueued" in page and "20 more are not shown" in page
