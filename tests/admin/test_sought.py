"""What the list is searched by beyond its columns: time, worker, attempts, arguments; honest and bounded."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime, timedelta
from html import unescape
from typing import Any

import pytest
from django.test import Client

from ardiq.adminui import sources
from ardiq.adminui.sought import path_in
from ardiq.store import browsing, verbs
from ardiq.store.browsing import Keep
from tests.admin.conftest import LIST, Shop, SignIn, Work, ids, job, page
from tests.admin.test_list import round_trips

DAY = 86_400_000


def shown(client: Client, query: str) -> str:
    response = client.get(LIST + query)
    assert response.status_code == 200
    return str(response.content.decode())


class TestArguments:
    def test_are_found_by_name_and_by_position(self, boss: Client, shop: Shop) -> None:
        by_name = shop.add.enqueue_sync(1, b=42).id
        by_position = shop.add.enqueue_sync(7, 42).id
        nested = shop.give.enqueue_sync({"user": {"id": 42, "tags": ["x", "vip"]}}).id
        other = shop.add.enqueue_sync(1, 43).id
        assert set(ids(boss, "?q=kwargs.b%3D42")) == {by_name, by_position}
        assert set(ids(boss, "?q=args.0=1")) == {by_name, other}
        assert ids(boss, "?q=args.1=42") == [by_position]
        assert ids(boss, "?q=kwargs.value.user.id=42") == [nested]
        assert ids(boss, "?q=args.0.user.tags.1=vip") == [nested]
        assert ids(boss, "?q=args.0.user.tags.9=vip") == ids(boss, "?q=kwargs.b=4") == []

    def test_together_with_filters(self, boss: Client, shop: Shop, work: Work) -> None:
        done = shop.add.enqueue_sync(1, 2).id
        work()
        shop.add.enqueue_sync(1, 2)
        assert ids(boss, "?q=args.1=2&state=succeeded") == [done]
        assert ids(boss, "?q=args.1=2&task=shop.give") == []

    def test_secrets_are_not_found_by_guessing(self, boss: Client, shop: Shop) -> None:
        """S8: what is masked on a page must not be told by whether it is found."""
        shop.charge.enqueue_sync(7, "4242", 9.5)
        assert ids(boss, "?q=kwargs.card=4242") == ids(boss, "?q=args.1=4242") == []
        assert len(ids(boss, "?q=args.2=9.5")) == 1

    def test_need_the_permission_to_see_them(self, sign_in: SignIn, shop: Shop) -> None:
        shop.add.enqueue_sync(1, 42)
        clerk = sign_in("view_job")
        assert ids(clerk, "?q=args.1=42") == []
        assert "no permission to see arguments" in shown(clerk, "?q=args.1=42")

    def test_large_calls_are_not_read_but_counted(self, boss: Client, shop: Shop) -> None:
        shop.give.enqueue_sync("x" * 10_000)
        small = shop.give.enqueue_sync("here").id
        assert ids(boss, "?q=args.0=here") == [small]
        assert "1 job was not looked into" in shown(boss, "?q=args.0=here")

    def test_the_search_is_bounded_and_goes_on(
        self, boss: Client, shop: Shop, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Never a wrong total: what was looked at, and a link to the rest."""
        monkeypatch.setattr(sources, "SEARCHED", 500)
        old = shop.give.enqueue_sync("here").id
        shop.app.enqueue_many_sync(shop.add.prepare(n) for n in range(1_100))
        query, pages = "?q=args.0=here", []
        while True:
            text = shown(boss, query)
            pages.append(
                re.sub(r"<[^>]+>", "", "".join(re.findall(r'<p class="ardiq-note">(.*?)</p>', text)))
            )
            further = re.search(r'<a href="([^"]*)">Continue with older ones', text)
            if further is None:
                break
            assert ids(boss, query) == []
            query = unescape(further[1])
        assert "Searched the newest 500 of 1,101 jobs." in pages[0]
        assert "Searched jobs 501 to 1,000 of 1,101" in pages[1]
        assert "Searched jobs 1,001 to 1,101 of 1,101" in pages[2] and len(pages) == 3
        assert ids(boss, query) == [old]

    def test_few_round_trips(self, boss: Client, shop: Shop) -> None:
        shop.app.enqueue_many_sync(shop.add.prepare(n, 1) for n in range(5_000))
        with round_trips() as seen:
            assert len(ids(boss, "?q=args.0=4321")) == 1
        assert len(seen) <= 5 + 3, "those of any list, and one for each 2,000 calls"

    @pytest.mark.parametrize(
        ("text", "is_one"),
        [
            ("kwargs.user=42", True), ("args.0=x", True), ('kwargs.a.b="x y"', True), ("args.0 = x", True),
            ("kwargs=1", False), ("args.x=1", False), ("user=42", False), ("shop.add", False),
        ],
    )  # fmt: skip
    def test_what_is_a_search_for_one(self, text: str, is_one: bool) -> None:
        assert (path_in(text) is not None) is is_one


class TestTime:
    def at(self, shop: Shop, **keep: Any) -> int:
        own = shop.app.broker
        places = browsing.places(browsing.STATUSES, own.options.priorities)
        size: int = own.store.run(browsing.size(own.keys, places, Keep(**keep)))
        found = own.store.run(browsing.stretch(own.keys, places, keep=Keep(**keep)))
        far = own.store.run(browsing.stretch(own.keys, places, far=True, keep=Keep(**keep)))
        assert size == len(found.spots) == len(far.spots)
        assert [spot.id for spot in far.spots] == [spot.id for spot in found.spots][::-1]
        return size

    def test_every_place_is_cut_by_it(self, shop: Shop, work: Work) -> None:
        """Ended, waiting and scheduled ones: counted and listed alike, from both ends."""
        shop.app.enqueue_many_sync(shop.add.prepare(n) for n in range(5))
        work()
        time.sleep(0.05)
        middle = int(time.time() * 1000)
        time.sleep(0.05)
        shop.app.enqueue_many_sync(shop.add.prepare(n) for n in range(7))
        shop.add.options(delay_ms=3_600_000).enqueue_sync(1)
        assert self.at(shop) == 13
        assert self.at(shop, until=middle) == 5
        assert self.at(shop, since=middle) == 8
        assert self.at(shop, since=middle, until=middle + 60_000) == 7
        assert self.at(shop, since=-60_000, until=-1) == 12
        assert self.at(shop, since=middle + DAY) == self.at(shop, until=1) == 0

    def test_choices_of_the_list(self, boss: Client, shop: Shop, work: Work) -> None:
        """The counts of states are those of the time; what is still to come is not of the last hour."""
        done = shop.add.enqueue_sync(1).id
        work()
        later = shop.add.options(delay_ms=3_600_000).enqueue_sync(1).id
        assert ids(boss, "?when=15m") == [done]
        text = shown(boss, "?when=1h")
        assert "Succeeded (1)" in text and "Scheduled (0)" in text
        now = datetime.now(UTC).replace(tzinfo=None)
        ahead = (now + timedelta(minutes=30)).isoformat(timespec="minutes")
        assert ids(boss, f"?since={ahead}Z") == [later]
        assert ids(boss, f"?until={ahead}Z") == [done]
        assert ids(boss, f"?since={ahead}Z&state=succeeded") == []

    def test_what_is_no_time_is_refused_as_in_any_admin(self, boss: Client, shop: Shop) -> None:
        shop.add.enqueue_sync(1)
        for bad in ("when=ever", "since=now", "worker=x", "from=-1", "until=2026-13-01"):
            assert boss.get(f"{LIST}?{bad}").headers["Location"].endswith("?e=1"), bad

    def test_few_round_trips(self, boss: Client, shop: Shop) -> None:
        shop.app.enqueue_many_sync(shop.add.prepare(n) for n in range(300))
        with round_trips() as seen:
            boss.get(f"{LIST}?when=1h")
        assert len(seen) <= 5


def test_tried_more_than_once(boss: Client, shop: Shop, work: Work) -> None:
    """Jobs that failed at least once, whether they wait, run or have ended."""

    @shop.app.task(name="shop.flaky", max_retries=4, backoff_ms=3_600_000)
    async def flaky() -> None:
        raise OSError

    shop.fail.enqueue_sync()
    twice, waits = shop.charge.enqueue_sync(1, "4242", 1.0), flaky.enqueue_sync()
    end = time.monotonic() + 10
    while not twice.status_sync().finished and time.monotonic() < end:
        work()
    assert set(ids(boss, "?tries=more")) == {twice.id, waits.id}


def test_the_list_says_what_can_be_searched_for(boss: Client, sign_in: SignIn, shop: Shop) -> None:
    """ADMIN 1: arguments, too, but not to those who may not search in them."""
    shop.add.enqueue_sync(1)

    def told(client: Client) -> str:
        found = re.search(r'ardiq-hint">(.*?)</p>', client.get(LIST).content.decode())
        assert found
        return unescape(found[1])

    assert "kwargs.user=42" in told(boss) and "args.0=x" in told(boss)
    clerk = told(sign_in("view_job"))
    assert "a part of the name of a task" in clerk and "args" not in clerk


def test_workers_are_offered(boss: Client, sign_in: SignIn, shop: Shop) -> None:
    """ADMIN 5.3: those that live, by name, for who may see workers; in no more round trips."""
    shop.add.enqueue_sync(1)
    own = shop.app.broker
    for id, lease, name in (("b" * 32, 30_000, "mails"), ("a" * 32, 30_000, ""), ("c" * 32, 1, "gone")):
        own.store.run(verbs.register(own.keys, id, lease, {"name": name, "host": "web1"}))
    time.sleep(0.05)  # its lease has run out
    with round_trips() as seen:
        text = shown(boss, "")
    assert len(seen) <= 5
    assert "?worker=bbbbbbbb" in text and "mails (bbbbbbbb)" in text and ">aaaaaaaa<" in text
    assert text.index("?worker=aaaaaaaa") < text.index("?worker=bbbbbbbb") and "cccccccc" not in text
    text = shown(boss, "?worker=cccccccc&queue=nowhere")
    assert ">cccccccc<" in text and "bbbbbbbb" not in text
    text = shown(sign_in("view_job"), "")
    assert "worker=" not in text and "mails" not in text
    for number in range(30):
        own.store.run(verbs.register(own.keys, f"{number:08x}{'0' * 24}", 30_000, {}))
    assert shown(boss, "").count("?worker=") == 20


def test_by_worker(boss: Client, shop: Shop, work: Work) -> None:
    first = shop.add.enqueue_sync(1).id
    work()
    second = shop.add.enqueue_sync(1).id
    work()
    record = job(first).view.record
    assert record is not None and re.fullmatch(r"[0-9a-f]{8}", record.worker)
    assert ids(boss, f"?worker={record.worker}") == [first] != [second]
    link = re.search(r'href="/admin/ardiq/job/(\?worker=[^"]+)"', page(boss, first))
    assert link and ids(boss, unescape(link[1])) == [first]
    assert "?worker=" not in page(boss, shop.add.enqueue_sync(1).id), "nobody has taken it"
