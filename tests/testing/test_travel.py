"""``travel()``: due times and leases move."""

from __future__ import annotations

import datetime
import secrets
from typing import Any

import pytest
from django.utils import timezone

from ardiq import JobStatus
from ardiq.store import scripts, verbs
from ardiq.testing import capture, fake, run_jobs, travel


def test_due_times(errands: Any) -> None:
    """K4: of delays, schedules and retries; nothing has moved afterwards."""
    with fake():
        later = errands.add.options(delay=datetime.timedelta(hours=1)).enqueue_sync(1)
        then = timezone.now() + datetime.timedelta(days=2)
        dated = errands.add.options(schedule=then).enqueue_sync(2)
        with travel(3_590):
            assert run_jobs().attempts == 0
        with travel(datetime.timedelta(minutes=61)) as clock:
            assert run_jobs().jobs == [later]
            clock.forward(47 * 3_600)
            assert run_jobs().jobs == [dated]
            again = errands.later.enqueue_sync()
            assert run_jobs().retried == 1
            clock.forward(3_601)
            assert run_jobs().retried == 1
        with travel(then + datetime.timedelta(hours=3)):
            assert run_jobs().jobs == [again]
        fresh = errands.add.enqueue_sync(3)
        info = fresh.info_sync()
        assert abs(info.enqueue_time / 1000 - timezone.now().timestamp()) < 60


def test_blocks_add_up(errands: Any) -> None:
    """K4: and end one by one, also by an error."""
    with travel(10), pytest.raises(ZeroDivisionError), travel(5):
        assert scripts.ahead() == 15_000
        raise ZeroDivisionError
    assert scripts.ahead() == 0
    with travel(-60):
        assert scripts.ahead() == -60_000

    @travel(20)
    def inside() -> int:
        return scripts.ahead()

    assert inside() == 20_000 and scripts.ahead() == 0


@pytest.mark.parametrize("wrong", ["5", None, True])
def test_what_is_no_moment(wrong: Any) -> None:
    """K4: is told."""
    with pytest.raises(TypeError, match="seconds, a timedelta or a datetime"), travel(wrong):
        pass
    with pytest.raises(ValueError, match="naive"), travel(datetime.datetime(2030, 1, 1)):
        pass


def test_leases(errands: Any) -> None:
    """K4: what a worker held that is not heard of any more goes to another one."""
    with fake():
        job = errands.add.enqueue_sync(1)
        broker = errands.app.broker
        dead = secrets.token_hex(16)
        broker.store.run(verbs.register(broker.keys, dead, 30_000, {"name": "dead"}))
        claimed = broker.store.run(verbs.claim(broker.keys, dead, 1, 30_000, 10, [("default", 10)]))
        assert len(claimed.jobs) == 1 and job.status_sync() is JobStatus.RUNNING
        assert run_jobs().attempts == 0
        with travel(31):
            assert run_jobs().jobs == [job]
        assert job.info_sync().crashes == 1


def test_what_expires(errands: Any) -> None:
    """K4: on fake://, results and windows age as well."""
    with fake():
        job = errands.add.enqueue_sync(1)
        first, second = errands.seldom.enqueue_sync(), errands.seldom.enqueue_sync()
        assert first == second
        run_jobs()
        with travel(61):
            assert errands.seldom.enqueue_sync() != first
            assert job.status_sync() is JobStatus.SUCCEEDED
        with travel(datetime.timedelta(days=2)):
            assert job.status_sync() is JobStatus.NOT_FOUND


def test_a_job_that_comes_too_late(errands: Any) -> None:
    """K4: its window to start in is over."""
    with capture():
        job = errands.add.options(expire_ms=60_000).enqueue_sync(1)
        with travel(61):
            assert run_jobs().expired == 1
        assert job.status_sync() is JobStatus.EXPIRED
