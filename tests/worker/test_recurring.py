"""Recurring tasks: each occurrence once, over any number of workers (G1, G4-G7)."""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import pytest

from ardiq import Ardiq, Job, current_job
from ardiq.core.cron import Timetable
from ardiq.core.errors import UnknownTask
from ardiq.core.events import Event, Events
from ardiq.core.recurrence import Recurrence
from ardiq.equipment import Timetables
from ardiq.signals import job_enqueued
from ardiq.store import recurring
from ardiq.store.async_client import AsyncStore
from ardiq.store.keys import Keys
from ardiq.store.scripts import Call
from ardiq.worker.held import Clock
from ardiq.worker.schedule import Schedule
from tests.server import admin
from tests.workers import Working, until

Make = Callable[..., Working]


def offered(app: Ardiq, name: str, at: int, overlap: str = "skip") -> str:
    job = app.offer(app.crons[name])
    _, answers = app.broker.store.run(recurring.offer(app.broker.keys, [(name, at, overlap, *job)]))
    return str(answers[0])


def now(app: Ardiq) -> int:
    return int(app.broker.store.run(recurring.now()))


@pytest.mark.fault("56", "five workers, every second")
def test_five_workers_and_each_occurrence_once(app: Ardiq, working: Make) -> None:
    """G4: every second for a few seconds; five workers offer each of them, and one is taken."""
    fired: list[float] = []

    @app.cron(every=1, overlap="queue", name="beat")
    async def beat() -> None:
        fired.append(time.monotonic())

    with ExitStack() as stack:
        for _ in range(5):
            stack.enter_context(working())
        until(lambda: len(fired) >= 4, 20)
        gaps = [later - earlier for earlier, later in itertools.pairwise(fired)]
        assert all(0.5 < gap < 1.9 for gap in gaps), gaps
        until(lambda: app.schedules_sync()[0].last_status)
        [state] = app.schedules_sync()
    assert (state.name, state.timetable, state.paused) == ("beat", "every 1s", False)
    assert state.last_at and state.next_at > state.last_at and state.last_status in ("succeeded", "")
    assert app.info_sync(state.last_job).name == "beat"  # type: ignore[union-attr]


class Wrong(Clock):
    """A clock that is wrong by so many ms until it is set, and, if it cannot ``learn``, for ever."""

    def __init__(self, ms: int, learn: bool) -> None:
        super().__init__()
        self.offset += ms
        self._learn = learn

    def set(self, server_ms: int) -> None:
        if self._learn:
            super().set(server_ms)


@pytest.mark.fault("56", "twenty workers whose clocks are hours off")
def test_twenty_workers_on_wrong_clocks(app: Ardiq, monkeypatch: pytest.MonkeyPatch) -> None:
    """G4: each second once, whatever the clocks say, and those that never learn better do no harm."""
    app.cron(every=1, overlap="queue", misfire="all", name="beat")(lambda: None)
    answers: list[tuple[int, str]] = []
    offer = recurring.offer

    def offered(keys: Keys, offers: list[recurring.Offer]) -> Call:
        call = offer(keys, offers)
        decode = call.decode

        def told(reply: Any) -> Any:
            now, words = decode(reply)
            answers.extend((one[1], word) for one, word in zip(offers, words, strict=True))
            return now, words

        call.decode = told
        return call

    monkeypatch.setattr(recurring, "offer", offered)
    dice, hour = random.Random(20), 3_600_000
    clocks = [Wrong(dice.randrange(-9 * hour, 9 * hour), n < 12) for n in range(20)]

    async def work() -> None:
        stores = [AsyncStore(app.broker.endpoint) for _ in clocks]
        crew = [
            asyncio.ensure_future(
                Schedule(store, app.broker.keys, clock, Timetables(app.queue_name), Events()).run()
            )
            for store, clock in zip(stores, clocks, strict=True)
        ]
        while len([word for _, word in answers if word == "fired"]) < 5:
            await asyncio.sleep(0.01)
            assert not any(task.done() for task in crew)
        for task in crew:
            task.cancel()
        await asyncio.gather(*crew, return_exceptions=True)
        for store in stores:
            store.close()

    start = now(app)
    asyncio.run(asyncio.wait_for(work(), 30))
    fired = [at for at, word in answers if word == "fired"]
    assert fired == list(range(fired[0], fired[-1] + 1, 1_000)), "each second, once, and none left out"
    assert start < fired[0] and fired[-1] <= now(app), "none before its time"
    assert {"done", "early"} <= {word for _, word in answers}, "they have not been in each other's way"
    assert app.queue_size_sync() == len(fired)


@pytest.mark.fault("56", "late, early and repeated offers")
def test_the_mark_only_rises(app: Ardiq) -> None:
    """R19: not twice, not before its time, not after a clock was set back."""
    app.cron(every=60, name="t", overlap="queue")(lambda: None)
    start = now(app)
    app.broker.store.run(recurring.marks(app.broker.keys, ["t"]))
    assert offered(app, "t", start + 60_000) == "early"
    with admin(app.options.redis_url) as client:
        client.hset(app.broker.keys.cron, "mark:t", start - 120_000)
    assert offered(app, "t", start - 60_000) == "fired"
    assert offered(app, "t", start - 60_000) == "done"
    assert offered(app, "t", start - 90_000) == "done"
    assert offered(app, "t", start - 1, "queue") == "fired"
    assert app.queue_size_sync() == 2


def test_a_unique_task(app: Ardiq) -> None:
    """C7, G5: a recurring task is unique like any other: an occurrence finds the call that waits, and a call
    finds the occurrence."""
    t = app.cron(every=60, name="t", unique=True, overlap="queue")(lambda: None)
    start = now(app)
    by_hand = t.enqueue_sync()
    assert offered(app, "t", start - 3) == "busy"
    assert by_hand.abort_sync()
    assert offered(app, "t", start - 2) == "fired"
    [state] = app.schedules_sync()
    found = t.enqueue_sync()
    assert (found.id, found.created) == (state.last_job, False)
    assert offered(app, "t", start - 1) == "busy"
    assert found.abort_sync() and t.enqueue_sync().created


def test_overlap(app: Ardiq) -> None:
    """G1: while the last one waits or runs, the next is left out, or queued."""
    app.cron(every=60, name="t")(lambda: None)
    start = now(app)
    assert offered(app, "t", start - 3) == "fired"
    assert offered(app, "t", start - 2) == "busy"
    assert offered(app, "t", start - 1, "queue") == "fired"
    assert app.queue_size_sync() == 2


def test_a_run_its_job_and_its_outcome_belong_together(app: Ardiq) -> None:
    """G6: they are of the last occurrence that has fired: neither of one that was skipped, nor of a job by
    hand, nor of an occurrence before."""
    app.cron(every=60, name="t")(lambda: None)
    start, store, keys = now(app), app.broker.store, app.broker.keys

    def told() -> tuple[int, str, str]:
        [state] = app.schedules_sync()
        return state.last_at, state.last_job, state.last_status

    def ends(id: str, status: str) -> bool:
        return bool(store.run(recurring.ended(keys, "t", id, status, start)))

    assert not ends(app.run_now_sync("t").id, "failed") and told() == (0, "", "")
    assert offered(app, "t", start - 9_000) == "fired"
    first = told()[1]
    assert told() == (start - 9_000, first, "")
    assert offered(app, "t", start - 8_000) == "busy" and told() == (start - 9_000, first, "")
    assert ends(first, "succeeded") and told() == (start - 9_000, first, "succeeded")
    assert not ends(app.run_now_sync("t").id, "failed") and told() == (start - 9_000, first, "succeeded")
    assert offered(app, "t", start - 7_000, "queue") == "fired"
    second = told()[1]
    assert first != second and told() == (start - 7_000, second, "")
    assert not ends(first, "failed") and told() == (start - 7_000, second, "")


def test_an_occurrence_that_never_ran_has_ended(app: Ardiq) -> None:
    """G6: stopped or removed while it waits, there is no worker that tells how it ended."""
    app.cron(every=60, name="t")(lambda: None)
    start = now(app)

    def outcome(n: int) -> tuple[str, str, bool]:
        assert offered(app, "t", start - 9 + n) == "fired"
        [state] = app.schedules_sync()
        job = Job[Any](state.last_job, app.broker)
        other = app.run_now_sync("t")
        assert other.abort_sync() and other.delete_sync()
        [state] = app.schedules_sync()
        before = state.last_status
        if n == 0:
            assert job.abort_sync()
        elif n == 1:
            assert job.delete_sync()
        else:
            assert app.purge_waiting_sync("default") == 1
        [state] = app.schedules_sync()
        assert state.last_job == job.id
        return before, state.last_status, start <= state.last_ended_at <= now(app)

    assert [outcome(n) for n in range(3)] == [
        ("", "aborted", True), ("", "deleted", True), ("", "deleted", True),
    ]  # fmt: skip


def test_whoever_listens_hears_of_occurrences(app: Ardiq, working: Make) -> None:
    """G1, H8: job_enqueued is sent for each, once, by the worker whose offer was taken."""
    heard: list[tuple[Any, str, str, str]] = []

    def listen(sender: object, event: Event, **kwargs: object) -> None:
        heard.append((sender, event.id, event.name, event.lane))

    ran: list[str] = []

    @app.cron(every=1, overlap="queue", name="beat", priority="high")
    def beat() -> None:
        job = current_job()
        assert job is not None
        ran.append(job.id)

    job_enqueued.connect(listen)
    try:
        with working(), working():
            until(lambda: len(ran) >= 3, 20)
    finally:
        job_enqueued.disconnect(listen)
    assert {(sender, name, lane) for sender, _, name, lane in heard} == {(beat, "beat", "high")}
    assert sorted(id for _, id, _, _ in heard) == sorted(ran)


def test_the_last_runs(app: Ardiq) -> None:
    """ADMIN 5.7: of the last 20 occurrences that have fired, when each was due and how it ended, also of
    those that are not the last; jobs by hand, whatever they are called, are none of them."""
    app.cron(every=60, name="t")(lambda: None)
    start, store, keys = now(app), app.broker.store, app.broker.keys

    def runs() -> list[recurring.Fired]:
        [found] = store.run(recurring.fired(keys, ["t"]))
        return list(found)

    assert runs() == []
    for back in range(25, 0, -1):
        assert offered(app, "t", start - back * 1_000, "queue") == "fired"
    assert offered(app, "t", start, "skip") == "busy"
    assert [one.at for one in runs()] == [start - back * 1_000 for back in range(20, 0, -1)]
    first, last = runs()[0], runs()[-1]
    assert not store.run(recurring.ended(keys, "t", first.id, "failed", start + 1))
    assert store.run(recurring.ended(keys, "t", last.id, "succeeded", start + 2))
    assert store.run(recurring.ended(keys, "t", last.id, "failed", start + 3)), "it was run again"
    before = runs()
    assert (before[0].status, before[0].ended_at) == ("failed", start + 1)
    assert (before[-1].status, before[-1].ended_at) == ("failed", start + 3)
    assert {one.status for one in before[1:-1]} == {""}
    for id in (first.id[:8], "failed", ".*", "%w+", f"{start - 20_000}", "a\n1 b"):
        assert not store.run(recurring.ended(keys, "t", id, "expired", start))
    assert runs() == before


def test_a_state_of_an_earlier_release(app: Ardiq, redis_url: str) -> None:
    """It told an end without its job, and no time of firing: the outcome is not known, the rest is."""
    app.cron(every=60, name="t")(lambda: None)
    with admin(redis_url) as client:
        fields = {"mark:t": 60_000, "last:t": "someid", "ended:t": "failed 61000"}
        client.hset(app.broker.keys.cron, mapping=fields)
    [state] = app.schedules_sync()
    assert (state.last_at, state.last_job, state.last_status, state.last_ended_at) == (
        60_000,
        "someid",
        "",
        0,
    )


def test_pause_and_resume(app: Ardiq) -> None:
    """G6: what falls into a pause is over when it ends."""
    app.cron(every=60, name="t")(lambda: None)
    start = now(app)
    assert app.pause_sync("t") and not app.pause_sync("t")
    assert app.schedules_sync()[0].paused and app.schedules_sync()[0].next_at == 0
    assert offered(app, "t", start - 2) == "paused"
    assert app.resume_sync("t") and not app.resume_sync("t")
    assert offered(app, "t", start - 2) == "done"
    assert offered(app, "t", start - 1) == "fired"
    with pytest.raises(UnknownTask, match="tt"):
        app.pause_sync("tt")


def test_run_now_and_ordinary_use(app: Ardiq, working: Make) -> None:
    """G5, G6: still a task: it is enqueued, called, and run now."""

    @app.cron("0 0 1 1 *", name="new_year", tz="Asia/Tokyo", max_retries=0)
    async def new_year(what: str = "cheers") -> str:
        return what

    assert asyncio.run(new_year()) == "cheers"
    assert app.crons["new_year"] == Recurrence("new_year", Timetable.cron("0 0 1 1 *", "Asia/Tokyo"))
    with working():
        assert app.run_now_sync("new_year").result_sync(timeout=10).value == "cheers"  # type: ignore[union-attr]
        assert new_year.enqueue_sync("again").result_sync(timeout=10).value == "again"  # type: ignore[union-attr]

    async def ask() -> None:
        [state] = await app.schedules()
        assert state.zone == "Asia/Tokyo" and state.last_at == 0
        assert await app.pause("new_year") and await app.resume("new_year")
        await app.run_now("new_year")

    asyncio.run(ask())


@pytest.mark.fault("15", "recurring tasks after a wipe")
def test_a_server_that_was_wiped(app: Ardiq, working: Make, redis_url: str) -> None:
    """Fault 15: the marks are gone; the schedule goes on without a burst."""
    fired: list[float] = []
    app.cron(every=1, name="beat")(lambda: fired.append(time.monotonic()))
    with working(), admin(redis_url) as client:
        until(lambda: len(fired) >= 1)
        client.delete(app.broker.keys.cron)
        before = len(fired)
        until(lambda: len(fired) >= before + 2)
        assert all(b - a > 0.5 for a, b in itertools.pairwise(fired)), fired


def test_a_burst_makes_nothing_due(app: Ardiq) -> None:
    """G7: it makes nothing due itself."""
    fired: list[int] = []
    app.cron(every=1, name="beat")(lambda: fired.append(1))
    app.run(burst=True)
    assert fired == []


@pytest.mark.parametrize(
    ("args", "options", "words"),
    [
        ((), {}, "takes an expression"),
        (("* * * * *",), {"every": 5}, "one of them"),
        (("every day",), {}, "every day"),
        ((), {"every": 5, "tz": "UTC"}, "no time zone"),
        (("* * * * *",), {"misfire": "none"}, "misfire='none'"),
        (("* * * * *",), {"overlap": "both"}, "overlap='both'"),
        (("* * * * *",), {"retries": 5}, "retries"),
    ],
)
def test_what_is_refused(app: Ardiq, args: tuple[str], options: dict[str, object], words: str) -> None:
    """G1, G2: at import, with the value and the way out."""
    with pytest.raises((TypeError, ValueError), match=words):
        app.cron(*args, **options)(lambda: None)  # type: ignore[arg-type]


def test_a_task_that_wants_arguments(app: Ardiq) -> None:
    with pytest.raises(TypeError, match="missing a required argument"):
        app.cron("* * * * *")(lambda x: x)


@pytest.mark.fault("57", "nobody there for ten occurrences")
@pytest.mark.parametrize(("misfire", "made"), [("latest", 1), ("all", 10), ("skip", 0)])
def test_nobody_was_there(app: Ardiq, working: Make, redis_url: str, misfire: str, made: int) -> None:
    """G1: what was missed while no worker ran counts as the policy says, and no more."""
    app.cron(every=3_600, name="t", misfire=misfire, overlap="queue")(lambda: None)  # type: ignore[arg-type]
    start = now(app)
    mark = (start // 3_600_000 - 10) * 3_600_000
    with admin(redis_url) as client:
        client.hset(app.broker.keys.cron, "mark:t", mark)
    if misfire == "skip" and start - start // 3_600_000 * 3_600_000 < 65_000:
        pytest.skip("the last occurrence is less than a minute old just now")
    with working() as here:
        until(lambda: here.worker.processed >= made)
        until(lambda: here.worker._schedule and here.worker._schedule._marks)
        last = app.enqueue_many_sync(app.tasks["t"].prepare() for _ in range(3))[-1]
        assert last.result_sync(timeout=10)
        until(lambda: here.worker.processed >= made + 3)
    assert here.worker.processed == made + 3
