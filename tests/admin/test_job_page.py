"""What a job's page tells beyond its call: its life, why it waits, its log, its rows, and its relatives."""

from __future__ import annotations

import logging
import re
import time

from django.contrib.auth.models import User
from django.db import connection
from django.http import HttpRequest, HttpResponse
from django.test import Client, RequestFactory
from django.test.utils import CaptureQueriesContext
from pytest_django.fixtures import Settings

from ardiq import Ardiq, Job, JobStatus, current_job, owners
from ardiq.adminui.timeline import steps
from ardiq.origin import remember_request
from ardiq.signals import admin_action
from ardiq.store import controls, verbs
from tests.admin.conftest import LIST, Shop, SignIn, Work, job, page, told
from tests.admin.test_actions import confirm

W = "e" * 32


def worker(shop: Shop, slots: int = 2, lanes: str = "low,default,high") -> None:
    own = shop.app.broker
    own.store.run(verbs.register(own.keys, W, 30_000, {"lanes": lanes, "concurrency": slots, "name": "w1"}))


def why(client: Client, id: str) -> list[str]:
    """The reasons on the page of a job that waits, without markup."""
    found = re.search(r'<ul class="ardiq-reasons">(.*?)</ul>', page(client, id), re.S)
    items = re.findall(r"<li[^>]*>.*?</li>", found[1], re.S) if found else []
    return [re.sub(r"<[^>]+>", "", one).strip() for one in items]


class TestWhyItIsNotRunning:
    def test_without_a_worker(self, boss: Client, shop: Shop) -> None:
        """The way out is a command."""
        (reason,) = why(boss, shop.add.enqueue_sync(1).id)
        assert reason.startswith("No worker serves the queue") and reason.endswith(
            f"python manage.py ardiq_worker --queue {shop.app.queue_name}"
        )

    def test_its_queue_or_lane_is_paused(self, boss: Client, shop: Shop) -> None:
        """By whom, since when, and why; another lane does not matter."""
        worker(shop)
        own, mine = shop.app.broker, shop.add.enqueue_sync(1)
        own.store.run(controls.pause(own.keys, reason="<i>moving</i> house", by="ann"))
        own.store.run(controls.pause(own.keys, "high"))
        first, *_ = why(boss, mine.id)
        assert first.startswith("The queue is paused by ann (0 s ago): &lt;i&gt;moving&lt;/i&gt; house")
        own.store.run(controls.resume(own.keys))
        assert not any("paused" in reason for reason in why(boss, mine.id))
        own.store.run(controls.pause(own.keys, "default"))
        assert why(boss, mine.id)[0].startswith("The lane default is paused")

    def test_jobs_ahead(self, boss: Client, shop: Shop) -> None:
        """Of its own lane, and of those above it."""
        worker(shop)
        shop.app.enqueue_many_sync(shop.add.prepare(n) for n in range(3))
        mine = shop.add.enqueue_sync(9)
        assert why(boss, mine.id) == ["3 jobs of its lane are ahead of it."]
        shop.add.options(priority="high").enqueue_sync(1)
        shop.add.options(priority="low").enqueue_sync(1)
        assert why(boss, mine.id) == [
            "3 jobs of its lane are ahead of it.",
            "1 job of a higher lane goes first.",
        ]

    def test_all_slots_are_taken(self, boss: Client, shop: Shop) -> None:
        worker(shop, slots=1)
        shop.add.enqueue_sync(1)
        own = shop.app.broker
        assert own.store.run(verbs.claim(own.keys, W, 1, 30_000, 1, [("default", 1)])).jobs
        assert why(boss, shop.add.enqueue_sync(2).id) == [
            "All slots are taken: 1 jobs are held by workers with 1 slots."
        ]

    def test_nobody_drains_its_lane(self, boss: Client, shop: Shop) -> None:
        worker(shop, lanes="low,high")
        reason, *_ = why(boss, shop.add.enqueue_sync(2).id)
        assert reason.startswith("No worker drains the lane default")

    def test_its_time_has_not_come(self, boss: Client, shop: Shop) -> None:
        worker(shop)
        scheduled = shop.add.options(delay_ms=7_200_000, expire_ms=3_600_000).enqueue_sync(1)
        runs, expires = why(boss, scheduled.id)
        assert runs.startswith("It runs in 2 h") and expires.startswith("It expires in 1 h")

    def test_it_waits_to_be_tried_again(self, boss: Client, shop: Shop, work: Work) -> None:
        @shop.app.task(name="shop.flaky", max_retries=4, backoff_ms=3_600_000)
        async def flaky() -> None:
            raise OSError("away")

        waits = flaky.enqueue_sync()
        work()
        worker(shop)
        (reason,) = why(boss, waits.id)
        assert reason.startswith("It waits to be tried again: attempt 1 of 5 failed, the next is in ")

    def test_it_is_parked(self, boss: Client, shop: Shop, work: Work) -> None:
        """No worker knows its task."""
        lost = shop.app.ref("shop.unknown").enqueue_sync()
        work_until_parked(shop, work, lost.id)
        worker(shop)
        (reason,) = why(boss, lost.id)
        assert reason.startswith("It is parked since")

    def test_jobs_that_run_or_have_ended_give_no_reasons(self, boss: Client, shop: Shop, work: Work) -> None:
        done = shop.add.enqueue_sync(1)
        work()
        assert why(boss, done.id) == []


def work_until_parked(shop: Shop, work: Work, id: str) -> None:
    end = time.monotonic() + 10
    while shop.app.job(id).status_sync() is not JobStatus.SCHEDULED:
        assert time.monotonic() < end, "it was never parked"
        work()


def test_the_timeline_tells_each_wait(shop: Shop, work: Work) -> None:
    """E4: from enqueued to ended; each attempt starts and ends."""
    failed = shop.charge.enqueue_sync(7, "4242", 9.5)
    end = time.monotonic() + 10
    while not failed.status_sync().finished and time.monotonic() < end:
        work()
    found = steps(job(failed.id).reading)
    assert [str(one.label) for one in found] == [
        "enqueued",
        "started",
        "attempt 1 failed",
        "started",
        "ended",
    ]
    assert [str(one.before) for one in found] == ["", "waited", "ran", "waited", "ran"]
    assert found[-1].state == "failed" and found[-1].note == "ValueError"


def test_kept_logs(boss: Client, sign_in: SignIn, shop: Shop, work: Work) -> None:
    """S8: the lines, without the secrets of the call, and only for who may see payloads."""

    @shop.app.task(name="shop.talk", keep_logs=True)
    def talk(token: str) -> None:
        logging.getLogger("shop").warning("pushed <b>with</b> %s", token)

    done = talk.enqueue_sync("sesame-street")
    work()
    text = page(boss, done.id)
    assert "pushed &lt;b&gt;with&lt;/b&gt; ********" in text and "sesame" not in text and "WARNING" in text
    assert "pushed" not in page(sign_in("view_job"), done.id)


def test_rows_link_to_their_pages(boss: Client, sign_in: SignIn, shop: Shop) -> None:
    """Only for who may see them; no row is read for it."""
    user = User.objects.create(username="ann")
    waits = shop.give.enqueue_sync({"who": [user]})
    assert f'href="/admin/auth/user/{user.pk}/change/"' in page(boss, waits.id)
    assert "/admin/auth/user/" not in page(sign_in("view_job", "view_job_payload"), waits.id)


def test_who_enqueued_it(boss: Client, sign_in: SignIn, app: Ardiq, work: Work, settings: Settings) -> None:
    """ADMIN 5.4: where PROPAGATE names it, user and request, which may hold data; one that is run again names
    who did that. Without it, who filled the form is known by the log of the admin."""

    def enqueued(app: Ardiq) -> str:
        app.task(name="shop.offered", admin_enqueue=True)(lambda: None)
        response = boss.post(f"{LIST}add/?task={app.queue_name}/shop.offered", {})
        return str(response.headers["Location"].split("/")[-3])

    assert "user0, by the form" in page(boss, enqueued(app))
    settings.ARDIQ = {app.queue_name: {**settings.ARDIQ[app.queue_name], "PROPAGATE": ["enqueued_by"]}}
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, "ardiq.origin.remember_request"]
    telling, form = Ardiq(app.queue_name), "user0, POST /admin/ardiq/job/add/"
    owners.remove(app)
    boss.handler.load_middleware()
    first = enqueued(telling)
    assert form in page(boss, first)
    assert "Enqueued by" not in page(sign_in("view_job"), first)
    work()
    other = sign_in(superuser=True)
    text = confirm(other, other.get(f"{LIST}{first}/again/")).content.decode()
    assert "user2, POST /admin/ardiq/job/_do/again/" in text and form not in text


def test_a_secret_in_a_path_is_masked(boss: Client, app: Ardiq, settings: Settings) -> None:
    """S8: like in headers and errors."""
    settings.ARDIQ = {app.queue_name: {**settings.ARDIQ[app.queue_name], "PROPAGATE": ["enqueued_by"]}}
    telling, made = Ardiq(app.queue_name), list[Job[None]]()
    owners.remove(app)
    reset = telling.task(name="shop.reset", sensitive=["code"])(lambda code: None)

    def view(request: HttpRequest) -> HttpResponse:
        made.append(reset.enqueue_sync("sesame-9"))
        return HttpResponse()

    remember_request(view)(RequestFactory().get("/reset/sesame-9/"))
    text = page(boss, made[0].id)
    assert "GET /reset/" in text and "sesame" not in text


def test_who_runs_it_again_is_not_known(boss: Client, app: Ardiq, work: Work, settings: Settings) -> None:
    """Then nobody is named, and least of all who has enqueued the first one."""
    settings.ARDIQ = {app.queue_name: {**settings.ARDIQ[app.queue_name], "PROPAGATE": ["enqueued_by"]}}
    telling, made = Ardiq(app.queue_name), list[Job[None]]()
    owners.remove(app)
    add = telling.task(name="shop.add")(lambda: None)

    def view(request: HttpRequest) -> HttpResponse:
        made.append(add.enqueue_sync())
        return HttpResponse()

    remember_request(view)(RequestFactory().get("/cart/"))
    work()
    assert "GET /cart/" in page(boss, made[0].id)
    new = confirm(boss, boss.get(f"{LIST}{made[0].id}/again/")).context["original"]
    assert new.pk != made[0].id and "GET /cart/" not in page(boss, new.pk)


def test_the_log_is_asked_once(boss: Client, sign_in: SignIn, app: Ardiq, shop: Shop) -> None:
    """R9: for who filled the form; it has no index for that. Not for who may not see it, not for a task that
    the form does not offer, and not each time that an open page looks again."""

    def asked(client: Client, id: str, query: str = "") -> int:
        with CaptureQueriesContext(connection) as queries:
            assert client.get(f"{LIST}{id}/change/{query}").status_code == 200
        return sum("django_admin_log" in one["sql"] for one in queries)

    offered = app.task(name="shop.offered", admin_enqueue=True)(lambda: None).enqueue_sync().id
    unknown = app.ref("shop.unknown").enqueue_sync().id
    stranger = sign_in("view_job")
    assert [asked(stranger, offered), asked(boss, shop.add.enqueue_sync(1).id)] == [0, 0]
    assert [asked(boss, id) for id in (offered, unknown)] == [1, 1]
    assert [asked(boss, id, "?_live=1") for id in (offered, unknown)] == [0, 0]


def test_headers(boss: Client, sign_in: SignIn, shop: Shop) -> None:
    """S8: secrets among them are masked; the trace stands out."""
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    headers = {"traceparent": f"00-{trace}-00f067aa0ba902b7-01", "api-key": "sesame", "tenant": "blue"}
    made = shop.add.options(headers=headers).enqueue_sync(1)
    text = page(boss, made.id)
    assert f"<code>{trace}</code>" in text and "blue" in text and "sesame" not in text
    assert "blue" not in page(sign_in("view_job"), made.id)


def test_a_large_result_can_be_downloaded(boss: Client, sign_in: SignIn, shop: Shop, work: Work) -> None:
    """S8: whole, and masked like on the page."""
    done = shop.give.enqueue_sync({"text": "x" * 200_000, "password": "sesame"})
    work()
    text = page(boss, done.id)
    assert "Only the beginning is shown." in text and len(text) < 400_000
    for what in ("result", "arguments"):
        address = f"{LIST}{done.id}/download/{what}/"
        response = boss.get(address)
        assert response.headers["Content-Disposition"] == f'attachment; filename="{what}.txt"'
        assert "x" * 200_000 in response.content.decode() and "sesame" not in response.content.decode()
        assert sign_in("view_job").get(address).status_code == 403
    assert boss.get(f"{LIST}{done.id}/download/else/").status_code == 404


class TestRunAgain:
    def test_makes_a_new_job_that_knows_the_old_one(self, boss: Client, shop: Shop, work: Work) -> None:
        """The old outcome stays; both pages link; who listens is told."""
        heard = []

        def hear(sender: object, **told: object) -> None:
            heard.append((told["action"], told["count"], told["ids"]))

        old = shop.add.options(headers={"tenant": "blue"}, delay_ms=1).enqueue_sync(2, b=3)
        end = time.monotonic() + 10
        while not old.status_sync().finished and time.monotonic() < end:
            work()
        admin_action.connect(hear)
        try:
            response = confirm(boss, boss.get(f"{LIST}{old.id}/again/"))
        finally:
            admin_action.disconnect(hear)
        assert told(response) == ["Enqueued as new jobs: 1."] and heard == [("again", 1, (old.id,))]
        new = response.context["original"]
        assert new.pk != old.id and new.state == "queued"
        assert f"{LIST}{old.id}/change/" in response.content.decode()
        assert f"{LIST}{new.pk}/change/" in page(boss, old.id)
        info = shop.app.job(new.pk).info_sync()
        assert info is not None and (info.args, info.kwargs) == ([2], {"b": 3})
        assert info.headers == {"tenant": "blue"} and info.scheduled_at is None
        work()
        result = shop.app.job(new.pk).result_sync(timeout=5)
        assert result is not None and result.value == 5
        assert shop.app.job(old.id).status_sync() is JobStatus.SUCCEEDED

    def test_keeps_to_a_unique_slot(self, boss: Client, shop: Shop, work: Work) -> None:
        """C7: an identical job waits already."""

        @shop.app.task(name="shop.single", unique=True)
        async def single() -> None: ...

        old = single.enqueue_sync()
        work()
        confirm(boss, boss.get(f"{LIST}{old.id}/again/"))
        response = confirm(boss, boss.get(f"{LIST}{old.id}/again/"))
        assert told(response) == ["Skipped: 1× an identical job waits or runs (unique)."]

    def test_also_of_what_this_process_does_not_know(self, boss: Client, shop: Shop) -> None:
        gone = shop.app.ref("elsewhere.task").enqueue_sync(1, token="sesame")
        assert gone.abort_sync()
        new = confirm(boss, boss.get(f"{LIST}{gone.id}/again/")).context["original"]
        info = shop.app.job(new.pk).info_sync()
        assert info is not None and info.name == "elsewhere.task" and info.kwargs == {"token": "sesame"}

    def test_not_of_one_that_waits(self, boss: Client, shop: Shop) -> None:
        response = boss.get(f"{LIST}{shop.add.enqueue_sync(1).id}/again/", follow=True)
        assert told(response) == ["Nothing was done: the job is waiting or running."]


def test_run_now(boss: Client, shop: Shop) -> None:
    """A scheduled job does not wait for its time."""
    later = shop.add.options(delay_ms=3_600_000).enqueue_sync(1)
    assert f"{LIST}{later.id}/run/" in page(boss, later.id)
    assert told(confirm(boss, boss.get(f"{LIST}{later.id}/run/"))) == ["Made ready: 1."]
    assert later.status_sync() is JobStatus.QUEUED
    response = boss.get(f"{LIST}{later.id}/run/", follow=True)
    assert told(response) == ["Nothing was done: the job is ready already."]


def test_a_job_tells_progress_while_it_runs(boss: Client, shop: Shop, work: Work) -> None:
    """As a bar with its number."""

    @shop.app.task(name="shop.load")
    def load() -> None:
        told = current_job()
        assert told is not None
        told.progress(1, 4)

    done = load.enqueue_sync()
    work()
    assert 'max="100" value="25"' in page(boss, done.id)
