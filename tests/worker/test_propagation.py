"""Language, time zone and variables of the project travel with a job, and end with it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from contextvars import ContextVar
from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from asgiref.sync import sync_to_async
from django.utils import timezone, translation

from ardiq import Ardiq, Job, TaskResult, propagation
from ardiq.core.errors import EncodeError
from tests.workers import Working, until

request_id: ContextVar[Any] = ContextVar("request_id", default="none")
NAMES = ["language", "time_zone", f"{__name__}.request_id"]
HERE = ("en-us", "UTC", "none")
THERE = ("de", "Asia/Tokyo", "abc")


@pytest.fixture
def carrying(redis_url: str, queue_name: str) -> Ardiq:
    return Ardiq(queue_name, ["low", "high"], redis_url, propagate=NAMES, concurrency=1, max_retries=0)


def look() -> tuple[str | None, str, Any]:
    return translation.get_language(), timezone.get_current_timezone_name(), request_id.get()


async def look_async() -> tuple[str | None, str, Any]:
    before = look()
    await asyncio.sleep(0)
    assert await sync_to_async(look)() == before == look()
    return before


def enqueued(
    send: Callable[[], Any], language: str = "de", zone: Any = "Asia/Tokyo", value: Any = "abc"
) -> Any:
    """What ``send`` makes of a request with these."""
    token = request_id.set(value)
    try:
        with translation.override(language), timezone.override(zone):
            return send()
    finally:
        request_id.reset(token)


def result(job: Job[Any]) -> TaskResult:
    found = job.result_sync(timeout=20)
    assert found is not None
    return found


@pytest.mark.parametrize("colour", ["async", "sync"])
def test_what_a_request_had_its_jobs_have(carrying: Ardiq, colour: str) -> None:
    """B9: on every way by which a job leaves; and the next one, from elsewhere, has nothing of it."""
    app = carrying
    task = app.task(name="look")(look if colour == "sync" else look_async)
    delayed = task.options(delay_ms=1)
    ways: list[Callable[[], list[Job[Any]]]] = [
        lambda: [task.enqueue_sync()],
        lambda: [delayed.enqueue_sync()],
        lambda: app.enqueue_many_sync([task.prepare(), delayed.prepare()]),
        lambda: [app.send_sync("look")],
        lambda: asyncio.run(app.enqueue_many([task.prepare(), delayed.prepare()])),
    ]
    jobs, plain = [], []
    for way in ways:
        jobs += enqueued(way)
        plain += way()
    with Working(app):
        assert [result(job).value for job in jobs] == [THERE] * 7
        assert [result(job).value for job in plain] == [HERE] * 7


@pytest.mark.parametrize("how", ["returns", "raises", "times out", "is aborted"])
@pytest.mark.parametrize("colour", ["async", "sync"])
def test_nothing_of_it_is_left_for_the_next_job(carrying: Ardiq, colour: str, how: str) -> None:
    """B9, H9: however the job ended, in the same thread and on the same loop."""
    started = []

    def body() -> None:
        started.append(look())
        if how == "raises":
            raise ValueError
        for _ in range(2_000 if how != "returns" else 0):
            time.sleep(0.01)

    async def body_async() -> None:
        started.append(look())
        if how == "raises":
            raise ValueError
        await asyncio.sleep(20 if how != "returns" else 0)

    timeout = 0.2 if how == "times out" else None
    task = carrying.task(name="body", timeout=timeout)(body if colour == "sync" else body_async)
    after = carrying.task(name="look")(look if colour == "sync" else look_async)
    with Working(carrying):
        job = enqueued(task.enqueue_sync)
        until(lambda: started, 20)
        if how == "is aborted":
            job.abort_sync()
        assert result(job).success is (how == "returns")
        assert started == [THERE]
        assert result(after.enqueue_sync()).value == HERE
    assert look() == HERE


@pytest.mark.parametrize(
    ("zone", "name"),
    [(ZoneInfo("America/New_York"), "America/New_York"), (timezone.get_fixed_timezone(-150), "-0230")],
)
def test_time_zones(carrying: Ardiq, zone: Any, name: str) -> None:
    """B9: by their name, or those that are an offset by that."""
    task = carrying.task(name="look")(look)
    with Working(carrying):
        job = enqueued(task.enqueue_sync, zone=zone)
        assert result(job).value[1] == name
    assert _offset(zone) is not None


def _offset(zone: Any) -> timedelta | None:
    return timezone.now().astimezone(zone).utcoffset()


def test_what_a_worker_cannot_apply_fails_no_job(
    carrying: Ardiq, queue_name: str, redis_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """B9, S1: a language it has not, a zone there is none of, a name that its settings do not have: the job
    runs without, and that is logged once for each."""
    caplog.set_level(logging.WARNING, "ardiq")
    propagation._said.clear()
    task = carrying.task(name="look")(look)
    with Working(carrying, propagate=("time_zone",)):
        jobs = [enqueued(task.enqueue_sync) for _ in range(3)]
        assert [result(job).value for job in jobs] == [("en-us", "Asia/Tokyo", "none")] * 3
    assert [r.getMessage().split(" does not")[0] for r in caplog.records] == ["'language'", f"'{NAMES[2]}'"]
    caplog.clear()
    carrier = propagation.carrier(tuple(NAMES))
    for bad in ({"language": "xx"}, {"language": 5}, {"time_zone": "Mars/Base"}, {"time_zone": []}):
        carrier.put(bad)
        carrier.put(bad)
    assert len(caplog.records) == 4
    assert look() == HERE


def test_what_cannot_travel_is_refused_at_the_door(carrying: Ardiq) -> None:
    """C11: with the path of the variable; nothing is stored."""
    task = carrying.task(name="look")(look)
    with pytest.raises(EncodeError, match=r"test_propagation\.request_"):
        enqueued(task.enqueue_sync, value=object())
    with pytest.raises(EncodeError, match=r"test_propagation\.request_"):
        enqueued(task.options(delay_ms=1).enqueue_sync, value=object())
    assert carrying.queue_size_sync() == 0


def test_a_bulk_looks_once(carrying: Ardiq, monkeypatch: pytest.MonkeyPatch) -> None:
    """C9: not once for each of its calls."""
    looks = []
    carrier = propagation.carrier(tuple(NAMES))
    take = carrier._take
    monkeypatch.setattr(carrier, "_take", lambda: looks.append(1) or take())
    task = carrying.task(name="look")(look)
    carrying.enqueue_many_sync(task.prepare() for _ in range(1_200))
    asyncio.run(carrying.enqueue_many(task.prepare() for _ in range(1_200)))
    assert len(looks) == 2
    task.enqueue_sync()
    assert len(looks) == 3


def test_by_default_nothing_travels(app: Ardiq) -> None:
    """B9: and a plain call is as short as ever."""
    task = app.task(name="look")(look)
    job = enqueued(task.enqueue_sync)
    assert app.broker.carrier is None
    with Working(app):
        assert result(job).value == HERE
