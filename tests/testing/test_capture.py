"""``capture()``: jobs are collected, nothing runs, and a test may claim what there is."""

from __future__ import annotations

import asyncio
import datetime
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import transaction
from django.test import TestCase

from ardiq import JobStatus
from ardiq.testing import Enqueued, assert_enqueued, assert_not_enqueued, capture, immediate, run_jobs


def test_what_was_enqueued(errands: Any) -> None:
    """K2: in order, by every way there is, and nothing has run."""
    app, add = errands.app, errands.add
    with capture() as jobs:
        job = add.enqueue_sync(1, b=2)
        add.options(priority="high", delay_ms=60_000, expire_ms=5_000, headers={"a": "b"}).enqueue_sync(3)
        app.enqueue_many_sync([add.prepare(4), errands.keep.prepare("x")])
        app.send_sync("elsewhere.task", 5)
        app.ref(add.name).enqueue_sync(6)
        app.run_now_sync(errands.nightly.name)
        errands.add.options(unique=True, task_id="one").enqueue_sync(7)
        errands.add.options(task_id="one").enqueue_sync(8)
        assert [one.args for one in jobs] == [(1,), (3,), (4,), ("x",), (5,), (6,), (), (7,)]
        first, second = jobs[0], jobs[1]
        assert isinstance(first, Enqueued)
        assert (first.task, first.kwargs, first.options) == (add.name, {"b": 2}, {})
        assert (first.lane, first.due, first.queue, first.id) == ("default", None, app.queue_name, job.id)
        assert first.job.status_sync() is JobStatus.QUEUED
        assert second.lane == "high" and second.due is not None and second.due.tzinfo is datetime.UTC
        assert second.options == {"delay_ms": 60_000, "expire_ms": 5_000, "headers": {"a": "b"}}
        assert jobs[-1].options == {"task_id": "one", "unique": True}
        assert not errands.log
        run_jobs()
        assert job.result_sync().value == 3 and errands.log == ["x"]


def test_async_code(errands: Any) -> None:
    """K2: enqueued one by one, at once, in bulk."""

    @capture()
    async def main() -> None:
        await asyncio.gather(*(errands.add.enqueue(n) for n in range(5)))
        await errands.app.enqueue_many(errands.aadd.prepare(n) for n in range(5))
        await errands.app.send(errands.add.name, 9)
        assert_enqueued(errands.add, count=6)
        assert_enqueued(errands.aadd, args=[4])

    asyncio.run(main())


def test_claims(errands: Any) -> None:
    """K2: by call however it is spelt, by some of the parameters, by option, by count."""
    add = errands.add
    with capture() as jobs:
        add.enqueue_sync(1, b=datetime.date(2026, 1, 2))
        add.options(delay_ms=1_000).enqueue_sync(a=[1, 2], b=1)
        found = assert_enqueued(add, args=[1, datetime.date(2026, 1, 2)])
        assert found is jobs[0]
        assert assert_enqueued(add, args=[], kwargs={"a": [1, 2]}) is jobs[1], "b is 1 by default"
        assert_enqueued(add.name, kwargs={"b": 1}, count=1)
        assert_enqueued(add, delay_ms=1_000, lane="default", count=1)
        assert_enqueued(add, count=2)
        assert_not_enqueued(add, args=[1, 3])
        assert_not_enqueued(errands.aadd)
        jobs.clear()
        assert_not_enqueued()


def test_claims_that_are_wrong(errands: Any) -> None:
    """K2: say what there is instead."""
    name = errands.add.name
    with capture():
        with pytest.raises(AssertionError, match=r"add\(1\) was not enqueued\. Nothing was"):
            assert_enqueued(errands.add, args=[1])
        errands.add.options(delay_ms=60_000).enqueue_sync(1, b=2)
        with pytest.raises(AssertionError) as raised:
            assert_enqueued(errands.add, args=[1, 3], count=2)
        lines = str(raised.value).splitlines()
        assert lines[0] == f"{name}(1, 3) was not enqueued 2 times. Enqueued was:"
        assert lines[1].startswith(f"  {name}(1, b=2)  lane default, due 20")
        assert lines[1].endswith("UTC, delay_ms=60000")
        with pytest.raises(AssertionError, match="was not enqueued 3 times but 1"):
            assert_enqueued(errands.add, count=3)
        with pytest.raises(AssertionError, match=r"was enqueued\. Enqueued was:\n  .*add\(1, b=2\)"):
            assert_not_enqueued(errands.add)
        with pytest.raises(AssertionError, match="Nothing should have been enqueued"):
            assert_not_enqueued()
        for n in range(30):
            errands.add.enqueue_sync(n)
        with pytest.raises(AssertionError, match=r"\.\.\. and 11 more"):
            assert_enqueued(errands.keep)
    with pytest.raises(AssertionError, match="ardiq_captured"):
        assert_enqueued(errands.add)


def test_blocks_in_blocks(errands: Any) -> None:
    """K2: the inner one has a server and a list of its own."""
    with capture() as outer:
        errands.add.enqueue_sync(1)
        with immediate() as inner:
            assert errands.add.enqueue_sync(2).result_sync().value == 3
        errands.add.enqueue_sync(3)
        assert ([one.args for one in outer], [one.args for one in inner]) == ([(1,), (3,)], [(2,)])


@capture()
class InTestCase(TestCase):
    errands: Any

    def test_commits(self) -> None:
        """K2: what waits for a commit is not there before it; durable calls, too."""
        for task in (self.errands.add, self.errands.sturdy):
            with self.captureOnCommitCallbacks(execute=True), transaction.atomic():
                task.enqueue_sync(1)
                assert_not_enqueued(task)
            assert_enqueued(task, args=[1], count=1)

    def test_model_instances(self) -> None:
        """K2: an instance stands for its row."""
        ines, rosa = (User.objects.create(username=name) for name in ("ines", "rosa"))
        self.errands.greet.enqueue_sync(ines)
        assert_enqueued(self.errands.greet, args=[ines])
        assert_not_enqueued(self.errands.greet, args=[rosa])
