"""Jobs that kill their worker, and those that were beside them (F4, R7). With real processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from multiprocessing.context import ForkServerProcess

import pytest

from ardiq import Ardiq, JobStatus, TaskResult
from tests.server import admin
from tests.workers import ROOT, Workers, Working, until

pytestmark = pytest.mark.slow

SHORT = {"LEASE_MS": 1_500, "CONCURRENCY": 8, "THREADS": 4}


def keep_one(workers: Workers, until_true: Callable[[], bool], seconds: float = 60, **options: object) -> int:
    """Keep a worker alive as an init system does, until something holds. Returns how many died."""
    deaths, process = 0, workers.spawn(**(SHORT | options))
    deadline = time.monotonic() + seconds
    while not until_true():
        assert time.monotonic() < deadline, process.text
        if process.popen.poll() is not None:
            deaths, process = deaths + 1, workers.spawn(**(SHORT | options))
        time.sleep(0.05)
    assert process.stop() == 0, process.text
    return deaths


@pytest.mark.fault("44", "SIGKILL of itself, 13 innocents")
def test_one_that_kills_its_process(workers: Workers, app: Ardiq) -> None:
    """F4: started CRASH_LIMIT times, then a dead letter with its reason; one worker dies, not three; those
    beside it all succeed."""
    innocents = [app.send_sync("nap", 0.3) for _ in range(3)]
    guilty = app.send_sync("kill", signal.SIGKILL)
    innocents += [app.send_sync("doze", 0.3) for _ in range(10)]
    deaths = keep_one(workers, lambda: all(job.status_sync().finished for job in [guilty, *innocents]))
    result = guilty.result_sync()
    assert result is not None and result.status is JobStatus.FAILED and result.error is not None
    assert "SIGKILL" in result.error.message and "crash 3" in result.error.message
    assert {job.status_sync() for job in innocents} == {JobStatus.SUCCEEDED}
    assert deaths == 1
    starts = Counter(words[1] for words in workers.notes("start"))
    assert starts[guilty.id] == 3
    assert max(starts[job.id] for job in innocents) <= 2


@pytest.mark.fault("44", "other deaths")
@pytest.mark.parametrize("how", [0, signal.SIGSEGV])
def test_other_deaths(workers: Workers, app: Ardiq, how: int) -> None:
    """F4: a process that leaves by itself, or that the system ends."""
    guilty = app.send_sync("kill", int(how))
    assert keep_one(workers, lambda: guilty.status_sync().finished) == 1
    result = guilty.result_sync()
    assert result is not None and result.error is not None
    assert ("exit code 3" if how == 0 else "SIGSEGV") in result.error.message


def test_a_suspect_that_is_innocent(workers: Workers, app: Ardiq) -> None:
    """R7: it runs alone, in a process of its own with the same surroundings, and its crash stays noted."""
    job = app.send_sync("kill_once")
    assert keep_one(workers, lambda: job.status_sync().finished) == 1
    result = job.result_sync()
    assert result is not None and result.success, result
    pid, greeting = result.value.split()
    assert greeting == "hello" and int(pid) not in {process.popen.pid for process in workers.all}
    info = job.info_sync()
    assert info is not None and (info.crashes, info.tries) == (1, 1)


def make_suspect(app: Ardiq, url: str, id: str, crashes: int = 1) -> None:
    with admin(url) as client:
        client.setrange(app.broker.keys.job(id), 5, f"{crashes:02x}")


def suspect(app: Ardiq, url: str, name: str, *args: object, **options: object) -> object:
    """A job that waits and is suspected already."""
    # Nobody claims it before it is one: it would run in its worker, and what tests kill is somebody else's.
    job = app.ref(name).options(delay_ms=60_000, **options).enqueue_sync(*args)  # type: ignore[arg-type]
    make_suspect(app, url, job.id)
    assert job.run_now_sync()
    return job


def migrate(workers: Workers) -> None:
    command = [sys.executable, str(ROOT / "tests" / "manage.py"), "migrate", "contenttypes", "-v", "0"]
    subprocess.run(command, env=workers.environment(), cwd=ROOT, check=True, timeout=60)


def test_what_a_suspect_does_counts(workers: Workers, app: Ardiq, redis_url: str) -> None:
    """Results, failures, retries and hooks are those of any other job."""
    migrate(workers)
    workers.start(**SHORT)
    jobs = [
        suspect(app, redis_url, "add", 2, 3),
        suspect(app, redis_url, "rows"),
        suspect(app, redis_url, "rows_sync"),
        suspect(app, redis_url, "exit"),
        suspect(app, redis_url, "add", 1, "one"),
    ]
    five, rows, rows_sync, left, failed = (job.result_sync(timeout=30) for job in jobs[:4] + jobs[4:])  # type: ignore[attr-defined]
    assert five.value == 5 and rows.success and rows_sync.success
    assert left.error is not None and left.error.type.endswith("SystemExit")
    assert not failed.success and failed.tries == 4 and "TypeError" in failed.error.type


def test_a_suspect_is_stopped(workers: Workers, app: Ardiq, redis_url: str) -> None:
    """E5, H3: aborting ends its process; a stop hands it back, uncharged."""
    process = workers.start(**SHORT, GRACE_MS=500)
    aborted, handed_back = (suspect(app, redis_url, "doze", 60) for _ in range(2))
    until(lambda: len(workers.notes("start")) == 2, 30)
    assert aborted.abort_sync()  # type: ignore[attr-defined]
    assert aborted.result_sync(timeout=10).status is JobStatus.ABORTED  # type: ignore[attr-defined]
    assert process.stop() == 0
    info = handed_back.info_sync()  # type: ignore[attr-defined]
    assert (info.status, info.crashes, info.tries) == (JobStatus.QUEUED, 1, 0)
    for words in workers.notes("start"):
        until(lambda pid=int(words[3]): not _lives(pid), what="the end of the child")  # type: ignore[misc]


def test_a_suspect_dies_with_its_worker(workers: Workers, app: Ardiq, redis_url: str) -> None:
    """A worker that is killed leaves no process behind that goes on with its job."""
    process = workers.start(**SHORT)
    suspect(app, redis_url, "doze", 60)
    until(lambda: workers.notes("start"), 30)
    process.kill()
    until(lambda: not _lives(int(workers.notes("start")[0][3])), what="the end of the child")


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_task_that_no_module_defines(app: Ardiq, working: Callable[..., Working], redis_url: str) -> None:
    """A process of its own cannot find it: it runs here, with a warning, and loses nothing."""

    @app.task(name="local")
    def local() -> int:
        return os.getpid()

    job = suspect(app, redis_url, "local")
    with working():
        result: TaskResult = job.result_sync(timeout=30)  # type: ignore[attr-defined]
    assert result.value == os.getpid()


def test_a_process_that_cannot_be_started(
    app: Ardiq, working: Callable[..., Working], redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fault 46: no memory or no process left: the job is put off, uncharged, and not lost."""

    tried = []

    def refuse(*args: object, **kwargs: object) -> None:
        tried.append(1)
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(ForkServerProcess, "start", refuse)
    job = suspect(app, redis_url, "add", 2, 3)
    app.task(name="add")(lambda a, b: a + b)
    with working():
        until(lambda: len(tried) >= 2, 20, "a second try")
        info = job.info_sync()  # type: ignore[attr-defined]
    assert (info.tries, info.crashes) == (0, 1) and not info.status.finished
