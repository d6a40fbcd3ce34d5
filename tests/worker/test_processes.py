"""Tasks with executor="process": a pool of children, used again, and killed where a thread is asked."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import pytest

from ardiq import Ardiq, Job, JobStatus, TaskResult
from ardiq.core.retry import Ending, Outcome
from ardiq.worker import processes
from ardiq.worker.apart import processors
from ardiq.worker.held import Held
from ardiq.worker.limits import Limits
from ardiq.worker.processes import Processes
from ardiq.worker.pump import Pump
from tests.admin_client import direct
from tests.proxy import Proxy
from tests.workers import ROOT, Process, Workers, Working, until

MILL: dict[str, Any] = {"ardiq_test_apps": "tests.shop,tests.mill", "CONCURRENCY": 6, "BACKOFF_MS": 1}
PROMPT = 1.0  # seconds in which a child ends (B5), and with it its job


def result(job: Job[Any], seconds: float = 40) -> TaskResult:
    found = job.result_sync(timeout=seconds)
    assert found is not None
    return found


def begun(workers: Workers, job: Job[Any], attempt: int = 1) -> int:
    """The process that has begun the job."""

    def start() -> list[list[str]]:
        return [words for words in workers.notes("start") if words[1:3] == [job.id, str(attempt)]]

    return int(until(start, 40, "a job that begins")[0][3])


def lives(pid: int) -> bool:
    """Whether it still runs; a zombie, whose parent has not looked, does not."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def gone(*pids: int) -> None:
    for pid in pids:
        until(lambda pid=pid: not lives(pid), what=f"the end of process {pid}")  # type: ignore[misc]


def family(process: Process) -> list[int]:
    """The processes below a worker: what multiprocessing keeps for it, the nursery, the children of that."""
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
    found = [process.popen.pid]
    for pid in found:
        found += [child for child, parent in parents.items() if parent == pid]
    return found[1:]


def test_a_pool_that_is_used_again(workers: Workers, app: Ardiq) -> None:
    """B5, H10: one child as long as one is enough, more when needed, each with its lifespan; another process
    than the worker, outside of any thread; the next job finds it warm; a stop ends them all."""
    worker = workers.start(**MILL)
    first = {result(app.send_sync("pid")).value for _ in range(5)}
    assert len(first) == 1 and worker.popen.pid not in first
    jobs = [app.send_sync("grind", 0.5) for _ in range(4)]
    pids = {result(job).value for job in jobs}
    assert len(pids) == 4 and first < pids
    assert {result(app.send_sync("pid")).value for _ in range(20)} <= pids
    assert min(timed(lambda: result(app.send_sync("pid"))) for _ in range(5)) < 0.1, "warm is milliseconds"
    ups, family_before = {int(words[1]) for words in workers.notes("up")}, family(worker)
    assert ups == {*pids, worker.popen.pid} and pids < set(family_before)
    assert worker.stop() == 0, worker.text
    gone(*family_before)
    assert {int(words[1]) for words in workers.notes("down")} == ups
    assert "Traceback" not in worker.text


def timed(call: Callable[[], object]) -> float:
    """Seconds that it takes."""
    begin = time.monotonic()
    call()
    return time.monotonic() - begin


def neighbours(app: Ardiq) -> list[Job[Any]]:
    """Jobs of all three kinds that others must not disturb."""
    return [app.send_sync("nap", 1.5), app.send_sync("doze", 1.5), app.send_sync("grind", 1.5)]


def undisturbed(workers: Workers, jobs: list[Job[Any]]) -> None:
    assert all(result(job).success for job in jobs)
    assert {info.tries for job in jobs if (info := job.info_sync())} == {1}
    starts = [words[1] for words in workers.notes("start")]
    assert all(starts.count(job.id) == 1 for job in jobs)


def test_a_timeout_ends_the_child(workers: Workers, app: Ardiq) -> None:
    """B5, B7: a CPU loop is ended within a second of its timeout, charged and retried like any failure, in a
    child that replaces the dead one; hooks are told; the worker's other jobs never notice."""
    workers.start(**MILL)
    beside = neighbours(app)
    for job in beside:
        begun(workers, job)
    job = app.send_sync("grind_briefly", 60)
    first = begun(workers, job)
    begin = time.monotonic()
    second = begun(workers, job, attempt=2)
    assert time.monotonic() - begin < 0.3 + PROMPT and first != second
    gone(first)
    found = result(job)
    assert time.monotonic() - begin < 2 * (0.3 + PROMPT)
    assert found.error is not None and found.error.message == "timed out after 0.3s"
    assert (found.error.type, found.tries) == ("TimeoutError", 2)
    gone(second)
    undisturbed(workers, beside)
    assert [words[2] for words in workers.notes("error")] == ["TimeoutError"] * 2


def test_an_abort_ends_the_child(workers: Workers, app: Ardiq) -> None:
    """E5, B5: within a second, also inside a call that lets no thread run; and the programs that it has
    started with it; the worker's other jobs never notice."""
    workers.start(**MILL)
    beside = neighbours(app)
    jobs = [app.send_sync("grind", 60), app.send_sync("stall"), app.send_sync("hire", 60)]
    pids = [begun(workers, job) for job in (*jobs, *beside)][:3]
    program = int(until(lambda: workers.notes("program"))[0][1])
    for job, pid in zip(jobs, pids, strict=True):
        begin = time.monotonic()
        assert job.abort_sync() is True
        found = result(job)
        assert time.monotonic() - begin < PROMPT
        assert (found.status, found.value, found.aborted) == (JobStatus.ABORTED, "aborted", True)
        assert not lives(pid) and job.abort_sync() is False
    gone(program)
    undisturbed(workers, beside)
    assert result(app.send_sync("pid")).value not in pids
    assert workers.notes("error") == []


@pytest.mark.slow
def test_threads_are_interrupted(workers: Workers, app: Ardiq) -> None:
    """B7, E5: a CPU loop in a thread that times out or is aborted is interrupted within 200 ms, and the
    worker's other jobs never notice."""
    workers.start(**MILL)
    beside = [app.send_sync("nap", 1.5), app.send_sync("doze", 1.5)]
    for job in beside:
        begun(workers, job)
    # The best of three: the machine may be busy with something else.
    late, abort = [], []
    for _ in range(3):
        timed_out = result(app.send_sync("spin_briefly", 60))
        assert timed_out.error is not None and timed_out.error.message == "timed out after 0.3s"
        late.append(timed_out.duration_ms - 300)
        job = app.send_sync("spin", 60)
        begun(workers, job)
        abort.append(timed(lambda job=job: job.abort_sync() and result(job)))  # type: ignore[misc]
        assert result(job).aborted
    assert min(late) < 200 and min(abort) < 0.2
    undisturbed(workers, beside)


def test_a_child_that_dies(workers: Workers, app: Ardiq) -> None:
    """B5, F2: it fails the attempt of its job, with the signal or the exit code in words; retries as for any
    failure; no crash of the worker is counted, and the worker goes on. One that had nothing to do fails
    nobody."""
    worker = workers.start(**MILL)
    for number, words in ((0, "ended with exit code 3"), (11, "was killed by SIGSEGV")):
        job = app.send_sync("die", number)
        found = result(job)
        assert found.status is JobStatus.FAILED and found.error is not None and found.tries == 2
        assert found.error.message == f"The process that ran this job {words}."
        assert found.error.type.endswith("JobCrashed")
        info = job.info_sync()
        assert info is not None and info.crashes == 0 and len(info.attempts) == 2
    # What the system does when memory runs out, to one that is at work and to one that is not.
    job = app.send_sync("grind", 1)
    os.kill(begun(workers, job), signal.SIGKILL)
    found = result(job)
    assert found.success and found.tries == 2
    os.kill(found.value, signal.SIGKILL)
    fresh = result(app.send_sync("pid"))
    assert fresh.success and fresh.tries == 1 and fresh.value != found.value
    assert result(app.send_sync("leave_later", 0.05)).success
    time.sleep(0.2)
    assert result(app.send_sync("pid")).tries == 1
    # One that dies with a job in hand that it has not begun: the next child gets that.
    idle = result(app.send_sync("pid")).value
    os.kill(idle, signal.SIGSTOP)
    job = app.send_sync("pid")
    until(lambda: job.status_sync() is JobStatus.RUNNING)
    time.sleep(0.1)
    os.kill(idle, signal.SIGKILL)
    found = result(job)
    assert found.success and found.tries == 1 and found.value != idle
    assert worker.popen.poll() is None and "put off" not in worker.text
    assert {words[2] for words in workers.notes("error")} == {"JobCrashed"}
    assert "WARNING die" in worker.text and "(JobCrashed: The process that" in worker.text


def test_what_tasks_raise_and_return(workers: Workers, app: Ardiq) -> None:
    """B5, B8, F2, F5: exceptions of all kinds, results that cannot be stored, retries, hooks and log lines
    are what they are in threads."""
    worker = workers.start(**MILL)
    expected = {
        "exit": ("SystemExit", "enough", 1),
        "base": ("KeyboardInterrupt", "from nobody", 1),
        "unsendable": ("tests.mill.tasks.Unsendable", "no pickle of this", 2),
        "retry": ("ardiq.errors.Retry", "not yet", 2),
        "large": ("ardiq.errors.TooLarge", "MAX_RESULT_BYTES", 1),
        "object": ("ardiq.errors.EncodeError", "_thread.lock", 1),
        "plain": ("ValueError", "plain", 2),
    }
    jobs = {how: app.send_sync("raises", how) for how in expected}
    for how, (kind, words, tries) in expected.items():
        error = result(jobs[how]).error
        assert error is not None and error.type == kind and words in error.message, how
        assert result(jobs[how]).tries == tries, how
        assert how in ("large", "object") or "in raises\n" in error.traceback, how
    told = {how: [words[2] for words in workers.notes("error") if words[1] == jobs[how].id] for how in jobs}
    assert told["plain"] == ["ValueError"] * 2 and told["retry"] == ["Retry"] and told["base"]
    assert result(app.send_sync("pid", 5)).error.type == "TypeError"  # type: ignore[union-attr]
    # The time of the task is over with the task.
    late = result(app.send_sync("late"))
    assert late.error is not None and late.error.message == "dawdle"
    assert worker.stop() == 0
    assert f"plain {jobs['plain'].id}"[6:] in worker.text and "(ValueError: plain)" in worker.text
    assert '\n    File "' in worker.text and ", in raises\n" in worker.text, "the traceback is in the log"
    assert "asked to be retried" not in worker.text, "at INFO, below -v 1"


def test_what_surrounds_a_task(workers: Workers, app: Ardiq) -> None:
    """B5, B9, H8, H9: current_job(), the id of the job on its log records, the database, app.state, the main
    thread, and processes of its own are there as in the worker."""
    command = [sys.executable, str(ROOT / "tests" / "manage.py"), "migrate", "contenttypes", "-v", "0"]
    subprocess.run(command, env=workers.environment(), cwd=ROOT, check=True, timeout=60)
    worker = workers.start(**MILL, ardiq_test_debug="1")
    jobs = [app.ref("surroundings").options(priority="high").enqueue_sync(word) for word in ("one", "two")]
    found: list[dict[str, Any]] = [result(job).value for job in jobs]
    for job, seen in zip(jobs, found, strict=True):
        assert seen["job"] == [job.id, "surroundings", 1, app.queue_name, "high", None]
        assert (seen["queries"], seen["greeting"], seen["main"], seen["daemon"]) == (1, "hello", True, False)
    logged = {words[1]: words[2:] for words in workers.notes("log")}
    assert logged == {
        job.id: ["surroundings", "in", "the", "mill:", word]
        for job, word in zip(jobs, ("one", "two"), strict=True)
    }
    assert "printed in the mill" in worker.text


@pytest.mark.slow
def test_what_a_job_tells_of_itself(workers: Workers, app: Ardiq) -> None:
    """B9: progress, kept logs and headers, as in a thread; the last that was told is known soon, also of one
    that then computes in silence."""
    workers.start(**MILL)
    job = app.ref("report").options(headers={"for": "Ada"}).enqueue_sync(2_000, 60)
    until(lambda: (told := job.progress_sync()) and told.done == 2_000, 40, "the last progress")
    told = job.progress_sync()
    assert told is not None and (told.total, told.message) == (2_000, "step 2000")
    until(lambda: len(job.logs_sync()) == 500, what="as many lines as are kept")
    assert job.logs_sync()[-1].message == "step 2000 of 2000 for Ada"
    assert job.abort_sync() and result(job).aborted
    job = app.send_sync("report", 3)
    assert result(job).success and [line.message for line in job.logs_sync()] == [
        f"step {step} of 3 for None" for step in (1, 2, 3)
    ]


def test_a_graceful_stop(workers: Workers, app: Ardiq) -> None:
    """H3, B5: running jobs get the grace; then their child is killed and they go back, uncharged. What has
    not begun goes back at once, and no process is left."""
    worker = workers.start(**(MILL | {"CONCURRENCY": 2, "GRACE_MS": 1_500}))
    result(app.send_sync("pid"))
    quick, endless, waiting = (app.send_sync("grind", seconds) for seconds in (1, 60, 60))
    pids = [begun(workers, quick), begun(workers, endless)]
    everybody = family(worker)
    assert worker.stop() == 0, worker.text
    assert result(quick).success
    for job, tries in ((endless, 0), (waiting, 0)):
        info = job.info_sync()
        assert info is not None and (info.status, info.tries, info.crashes) == (JobStatus.QUEUED, tries, 0)
    assert waiting.id not in {words[1] for words in workers.notes("start")}
    gone(*pids, *everybody)


@pytest.mark.slow
def test_a_hurried_stop(workers: Workers, app: Ardiq) -> None:
    """H3: a second signal ends the grace, and the children with it, within about 2 s."""
    worker = workers.start(**MILL)
    job = app.send_sync("grind", 60)
    pid = begun(workers, job)
    worker.signal()
    until(lambda: "SIGTERM" in worker.text)
    begin = time.monotonic()
    assert worker.stop() == 0, worker.text
    assert time.monotonic() - begin < 3 and job.status_sync() is JobStatus.QUEUED
    gone(pid)


@pytest.fixture
def proxy(redis_url: str, queue_name: str) -> Iterator[Proxy]:
    proxy = Proxy(direct(redis_url, queue_name))
    yield proxy
    proxy.close()


@pytest.mark.slow
def test_past_the_lease(workers: Workers, app: Ardiq, proxy: Proxy, redis_url: str) -> None:
    """R4, B5: the job of a worker that can believe its lease no longer is stopped: by the worker, which kills
    its child, or by the child itself, whoever is first."""
    cut_off = Workers(proxy.url, workers.queue, workers.directory, direct=redis_url)
    worker = cut_off.start(**MILL, LEASE_MS=1_500)
    try:
        job = app.send_sync("heed", 60)
        pid = begun(cut_off, job)
        proxy.silent = True
        until(lambda: not lives(pid) or cut_off.notes("heard"), what="the end of the job")
        proxy.silent = False
        proxy.cut()
        begun(cut_off, job, attempt=1)
        until(lambda: sum(words[1] == job.id for words in cut_off.notes("start")) == 2, 20)
        assert job.abort_sync() and result(job).aborted
        assert worker.stop() == 0, worker.text
    finally:
        cut_off.close()


@pytest.mark.slow
@pytest.mark.fault("2", "kill -9 with process tasks: nobody is left")
def test_a_worker_that_is_killed(workers: Workers, app: Ardiq) -> None:
    """B5, F4: no child outlives it, not even inside a call that lets no thread run, nor the programs of one;
    their jobs are back after the lease, with a crash, as of any worker."""
    worker = workers.start(**MILL, LEASE_MS=1_500)
    jobs = [app.send_sync("grind", 60), app.send_sync("stall"), app.send_sync("hire", 60)]
    pids = [begun(workers, job) for job in jobs]
    program = int(until(lambda: workers.notes("program"))[0][1])
    everybody = family(worker)
    worker.kill()
    begin = time.monotonic()
    gone(*pids, program, *everybody)
    assert time.monotonic() - begin < 3
    second = workers.start(**MILL, LEASE_MS=1_500)
    for job, old in zip(jobs, pids, strict=True):
        until(lambda job=job: sum(words[1] == job.id for words in workers.notes("start")) == 2, 40)  # type: ignore[misc]
        info = job.info_sync()
        assert info is not None and (info.crashes, info.tries) == (1, 0)
        assert job.abort_sync() and result(job).aborted and not lives(old)
    assert second.stop() == 0, second.text


def test_a_burst(workers: Workers, app: Ardiq) -> None:
    """H7: it waits for its children, and leaves none."""
    jobs = [app.send_sync("pid") for _ in range(10)]
    worker = workers.spawn("--burst", **MILL)
    assert worker.ends(40) == 0, worker.text
    pids = {result(job).value for job in jobs}
    gone(*pids)
    assert len(pids) <= 6 and worker.popen.pid not in pids


SCRIPT = """
    import os
    from ardiq import Ardiq

    app = Ardiq({queue!r}, redis_url={url!r})

    @app.task(executor="process")
    def crunch(n):
        return os.getpid() * 1_000 + n

    if __name__ == "__main__":
        import beside

        for task in (crunch, beside.grind):
            jobs = [task.enqueue_sync(n) for n in range(3)]
            app.run(burst=True)
            values = [job.result_sync(timeout=5).value for job in jobs]
            print([value % 1_000 for value in values], os.getpid() in {{value // 1_000 for value in values}})
"""
BESIDE = """
    import os
    from ardiq import Ardiq

    app = Ardiq({queue!r}, redis_url={url!r})

    @app.task(executor="process")
    def grind(n):
        return os.getpid() * 1_000 + n + 10
"""


def test_a_script(redis_url: str, queue_name: str, tmp_path: Path) -> None:
    """B11, H7: Ardiq.run() in a script, with tasks of the script itself, and of a module that only its main
    part imports; twice in one process."""
    script = tmp_path / "script.py"
    for path, text in ((script, SCRIPT), (tmp_path / "beside.py", BESIDE)):
        path.write_text(textwrap.dedent(text.format(queue=queue_name, url=redis_url)))
    done = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, timeout=60, cwd=ROOT, check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, "[0, 1, 2] False\n[10, 11, 12] False\n"), done.stderr
    assert done.stderr == ""


def test_no_place_for_it(redis_url: str, queue_name: str) -> None:
    """B5: what nobody can import by name is refused where it is typed."""
    code = f"import ardiq; ardiq.Ardiq({queue_name!r}).task(executor='process')"
    done = subprocess.run(
        [sys.executable, "-c", f"{code}(exec('def f(): pass') or f)"],
        capture_output=True, text=True, timeout=60, cwd=ROOT, check=False,
    )  # fmt: skip
    assert "TypeError: executor='process': 'f' is not defined in a file" in done.stderr
    assert "move it into a module" in done.stderr


def crunch(number: int) -> int:
    return number


def test_no_more_at_once_than_there_are_processes_for(
    app: Ardiq, working: Callable[..., Working], monkeypatch: pytest.MonkeyPatch
) -> None:
    """B5: so many for each processor; those that wait for one hold up no others behind them, and go back to
    the queue, where another worker may have a process for them."""
    most = processors()
    gate, there, back = threading.Event(), [], []
    now = 0

    async def count(pool: Processes, held: Held) -> Outcome:
        nonlocal now
        now += 1
        there.append(now)
        while not gate.is_set():
            await asyncio.sleep(0.01)
        now -= 1
        return Outcome(Ending.RETURNED, "counted")

    def note(pump: Pump, held: Held) -> None:
        back.append(held.record.name)
        give_back(pump, held)

    give_back = Pump.give_back
    monkeypatch.setattr(processes, "PER_PROCESSOR", 1)
    monkeypatch.setattr(Processes, "_elsewhere", count)
    monkeypatch.setattr(Pump, "give_back", note)

    @app.task
    async def add(a: int, b: int) -> int:
        return a + b

    task = app.task(executor="process")(crunch)
    jobs: list[Any] = [task.enqueue_sync(number) for number in range(2 * most)]
    with working(concurrency=3 * most):
        until(lambda: len(there) == most)
        assert add.enqueue_sync(2, 3).result_sync(timeout=10).value == 5  # type: ignore[union-attr]
        until(lambda: back, what="jobs that others may have")
        gate.set()
        assert [job.result_sync(timeout=20).value for job in jobs] == ["counted"] * len(jobs)
    assert len(there) == len(jobs) and max(there) == most
    assert set(back) == {task.name}


@pytest.mark.parametrize("prefetch", ["auto", 50])
def test_a_pool_that_is_full_hoards_nothing(
    app: Ardiq, working: Callable[..., Working], monkeypatch: pytest.MonkeyPatch, prefetch: Any
) -> None:
    """B5: what finds no process goes back once, uncharged, also with a fixed PREFETCH, and stays in its lane
    until there is one; jobs behind it run meanwhile; a place that is free is taken at once."""
    most = processors()
    gate, there, back, claims = threading.Event(), [], [], []

    async def count(pool: Processes, held: Held) -> Outcome:
        there.append(held)
        while not gate.is_set():
            await asyncio.sleep(0.01)
        return Outcome(Ending.RETURNED, "counted")

    def note(pump: Pump, held: Held) -> None:
        back.append(held.record.name)
        give_back(pump, held)

    async def look(pump: Pump, want: int) -> Any:
        claims.append(want)
        return await claim(pump, want)

    give_back, claim = Pump.give_back, Pump._claim
    monkeypatch.setattr(processes, "PER_PROCESSOR", 1)
    monkeypatch.setattr(Processes, "_elsewhere", count)
    monkeypatch.setattr(Pump, "give_back", note)
    monkeypatch.setattr(Pump, "_claim", look)

    @app.task
    async def add(a: int, b: int) -> int:
        return a + b

    task = app.task(executor="process")(crunch)
    jobs: list[Any] = [task.enqueue_sync(number) for number in range(60)]
    behind = [add.enqueue_sync(number, 1) for number in range(20)]
    with working(concurrency=3 * most, prefetch=prefetch) as here:
        assert [job.result_sync(timeout=20).value for job in behind] == list(range(1, 21))  # type: ignore[union-attr]
        until(lambda: back and len(here.worker._slots._aside) == 0, what="all that waits back in its lane")
        before, looks = len(back), len(claims)
        time.sleep(1)
        assert len(back) == before <= len(jobs), "and there it stays"
        assert len(claims) - looks <= 30, "no more than looks"
        assert len(there) == most and {job.status_sync() for job in jobs[most:]} == {JobStatus.QUEUED}
        gate.set()
        begin = time.monotonic()
        assert [job.result_sync(timeout=20).value for job in jobs] == ["counted"] * len(jobs)
        assert time.monotonic() - begin < 10
    assert len(there) == len(jobs)
    infos = [job.info_sync() for job in jobs]
    assert {(info.tries, info.crashes) for info in infos if info} == {(1, 0)}


def test_no_process_to_be_had(
    app: Ardiq, working: Callable[..., Working], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fault 46: the job is put off, uncharged, and not lost; the worker goes on."""
    tried = []

    def refuse(*args: object) -> None:
        tried.append(1)
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(ForkServerProcess, "start", refuse)
    task = app.task(executor="process")(crunch)
    with working():
        job = task.enqueue_sync(1)
        until(lambda: len(tried) >= 2, 20, "a second try")
        info = job.info_sync()
    assert info is not None and (info.tries, info.crashes, info.status.finished) == (0, 0, False)


def test_one_that_children_do_not_find(app: Ardiq, working: Callable[..., Working]) -> None:
    """B5: a task that the worker has registered and its module does not, fails and says why; the child stays
    in use."""
    task = app.task(executor="process")(crunch)
    with working():
        for _ in range(2):
            found = task.enqueue_sync(1).result_sync(timeout=40)
            assert found is not None and found.error is not None and found.tries == 0
            assert (
                "is not registered in a child process that has imported tests.worker.test"
                in found.error.message
            )
            assert found.error.type.endswith("UnknownTask")


@pytest.mark.slow
def test_one_that_has_grown(workers: Workers, app: Ardiq) -> None:
    """H1: --max-rss is for each process by itself: a child that takes more is replaced after its job."""
    worker = workers.start("--max-rss", "400", **MILL)
    small = result(app.send_sync("pid")).value
    assert result(app.send_sync("hog", 10)).value == small == result(app.send_sync("pid")).value
    assert result(app.send_sync("hog", 500)).value == small
    assert result(app.send_sync("pid")).value != small
    gone(small)
    assert worker.popen.poll() is None


def test_who_has_grown() -> None:
    """H1: without --max-rss nobody looks; of a process that is gone nothing is said."""
    assert Limits(rss_mb=1).outgrown(os.getpid()) and not Limits().outgrown(os.getpid())
    assert not Limits(rss_mb=1 << 30).outgrown(os.getpid())
    assert not Limits(rss_mb=1).outgrown(0)


def test_children_that_are_not_needed_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """B5: after a while without a job, but for the last one."""

    class Child:
        over = False

        def dismiss(self) -> None:
            dismissed.append(self)

        async def end(self, patience: float) -> int:
            return 0

    dismissed: list[Child] = []
    monkeypatch.setattr(processes, "KEEP", 0.05)

    async def main() -> None:
        pool = Processes.__new__(Processes)
        pool._idle, pool._ending, pool._trimming, pool._closed = [], {}, None, False
        pool._waiters = deque()
        children = [Child() for _ in range(3)]
        for child in children:
            pool._free(child)  # type: ignore[arg-type]
        assert dismissed == []
        await asyncio.sleep(0.3)
        assert dismissed == children[:2]

    asyncio.run(main())
