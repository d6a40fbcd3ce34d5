"""Lanes of a queue that are paused and resumed by themselves in the admin."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client
from pytest_django.fixtures import Settings

from ardiq import Ardiq, JobStatus
from tests.admin.conftest import LIST, Shop, Work, page, told
from tests.admin.test_controls import QUEUES, do, text_of


def offered(client: Client, deed: str, *ids: str) -> list[str]:
    """The lanes that the page of a deed lets choose from, '' for all of them; none where it does not ask."""
    response = client.get(f"{QUEUES}_do/{deed}/", {"id": list(ids)})
    field = response.context["form"].fields.get("lane")
    assert ('name="lane"' in response.content.decode()) is bool(field)
    return [value for value, _ in field.choices] if field else []


def paused(app: Ardiq) -> list[tuple[str, str]]:
    return [(one.lane, one.reason) for one in app.pauses_sync()]


def test_one_lane(boss: Client, shop: Shop, work: Work) -> None:
    """ADMIN 5.5: its jobs wait, and say why; those of the others run. It is resumed by itself, and all of
    that is logged."""
    queue = shop.app.queue_name
    low, high = (shop.add.options(priority=lane).enqueue_sync(1) for lane in ("low", "high"))
    assert offered(boss, "pause", queue) == ["", "high", "default", "low"]
    assert told(do(boss, QUEUES, "pause", queue, lane="low", reason="the <b>mill</b>")) == [
        "Lane low is paused: the <b>mill</b>"
    ]
    assert paused(shop.app) == [("low", "the <b>mill</b>")]
    for address in (QUEUES, f"{QUEUES}{queue}/change/", LIST):
        text = text_of(boss, address)
        assert "aused by user0" in text and "the &lt;b&gt;mill&lt;/b&gt;" in text, address
    assert "Lanes are paused" in text_of(boss, QUEUES)
    work()
    assert [job.status_sync() for job in (low, high)] == [JobStatus.QUEUED, JobStatus.SUCCEEDED]
    assert "The lane low is paused by user0" in page(boss, low.id)
    assert offered(boss, "pause", queue) == ["", "high", "default"], "not what is paused already"
    assert offered(boss, "resume", queue) == [], "there is one pause, so that there is nothing to choose"
    assert told(do(boss, QUEUES, "resume", queue)) == ["Resumed."]
    work()
    assert low.status_sync() is JobStatus.SUCCEEDED
    entries = LogEntry.objects.order_by("pk").values_list("change_message", flat=True)
    assert list(entries) == ["Lane low is paused: the <b>mill</b>", "Resumed."]


def test_one_of_several_pauses(boss: Client, shop: Shop) -> None:
    """A lane that was paused by itself is resumed by itself, also while its queue is paused; all together are
    the first choice."""
    queue, app = shop.app.queue_name, shop.app
    for lane in ("low", "high"):
        assert told(do(boss, QUEUES, "pause", queue, lane=lane)) == [f"Lane {lane} is paused."]
    assert told(do(boss, QUEUES, "pause", queue, reason="all")) == ["Paused: all"]
    assert paused(app)[0] == ("", "all") and len(paused(app)) == 3
    lanes = offered(boss, "resume", queue)
    assert lanes[0] == "" and set(lanes[1:]) == {"low", "high"}
    assert told(do(boss, QUEUES, "resume", queue, lane="low")) == ["Lane low is resumed."]
    assert {lane for lane, _ in paused(app)} == {"", "high"}
    assert told(do(boss, QUEUES, "resume", queue, lane="")) == ["Resumed."]
    assert paused(app) == []


def test_nothing_else_is_taken_for_a_lane(boss: Client, shop: Shop) -> None:
    """What was chosen on an old page, or is no lane, is refused; it is never taken for all lanes."""
    queue, app = shop.app.queue_name, shop.app
    assert "not one of the available choices" in said(do(boss, QUEUES, "pause", queue, lane="nowhere"))
    for lane in ("low", "high"):
        app.pause_queue_sync(lane=lane)
    assert "not one of the available choices" in said(do(boss, QUEUES, "pause", queue, lane="low"))
    app.resume_queue_sync(lane="low")
    text = said(do(boss, QUEUES, "resume", queue, lane="low"))
    assert "Lane low cannot be chosen any more: this would be about all lanes." in text
    assert [lane for lane, _ in paused(app)] == ["high"] and not LogEntry.objects.exists()


def said(response: Any) -> str:
    return " ".join(response.content.decode().split())


@pytest.mark.parametrize("deed", ["pause", "resume"])
def test_where_there_is_nothing_to_choose(
    boss: Client, app: Ardiq, settings: Settings, redis_url: str, deed: str
) -> None:
    """Of a queue with one lane, and of several queues, all lanes are meant."""
    second = f"{app.queue_name}-2"
    settings.ARDIQ = {**settings.ARDIQ, second: {"REDIS_URL": redis_url, "PRIORITIES": ["default"]}}
    other = Ardiq(second)
    if deed == "resume":
        app.pause_queue_sync(lane="low")
        app.pause_queue_sync(lane="high")
        other.pause_queue_sync()
    assert offered(boss, deed, second) == []
    assert len(offered(boss, deed, app.queue_name)) > 2 and offered(boss, deed, app.queue_name, second) == []
    boss.post(f"{QUEUES}_do/{deed}/?id={app.queue_name}&id={second}", {"reason": ""}, follow=True)
    done = [[lane for lane, _ in paused(one)] for one in (app, other)]
    assert done == ([[""], [""]] if deed == "pause" else [[], []])
    if deed == "resume":
        return
    for one in (app, other):
        one.resume_queue_sync()
    chosen = {"reason": "", "lane": "low"}
    response = boss.post(f"{QUEUES}_do/pause/?id={app.queue_name}&id={second}", chosen)
    assert "Lane low cannot be chosen any more" in said(response) and paused(app) == paused(other) == []
