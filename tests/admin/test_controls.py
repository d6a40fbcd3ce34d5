"""Queues, workers and schedules in the admin: what their pages show, and what may be done there by whom."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client
from pytest_django.fixtures import Settings

from ardiq import Ardiq, JobStatus
from ardiq.adminui import elsewhere, words
from ardiq.core.cron import Timetable
from ardiq.core.errors import BrokerError
from ardiq.core.job import FLAG_STARTED
from ardiq.core.outcome import read_call
from ardiq.models import Queue, Schedule, Worker
from ardiq.store import inspector, moving, recurring, scripts, statistics, verbs
from ardiq.store.client import Store
from ardiq.store.scripts import Call
from tests.admin.conftest import LIST, Shop, SignIn, Work, ids, told
from tests.workers import Working, until

QUEUES, WORKERS, SCHEDULES = (f"/admin/ardiq/{name}/" for name in ("queue", "worker", "schedule"))


def text_of(client: Client, address: str) -> str:
    response = client.get(address, follow=True)
    assert response.status_code == 200, (address, response.status_code)
    return str(response.content.decode())


def do(client: Client, where: str, deed: str, id: str, **data: str) -> Any:
    """Read the page that asks, then send its form."""
    address = f"{where}_do/{deed}/?id={id}"
    assert client.get(address).status_code == 200
    return client.post(address, data, follow=True)


@pytest.fixture
def nightly(app: Ardiq) -> str:
    """A recurring task; its id in the admin."""

    @app.cron("30 2 * * MON-FRI", tz="Europe/Paris", name="shop.nightly")
    async def nightly() -> str:
        return "done"

    return f"{app.queue_name}:shop.nightly"


@pytest.fixture
def trips(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Round trips to Redis, each with how many calls it takes."""
    out: list[int] = []
    exchange = Store._exchange

    def count(self: Store, packed: list[bytes]) -> Any:
        out.append(len(packed))
        return exchange(self, packed)

    monkeypatch.setattr(Store, "_exchange", count)
    return out


# -- queues -------------------------------------------------------------------------------------------


def test_pause_and_resume(boss: Client, shop: Shop, work: Work) -> None:
    """With a reason, shown wherever the queue is; the log entries say it, too."""
    queue = shop.app.queue_name
    job = shop.add.enqueue_sync(1)
    page = do(boss, QUEUES, "pause", queue, reason="the <b>bank</b> is down")
    assert told(page) == ["Paused: the <b>bank</b> is down"]
    [pause] = shop.app.pauses_sync()
    assert (pause.by, pause.reason) == ("user0", "the <b>bank</b> is down")
    for address in (QUEUES, f"{QUEUES}{queue}/change/", LIST):
        text = text_of(boss, address)
        assert "aused by user0" in text and "the &lt;b&gt;bank&lt;/b&gt; is down" in text, address
    work()
    assert job.status_sync() is JobStatus.QUEUED
    assert "Nothing was done: it is paused already." in told(
        boss.get(f"{QUEUES}_do/pause/?id={queue}", follow=True)
    )
    shop.app.pause_queue_sync(lane="low")
    assert told(do(boss, QUEUES, "resume", queue)) == ["Resumed."]
    assert shop.app.pauses_sync() == [], "one button goes back to normal, lanes included"
    work()
    assert job.status_sync() is JobStatus.SUCCEEDED
    entries = LogEntry.objects.order_by("pk").values_list("change_message", "object_id")
    assert list(entries) == [("Paused: the <b>bank</b> is down", queue), ("Resumed.", queue)]
    assert "the &lt;b&gt;bank" in text_of(boss, f"{QUEUES}{queue}/history/")


def test_purge_asks_for_the_name(boss: Client, shop: Shop) -> None:
    queue = shop.app.queue_name
    jobs = [shop.add.options(priority=lane).enqueue_sync(n) for n, lane in enumerate(["low", "low", "high"])]
    later = shop.add.options(delay_ms=60_000).enqueue_sync(9)
    assert (
        "not the name of the queue"
        in do(boss, QUEUES, "purge", queue, lane="low", name="else").content.decode()
    )
    assert jobs[0].status_sync() is JobStatus.QUEUED and not LogEntry.objects.exists()
    page = do(boss, QUEUES, "purge", queue, lane="low", name=queue)
    assert told(page) == ["Deleted 2 waiting jobs of lane low."]
    assert told(do(boss, QUEUES, "purge", queue, lane="", name=queue)) == ["Deleted 1 waiting jobs."]
    assert [job.status_sync().value for job in (*jobs, later)] == ["not_found"] * 3 + ["scheduled"]
    assert [entry.action_flag for entry in LogEntry.objects.all()] == [3, 3]
    assert "no job waits there" in told(boss.get(f"{QUEUES}_do/purge/?id={queue}", follow=True))[0]


def test_move(boss: Client, shop: Shop) -> None:
    """Ids and order as they were."""
    queue = shop.app.queue_name
    for n in range(3):
        shop.add.options(task_id=f"job{n}", priority="low").enqueue_sync(n)
    assert "choose two lanes" in do(boss, QUEUES, "move", queue, lane="low", to="low").content.decode()
    assert told(do(boss, QUEUES, "move", queue, lane="low", to="high")) == [
        "Moved 3 waiting jobs from lane low to lane high."
    ]
    assert shop.app.queue_size_sync("high") == 3
    assert "no such lane" in do(boss, QUEUES, "move", queue, lane="no such lane", to="low").content.decode()


@pytest.fixture
def other(app: Ardiq, settings: Settings, redis_url: str) -> Ardiq:
    """Another queue of the same server, with a lane less."""
    name = f"{app.queue_name}.b"
    given = {"REDIS_URL": redis_url, "PRIORITIES": ["default"], "MAX_QUEUED": 120}
    settings.ARDIQ = {**settings.ARDIQ, name: given}
    return Ardiq(name)


def test_move_to_another_queue(boss: Client, shop: Shop, other: Ardiq) -> None:
    """ADMIN 5.5: under their ids and in their order, with what travels with them, signed for that queue; what
    it does not know stays. They run there."""
    queue, store = shop.app, shop.app.broker.store
    other.task(name="shop.add")(lambda a, b=1: a + b)
    jobs = [
        shop.add.options(
            task_id=f"job{n}", priority="low", headers={"n": str(n)}, expire_ms=60_000
        ).enqueue_sync(n)
        for n in range(120)
    ]
    stays = [shop.give.options(priority="low").enqueue_sync(1) for _ in range(2)]
    [answer] = told(do(boss, QUEUES, "elsewhere", queue.queue_name, lane="low", to=other.queue_name))
    assert answer == (
        f"Moved 120 waiting jobs of lane low to queue {other.queue_name}. "
        "2 stay: their tasks are not known there."
    )
    assert LogEntry.objects.get().change_message == answer
    assert store.run(moving.first(other.broker.keys, "default", 200)) == [job.id for job in jobs]
    assert [job.status_sync() for job in (jobs[0], *stays)] == ["not_found", "queued", "queued"]
    assert queue.queue_size_sync() == 2 and Queue.objects.get(pk=queue.queue_name).scheduled == 0
    here = other.job(jobs[5].id)
    [view] = store.run(inspector.jobs(other.broker.keys, [here.id]))
    assert view is not None and view.record is not None
    window = read_call(other.broker.codec, view.record)[2]["expire_ms"]
    assert 0 < window < 60_000, "what is left of it"
    info = here.info_sync()
    assert info is not None and (info.args, dict(info.headers or {})) == ([5], {"n": "5"})
    with Working(other):
        assert here.result_sync(timeout=20).value == 6  # type: ignore[union-attr]


def test_what_cannot_go_to_another_queue_stays(boss: Client, shop: Shop, other: Ardiq) -> None:
    """An id that is taken there, a queue that is full: they wait where they were, ready as they were."""
    other.task(name="shop.add")(lambda a, b=1: a + b)
    queue = shop.app
    other.ref("shop.add").options(task_id="same").enqueue_sync(1)
    same = shop.add.options(task_id="same").enqueue_sync(1)
    [answer] = told(do(boss, QUEUES, "elsewhere", queue.queue_name, lane="default", to=other.queue_name))
    assert answer.startswith("Moved 0 ") and "1 stay: their id or unique slot is taken there." in answer
    assert same.status_sync() is JobStatus.QUEUED and queue.queue_size_sync() == 1
    queue.enqueue_many_sync(shop.add.prepare(n) for n in range(199))
    [answer] = told(do(boss, QUEUES, "elsewhere", queue.queue_name, lane="default", to=other.queue_name))
    assert "the other queue is full" in answer
    assert other.queue_size_sync() + queue.queue_size_sync() == 201 and 50 < other.queue_size_sync() <= 120


@pytest.fixture
def gap(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], Any]], None]:
    """Let something happen once, between the look at the jobs and their move."""

    def between(act: Callable[[], Any]) -> None:
        made, left = elsewhere._made, [act]

        def then(*args: Any) -> Any:
            found = made(*args)
            if left:
                left.pop()()
            return found

        monkeypatch.setattr(elsewhere, "_made", then)

    return between


def test_a_job_that_changes_while_it_is_moved_stays(
    boss: Client, shop: Shop, other: Ardiq, work: Work, gap: Callable[[Callable[[], Any]], None]
) -> None:
    """R2: nothing is made of an old record: neither of a job that has failed and waits for its next attempt,
    nor of one that is another by now."""
    for name in ("shop.add", "shop.later"):
        other.task(name=name)(lambda a, b=1: a + b)

    @shop.app.task(name="shop.later", max_retries=1, backoff_ms=300_000)
    def later() -> None:
        raise ValueError("no")

    failing = later.enqueue_sync()
    gap(work)
    [answer] = told(do(boss, QUEUES, "elsewhere", shop.app.queue_name, lane="default", to=other.queue_name))
    info = failing.info_sync()
    assert "nothing was changed; somebody was faster" in answer
    assert info is not None and info.status is JobStatus.SCHEDULED and other.queue_size_sync() == 0
    [view] = shop.app.broker.store.run(inspector.jobs(shop.app.broker.keys, [failing.id]))
    assert view is not None and view.record is not None and view.record.attempts == 1
    assert view.record.at - view.record.enqueued > 100_000, "its own time, not that of the move"

    old = shop.add.options(task_id="one").enqueue_sync(1)

    def replace() -> None:
        old.delete_sync()
        shop.add.options(task_id="one").enqueue_sync(2)

    gap(replace)
    [answer] = told(do(boss, QUEUES, "elsewhere", shop.app.queue_name, lane="default", to=other.queue_name))
    assert "1 stay: they have changed meanwhile." in answer
    now = old.info_sync()
    assert now is not None and (now.args, now.status) == ([2], JobStatus.QUEUED)


def test_a_job_that_is_aborted_while_it_is_moved_runs_nowhere(
    boss: Client, shop: Shop, other: Ardiq, monkeypatch: pytest.MonkeyPatch
) -> None:
    """E1: also when the other queue has it by then."""
    other.task(name="shop.add")(lambda a, b=1: a + b)
    jobs = [shop.add.enqueue_sync(n) for n in range(2)]
    enqueue = verbs.enqueue

    def aborted(*args: Any) -> Any:
        assert jobs[0].abort_sync()
        return enqueue(*args)

    monkeypatch.setattr("ardiq.adminui.elsewhere.verbs.enqueue", aborted)
    address = f"{QUEUES}_do/elsewhere/?id={shop.app.queue_name}"
    [answer] = told(boss.post(address, {"lane": "default", "to": other.queue_name}, follow=True))
    assert answer.startswith("Moved 1 ") and "1 stay: they have changed meanwhile." in answer
    assert [other.job(job.id).status_sync().value for job in jobs] == ["not_found", "queued"]
    assert jobs[0].status_sync() is JobStatus.ABORTED


def test_a_job_that_has_started_stays(boss: Client, shop: Shop, other: Ardiq) -> None:
    """Handed back by a worker that was stopped: no attempt is counted, but it may have done something."""
    other.task(name="shop.add")(lambda a, b=1: a + b)
    job, broker = shop.add.enqueue_sync(1), shop.app.broker
    [view] = broker.store.run(inspector.jobs(broker.keys, [job.id]))
    assert view is not None and view.record is not None
    raw = bytearray(view.record.raw)
    raw[1:2] = f"{view.record.flags | FLAG_STARTED:x}".encode()
    broker.store.run(Call(("SET", broker.keys.job(job.id), bytes(raw)), bool))
    [answer] = told(do(boss, QUEUES, "elsewhere", shop.app.queue_name, lane="default", to=other.queue_name))
    assert "1 stay: they have run before." in answer and other.queue_size_sync() == 0


def test_what_comes_back_comes_to_the_head(boss: Client, shop: Shop, other: Ardiq) -> None:
    """In the order that it had, before what was behind it."""
    other.task(name="shop.add")(lambda a, b=1: a + b)
    other.enqueue_many_sync(other.ref("shop.add").prepare(n) for n in range(100))
    queue = shop.app
    jobs = [shop.add.enqueue_sync(n) for n in range(60)]
    do(boss, QUEUES, "elsewhere", queue.queue_name, lane="default", to=other.queue_name)
    waiting = queue.broker.store.run(moving.first(queue.broker.keys, "default", 100))
    assert waiting == [job.id for job in jobs]


def test_a_move_that_is_cut_short(
    boss: Client, shop: Shop, other: Ardiq, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R2: nothing is lost: what was under way is ready again after a while."""
    other.task(name="shop.add")(lambda a, b=1: a + b)
    job = shop.add.enqueue_sync(1)

    def dies(*args: Any, **kwargs: Any) -> Any:
        raise BrokerError("gone")

    monkeypatch.setattr("ardiq.adminui.elsewhere.verbs.enqueue", dies)
    address = f"{QUEUES}_do/elsewhere/?id={shop.app.queue_name}"
    assert boss.post(address, {"lane": "default", "to": other.queue_name}).status_code == 503
    [view] = shop.app.broker.store.run(inspector.jobs(shop.app.broker.keys, [job.id]))
    assert view is not None and view.record is not None and view.record.status is JobStatus.SCHEDULED
    assert 0 < view.record.at - view.record.enqueued < 90_000


def test_a_queue_that_may_not_be_seen_is_no_place_to_move_to(
    boss: Client, shop: Shop, other: Ardiq, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ardiq.adminui.base import RedisAdmin

    shop.add.enqueue_sync(1)
    monkeypatch.setattr(
        RedisAdmin, "has_queue_permission", lambda self, request, queue: queue != other.queue_name
    )
    page = do(boss, QUEUES, "elsewhere", shop.app.queue_name, lane="default", to=other.queue_name)
    assert "Select a valid choice" in page.content.decode() and other.queue_size_sync() == 0


def test_what_a_purge_of_very_many_leaves(boss: Client, shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """R9: one request does a bounded piece, and says so."""
    monkeypatch.setattr("ardiq.adminui.queuedeeds.MOST", 200)
    shop.app.enqueue_many_sync(shop.add.prepare(n) for n in range(250))
    [message] = told(do(boss, QUEUES, "purge", shop.app.queue_name, lane="", name=shop.app.queue_name))
    assert message == "Deleted 200 waiting jobs. More are left: one purge takes 200."
    assert shop.app.queue_size_sync() == 50


def test_a_queue_that_nobody_has_used_is_listed(
    boss: Client, app: Ardiq, settings: Settings, redis_url: str
) -> None:
    """With 0, and its page works; all queues of a server are asked in one round trip."""
    settings.ARDIQ = {**settings.ARDIQ, "never.used": {"REDIS_URL": redis_url}}
    assert "never.used" in text_of(boss, QUEUES)
    assert "jobs of this queue wait until one is started" in text_of(boss, f"{QUEUES}never.used/change/")


def test_actions_of_the_list(boss: Client, app: Ardiq, settings: Settings, redis_url: str) -> None:
    """Several at once, one log entry for each."""
    second = f"{app.queue_name}-2"
    settings.ARDIQ = {**settings.ARDIQ, second: {"REDIS_URL": redis_url}}
    data = {"action": "pause_selected", "_selected_action": [app.queue_name, second]}
    page = boss.post(QUEUES, data, follow=True)
    assert app.queue_name in page.content.decode() and second in page.content.decode()
    address = page.redirect_chain[-1][0]
    page = boss.post(address, {"reason": "both"}, follow=True)
    assert Queue.objects.filter(paused=True).count() == 2 == LogEntry.objects.count()
    boss.post(f"{QUEUES}_do/resume/?id={app.queue_name}&id={second}", follow=True)
    assert Queue.objects.filter(paused=True).count() == 0


def test_the_page_of_a_queue(
    boss: Client, sign_in: SignIn, shop: Shop, work: Work, settings: Settings
) -> None:
    """ADMIN 5.5: how it has been, its newest jobs for who may see jobs, and how it is set; no address."""
    queue = shop.app.queue_name
    settings.ARDIQ = {queue: {**settings.ARDIQ[queue], "LANE_LIMITS": {"low": 2}, "MAX_QUEUED": 5_000}}
    jobs = [
        shop.add.enqueue_sync(1),
        shop.fail.enqueue_sync(),
        shop.add.options(priority="low").enqueue_sync(2),
    ]
    work()
    until(lambda: shop.app.statistics_sync(minutes=1).total.failed, 10)
    address = f"{QUEUES}{queue}/change/"
    text = text_of(boss, address)
    assert "2 succeeded, 1 failed" in text and text.count("ardiq-chart-bar") >= 2
    assert all(f"{LIST}{job.id}/change/" in text for job in jobs) and "shop.add / low" in text
    for shown in ("<code>LANE_LIMITS</code>", "low 2", "5,000", "<code>RESULT_TTL_MS</code>"):
        assert shown in text, shown
    assert "redis://" not in text and "127.0.0.1" not in text
    assert 'aria-current="true">6 h' in text_of(boss, f"{address}?minutes=360")
    assert 'aria-current="true">1 h' in text_of(boss, f"{address}?minutes=7")
    clerk = text_of(sign_in("view_queue"), address)
    assert "2 succeeded, 1 failed" in clerk and jobs[0].id not in clerk and "shop.add" not in clerk


def test_how_fast_it_goes(boss: Client, shop: Shop) -> None:
    """Of the last whole minute."""
    own = shop.app.broker
    scripts.shift(-60_000)
    cells = [(("default", "shop.add"), {"S": 40, "F": 2})]
    own.store.run(statistics.count(own.keys, own.options.priorities, cells))
    scripts.shift(0)
    text = " ".join(text_of(boss, QUEUES).split())
    assert '>42 <span class="ardiq-error">2 failed</span>' in text


# -- workers ------------------------------------------------------------------------------------------


def test_a_worker_and_what_it_does(boss: Client, shop: Shop) -> None:
    """What it runs and did last, with links; told to be quiet, to work, to stop."""
    done = shop.add.enqueue_sync(1)
    with Working(shop.app) as here:
        assert done.result_sync(timeout=20)
        until(lambda: Worker.objects.count() == 1, 10, "a worker that registers")
        worker = Worker.objects.get()
        page = f"{WORKERS}{worker.pk}/change/"
        assert worker.state == "alive" and "here" in text_of(boss, WORKERS)
        text = text_of(boss, page)
        assert f"{LIST}{done.id}/change/" in text and "concurrency" in text and "Python" in text
        assert told(do(boss, WORKERS, "quiet", worker.pk)) == ["Told to be quiet."]
        until(lambda: here.worker._held_by.brakes.quiet, 10, "a quiet worker")
        assert "told by user0" in text_of(boss, page) and "it is quiet already" in " ".join(
            told(boss.get(f"{WORKERS}_do/quiet/?id={worker.pk}", follow=True))
        )
        assert told(do(boss, WORKERS, "work", worker.pk)) == ["Told to take jobs again."]
        until(lambda: not here.worker._held_by.brakes.quiet, 10, "a worker at work")
        assert told(do(boss, WORKERS, "stop", worker.pk))[0] == "Told to stop."
        here.ends()
    assert LogEntry.objects.count() == 3
    assert told(boss.get(f"{WORKERS}_do/stop/?id={worker.pk}", follow=True)) == ["What was selected is gone."]


def _held(app: Ardiq, **about: str) -> None:
    own = app.broker
    lease = int(about.pop("lease", "30000"))
    own.store.run(verbs.register(own.keys, "ab" * 16, lease, {"name": "w1", "concurrency": "4", **about}))
    own.store.run(verbs.claim(own.keys, "ab" * 16, 1, 30_000, 5, [("default", 5)]))


def test_what_a_worker_holds(boss: Client, sign_in: SignIn, shop: Shop) -> None:
    """Its page names the jobs to those who may see jobs."""
    job = shop.add.enqueue_sync(1)
    _held(shop.app, host="<i>web1</i>")
    page = f"{WORKERS}{'ab' * 16}/change/"
    text = text_of(boss, page)
    assert f"{LIST}{job.id}/change/" in text and "&lt;i&gt;web1" in text and "<i>web1" not in text
    assert "w1" in text_of(boss, f"{QUEUES}{shop.app.queue_name}/change/")
    every = f"?worker=abababab&queue={shop.app.queue_name}"
    assert f'{LIST}{every.replace("&", "&amp;")}"' in text and ids(boss, every) == [job.id]
    clerk = sign_in("view_worker")
    text = text_of(clerk, page)
    assert job.id not in text and "holds now" not in text and "?worker=" not in text


def test_mixed_versions_and_stale_workers(boss: Client, shop: Shop) -> None:
    own = shop.app.broker
    own.store.run(
        verbs.register(own.keys, "a" * 32, 30_000, {"name": "new", "version": "2", "python": "3.13"})
    )
    own.store.run(
        verbs.register(own.keys, "b" * 32, 30_000, {"name": "old", "version": "1", "python": "3.13"})
    )
    text = text_of(boss, WORKERS)
    assert "Workers run ardiq 1 and 2" in text and "Workers run Python" not in text
    own.store.run(verbs.register(own.keys, "b" * 32, 1, {"name": "old", "version": "1"}))
    until(lambda: Worker.objects.get(pk="b" * 32).state == "stale", 5, "a lease that has run out")
    text = text_of(boss, WORKERS)
    assert "Workers run" not in text and "Stale" in text
    assert [one.pk for one in Worker.objects.filter(state="stale")] == ["b" * 32]


# -- schedules ----------------------------------------------------------------------------------------


def test_a_schedule(boss: Client, nightly: str, work: Work, app: Ardiq) -> None:
    """In words, five runs to come in its zone, where its code is, why it is not changed here."""
    text = text_of(boss, SCHEDULES)
    assert "At 02:30, Monday through Friday" in text and "30 2 * * MON-FRI" in text
    text = text_of(boss, f"{SCHEDULES}{nightly}/change/")
    assert text.count(", 02:30:00 CE") == 5 and "Europe/Paris" in text
    assert "tests/admin/test_controls.py:" in text and "the next deployment would" in text
    [message] = told(do(boss, SCHEDULES, "run", nightly))
    assert message.startswith("Enqueued as job ")
    job = app.job(message.split()[-1].rstrip("."))
    work()
    assert job.result_sync().value == "done"  # type: ignore[union-attr]


def test_disable_and_enable(boss: Client, nightly: str, app: Ardiq) -> None:
    assert told(do(boss, SCHEDULES, "disable", nightly)) == ["Disabled."]
    [schedule] = app.schedules_sync()
    assert schedule.paused and schedule.next_at == 0
    for address in (SCHEDULES, f"{SCHEDULES}{nightly}/change/"):
        assert "defined in code, disabled here by user0" in text_of(boss, address)
    assert Schedule.objects.filter(enabled=False).count() == 1
    assert told(do(boss, SCHEDULES, "enable", nightly)) == ["Enabled."]
    assert not app.schedules_sync()[0].paused
    assert [str(entry.object_id) for entry in LogEntry.objects.all()] == [nightly, nightly]
    assert "it is enabled" in told(boss.get(f"{SCHEDULES}_do/enable/?id={nightly}", follow=True))[0]


def test_the_last_run_and_its_outcome(boss: Client, nightly: str, app: Ardiq) -> None:
    keys = app.broker.keys
    from ardiq.store.scripts import Call

    values = {"mark": "1700000000000", "last": "job-1", "ended": "failed 1700000001000 job-1"}
    fields = [part for name, value in values.items() for part in (f"{name}:shop.nightly", value)]
    app.broker.store.run(Call(("HSET", keys.cron, *fields), int))
    text = text_of(boss, SCHEDULES)
    assert f"{LIST}job-1/change/" in text and "Failed" in text and "2023" in text
    app.broker.store.run(Call(("HSET", keys.cron, "last:shop.nightly", "job-2"), int))
    text = text_of(boss, SCHEDULES)
    assert f"{LIST}job-2/change/" in text and "not ended yet" in text and "Failed" not in text


def test_the_last_outcomes(boss: Client, nightly: str, app: Ardiq) -> None:
    """ADMIN 5.7: a strip in the list, which says the same in words; a table on the page. Also of those
    that ended while they waited."""
    own, ids = app.broker, []
    for back in range(3, 0, -1):
        id, lane, slot, record = app.offer(next(one for one in app.recurrences()))
        ids.append(id)
        call = recurring.offer(own.keys, [("shop.nightly", 10_000 - back, "queue", id, lane, slot, record)])
        assert own.store.run(call)[1] == ["fired"]
    own.store.run(recurring.ended(own.keys, "shop.nightly", ids[0], "succeeded", 12_000))
    assert app.job(ids[1]).abort_sync()
    text = text_of(boss, SCHEDULES)
    assert text.count("<rect") == 3 and "ardiq-run-succeeded" in text
    for word in ("1 Succeeded", "1 Aborted", "1 not ended yet"):
        assert word in text, word
    text = text_of(boss, f"{SCHEDULES}{nightly}/change/")
    assert all(f"{LIST}{id}/change/" in text for id in ids) and "2.0 s" in text
    assert f"{LIST}?queue={app.queue_name}&amp;task=shop.nightly" in text
    assert app.job(ids[2]).delete_sync()
    text = text_of(boss, SCHEDULES)
    assert "1 deleted" in text and "not ended yet" not in text


@pytest.mark.parametrize(
    ("expression", "described"),
    [
        ("@daily", "At 00:00"), ("*/5 * * * *", "Every 5 minutes"), ("0 0 L * *", "last day of the month"),
        ("*/10 * * * * *", "Every 10 seconds"),
    ],
)  # fmt: skip
def test_words(expression: str, described: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the extra, and for what the library cannot tell, the expression itself."""
    assert described in words.in_words(Timetable.cron(expression))
    monkeypatch.setattr(words, "descriptor", None)
    assert words.in_words(Timetable.cron(expression)) == expression
    assert words.in_words(Timetable.every(90)) == "Every 2 min"


# -- who may --------------------------------------------------------------------------------------------

DEEDS = [
    (QUEUES, "pause", "pause_queue", "view_queue"), (QUEUES, "resume", "pause_queue", "view_queue"),
    (QUEUES, "purge", "purge_queue", "view_queue"), (QUEUES, "move", "purge_queue", "view_queue"),
    (QUEUES, "elsewhere", "purge_queue", "view_queue"),
    (WORKERS, "quiet", "control_worker", "view_worker"), (WORKERS, "work", "control_worker", "view_worker"),
    (WORKERS, "stop", "control_worker", "view_worker"),
    (SCHEDULES, "run", "run_schedule", "view_schedule"),
    (SCHEDULES, "disable", "change_schedule", "view_schedule"),
    (SCHEDULES, "enable", "change_schedule", "view_schedule"),
]  # fmt: skip


@pytest.mark.parametrize(("where", "name", "codename", "view"), DEEDS, ids=[one[1] for one in DEEDS])
def test_each_deed_has_its_permission(
    sign_in: SignIn, shop: Shop, nightly: str, where: str, name: str, codename: str, view: str
) -> None:
    """S7: without it, it is not offered, does not ask and does not act; it alone is not enough either."""
    shop.add.enqueue_sync(1)
    _held(shop.app)
    before = json.dumps(
        [shop.app.queue_size_sync(), repr(shop.app.pauses_sync()), repr(shop.app.schedules_sync())]
    )
    id = {QUEUES: shop.app.queue_name, WORKERS: "ab" * 16, SCHEDULES: nightly}[where]
    others = {one[2] for one in DEEDS} - {codename}
    address = f"{where}_do/{name}/?id={id}"
    for clerk in (sign_in(view, *others), sign_in(codename), sign_in()):
        assert clerk.get(address).status_code == 403 == clerk.post(address, {"reason": "x"}).status_code
        data = {"action": f"{name}_selected", "_selected_action": id}
        clerk.post(where, data)
    without = sign_in(view)
    assert f"/_do/{name}/" not in text_of(without, f"{where}{id}/change/")
    assert 'name="action"' not in text_of(without, where)
    assert not LogEntry.objects.exists()
    assert before == json.dumps(
        [shop.app.queue_size_sync(), repr(shop.app.pauses_sync()), repr(shop.app.schedules_sync())]
    )
    allowed = sign_in(view, codename)
    assert allowed.get(address, follow=True).status_code == 200


def test_a_queue_that_is_hidden(
    boss: Client, shop: Shop, nightly: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither shown nor told anything."""
    from ardiq.adminui.base import RedisAdmin

    monkeypatch.setattr(RedisAdmin, "has_queue_permission", lambda *args: False)
    _held(shop.app)
    for where, id in ((QUEUES, shop.app.queue_name), (WORKERS, "ab" * 16), (SCHEDULES, nightly)):
        assert id not in text_of(boss, where)
        name = {QUEUES: "pause", WORKERS: "stop", SCHEDULES: "disable"}[where]
        assert told(boss.post(f"{where}_do/{name}/?id={id}", follow=True)) == ["What was selected is gone."]
    assert shop.app.pauses_sync() == [] and not LogEntry.objects.exists()


def test_unknown_deeds_and_ids(boss: Client, app: Ardiq) -> None:
    assert boss.get(f"{QUEUES}_do/explode/").status_code == 404
    assert told(boss.get(f"{QUEUES}_do/pause/", follow=True)) == ["What was selected is gone."]
    assert told(boss.get(f"{QUEUES}_do/pause/?id=nowhere", follow=True)) == ["What was selected is gone."]


def test_round_trips(boss: Client, shop: Shop, nightly: str, trips: list[int]) -> None:
    """Five at most for every page."""
    for n in range(30):
        shop.add.enqueue_sync(n)
    _held(shop.app)
    most: dict[str, int] = {}
    for address in (
        QUEUES, WORKERS, SCHEDULES, f"{QUEUES}{shop.app.queue_name}/change/", f"{WORKERS}{'ab' * 16}/change/",
        f"{SCHEDULES}{nightly}/change/", f"{QUEUES}_do/pause/?id={shop.app.queue_name}",
    ):  # fmt: skip
        text_of(boss, address)  # the server learns its scripts
        trips.clear()
        text_of(boss, address)
        most[address] = len(trips)
    assert max(most.values()) <= 5, most


def test_nothing_inline(boss: Client, shop: Shop, nightly: str) -> None:
    """No style, no script, no handler in our markup: pages work under a strict policy."""
    _held(shop.app)
    for where, id, name in (
        (QUEUES, shop.app.queue_name, "pause"), (WORKERS, "ab" * 16, "quiet"), (SCHEDULES, nightly, "run"),
    ):  # fmt: skip
        for address in (f"{where}{id}/change/", f"{where}_do/{name}/?id={id}"):
            content = text_of(boss, address).split('id="content"')[1]
            assert " style=" not in content and "<style" not in content and " onclick" not in content
