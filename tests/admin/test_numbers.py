"""Numbers with separators are for people: attributes have them as machines read them, on every page."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser

import pytest
from django.contrib.auth.models import Group
from django.test import Client
from django.utils import translation
from pytest_django.fixtures import Settings

from ardiq import operations
from ardiq.adminui import snapshot
from ardiq.core.job import JobStatus
from ardiq.operations import Order
from ardiq.store import verbs
from ardiq.store.browsing import Keep
from tests.admin.conftest import LIST, Shop, Work

NUMBER = re.compile(r"-?\d+(\.\d\d?)?(rem|px|%)?")  # 40.000 is no number: nothing here has thousandths
# Attributes that are numbers on any element, and those that are numbers on some.
EVERYWHERE = {"max", "min", "width", "height", "x", "y", "colspan", "rowspan", "tabindex", "data-every"}
VALUED = {"progress", "meter", "li"}
WORKER = "ab" * 16


class Numbers(HTMLParser):
    """Finds the attributes of a page that are, or hold, no numbers for machines."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []
        self.wrong: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        numeric = {*EVERYWHERE, *(["value"] if tag in VALUED or given.get("type") == "number" else [])}
        for name, value in given.items():
            told = f"<{tag} {name}={value!r}>"
            if name in numeric and value:
                self.seen.append(told)
                good = NUMBER.fullmatch(value) is not None
            elif name in ("d", "viewbox", "points"):
                good = "," not in value and re.search(r"\d\.\d+\.", value) is None
            else:  # 40,000 or 40.000 in an address, an id, or what scripts read
                good = name not in ("href", "action", "id") or not re.search(
                    r"\d[.,\u202f\xa0]\d{3}\b", value
                )
            if not good:
                self.wrong.append(told)


@pytest.fixture
def pages(
    shop: Shop, work: Work, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> Iterator[dict[str, str]]:
    """A page of each kind, with numbers above a thousand where there can be some."""
    settings.USE_THOUSAND_SEPARATOR = True
    settings.LANGUAGE_CODE = "de"
    monkeypatch.setattr(snapshot, "KEPT", -1.0)
    app, own = shop.app, shop.app.broker

    @app.cron(every=3_600, name="shop.nightly")
    async def nightly() -> None: ...

    @app.task(name="shop.report", admin_enqueue=True)
    def report(count: int = 40_000, ratio: float = 1_234.5) -> None: ...

    made = [shop.fail.enqueue_sync(str(number)) for number in range(3)]
    work()
    scheduled = report.options(delay_ms=60_000).enqueue_sync(50_000, 1_234.5)
    told = {"name": "w1", "concurrency": "2000", "running": "1500"}
    own.store.run(verbs.register(own.keys, WORKER, 30_000, told))
    operations.start(own, Order("retry", [JobStatus.FAILED], Keep(), 40_000))
    queue, jobs = app.queue_name, "/admin/ardiq/job/"
    with translation.override("de"):
        yield {
            "dashboard": "/admin/ardiq/dashboard/?minutes=4320", "list": jobs, "search": f"{jobs}?q=shop",
            "job": f"{jobs}{made[0].id}/change/", "scheduled": f"{jobs}{scheduled.id}/change/",
            "again": f"{jobs}{made[0].id}/again/", "history": f"{jobs}{made[0].id}/history/",
            "bulk": f"{jobs}_bulk/", "tasks": f"{jobs}add/", "form": f"{jobs}add/?task={queue}/shop.report",
            "duplicate": f"{jobs}add/?from={scheduled.id}", "queues": "/admin/ardiq/queue/",
            "queue": f"/admin/ardiq/queue/{queue}/change/?minutes=4320",
            "pause": f"/admin/ardiq/queue/_do/pause/?id={queue}", "workers": "/admin/ardiq/worker/",
            "worker": f"/admin/ardiq/worker/{WORKER}/change/", "schedules": "/admin/ardiq/schedule/",
            "schedule": f"/admin/ardiq/schedule/{queue}:shop.nightly/change/",
            "outbox": "/admin/ardiq/outbox/",
            "group": f"/admin/auth/group/{Group.objects.create(name='x').pk}/change/",
        }  # fmt: skip


def check(response: object) -> list[str]:
    assert getattr(response, "status_code", 0) == 200
    found = Numbers()
    found.feed(response.content.decode())  # type: ignore[attr-defined]
    assert not found.wrong
    return found.seen


def test_every_page(boss: Client, shop: Shop, pages: dict[str, str]) -> None:
    """Under USE_THOUSAND_SEPARATOR, in a language that writes 40.000,5 for 40000.5."""
    seen = {name: check(boss.get(address)) for name, address in pages.items()}
    assert "<progress max='40000'>" in seen["bulk"]
    assert "<meter max='2000'>" in seen["dashboard"] and "<meter value='1500'>" in seen["dashboard"]
    assert "<input value='50000'>" in seen["duplicate"] and "<input value='1234.5'>" in seen["duplicate"]


def test_pages_that_ask(
    boss: Client, shop: Shop, pages: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A week has 10,080 minutes, over which jobs may be spread."""
    form = {"action": "retry_selected", "_selected_action": ["x"], "select_across": "1"}
    assert "<input max='10080'>" in check(boss.post(f"{LIST}?state=failed", form))
    monkeypatch.setattr("ardiq.adminui.doing.MOST", 1)
    response = boss.post(f"{LIST}?state=failed", form)
    assert response.templates[0].name == "admin/ardiq/bulk_confirm.html"
    assert "<input max='10080'>" in check(response)
