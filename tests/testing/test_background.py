"""``worker()``: a real worker in the background."""

from __future__ import annotations

import gc
import threading
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import TransactionTestCase

from ardiq import Ardiq, BrokerError, JobStatus
from ardiq.store import embedded
from ardiq.testing import worker
from tests.server import need_binary


def test_jobs_run_by_themselves(errands: Any) -> None:
    """K5: beside the test, several at once, in other threads."""
    gc.collect()  # queues of earlier tests, which would have workers as well
    meet = threading.Barrier(3)

    @errands.app.task
    def meeting() -> int:
        meet.wait(60)
        return threading.get_ident()

    with worker() as running:
        jobs = [meeting.enqueue_sync() for _ in range(2)]
        meet.wait(60)
        threads = {job.result_sync(timeout=60).value for job in jobs}
        assert len(threads) == 2 and threading.get_ident() not in threads
        assert errands.flaky.options().enqueue_sync(1).result_sync(timeout=60).success
    assert running.processed == 3
    assert not [one for one in threading.enumerate() if one.name == "ardiq-test-worker"]


def test_some_queues_and_options(errands: Any) -> None:
    """K5: like those of the command."""
    with worker(errands.app.queue_name, concurrency=1) as running:
        assert errands.add.enqueue_sync(1).result_sync(timeout=10).value == 2
        running.stop()
        assert errands.add.enqueue_sync(1).status_sync() is JobStatus.QUEUED


def test_a_real_server(errands: Any) -> None:
    """K5: of this block alone."""
    need_binary()
    if embedded.binary() is None:
        pytest.skip("no server that embedded:// would find")
    with worker(url="embedded://"):
        assert errands.add.enqueue_sync(1).result_sync(timeout=20).value == 2


def test_the_configured_server(redis_url: str, queue_name: str) -> None:
    """K5: as settings or code say."""
    app = Ardiq(queue_name, redis_url=redis_url)

    @app.task
    def double(n: int) -> int:
        return 2 * n

    with worker(queue_name, url="configured"):
        assert double.enqueue_sync(4).result_sync(timeout=10).value == 8


def test_a_server_that_is_not_there(errands: Any) -> None:
    """K5: the test hears of it from its own call, and the worker ends with the block."""
    with worker(errands.app.queue_name, url="redis://127.0.0.1:1/0"):
        with pytest.raises(BrokerError):
            errands.add.enqueue_sync(1)


class Committed(TransactionTestCase):
    errands: Any

    def test_it_sees_what_is_committed(self) -> None:
        """K5: its threads have connections of their own."""
        with worker():
            user = User.objects.create(username="ines")
            result = self.errands.greet.enqueue_sync(user).result_sync(timeout=10)
            self.assertEqual(result.raise_for_error().value, "hello ines")
