"""Years of occurrences, through the loop of the worker and the script that fires them, in simulated time."""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from types import SimpleNamespace
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from ardiq import Ardiq
from ardiq.core.cron import Timetable
from ardiq.core.events import Events
from ardiq.core.job import tail, tail_start
from ardiq.core.recurrence import GRACE_MS, MOST_MISSED, Recurrence
from ardiq.store import recurring
from ardiq.store.async_client import AsyncStore
from ardiq.store.scripts import CLOCK, Call, Script
from ardiq.store.scripts import script as load
from ardiq.worker import schedule as schedule_module
from ardiq.worker.held import Clock
from ardiq.worker.schedule import Schedule
from tests.core.test_cron import ZONES
from tests.server import admin

YEAR = 2028  # a leap year
HOUR, DAY = 3_600_000, 86_400_000


class Over(Exception):
    """The simulated time of a worker has come to its end."""


class Time(Clock):
    """The clock of the server, for its scripts and for workers. It moves when a worker sleeps."""

    def __init__(self) -> None:
        self.ms = self.end = 0
        self.then: Callable[[], None] = lambda: None

    def now(self) -> int:
        return self.ms

    def set(self, server_ms: int) -> None:
        assert server_ms == self.ms

    async def sleep(self, seconds: float) -> None:
        self.ms += max(1, round(seconds * 1000))
        self.then()
        if self.ms >= self.end:
            raise Over

    def script(self, name: str) -> Script:
        return Told(name, self)


class Told(Script):
    """A script that is told the time, as its last argument."""

    def __init__(self, name: str, time: Time) -> None:
        text = load(name).text.decode()
        assert CLOCK in text, "common.lua reads the clock in another way now"
        text = text.replace(CLOCK, "return told")
        super().__init__(name, "local told = tonumber(table.remove(ARGV))\n" + text)
        self._time = time

    def call(self, prefix: str, argv: Any, decode: Callable[[Any], Any]) -> Call:
        return Call(("EVALSHA", self.sha, 1, prefix, *argv, self._time.ms), decode, self)


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> Time:
    time = Time()
    monkeypatch.setattr(recurring, "script", time.script)
    monkeypatch.setattr(schedule_module, "asyncio", SimpleNamespace(sleep=time.sleep))
    # Nobody sets this clock behind a worker's back, so it need not look twice a minute for a year.
    monkeypatch.setattr(schedule_module, "LONGEST_SLEEP", 40 * 86_400.0)
    return time


class Sim:
    """A queue whose recurring tasks are fired by one worker after the other; a job lives for ``runs_ms``."""

    def __init__(
        self,
        app: Ardiq,
        time: Time,
        patch: pytest.MonkeyPatch,
        recurrences: list[Recurrence],
        runs_ms: int = 0,
    ) -> None:
        self._app, self._time, self._recurrences, self._runs_ms = app, time, recurrences, runs_ms
        self._client, self._keys = admin(app.options.redis_url), app.broker.keys
        self._made = 0
        self._living: dict[str, int] = {}
        self.fired: dict[str, list[int]] = defaultdict(list)
        time.then = self._end_jobs
        offer = recurring.offer

        def offered(keys: Any, offers: list[recurring.Offer]) -> Call:
            call = offer(keys, offers)
            call.decode = lambda reply: self._heard(offers, reply)
            return call

        patch.setattr(recurring, "offer", offered)

    def recurrences(self) -> list[Recurrence]:
        return self._recurrences

    def make(self, recurrence: Recurrence) -> tuple[str, str, str, bytes]:
        self._made += 1
        return f"{self._made}", "default", "", tail(tail_start("default", recurrence.name), b"")

    def _heard(self, offers: list[recurring.Offer], reply: list[Any]) -> tuple[int, list[str]]:
        answers = [answer.decode() for answer in reply[1:]]
        for (name, at, _, id, *_), answer in zip(offers, answers, strict=True):
            if answer == "fired":
                self.fired[name].append(at)
                self._living[id] = self._time.ms + self._runs_ms
        return reply[0], answers

    def _end_jobs(self) -> None:
        for id in [id for id, end in self._living.items() if end <= self._time.ms]:
            del self._living[id]
            assert self._client.delete(self._keys.job(id)) == 1, "an occurrence that has made no job"
            assert self._client.lrem(self._keys.lane("default"), 0, id) == 1

    def work(self, until: int, begin: int | None = None) -> None:
        """A worker that starts at ``begin``, else where the last one stopped, and stops at ``until``."""
        self._time.ms = self._time.ms if begin is None else begin
        self._end_jobs()
        self._time.end = until
        asyncio.run(self._work())
        self._time.ms = until

    async def _work(self) -> None:
        store = AsyncStore(self._app.broker.endpoint)
        with suppress(Over):
            await Schedule(store, self._keys, self._time, self, Events()).run()
        store.close()

    def close(self) -> None:
        """Nothing but what was fired has made jobs."""
        left = {id.decode() for id in self._client.lrange(self._keys.lane("default"), 0, -1)}
        assert left == set(self._living)
        self._client.close()


Make = Callable[..., Sim]


@pytest.fixture
def sim(app: Ardiq, time: Time, monkeypatch: pytest.MonkeyPatch) -> Iterator[Make]:
    made: list[Sim] = []

    def make(*recurrences: Recurrence, **options: int) -> Sim:
        made.append(Sim(app, time, monkeypatch, list(recurrences), **options))
        return made[-1]

    yield make
    for one in made:
        one.close()


# -- what is to be expected, reckoned in another way --------------------------------------------------


def instant(day: date, hour: int, minute: int, zone: str) -> int:
    """The first moment of that day on whose clocks it is so late, or, where that is skipped, later."""
    tz = ZoneInfo(zone)
    wanted = datetime(day.year, day.month, day.day, hour, minute)
    at = wanted.replace(tzinfo=tz).astimezone(UTC) - timedelta(hours=3)
    while at.astimezone(tz).replace(tzinfo=None) < wanted:
        at += timedelta(minutes=1)
    return int(at.timestamp() * 1000)


def on_days(
    zone: str, hour: int, minute: int, wanted: Callable[[date], bool] = lambda day: True
) -> list[int]:
    days = [date(YEAR - 1, 12, 25) + timedelta(days=n) for n in range(400)]
    return [instant(day, hour, minute, zone) for day in days if wanted(day)]


def between(times: list[int], start: int, end: int) -> list[int]:
    return [at for at in times if start < at < end]


def is_last_of_month(day: date) -> bool:
    return (day + timedelta(days=1)).day == 1


START, END = (int(datetime(year, 1, 1, tzinfo=UTC).timestamp() * 1000) for year in (YEAR, YEAR + 1))

# expression -> hour, minute, and the days on which it is due
YEARLY: dict[str, tuple[int, int, Callable[[date], bool]]] = {
    "30 2 * * *": (2, 30, lambda day: True),
    "0 0 * * *": (0, 0, lambda day: True),
    "15 1 * * MON-FRI": (1, 15, lambda day: day.weekday() < 5),
    "30 0 29 2 *": (0, 30, lambda day: (day.month, day.day) == (2, 29)),
    "45 23 L * *": (23, 45, is_last_of_month),
    "0 3 * * SUN#1": (3, 0, lambda day: day.weekday() == 6 and day.day <= 7),
}


# -- a year -------------------------------------------------------------------------------------------


@pytest.mark.fault("56", "a year of occurrences, workers that come and go")
@pytest.mark.parametrize("zone", ZONES)
def test_a_year_in_every_zone(sim: Make, zone: str) -> None:
    """G3, G4: each occurrence once, skipped and repeated hours and the leap day among them."""
    dice = random.Random(zone)
    own = sim(*(Recurrence.checked(spelt, Timetable.cron(spelt, zone)) for spelt in YEARLY))
    own.work(START + 1, begin=START)
    at = START
    while at < END:
        at = min(END, at + dice.randrange(HOUR, 30 * DAY))
        own.work(at)
    for spelt, (hour, minute, wanted) in YEARLY.items():
        assert own.fired[spelt] == between(on_days(zone, hour, minute, wanted), START, END), spelt
    assert len(own.fired["30 0 29 2 *"]) == 1


@pytest.mark.fault("57", "a year of workers that are often away")
@pytest.mark.parametrize("misfire", ["latest", "skip", "all"])
@pytest.mark.parametrize("zone", ["America/New_York", "Australia/Lord_Howe"])
def test_a_year_with_gaps(sim: Make, zone: str, misfire: str) -> None:
    """G1: of what came while nobody was there, what the policy says; of the rest each once."""
    dice = random.Random(f"{zone} {misfire}")
    spelt = "30 2 * * *"
    due = on_days(zone, 2, 30)
    own = sim(Recurrence.checked(spelt, Timetable.cron(spelt, zone), misfire, "queue"))
    own.work(START + 1, begin=START)
    expected: list[int] = []
    stopped = begin = START + 1
    while begin < END:
        missed = between(due, stopped, begin)
        if misfire == "latest":
            missed = missed[-1:]
        elif misfire == "skip":
            missed = [at for at in missed[-1:] if begin - at <= GRACE_MS]
        stop = begin + dice.randrange(HOUR, 6 * DAY)
        own.work(stop, begin=begin)
        expected += missed + between(due, begin, stop)
        # Now and then it comes back just before or just after an occurrence counts as missed.
        away = stop + dice.randrange(HOUR, 5 * DAY)
        near = next(at for at in due if at > away) + GRACE_MS
        stopped, begin = stop, dice.choice([away, near - 5_000, near + 5_000])
    assert own.fired[spelt] == expected


def test_no_more_than_a_hundred(sim: Make) -> None:
    """G1: ``all`` makes up for the latest hundred, once, and not for another hundred each time it looks."""
    own = sim(Recurrence.checked("t", Timetable.every(60), "all", "queue"))
    own.work(START + 1, begin=START)
    back = START + 2 * DAY + 1
    own.work(back + HOUR, begin=back)
    first = back - 1 - (MOST_MISSED - 1) * 60_000
    assert own.fired["t"] == list(range(first, back + HOUR - 1, 60_000))


@pytest.mark.parametrize(("overlap", "zone"), [("skip", "America/New_York"), ("queue", "Europe/Paris")])
def test_a_year_of_long_jobs(sim: Make, overlap: str, zone: str) -> None:
    """G1: while the last one has not ended, the next is left out for good, or waits behind it."""
    spelt, runs = "30 2 * * *", 24 * HOUR - 60_000  # shorter than most days, longer than the one of 23 hours
    own = sim(Recurrence.checked(spelt, Timetable.cron(spelt, zone), "latest", overlap), runs_ms=runs)
    own.work(START + 1, begin=START)
    own.work(END)
    due, expected = between(on_days(zone, 2, 30), START, END), list[int]()
    for at in due:
        if overlap == "queue" or not expected or at >= expected[-1] + runs:
            expected.append(at)
    assert own.fired[spelt] == expected
    assert len(due) - len(expected) == (0 if overlap == "queue" else 1)


@pytest.mark.fault("32", "the clock of the server is set forward and back, for a year")
def test_a_clock_that_is_set(sim: Make) -> None:
    """G4, R19: what was skipped is made up for, and what comes again is not fired again."""
    dice, zone, spelt = random.Random(32), "Europe/Paris", "30 2 * * *"
    own = sim(Recurrence.checked(spelt, Timetable.cron(spelt, zone), "all"))
    own.work(START + 1, begin=START)
    begin = START + 1
    while begin < END:
        stop = begin + dice.randrange(HOUR, 9 * DAY)
        own.work(stop, begin=begin)
        begin = stop + dice.choice([-1, 1]) * dice.randrange(8 * HOUR)
    assert own.fired[spelt] == between(on_days(zone, 2, 30), START, max(own.fired[spelt]) + 1)
    assert len(own.fired[spelt]) >= 364
