"""``run_jobs()``: a real worker in the thread of the test, until nothing is due."""

from __future__ import annotations

import asyncio
import secrets
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import User
from django.test import TestCase

from ardiq import Ardiq, JobStatus, current_job
from ardiq.signals import job_failed, job_succeeded
from ardiq.testing import Ran, arun_jobs, draining, fake, run_jobs


@pytest.fixture(autouse=True)
def faked() -> Iterator[None]:
    with fake():
        yield


def test_all_that_is_due(errands: Any) -> None:
    """K3: high lanes first, in order, in this very thread; what comes of them is told."""
    threads = set()

    @errands.app.task
    def note(what: str) -> None:
        threads.add(threading.get_ident())
        errands.log.append(what)

    for lane in ("low", "default", "high"):
        for n in range(3):
            note.options(priority=lane).enqueue_sync(f"{lane} {n}")
    failed = errands.flaky.options(priority="low").enqueue_sync(9)
    later = errands.add.options(delay_ms=60_000).enqueue_sync(1)
    ran = run_jobs()
    assert errands.log == [f"{lane} {n}" for lane in ("high", "default", "low") for n in range(3)] + [1]
    assert threads == {threading.get_ident()}
    assert (ran.succeeded, ran.failed, ran.retried, len(ran), ran.attempts) == (9, 0, 1, 9, 10)
    assert failed.status_sync() is later.status_sync() is JobStatus.SCHEDULED
    assert not run_jobs().attempts and current_job() is None


def test_retries_at_once(errands: Any) -> None:
    """K3: where that is wanted; and what was raised."""
    job = errands.flaky.enqueue_sync(9)
    ran = run_jobs(retries=True)
    assert (ran.retried, ran.failed, ran.jobs) == (2, 1, [job])
    assert [str(error) for error in ran.errors] == ["attempt 3"]
    with pytest.raises(ValueError, match="attempt 3"):
        ran.raise_errors()


def test_until(errands: Any) -> None:
    """K3: from one due time to the next, what falls due on the way included, and no further."""

    @errands.app.task
    def tick(left: int) -> None:
        errands.log.append(left)
        tick.options(delay_ms=600_000).enqueue_sync(left - 1)

    tick.options(delay_ms=600_000).enqueue_sync(9)
    assert run_jobs(until=1_850).succeeded == 3
    assert errands.log == [9, 8, 7]
    later = errands.later.enqueue_sync()
    assert run_jobs(until=3_590).retried == 1
    assert run_jobs(until=7_300).retried == 1
    assert later.result_sync().value == "at last"


def test_not_more_than_wanted(errands: Any) -> None:
    """K3: max_jobs ends it; without, tasks that go on for ever end in an error."""
    errands.countdown.enqueue_sync(1_000)
    assert run_jobs(max_jobs=3).succeeded == 3
    assert errands.log == [1_000, 999, 998]
    before, draining.MOST = draining.MOST, 20
    try:
        with pytest.raises(AssertionError, match="More than 20 jobs ran"):
            run_jobs()
    finally:
        draining.MOST = before


def test_some_queues(errands: Any) -> None:
    """K3: and jobs that go from one to another when all are meant."""
    other = Ardiq(f"kit-{secrets.token_hex(4)}")

    @other.task
    def back(n: int) -> None:
        errands.add.enqueue_sync(n)

    @errands.app.task
    def forth(n: int) -> None:
        back.enqueue_sync(n)

    forth.enqueue_sync(1)
    assert run_jobs(other.queue_name).attempts == 0
    assert run_jobs([errands.app.queue_name]).succeeded == 1
    forth.enqueue_sync(2)
    assert run_jobs().succeeded == 5


def test_hooks_signals_and_lifespans(errands: Any) -> None:
    """K3: all that belongs to a worker happens, and what is sync in the thread of the test."""
    app, heard = errands.app, []

    @app.lifespan
    async def life(app: Any) -> Any:
        app.state.greeting = "hello"
        yield
        heard.append("closed")

    @app.on_error
    def hook(error: BaseException, job: Any) -> None:
        heard.append((type(error).__name__, job.attempt, threading.get_ident()))

    @app.task
    def greeting() -> str:
        return str(app.state.greeting)

    def receiver(sender: Any, event: Any, **kwargs: Any) -> None:
        heard.append((event.kind, sender, threading.get_ident()))

    for signal in (job_succeeded, job_failed):
        signal.connect(receiver)
    try:
        job = greeting.enqueue_sync()
        errands.flaky.enqueue_sync(9)
        run_jobs(retries=True)
    finally:
        for signal in (job_succeeded, job_failed):
            signal.disconnect(receiver)
    assert job.result_sync().value == "hello"
    here = threading.get_ident()
    assert heard == [
        ("ValueError", 1, here),
        ("ValueError", 2, here),
        ("ValueError", 3, here),
        ("succeeded", greeting, here),
        ("failed", errands.flaky, here),
        "closed",
    ]


def test_from_a_coroutine(errands: Any) -> None:
    """K3: the twin for async tests, with async tasks that wait for each other."""

    async def main() -> Ran:
        await errands.add.enqueue(1)
        await errands.aouter.enqueue(1)
        await errands.add.options(delay_ms=5_000).enqueue(1)
        loop = asyncio.get_running_loop()

        @errands.app.task
        async def where() -> bool:
            return asyncio.get_running_loop() is loop

        job = await where.enqueue()
        ran = await arun_jobs(until=10, concurrency=4)
        assert (await job.result()).value is True
        return ran

    assert asyncio.run(main()).succeeded == 5


def test_an_unknown_task_is_parked(errands: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """K3: as a worker would; it does not come again at once."""
    monkeypatch.setattr("ardiq.core.retry.PARK_FIRST_MS", 60_000)  # more than a busy machine takes
    job = errands.app.send_sync("nobody.knows")
    assert run_jobs(retries=True).parked == 1
    assert job.status_sync() is JobStatus.SCHEDULED


class InTestCase(TestCase):
    errands: Any

    def test_tasks_are_in_the_transaction_of_the_test(self) -> None:
        """K3: sync, async, and model instances as arguments."""
        user = User.objects.create(username="ines")
        greeted = self.errands.greet.enqueue_sync(user)
        self.errands.sign_up.enqueue_sync("rosa")
        self.errands.asign_up.enqueue_sync("olga")
        with self.assertNumQueries(3):
            self.assertEqual(run_jobs().raise_errors().succeeded, 3)
        self.assertEqual(greeted.result_sync().value, "hello ines")
        self.assertEqual(User.objects.count(), 3)

    def test_from_an_async_view(self) -> None:
        """K3: below async_to_sync, as Django runs async tests and views."""

        async def main() -> int:
            await self.errands.sign_up.enqueue("rosa")
            await self.errands.asign_up.enqueue("olga")
            ran = await arun_jobs()
            return ran.raise_errors().succeeded

        self.assertEqual(async_to_sync(main)(), 2)
        self.assertEqual(User.objects.count(), 2)

    def test_the_outbox(self) -> None:
        """K3: what durable calls have left is pushed where that is asked for."""
        from django.db import transaction

        with transaction.atomic():
            job = self.errands.sturdy.enqueue_sync(1)
        self.assertEqual(run_jobs().attempts, 0)
        self.assertEqual(run_jobs(outbox=True).succeeded, 1)
        self.assertEqual(job.result_sync().value, 1)
