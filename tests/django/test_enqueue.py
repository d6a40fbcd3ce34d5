"""Enqueuing one job: the handle, the options of a call, the lanes, both colours of code."""

from __future__ import annotations

import asyncio
import time
import uuid
import warnings
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from ardiq import Ardiq, ArdiqError, Job, JobStatus
from ardiq.enqueuing import Task
from tests.django.conftest import Stored, Work


@pytest.fixture
def add(app: Ardiq) -> Task[..., int]:
    @app.task(name="add")
    async def add(a: int, b: int) -> int:
        return a + b

    return add


def test_the_id_is_a_uuid(add: Task[..., int]) -> None:
    """C1: 32 hex digits that uuid.UUID reads as version 4 or 7, new each time."""

    async def enqueue() -> list[Job[int]]:
        return [await add.enqueue(2, 3) for _ in range(300)] + [add.enqueue_sync(2, 3) for _ in range(300)]

    ids = {job.id for job in asyncio.run(enqueue())}
    assert len(ids) == 600
    for id in ids:
        assert len(id) == 32 and uuid.UUID(id).hex == id
        assert uuid.UUID(id).version in (4, 7) and uuid.UUID(id).variant == uuid.RFC_4122


def test_a_handle_reads_the_job(app: Ardiq, add: Task[..., int], work: Work) -> None:
    """C1: await task.enqueue() gives a Job with which to read status and result."""

    async def enqueue() -> Job[int]:
        job = await add.enqueue(2, 3)
        assert job.created is True and await job.status() is JobStatus.QUEUED
        assert await job.result() is None
        return job

    job = asyncio.run(enqueue())
    work(app)
    assert asyncio.run(job.result()).value == 5  # type: ignore[union-attr]


def test_sync_code_starts_no_loop(app: Ardiq, add: Task[..., int], monkeypatch: pytest.MonkeyPatch) -> None:
    """C2: enqueue_sync and every other _sync method do without an event loop."""

    def refuse() -> None:
        raise AssertionError("an event loop was started")

    monkeypatch.setattr(asyncio, "new_event_loop", refuse)
    job = add.enqueue_sync(2, 3)
    assert job.status_sync() is JobStatus.QUEUED
    assert job.result_sync() is None
    with pytest.raises(TimeoutError):
        job.result_sync(timeout=0.01)
    assert job.info_sync().args == [2, 3]  # type: ignore[union-attr]
    assert (job.abort_sync(), job.replay_sync(), job.delete_sync()) == (True, True, True)


def test_enqueue_needs_a_loop(app: Ardiq, add: Task[..., int], stored: Stored) -> None:
    """C2: enqueue without a running loop raises at once and leaves no coroutine that was never awaited."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for enqueuable in (add, add.options(delay_ms=5), app.ref("add")):
            with pytest.raises(ArdiqError, match=r"no event loop runs.*await it.*enqueue_sync\(\)"):
                enqueuable.enqueue(2, 3)
    assert stored() == set()


def test_enqueue_sync_works_inside_a_loop(add: Task[..., int], stored: Stored) -> None:
    """C2: sync code that happens to be called from a coroutine works, too."""

    async def view() -> Job[int]:
        return add.enqueue_sync(2, 3)

    assert asyncio.run(view()).id in stored()


def test_one_queue_serves_many_loops(add: Task[..., int], stored: Stored) -> None:
    """C2: a loop that has ended leaves nothing behind that the next one would trip over."""

    async def enqueue() -> None:
        await asyncio.gather(*(add.enqueue(n, n) for n in range(20)))

    for _ in range(3):
        asyncio.run(enqueue())
    assert len(stored()) == 60


def scheduled(job: Job[Any]) -> tuple[JobStatus, int]:
    """Status, and ms between enqueue and the time the job is scheduled for."""
    info = job.info_sync()
    assert info is not None
    return info.status, (info.scheduled_at or info.enqueue_time) - info.enqueue_time


def test_a_delay(add: Task[..., int]) -> None:
    """C3: delay_ms and delay=timedelta count from the time of the server."""
    for options in ({"delay_ms": 60_000}, {"delay": timedelta(minutes=1)}):
        assert scheduled(add.options(**options).enqueue_sync(1, 1)) == (JobStatus.SCHEDULED, 60_000)


def test_a_time(add: Task[..., int], settings: Any) -> None:
    """C3: schedule_ms, and schedule= with an aware datetime of any zone, or a naive one without USE_TZ."""
    at = datetime(2099, 1, 2, 3, 4, 5, 678_000, UTC)
    ms = int(at.timestamp() * 1000)
    other = at.astimezone(timezone.get_fixed_timezone(120))
    for options in ({"schedule_ms": ms}, {"schedule": at}, {"schedule": other}):
        info = add.options(**options).enqueue_sync(1, 1).info_sync()
        assert info is not None and (info.status, info.scheduled_at) == (JobStatus.SCHEDULED, ms)
    settings.USE_TZ = False
    naive = datetime(2099, 1, 2, 3, 4, 5, 678_000)
    info = add.options(schedule=naive).enqueue_sync(1, 1).info_sync()
    assert info is not None and info.scheduled_at == ms


@pytest.mark.parametrize("options", [{"schedule_ms": 1}, {"schedule": datetime(2020, 1, 1, tzinfo=UTC)}])
def test_a_time_in_the_past_is_now(
    app: Ardiq, add: Task[..., int], work: Work, options: dict[str, Any]
) -> None:
    """C4: it is queued at once, not scheduled, and runs."""
    job = add.options(**options).enqueue_sync(2, 3)
    assert job.status_sync() is JobStatus.QUEUED
    assert app.queue_size_sync() == 1
    work(app)
    assert job.status_sync() is JobStatus.SUCCEEDED


def test_a_due_job_runs(app: Ardiq, add: Task[..., int], work: Work) -> None:
    """C3: a job whose delay has passed is claimed like any other."""
    job = add.options(delay_ms=30).enqueue_sync(2, 3)
    assert job.status_sync() is JobStatus.SCHEDULED
    deadline = time.monotonic() + 10
    while job.status_sync() is not JobStatus.SUCCEEDED:
        assert time.monotonic() < deadline
        work(app)
    result = job.result_sync()
    assert result is not None and result.start >= result.enqueue_time + 30


def test_options_add_up(add: Task[..., int]) -> None:
    """C3: .options() of .options() keeps what was said; the task itself is not changed."""
    later = add.options(delay_ms=60_000)
    job = later.options(priority="high", task_id="mine").enqueue_sync(1, 1)
    info = job.info_sync()
    assert info is not None and (info.id, info.lane) == ("mine", "high")
    assert info.status is JobStatus.SCHEDULED
    assert scheduled(add.enqueue_sync(1, 1))[0] is JobStatus.QUEUED


def test_the_lane_of_a_task_and_of_a_call(app: Ardiq, redis_url: str) -> None:
    """C5: a call's lane wins over the task's, and that over the default lane, the middle one rounded up."""
    urgent = app.task(name="urgent", priority="high")(lambda: None)
    plain = app.task(name="plain")(lambda: None)

    def lane(job: Job[Any]) -> str:
        return job.info_sync().lane  # type: ignore[union-attr]

    assert lane(urgent.enqueue_sync()) == "high"
    assert lane(urgent.options(priority="low").enqueue_sync()) == "low"
    assert lane(plain.enqueue_sync()) == "default"
    # The same queue under other options in the same process.
    two = Ardiq(app.queue_name, priorities=["one", "two"], redis_url=redis_url)
    assert lane(two.task(name="of_two")(lambda: None).enqueue_sync()) == "two"


def test_an_unknown_lane_is_refused_everywhere(app: Ardiq, add: Task[..., int], stored: Stored) -> None:
    """C5: at decoration, at enqueue, by name and in a batch: ValueError with the value and all lanes."""
    words = r"'urgent' is no lane .*low, default, high"
    refused = [
        lambda: app.task(priority="urgent")(lambda: None),
        lambda: add.options(priority="urgent"),
        lambda: app.ref("add").options(priority="urgent"),
        lambda: app.enqueue_many_sync([add.prepare(1, 1), add.options(priority="urgent").prepare(1, 1)]),
        lambda: app.queue_size_sync("urgent"),
    ]
    for call in refused:
        with pytest.raises(ValueError, match=words):
            call()
    assert stored() == set()


def test_a_lane_that_settings_no_longer_have(redis_url: str, queue_name: str, settings: Any) -> None:
    """C5: the lane is checked again when the job is built, with the lanes then in force."""
    settings.ARDIQ = {queue_name: {"REDIS_URL": redis_url, "PRIORITIES": ["low", "high"]}}
    queue = Ardiq(queue_name)
    task = queue.task(name="t", priority="high")(lambda: None)
    call = task.options(priority="low")
    settings.ARDIQ = {queue_name: {"REDIS_URL": redis_url, "PRIORITIES": ["only"]}}
    for enqueuable in (task, call):
        with pytest.raises(ValueError, match="its lanes are only"):
            enqueuable.enqueue_sync()
    assert queue.queue_size_sync() == 0


def test_first_in_first_out_and_higher_lanes_first(app: Ardiq, work: Work) -> None:
    """C12: FIFO inside a lane, whatever path a job came by; higher lanes before lower ones."""
    ran: list[str] = []

    @app.task(name="note")
    async def note(text: str) -> None:
        ran.append(text)

    async def gather() -> None:
        await asyncio.gather(*(note.enqueue(f"d{n}") for n in range(3, 6)))

    for n in range(3):
        note.enqueue_sync(f"d{n}")
    asyncio.run(gather())
    app.enqueue_many_sync(note.prepare(f"d{n}") for n in range(6, 9))
    for n in range(2):
        note.options(priority="low").enqueue_sync(f"l{n}")
        note.options(priority="high").enqueue_sync(f"h{n}")
    work(app, concurrency=1)
    assert ran == ["h0", "h1", *(f"d{n}" for n in range(9)), "l0", "l1"]


def test_a_later_high_job_overtakes(app: Ardiq, work: Work) -> None:
    """C12: what arrives in a higher lane while lower ones are being drained is next."""
    ran: list[str] = []

    @app.task(name="low", priority="low")
    async def low(n: int) -> None:
        ran.append(f"low {n}")
        if n == 0:
            await high.enqueue()

    @app.task(name="high", priority="high")
    async def high() -> None:
        ran.append("high")

    for n in range(200):
        low.enqueue_sync(n)
    work(app, concurrency=1, prefetch=0)
    assert ran.index("high") <= 2
    assert [word for word in ran if word != "high"] == [f"low {n}" for n in range(200)]


def test_a_job_expires_only_before_its_first_start(app: Ardiq, work: Work, stored: Stored) -> None:
    """C8: not started in its window it ends as expired, visible, never run; retries are not affected."""
    ran: list[str] = []

    @app.task(name="stale", backoff_ms=1, max_retries=2)
    def stale(text: str) -> None:
        ran.append(text)
        if ran.count(text) < 2:
            time.sleep(1.6)  # beyond the window, which ended with the first start
            raise ValueError(text)

    late = stale.options(expire=timedelta(milliseconds=20)).enqueue_sync("late")
    info = late.info_sync()
    assert info is not None and info.expires_at == info.enqueue_time + 20
    time.sleep(0.03)
    in_time = stale.options(expire_ms=1_500).enqueue_sync("in time")
    deadline = time.monotonic() + 10
    while not in_time.status_sync().finished:
        assert time.monotonic() < deadline
        work(app)
    assert (late.status_sync(), in_time.status_sync()) == (JobStatus.EXPIRED, JobStatus.SUCCEEDED)
    assert ran == ["in time", "in time"]
    result = late.result_sync()
    assert result is not None and (result.success, result.tries) == (False, 0)
    assert result.error is not None and "Not started within 20 ms" in result.error.message
    assert late.id in stored()


def test_a_window_may_begin_with_a_delay(app: Ardiq, add: Task[..., int], work: Work) -> None:
    """C8: delay and expiry go together; a job that is not due yet is not looked at."""
    job = add.options(delay_ms=60_000, expire_ms=10).enqueue_sync(1, 1)
    work(app)
    assert job.status_sync() is JobStatus.SCHEDULED
