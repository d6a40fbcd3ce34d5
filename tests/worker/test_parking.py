"""Jobs that no worker here can run: parked for another one, as a rolling deploy needs it."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from ardiq import Ardiq, Job, JobStatus, TaskResult
from ardiq.core import extensions
from ardiq.core.codec import NEWER, register_extension
from ardiq.core.outcome import CALL, call_subject
from ardiq.store import newjobs, verbs
from tests.server import admin
from tests.workers import Working, until

Make = Callable[..., Working]


def result(job: Job[Any], seconds: float = 10) -> TaskResult:
    found = job.result_sync(timeout=seconds)
    assert found is not None
    return found


def parked(job: Job[Any]) -> bool:
    """Whether it has been claimed and put back, without an attempt."""
    info = job.info_sync()
    assert info is not None and (info.tries, info.attempts) == (0, [])
    return info.status is JobStatus.SCHEDULED


@pytest.mark.fault("39", "parked until somebody knows it")
def test_an_unknown_task_is_parked(app: Ardiq, working: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """F3: tried again until a worker knows it; it costs no attempt."""
    monkeypatch.setattr("ardiq.core.retry.PARK_FIRST_MS", 150)
    job = app.send_sync("soon", 2)
    with working():
        until(lambda: job.status_sync() is JobStatus.SCHEDULED, what="parked")
        info = job.info_sync()
        assert info is not None and (info.tries, info.attempts) == (0, [])
        app.task(name="soon")(lambda n: n * 2)
        found = result(job)
    assert (found.value, found.tries) == (4, 1)


@pytest.mark.fault("39", "and fails in the end")
def test_an_unknown_task_fails_in_the_end(app: Ardiq, working: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """F3: after 24 hours, here sooner; it still costs no attempt, and can be replayed."""
    monkeypatch.setattr("ardiq.core.retry.PARK_FIRST_MS", 50)
    monkeypatch.setattr("ardiq.core.retry.PARK_UNTIL_MS", 100)
    with working():
        job = app.send_sync("never")
        found = result(job)
    assert (found.status, found.tries) == (JobStatus.FAILED, 0)
    assert found.error is not None and "'never'" in found.error.message
    assert job.replay_sync()


def test_the_day_begins_when_it_is_parked(
    app: Ardiq, working: Make, monkeypatch: pytest.MonkeyPatch, redis_url: str
) -> None:
    """F3: however long a job was delayed or waited, it gets its 24 hours of looking for a worker."""
    monkeypatch.setattr("ardiq.core.retry.PARK_FIRST_MS", 100)
    job = app.ref("later").enqueue_sync()
    key = app.broker.keys.job(job.id)
    with admin(redis_url) as client:
        two_days_ago = int(client.getrange(key, 7, 17), 16) - 2 * 86_400_000
        client.setrange(key, 7, f"{two_days_ago:011x}" * 2)
    with working():
        until(lambda: parked(job), what="parked")
        app.task(name="later")(lambda: "found")
        assert result(job).value == "found"


def stored(app: Ardiq, id: str, name: str, call: bytes) -> Job[Any]:
    """A job as another release or project has stored it."""
    app.broker.store.run(verbs.enqueue(app.broker.keys, [newjobs.new_job(id, "default", name, call)]))
    return app.job(id)


def test_a_call_of_a_later_release(
    app: Ardiq, working: Make, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """F3: it is for a newer worker: parked, told in the log, and failed only in the end."""
    monkeypatch.setattr("ardiq.core.retry.PARK_FIRST_MS", 100)
    ran: list[int] = []
    app.task(name="t", max_retries=0)(lambda n: ran.append(n))
    meant = app.broker.codec.encode(CALL, call_subject("meant", "t"), [[1], {}, {"format": 2}])
    jobs = [stored(app, "meant", "t", meant), stored(app, "spelt", "t", NEWER + b"\x02" + b"?" * 30)]
    with working():
        for job in jobs:
            until(lambda job=job: parked(job), what="parked")
        for id in ("meant", "spelt"):
            told = f"t {id} is parked: no worker here can run it just now, due in 0.1 s (NewerPayload: "
            until(lambda told=told: told in caplog.text, what=told)
        assert caplog.text.count("this call is of format 2, and this release") >= 2
        monkeypatch.setattr("ardiq.core.retry.PARK_UNTIL_MS", 1)
        for job in jobs:
            found = result(job)
            assert (found.status, found.tries) == (JobStatus.FAILED, 0)
            assert found.error is not None and found.error.type == "ardiq.errors.NewerPayload"
    assert ran == []


@pytest.mark.usefixtures("own_extensions")
def test_a_value_that_only_others_can_read(
    app: Ardiq, working: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """F3: what a process with a further extension has enqueued waits until a worker has it, too."""
    monkeypatch.setattr("ardiq.core.retry.PARK_FIRST_MS", 100)

    class Money(int):
        pass

    register_extension(90, Money, lambda money: str(int(money)).encode(), lambda data: Decimal(data.decode()))
    task = app.task(name="t", max_retries=0)(lambda money: str(money))
    job = task.enqueue_sync(Money(5))
    decoder = extensions._registered.pop(90)
    with working():
        until(lambda: parked(job), what="parked")
        extensions._registered[90] = decoder
        assert result(job).value == "5"


def test_what_is_corrupt_fails_at_once(app: Ardiq, working: Make) -> None:
    """F3: no other worker could read it either."""
    task = app.task(name="t", max_retries=0)(lambda: None)
    jobs = [stored(app, "unsigned", "t", b"\x92\x90\x80"), stored(app, "changed", "t", NEWER + b"\x01" * 30)]
    with working():
        assert [result(job).status for job in jobs] == [JobStatus.FAILED] * 2
        assert result(task.enqueue_sync()).success


def test_a_parked_job_holds_its_slot_until_it_starts(
    app: Ardiq, working: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """C7, F3: unique_until="start" holds while workers come by that do not know the task."""
    monkeypatch.setattr("ardiq.core.retry.PARK_FIRST_MS", 60_000)
    once = app.ref("soon").options(unique=True, unique_until="start")
    job = once.enqueue_sync(2)
    with working():
        until(lambda: parked(job), what="parked")
    again = once.enqueue_sync(2)
    assert (again.id, again.created) == (job.id, False)
