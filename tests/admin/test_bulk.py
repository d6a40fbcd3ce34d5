"""An action on all jobs of a filter, by workers; and jobs as a file."""

from __future__ import annotations

import csv
import json
import re
import time
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client

from ardiq import JobStatus, operations
from ardiq.core.job import JobStatus as Status
from ardiq.models import Job
from ardiq.operations import Order
from ardiq.signals import admin_action
from ardiq.store.browsing import Keep
from tests.admin.conftest import CARD, LIST, Shop, SignIn, Work, ids, told
from tests.workers import until

BULKS = f"{LIST}_bulk/"


def counts(shop: Shop) -> dict[JobStatus, int]:
    from ardiq.store import inspector

    own = shop.app.broker
    found = own.store.run(inspector.counts(own.keys, own.options.priorities))
    return {status: number for status, number in found.statuses.items() if number}


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """More than ten jobs are many."""
    monkeypatch.setattr("ardiq.adminui.doing.MOST", 10)


def start(client: Client, action: str, query: str = "", **form: Any) -> Any:
    """Select all of a filter, and confirm."""
    asked = client.post(
        f"{LIST}{query}", {"action": f"{action}_selected", "_selected_action": ["x"], "select_across": "1"}
    )
    assert asked.templates[0].name == "admin/ardiq/bulk_confirm.html"
    address = asked.context["do_url"] + "?" + asked.context["query"]
    return client.post(address, form, follow=True)


def fail_many(shop: Shop, work: Work, count: int) -> None:
    shop.app.enqueue_many_sync(shop.fail.prepare(str(n)) for n in range(count))
    work()


class TestOperations:
    def test_retry_all_failed_jobs(self, boss: Client, shop: Shop, work: Work, small: None) -> None:
        """Asked with counts by state, done by a worker, told on a page, logged once for the queue."""
        heard: list[Any] = []

        def hear(sender: Any, **kwargs: Any) -> None:
            heard.append((kwargs["action"], kwargs["count"]))

        fail_many(shop, work, 30)
        shop.app.enqueue_many_sync(shop.add.prepare(n) for n in range(3))
        admin_action.connect(hear)
        try:
            response = start(boss, "retry", "?state=failed", minutes="60")
        finally:
            admin_action.disconnect(hear)
        assert "Running" in response.content.decode() and heard == [("retry", 30)]
        assert LogEntry.objects.count() == 1
        work()
        found = counts(shop)
        assert found[Status.SCHEDULED] == 29 and found[Status.FAILED] == 1  # the first one ran at once
        (one,) = operations.latest(shop.app.broker, 5)
        assert (one.state, one.number("done"), one.number("looked")) == ("done", 30, 30)
        assert "30 of 30 looked at, 30 done" in boss.get(BULKS).content.decode()

    def test_only_what_fits_the_search(self, boss: Client, shop: Shop, work: Work, small: None) -> None:
        """Beyond what a search looks at, too."""
        shop.app.enqueue_many_sync(shop.add.prepare(n) for n in range(600))
        shop.app.enqueue_many_sync(shop.give.prepare(n) for n in range(30))
        work()
        start(boss, "delete", "?task=shop.give")
        work()
        left = counts(shop)
        assert left[Status.SUCCEEDED] == 600 + 1  # and the operation itself

    @pytest.mark.parametrize(
        ("action", "state", "after"),
        [
            ("abort", "queued", Status.ABORTED), ("delete", "queued", None),
            ("abort", "scheduled", Status.ABORTED), ("run", "scheduled", Status.QUEUED),
        ],
    )  # fmt: skip
    def test_what_waits(self, shop: Shop, action: str, state: str, after: Status | None) -> None:
        """More than a script takes out of a lane, so that stale ids stay there."""
        delay = {"delay_ms": 3_600_000} if state == "scheduled" else {}
        shop.app.enqueue_many_sync(shop.add.options(**delay).prepare(n) for n in range(1_250))
        own = shop.app.broker
        id = operations.start(own, Order(action, [Status(state)], Keep(), 1_250))
        assert operations.work_on(shop.app.queue_name, id) == "done"
        (one,) = operations.latest(own, 5)
        assert (one.state, one.number("done")) == ("done", 1_250)
        if after is Status.QUEUED:
            assert counts(shop)[after] == 1_251
        elif after is not None:
            assert counts(shop)[after] == 1_250

    def test_slow_and_cancelled(self, boss: Client, shop: Shop, small: None, redis_url: str) -> None:
        """A rate leaves the rest to a later job. Whoever may do it stops it, and that is told, too."""
        heard: list[Any] = []

        def hear(sender: Any, **told: Any) -> None:
            heard.append((sender, told["action"], told["queue"], told["count"], told["detail"]))

        shop.app.enqueue_many_sync(shop.add.prepare(n) for n in range(100))
        own = shop.app.broker
        start(boss, "abort", "?state=queued", per_second="2")
        (one,) = operations.latest(own, 5)
        begun = time.monotonic()
        assert operations.work_on(shop.app.queue_name, one.id) == "0 of 100"
        assert time.monotonic() - begun < 5
        (one,) = operations.latest(own, 5)
        assert one.number("done") == 10 and one.state == "running"
        admin_action.connect(hear)
        try:
            response = boss.post(f"{BULKS}cancel/{one.id}/", {"queue": shop.app.queue_name}, follow=True)
        finally:
            admin_action.disconnect(hear)
        detail = {"operation": one.id, "cancelled": "abort"}
        assert heard == [(Job, "cancel", shop.app.queue_name, 100, detail)]
        assert told(response) == ["It stops behind the jobs that it is working on."]
        assert operations.work_on(shop.app.queue_name, one.id) == "cancelled"
        assert counts(shop)[Status.ABORTED] == 10

    def test_the_page_keeps_itself_up_to_date(self, boss: Client, shop: Shop) -> None:
        """It has the part that live.js asks for, also while it is empty, and 304 while it is the same."""
        for total in (0, 40_000):
            if total:
                operations.start(shop.app.broker, Order("abort", [Status.QUEUED], Keep(), total))
            markup = boss.get(BULKS).content.decode()
            assert re.search(r'data-ardiq-live="[^"]*#ardiq-bulks', markup) and 'id="ardiq-bulks"' in markup
        assert "40,000" in markup and 'max="40000"' in markup

        def same() -> bool:
            tag = boss.get(f"{BULKS}?_live=1")["ETag"]
            return boss.get(f"{BULKS}?_live=1", headers={"if-none-match": tag}).status_code == 304

        until(same, 20, "the same page twice")  # how long ago things were changes once a second

    def test_it_goes_on_where_it_was(self, shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
        """J2: a slice whose job dies before it has written down how far it is runs again."""
        shop.app.enqueue_many_sync(shop.add.options(delay_ms=3_600_000).prepare(n) for n in range(900))
        own = shop.app.broker
        id = operations.start(own, Order("abort", [Status.SCHEDULED], Keep(), 900))
        real, died = operations.bulks.advance, []

        def dies(*args: Any) -> Any:
            if "looked" in args[2] and not died:
                died.append(1)
                raise RuntimeError("killed")
            return real(*args)

        monkeypatch.setattr(operations.bulks, "advance", dies)
        with pytest.raises(RuntimeError):
            operations.work_on(shop.app.queue_name, id)
        assert operations.work_on(shop.app.queue_name, id) == "done"
        assert counts(shop)[Status.ABORTED] == 900

    def test_who_may(self, sign_in: SignIn, shop: Shop, small: None) -> None:
        """S7: starting and cancelling need the permission of the action."""
        shop.app.enqueue_many_sync(shop.add.prepare(n) for n in range(20))
        clerk = sign_in("view_job", "retry_job")
        assert clerk.post(f"{BULKS}start/abort/").status_code == 403
        own = shop.app.broker
        id = operations.start(own, Order("abort", [Status.QUEUED], Keep(), 20))
        assert clerk.get(BULKS).status_code == 200
        assert clerk.post(f"{BULKS}cancel/{id}/", {"queue": shop.app.queue_name}).status_code == 403
        assert sign_in().get(BULKS).status_code == 403
        assert operations.latest(own, 1)[0].state == "running"

    def test_a_search_for_an_argument_stays_small(self, boss: Client, shop: Shop, small: None) -> None:
        """Workers cannot look into calls for it: the page takes as many as it can, and says what is left."""
        shop.app.enqueue_many_sync(shop.add.prepare(1) for n in range(20))
        asked = boss.post(
            f"{LIST}?q=args.0=1",
            {"action": "abort_selected", "_selected_action": ["x"], "select_across": "1"},
        )
        assert asked.context["fitting"] == 10 and asked.context["left"] == 10


def body(response: Any) -> str:
    assert response.status_code == 200
    return b"".join(response.streaming_content).decode()


class TestExport:
    def post(self, client: Client, kind: str, query: str = "", chosen: list[str] | None = None) -> Any:
        form = {"action": f"export_{kind}", "_selected_action": chosen or ["x"]}
        return client.post(LIST + query, form if chosen else {**form, "select_across": "1"})

    def test_as_csv(self, boss: Client, shop: Shop, work: Work) -> None:
        """S8: masked, and nothing that a spreadsheet would run."""
        shop.charge.enqueue_sync(7, CARD, 9.5)
        evil = shop.fail.enqueue_sync('=HYPERLINK("x")')
        work()
        text = body(self.post(boss, "csv"))
        rows = list(csv.DictReader(text.splitlines()))
        found = next(row for row in rows if row["id"] == evil.id)
        assert found["message"] == '\'=HYPERLINK("x")' and found["error"] == "RuntimeError"
        assert CARD not in text and "***" in text
        assert LogEntry.objects.count() == 1

    def test_as_json_page_by_page(self, boss: Client, shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("ardiq.adminui.export.PAGE", 30)
        monkeypatch.setattr("ardiq.adminui.export.MOST", 100)
        made = shop.app.enqueue_many_sync(shop.add.prepare(n) for n in range(130))
        rows = json.loads(body(self.post(boss, "json")))
        assert [row["id"] for row in rows] == [one.id for one in reversed(made)][:100]
        assert json.loads(rows[0]["arguments"]) == {"a": 129}
        few = [made[0].id, made[5].id]
        assert {row["id"] for row in json.loads(body(self.post(boss, "json", chosen=few)))} == set(few)

    def test_what_is_left_out_is_told(
        self, boss: Client, shop: Shop, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Nothing is cut off silently: the choice of the action, the name of the file and the next page tell;
        also of a search that has not looked at all jobs."""
        monkeypatch.setattr("ardiq.adminui.export.PAGE", 30)
        monkeypatch.setattr("ardiq.adminui.export.MOST", 1_000)
        made = shop.app.enqueue_many_sync(shop.add.prepare(n) for n in range(130))
        assert ">Export selected jobs as CSV (up to 1,000)</option>" in boss.get(LIST).content.decode()
        monkeypatch.setattr("ardiq.adminui.export.MOST", 100)

        def export(query: str = "", chosen: list[str] | None = None) -> tuple[str, int, list[str]]:
            response = self.post(boss, "json", query, chosen)
            name = re.search(r'filename="([^"]+)"', response["Content-Disposition"])
            count = len(json.loads(body(response)))
            return name[1] if name else "", count, told(boss.get(LIST))

        cut = "The file has the first 100 of 130 jobs, in the order of the list."
        assert export() == ("jobs-first-100-of-130.json", 100, [cut])
        assert export(chosen=[made[0].id]) == ("jobs.json", 1, []), "and it is told once"
        monkeypatch.setattr("ardiq.adminui.sources.SEARCHED", 50)
        searched = "Searched the newest 50 of 130 jobs."
        assert export("?task=shop.add") == ("jobs.json", 50, [searched])
        assert export("?task=shop.add", [made[-1].id]) == ("jobs.json", 1, [])

    def test_without_the_permission_to_see_payloads(self, sign_in: SignIn, shop: Shop) -> None:
        shop.give.enqueue_sync("secret")
        text = body(self.post(sign_in("view_job", "export_job"), "json"))
        assert "secret" not in text and "arguments" not in text and "shop.give" in text
        response = self.post(sign_in("view_job"), "csv")
        assert not response.streaming and ids(sign_in("view_job"))
