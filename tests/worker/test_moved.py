"""What a worker process makes of jobs that were moved, or replaced, while it slept."""

from __future__ import annotations

import time

from ardiq import Ardiq, JobStatus
from tests.workers import Workers


def test_a_burst_of_calls_runs_once(app: Ardiq, workers: Workers) -> None:
    """C7: the last of them, once it has been quiet for debounce_ms, and not before."""
    workers.start()
    call = app.ref("add").options(debounce_ms=1_000, unique=lambda a, b: a)
    jobs = [call.enqueue_sync(1, n) for n in range(20)]
    result = jobs[-1].result_sync(timeout=20)
    assert result is not None and (result.value, result.start - result.enqueue_time >= 1_000) == (20, True)
    assert {job.status_sync() for job in jobs[:-1]} == {JobStatus.ABORTED}


def test_a_sleeping_worker_is_told(app: Ardiq, workers: Workers) -> None:
    """C4, C12: of a job that is to run now, and of one that got an earlier time, in whatever lane."""
    workers.start()
    jobs = [app.ref("add").options(delay_ms=600_000).enqueue_sync(n, n) for n in range(3)]
    begin = time.monotonic()
    assert jobs[0].run_now_sync()
    assert jobs[1].reschedule_sync(delay_ms=100)
    assert jobs[2].reprioritise_sync("low") and jobs[2].run_now_sync()
    assert [job.result_sync(timeout=20).value for job in jobs] == [0, 2, 4]  # type: ignore[union-attr]
    assert time.monotonic() - begin < 10
