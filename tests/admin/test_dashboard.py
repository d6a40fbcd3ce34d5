"""The dashboard: how all queues stand, for whom it is, and how it keeps itself up to date."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from pytest_django.fixtures import Settings

from ardiq import Ardiq, JobStatus
from ardiq.adminui import snapshot as snapshots
from ardiq.adminui.base import RedisAdmin
from ardiq.adminui.chart import Chart, Series
from ardiq.core.statistics import SUCCEEDED
from ardiq.store import statistics, verbs
from tests.admin.conftest import CARD, Shop, SignIn, Work
from tests.admin.test_list import round_trips
from tests.management.test_status import pretend
from tests.server import admin
from tests.topologies import mode
from tests.workers import until

PAGE = "/admin/ardiq/dashboard/"
Count = Callable[..., None]


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each look reads anew."""
    monkeypatch.setattr(snapshots, "KEPT", -1.0)


@pytest.fixture
def busy(shop: Shop, work: Work) -> Shop:
    """Jobs that have ended, one that waits, one that is scheduled."""
    for number in range(3):
        shop.add.enqueue_sync(number)
    charge = shop.charge.enqueue_sync(7, CARD, 9.5)
    for _ in range(20):  # a burst may end just before its retry is due
        work()
        if charge.status_sync() is JobStatus.FAILED:
            break
    shop.add.enqueue_sync(1)
    shop.add.options(delay_ms=60_000).enqueue_sync(1)
    return shop


def text(response: Any) -> str:
    """What a reader sees."""
    bare = re.sub(r"<[^>]+>", " ", response.content.decode())
    return re.sub(r"\s+", " ", bare)


def test_what_it_shows(boss: Client, busy: Shop) -> None:
    """Counts that lead to the list, charts with their numbers in tables, failures by what went wrong."""
    response = boss.get(PAGE)
    seen, markup = text(response), response.content.decode()
    for tile in ("1 Queued", "1 Scheduled", "0 Running", "3 Succeeded", "1 Failed"):
        assert tile in seen, tile
    assert f"/admin/ardiq/job/?state=failed&amp;queue={busy.app.queue_name}" in markup
    assert "3 succeeded, 1 failed" in seen and "1 retried" in seen
    assert (
        markup.count('class="ardiq-chart"') >= 4
        and len(response.context["charts"]) == 5
        and "As a table" in seen
    )
    assert "1 × builtins.ValueError" in seen or "1 × ValueError" in seen
    assert "shop.charge" in seen and "shop.add" in seen
    assert "no worker serves this queue" in seen and "manage.py ardiq_worker" in seen


def test_secrets_stay_secret(boss: Client, busy: Shop) -> None:
    """S8: the latest traceback says what the page of its job says, no more."""
    markup = boss.get(PAGE).content.decode()
    assert CARD not in markup and "Latest traceback" in markup


@pytest.mark.parametrize(
    ("granted", "words"),
    [
        ((), {"Workers": False, "Next schedules": False, "Failures by error": False, "declined": False}),
        (("view_job",), {"Failures by error": True, "declined": False, "Latest traceback": False}),
        (("view_job", "view_job_payload"), {"Failures by error": True, "declined": True}),
        (("view_worker",), {"Workers": True}),
        (("view_schedule",), {"Next schedules": True}),
    ],
)
def test_each_sees_what_is_theirs(
    sign_in: SignIn, busy: Shop, granted: tuple[str, ...], words: dict[str, bool]
) -> None:
    """S7: the permission for the dashboard is one for numbers; what other pages guard stays guarded."""
    response = sign_in("view_dashboard", *granted).get(PAGE)
    main = text(response).partition("Task queue Live")[2] or text(response)
    for word, shown in words.items():
        assert (f"{word}" in main.replace("No Workers", "")) is shown or word == "Workers", word
    assert ("state=failed" in response.content.decode()) is ("view_job" in granted)


WARNINGS = {
    "view_queue": ["by ann-marie: secret deployment"],
    "view_job": ["by ann-marie: secret deployment", "shop.add"],
    "view_worker": ["mute-7 has not been heard of for 4", "the event loop of stuck-8 has not turned for 4"],
    "view_schedule": ["shop.hourly: more than a minute late"],
}
NAMES = ("ann-marie", "secret deployment", "mute-7", "stuck-8", "shop.add", "shop.hourly")


@pytest.mark.parametrize("granted", ["", *WARNINGS])
def test_warnings_name_what_is_theirs(sign_in: SignIn, busy: Shop, redis_url: str, granted: str) -> None:
    """S7: what needs somebody is told to everybody; who, which and why to those who may see it elsewhere."""
    app, keys = busy.app, busy.app.broker.keys
    app.cron(every=1, name="shop.hourly")(lambda: None)
    app.pause_queue_sync("secret deployment", by="ann-marie")
    pretend(app, redis_url, "c" * 32, name="mute-7")
    pretend(app, redis_url, "d" * 32, name="stuck-8", behind=40_000)
    with admin(redis_url) as client:
        now = client.time()[0] * 1000
        client.hset(keys.worker("c" * 32), "seen", now - 40_000)
        client.hset(keys.cron, "mark:shop.hourly", now - 100_000)
    seen = text(sign_in("view_dashboard", *filter(None, [granted])).get(PAGE))
    theirs = " ".join(WARNINGS.get(granted, []))
    for words in WARNINGS.get(granted, []):
        assert words in seen, seen
    for name in NAMES:
        assert (name in seen) is (name in theirs), (name, seen)
    if granted != "view_worker":
        assert "a worker has not been heard of for 4" in seen
        assert "the event loop of a worker has not turned for 4" in seen
    if granted != "view_schedule":
        assert "1 recurring task is more than a minute late" in seen
    assert re.search(r"paused \d+ s ago", seen) and ("Slowest tasks" in seen) is (granted == "view_job")


def test_without_permission(sign_in: SignIn, busy: Shop) -> None:
    """S7: staff alone is not enough, for the page and for what it keeps asking."""
    client = sign_in("view_job", "view_queue")
    assert client.get(PAGE).status_code == client.get(f"{PAGE}?_live=1").status_code == 403


def test_queues_that_not_everybody_may_see(
    boss: Client, busy: Shop, settings: Settings, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S7: nothing of a hidden queue is on the page, nor in its sums."""
    settings.ARDIQ = {**settings.ARDIQ, "hidden": {"REDIS_URL": redis_url}}
    both = text(boss.get(PAGE))
    assert "hidden" in both
    monkeypatch.setattr(RedisAdmin, "has_queue_permission", lambda admin, request, queue: queue != "hidden")
    assert "hidden" not in text(boss.get(PAGE)) and "hidden" not in text(boss.get(f"{PAGE}?queue=hidden"))


@pytest.mark.parametrize(
    ("minutes", "periods"), [("60", 60), ("360", 36), ("4320", 432), ("x", 60), ("7", 60)]
)
def test_how_long_a_time(boss: Client, busy: Shop, minutes: str, periods: int) -> None:
    """One of four; what is none of them is the first."""
    response = boss.get(PAGE, {"minutes": minutes})
    assert len(response.context["charts"][0].moments) == periods
    assert "3 succeeded" in text(response)


def test_few_round_trips(boss: Client, busy: Shop) -> None:
    """R9: five at most, whatever there is; and ten people who look cost what one costs."""
    with round_trips() as seen:
        boss.get(PAGE)
    assert len(seen) <= 5
    snapshots.KEPT = 60.0
    boss.get(PAGE)
    with round_trips() as seen:
        boss.get(PAGE)
    assert not seen


def test_as_few_for_many_queues(boss: Client, busy: Shop, settings: Settings, redis_url: str) -> None:
    """R9: three queues of one server cost no more round trips than one. (Each has a node of its own on a
    Cluster, which is asked by itself.)"""
    more = [f"{busy.app.queue_name}-{number}" for number in (2, 3)]
    settings.ARDIQ = {**settings.ARDIQ, **{name: {"REDIS_URL": redis_url} for name in more}}
    for name in more:
        Ardiq(name).ref("shop.add").enqueue_sync(1)
    boss.get(PAGE)
    with round_trips() as seen:
        response = boss.get(PAGE)
    shown = [queue["name"] for queue in response.context["queues"]]
    assert shown == [busy.app.queue_name, *more] and "3 Queued" in text(response)
    assert "ValueError" in text(response)
    assert len(seen) <= 5 * (3 if "cluster" in mode() else 1)


def test_the_part_that_changes(boss: Client, busy: Shop) -> None:
    """The same address with _live=1 answers that part alone, and 304 while it is the same."""
    snapshots.KEPT = 60.0
    first = boss.get(f"{PAGE}?_live=1&minutes=360")
    markup = first.content.decode()
    assert 'id="ardiq-dashboard"' in markup and "<html" not in markup and "_live" not in markup

    def same() -> bool:
        """Ages of jobs are on it, in seconds, so that it is the same for less than one."""
        tag = boss.get(f"{PAGE}?_live=1&minutes=360")["ETag"]
        again = boss.get(f"{PAGE}?_live=1&minutes=360", headers={"if-none-match": tag})
        return again.status_code == 304 and not again.content

    until(same, 20, "the same part twice")
    other = boss.get(f"{PAGE}?_live=1&minutes=60", headers={"if-none-match": first["ETag"]})
    assert other.status_code == 200 and other["ETag"] != first["ETag"]


@pytest.mark.parametrize(("seconds", "there"), [(0, False), (30, True)])
def test_whether_it_keeps_itself_up_to_date(
    boss: Client, busy: Shop, settings: Settings, seconds: int, there: bool
) -> None:
    """ADMIN_REFRESH: 0 leaves the module out; there is a link to do it by hand anyway."""
    name = busy.app.queue_name
    settings.ARDIQ = {name: {**settings.ARDIQ[name], "ADMIN_REFRESH": seconds}}
    markup = boss.get(PAGE).content.decode()
    assert ("ardiq/live.js" in markup) is there and ('data-every="30"' in markup) is there
    assert "Refresh" in markup


def test_nothing_yet(boss: Client, app: Ardiq) -> None:
    """Whoever comes first is told how to begin."""
    seen = text(boss.get(PAGE))
    assert "No jobs yet" in seen and "enqueue_sync(2, 3)" in seen and "python manage.py ardiq_worker" in seen


def test_without_redis(boss: Client, settings: Settings) -> None:
    """503 in the frame of the admin, also for the part that changes, so that it is asked for again."""
    settings.ARDIQ = {"lost": {"REDIS_URL": "redis://127.0.0.1:1/0"}}
    for address in (PAGE, f"{PAGE}?_live=1"):
        response = boss.get(address)
        assert response.status_code == 503 and "127.0.0.1:1" in response.content.decode()


def test_hostile_names(boss: Client, app: Ardiq) -> None:
    """S7: whatever stands in Redis is text on the page."""
    evil = "<script>alert(1)</script>"
    own = app.broker
    own.store.run(
        statistics.count(own.keys, app.options.priorities, [(("low", evil), {SUCCEEDED: 1, "r3": 1, "R": 9})])
    )
    own.store.run(verbs.register(own.keys, "e" * 32, 30_000, {"name": evil, "concurrency": evil}))
    markup = boss.get(PAGE).content.decode()
    assert evil not in markup and "&lt;script&gt;" in markup


def test_a_chart_of_gaps() -> None:
    """What was not measured is no zero: the line is broken there, and the table leaves it out."""
    chart = Chart("t", [Series("p95", [1.0, None, 2.0, 3.0], "odd")], ["a", "b", "c", "d"], str)
    drawn = str(chart.svg())
    assert drawn.count("M") == 2 and "style" not in drawn
    assert [moment for moment, _ in chart.rows] == ["d", "c", "a"]
    assert Chart("t", [Series("x", [None, 0], "odd")], ["a", "b"], str).empty


def test_bars_stand_on_each_other() -> None:
    chart = Chart("t", [Series("a", [3], "good"), Series("b", [1], "bad")], ["m"], str, bars=True)
    assert chart.top == 4 and str(chart.svg()).count("<path") == 2
