"""The page of one job: call, outcome, times and attempts, as much of it as the user may see."""

from __future__ import annotations

import re
import time
from dataclasses import replace
from datetime import date
from decimal import Decimal
from html import unescape

import pytest
from django.contrib.auth.models import User
from django.test import Client
from pytest_django.fixtures import Settings

from ardiq import current_job
from ardiq.adminui import reading
from ardiq.adminui import tries as tried
from ardiq.store import verbs
from tests.admin.conftest import CARD, LIST, Shop, SignIn, Work, job, page
from tests.admin.test_actions import confirm


def finished(shop: Shop, work: Work, id: str) -> str:
    while not shop.app.job(id).status_sync().finished:
        work()
        time.sleep(0.01)
    return id


def test_success(boss: Client, shop: Shop, work: Work) -> None:
    """L4: the result is there, as text that people can read."""
    value = {"rows": [1, 2], "day": date(2026, 11, 24), "sum": Decimal("1.50"), "who": "Ünïcode"}
    id = finished(shop, work, shop.give.enqueue_sync(value).id)
    text = page(boss, id)
    assert "Succeeded" in text and "2026-11-24" in text and "1.50" in text and "Ünïcode" in text
    for label in ("enqueued", "started", "ended", "waited", "ran"):
        assert f">{label}<" in text
    assert f"{LIST}?task=shop.give" in text and f"{LIST}?queue={shop.app.queue_name}" in text


def test_failure_with_attempts(boss: Client, shop: Shop, work: Work) -> None:
    """E4, F1: the error with its traceback, own frames marked, and every attempt with what it ran into."""
    id = finished(shop, work, shop.charge.enqueue_sync(7, CARD, 9.5).id)
    text = page(boss, id)
    assert "Failed" in text and "ValueError" in text and "Traceback" in text
    own, *_ = text.partition("</details>")[2].partition("</pre>")
    assert "tests/admin/conftest.py" in own and "ardiq/worker/" not in own
    assert re.search(r'<pre class="ardiq-text ardiq-library"[^>]*>  File &quot;[^&]*ardiq/worker/', text)
    assert [run.number for run in job(id).reading.runs] == [1, 2]
    assert text.count("card ******** declined for 9.5") >= 3
    assert "Run again" in text and "Abort" not in text.partition("<form")[0].partition("object-tools")[2]


def tries(client: Client, id: str) -> str:
    """Attempts as the list and the page of a job tell them, which is the same."""
    rows = re.findall(r"<tr>.*?</tr>", client.get(LIST).content.decode(), re.S)
    (row,) = [row for row in rows if id in row]
    listed, shown = re.search(r'class="field-tries">(.*?)<', row), page(client, id)
    assert listed
    assert re.search(rf'field-tries_made.*?class="readonly">{re.escape(listed[1])}[<;]', shown, re.S), shown
    return listed[1]


def test_attempts(boss: Client, shop: Shop, work: Work) -> None:
    """ADMIN 5.3, 5.4: how many were made, the one that runs among them, of how many there may be: by the
    task, or by its queue where that does not say."""
    failed = finished(shop, work, shop.charge.enqueue_sync(7, CARD, 9.5).id)
    assert tries(boss, failed) == "2/2"
    waits = shop.add.enqueue_sync(1)
    assert tries(boss, waits.id) == "0/4"
    own = shop.app.broker
    own.store.run(verbs.register(own.keys, "a" * 32, 30_000, {}))
    assert own.store.run(verbs.claim(own.keys, "a" * 32, 1, 30_000, 1, [("default", 1)])).jobs
    assert tries(boss, waits.id) == "1/4"
    assert [run.number for run in job(waits.id).reading.runs] == [1], "as many as the table of attempts has"
    confirm(boss, boss.get(f"{LIST}{failed}/retry/"))
    assert tries(boss, failed) == "0/2", "a retry by hand begins anew"


def test_attempts_without_a_bound(
    boss: Client, shop: Shop, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What nobody knows is not shown: the bound of an unknown task, of one that is tried without end, and of
    one whose bound was lowered below what the job has made."""
    foreign = shop.app.ref("shop.unknown").enqueue_sync()
    assert tries(boss, foreign.id) == "0"
    assert foreign.delete_sync()

    @shop.app.task(name="shop.endless", max_retries=4_000)
    async def endless() -> None: ...

    assert tries(boss, finished(shop, work, endless.enqueue_sync().id)) == "1"
    failed = finished(shop, work, shop.charge.enqueue_sync(7, CARD, 9.5).id)
    known = reading.definition(shop.app.queue_name, "shop.charge")
    assert known
    monkeypatch.setattr(tried, "definition", lambda queue, name: replace(known, max_retries=0))
    assert tries(boss, failed) == "2"


def test_secrets_are_masked_by_name(boss: Client, shop: Shop, work: Work) -> None:
    """S8: positional arguments have the names that the signature gives them; the error is masked, too."""
    by_position = finished(shop, work, shop.charge.enqueue_sync(7, CARD, 9.5).id)
    by_name = finished(shop, work, shop.charge.enqueue_sync(8, amount=9.5, card=CARD).id)
    nested = finished(shop, work, shop.give.enqueue_sync({"api_key": "sesame", "author": "ann"}).id)
    for id in (by_position, by_name):
        text = page(boss, id)
        assert CARD not in text and "card" in text and "9.5" in text
    text = page(boss, nested)
    assert "sesame" not in text and "ann" in text


def test_progress(boss: Client, sign_in: SignIn, shop: Shop, work: Work) -> None:
    """E4, S8: how far the job is, escaped, without the secrets of the call, and only for who may see those;
    a job that tells nothing has no such line."""

    @shop.app.task(name="shop.import")
    def load(total: int | None, token: str) -> None:
        told = current_job()
        assert told is not None
        told.progress(1_250_000, total, f"<b>{token}</b> & more")

    id = finished(shop, work, load.enqueue_sync(5_000_000, "sesame-street").id)
    text = page(boss, id)
    assert "1,250,000 of 5,000,000 (25 %): &lt;b&gt;********&lt;/b&gt; &amp; more" in text
    assert "sesame" not in text and "<b>" not in text
    assert "1,250,000" not in page(sign_in("view_job"), id)
    endless = finished(shop, work, load.enqueue_sync(None, "sesame-street").id)
    assert "1,250,000 done: " in page(boss, endless)
    silent = finished(shop, work, shop.add.enqueue_sync(1).id)
    assert "Progress" not in page(boss, silent)


def test_a_model_instance_is_not_fetched(boss: Client, shop: Shop, django_assert_num_queries: object) -> None:
    """It shows as what it is; that its row is gone does not matter."""
    user = User.objects.create(username="gone")
    id = shop.give.enqueue_sync(user).id
    key = user.pk
    user.delete()
    assert f"auth.user {key}" in page(boss, id)


def test_without_the_permission_to_see_payloads(sign_in: SignIn, shop: Shop, work: Work) -> None:
    """S7: no arguments, results, messages or tracebacks, in the list either."""
    clerk = sign_in("view_job")
    failed = finished(shop, work, shop.fail.enqueue_sync("inner secret").id)
    done = finished(shop, work, shop.give.enqueue_sync("outer secret").id)
    for text in (page(clerk, failed), page(clerk, done), clerk.get(LIST).content.decode()):
        assert "secret" not in text and "Traceback" not in text
    assert "RuntimeError" in clerk.get(LIST).content.decode()
    assert "no permission to see arguments" in page(clerk, failed)


def test_waiting_jobs(boss: Client, shop: Shop, settings: Settings) -> None:
    """Scheduled and queued ones have a page, also in a project without time zones."""
    scheduled = shop.add.options(delay_ms=7_200_000, expire_ms=60_000).enqueue_sync(1)
    queued = shop.add.enqueue_sync(1)
    for use_tz in (True, False):
        settings.USE_TZ = use_tz
        assert "(in 2 h)" in page(boss, scheduled.id) and "must start before" in page(boss, scheduled.id)
        assert "No worker serves the queue" in page(boss, queued.id)
        assert boss.get(LIST).status_code == 200


def test_large_payloads(boss: Client, shop: Shop, work: Work) -> None:
    """A list fetches only what it shows of them; the page shows their beginning."""
    big = finished(shop, work, shop.give.enqueue_sync("x" * 300_000).id)
    failed = finished(shop, work, shop.fail.enqueue_sync("y" * 300_000).id)
    text = boss.get(LIST).content.decode()
    assert big in text and "RuntimeError: ********" in text and len(text) < 100_000
    assert len(page(boss, big)) < 300_000
    assert "RuntimeError" in page(boss, failed)


def test_odd_ids(boss: Client, shop: Shop) -> None:
    """Ids that are addresses, paths or markup have a page under their own name."""
    for id in ("sync:1/2", "a b", "../x", "ä&b=c?d#e", "'\"<i>", "_do/abort", "x/change", "100%"):
        made = shop.add.options(task_id=id).enqueue_sync(1)
        listed = boss.get(LIST).content.decode()
        link = re.search(rf'href="({LIST}[^"]+/change/[^"]*)"', listed)
        assert link
        response = boss.get(unescape(link[1]))
        assert response.status_code == 200 and response.context["original"].pk == id
        assert made.delete_sync()
