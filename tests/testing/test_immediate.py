"""``immediate()``: jobs run when they are enqueued."""

from __future__ import annotations

import asyncio
import datetime
from decimal import Decimal
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import User
from django.db import transaction
from django.test import SimpleTestCase, TestCase, TransactionTestCase

from ardiq import JobStatus, current_job
from ardiq.testing import blocks, immediate, run_jobs, travel


def test_a_job_has_run_when_enqueue_returns(errands: Any) -> None:
    """K1: and its handle tells everything, as after a worker."""
    with immediate():
        job = errands.add.enqueue_sync(2, 3)
        assert job.status_sync() is JobStatus.SUCCEEDED
        result = job.result_sync()
        assert result.value == 5 and result.tries == 1 and result.finish >= result.start > 0
        info = job.info_sync()
        assert (info.name, info.args, info.lane) == (errands.add.name, [2, 3], "default")


def test_async_code(errands: Any) -> None:
    """K1: from a coroutine, for sync and async tasks."""

    async def main() -> None:
        with immediate():
            job = await errands.add.enqueue(2, 3)
            assert await job.status() is JobStatus.SUCCEEDED
            assert (await (await errands.aadd.enqueue(2, b=4)).result()).value == 6
            assert (await (await errands.aouter.enqueue(1)).result()).value == 2
            assert (await (await errands.outer.enqueue(1)).result()).value == 2

    asyncio.run(main())


def test_arguments_and_results_go_through_the_codec(errands: Any) -> None:
    """K1: what a task gets is a copy, of the types that would arrive at a worker."""
    things = {"when": datetime.date(2026, 1, 2), "much": Decimal("1.5"), "some": {1, 2}, "pair": (1, [2])}
    with immediate():
        job = errands.keep.enqueue_sync(things)
        assert errands.log == [things] and errands.log[0] is not things
        assert job.result_sync().value == things
        with pytest.raises(TypeError, match="object"):
            errands.keep.enqueue_sync(object())


def test_retries_do_not_wait(errands: Any) -> None:
    """K1: back-off of seconds and a Retry in an hour both come at once."""
    with immediate():
        assert errands.flaky.enqueue_sync(3).result_sync().tries == 3
        assert errands.log == [1, 2, 3]
        assert errands.later.enqueue_sync().result_sync().value == "at last"
    assert current_job() is None


def test_a_task_that_fails_is_a_failed_job(errands: Any) -> None:
    """K1: with its error; or, where that is wanted, the error comes out of enqueue."""
    with immediate():
        result = errands.flaky.enqueue_sync(9).result_sync()
        assert not result.success and result.error.message == "attempt 3"
    with immediate(raise_errors=True), pytest.raises(ValueError, match="attempt 3"):
        errands.flaky.enqueue_sync(9)

    @immediate(raise_errors=True)
    async def main() -> None:
        await errands.flaky.enqueue(9)

    with pytest.raises(ValueError, match="attempt 3"):
        asyncio.run(main())


def test_every_way_to_enqueue(errands: Any) -> None:
    """K1: bulk, by name, by reference, with options, a cron run by hand, a replay."""
    app = errands.app
    with immediate() as jobs:
        many = app.enqueue_many_sync(errands.add.prepare(i, i) for i in range(3))
        assert [job.result_sync().value for job in many] == [0, 2, 4]
        assert app.send_sync(errands.add.name, 1, 1).result_sync().value == 2
        assert app.ref(errands.add.name).enqueue_sync(2, 2).result_sync().value == 4
        first = errands.add.options(task_id="one", priority="high").enqueue_sync(1, 2)
        again = errands.add.options(task_id="one").enqueue_sync(1, 2)
        assert (first.created, again.created, again.result_sync().value) == (True, False, 3)
        assert app.run_now_sync(errands.nightly.name).result_sync().value == "good night"
        failed = errands.flaky.enqueue_sync(4)
        errands.log.clear()
        assert failed.replay_sync() and errands.log == [1, 2, 3]
        assert len(jobs) == 8 and not run_jobs().jobs


def test_a_task_may_wait_for_the_job_that_it_enqueues(errands: Any) -> None:
    """K1: as it may with workers; and a long chain does not nest without end."""
    with immediate():
        assert errands.outer.enqueue_sync(4).result_sync().value == 5
        assert errands.aouter.enqueue_sync(4).result_sync().value == 5
        errands.countdown.enqueue_sync(30)
        assert errands.log == list(range(30, -1, -1))


def test_tasks_that_enqueue_each_other_for_ever(errands: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """K1: end in an error that says so."""
    monkeypatch.setattr(blocks, "MOST", 12)
    with immediate(), pytest.raises(AssertionError, match="for ever"):
        errands.countdown.enqueue_sync(10_000)


def test_delayed_jobs_wait(errands: Any) -> None:
    """K1: until somebody lets the time pass."""
    with immediate():
        job = errands.add.options(delay_ms=60_000).enqueue_sync(1, 1)
        assert job.status_sync() is JobStatus.SCHEDULED
        with travel(61):
            run_jobs()
        assert job.result_sync().value == 2


def test_timeouts(errands: Any) -> None:
    """K1: of async tasks, and of sync ones, which run in the thread of the test."""
    with immediate():
        for task in (errands.slow, errands.aslow):
            result = task.enqueue_sync().result_sync()
            assert result.error.message.startswith("timed out after 0."), task


@immediate()
def test_as_a_decorator(errands: Any) -> None:
    """K1: of a function."""
    assert errands.add.enqueue_sync(1, 1).result_sync().value == 2


@immediate()
class TestDecorated:
    def test_a_class(self, errands: Any) -> None:
        """K1: each of its tests."""
        assert errands.add.enqueue_sync(1, 1).result_sync().value == 2


@immediate()
class DecoratedCase(TestCase):
    errands: Any

    def setUp(self) -> None:
        self.early = self.errands.add.enqueue_sync(1, 1)

    def test_set_up_is_in_the_block(self) -> None:
        """K1: a TestCase, its setUp included."""
        self.assertEqual(self.early.result_sync().value, 2)

    async def test_an_async_test(self) -> None:
        """K1: and its async tests, whose tasks see what the test has written."""
        user = await User.objects.acreate(username="ines")
        self.assertEqual((await (await self.errands.greet.enqueue(user)).result()).value, "hello ines")
        await self.errands.asign_up.enqueue("rosa")
        await self.errands.sign_up.enqueue("olga")
        self.assertEqual(await User.objects.acount(), 3)
        self.assertEqual(await sync_to_async(User.objects.count)(), 3)


class InTestCase(TestCase):
    errands: Any

    def test_tasks_see_the_transaction_of_the_test(self) -> None:
        """K1: sync and async tasks read what the test wrote, and the test what they wrote."""
        user = User.objects.create(username="ines")
        with immediate():
            self.assertEqual(self.errands.greet.enqueue_sync(user).result_sync().value, "hello ines")
            one = self.errands.sign_up.enqueue_sync("rosa").result_sync()
            other = self.errands.asign_up.enqueue_sync("olga").result_sync()
        self.assertEqual(User.objects.get(pk=one.value).username, "rosa")
        self.assertEqual(User.objects.get(pk=other.value).username, "olga")

    def test_rolled_back(self) -> None:
        """K1: so nothing of it is left for the next test."""
        self.assertEqual(User.objects.count(), 0)

    def test_queries_are_counted(self) -> None:
        """K1: those of tasks among them."""
        with immediate(), self.assertNumQueries(2):
            self.errands.sign_up.enqueue_sync("rosa")
            self.errands.asign_up.enqueue_sync("olga")

    def test_on_commit(self) -> None:
        """K1: an inner atomic() block never commits here, unless the test plays its commit."""
        with immediate() as jobs:
            with self.captureOnCommitCallbacks() as callbacks, transaction.atomic():
                job = self.errands.add.enqueue_sync(1, 1)
            self.assertEqual((len(jobs), len(callbacks)), (0, 1))
            with self.captureOnCommitCallbacks(execute=True), transaction.atomic():
                job = self.errands.add.enqueue_sync(1, 1)
            self.assertEqual(job.result_sync().value, 2)

    def test_durable(self) -> None:
        """K1: a durable job passes through its outbox."""
        with immediate():
            self.assertEqual(self.errands.sturdy.enqueue_sync(7).result_sync().value, 7)


class InTransactionTestCase(TransactionTestCase):
    errands: Any

    def test_on_commit(self) -> None:
        """K1: jobs run at commit, and never after a rollback."""
        with immediate():
            with transaction.atomic():
                user = User.objects.create(username="ines")
                job = self.errands.greet.enqueue_sync(user)
                self.assertEqual(job.status_sync(), JobStatus.NOT_FOUND)
            self.assertEqual(job.result_sync().value, "hello ines")
            with self.assertRaises(ZeroDivisionError), transaction.atomic():
                job = self.errands.add.enqueue_sync(1, 1)
                raise ZeroDivisionError
            self.assertEqual(job.status_sync(), JobStatus.NOT_FOUND)


class WithoutDatabase(SimpleTestCase):
    errands: Any

    def test_needs_no_database(self) -> None:
        """K1: nothing of the kit asks for one."""
        with immediate():
            self.assertEqual(self.errands.add.enqueue_sync(1, 1).result_sync().value, 2)
