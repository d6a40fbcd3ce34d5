"""``ardiq_worker --processes``: several workers, started again when they die, stopped as one."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ardiq import Ardiq, JobStatus
from ardiq.management import processes
from ardiq.worker import supervisor
from ardiq.worker.supervisor import Place, Supervisor
from tests.server import own_server
from tests.workers import Process, Workers, until

pytestmark = pytest.mark.slow

OPTIONS: dict[str, Any] = {"LEASE_MS": 1_500, "GRACE_MS": 5_000, "CONCURRENCY": 2, "PREFETCH": 0}


def start(workers: Workers, *arguments: str, count: int = 2, **options: Any) -> Process:
    """A supervisor whose children are all at work."""
    process = workers.spawn("--processes", str(count), *arguments, **(OPTIONS | options))
    until(lambda: len(workers.registered()) == count, 40, "children that register")
    return process


def pids(workers: Workers) -> list[int]:
    """Of all workers so far, by the journal that their lifespan writes."""
    return [int(words[1]) for words in workers.notes("up")]


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def gone(workers: Workers, seconds: float = 20) -> None:
    until(lambda: not any(map(alive, pids(workers))), seconds, "children that end")


def test_several_workers(workers: Workers, app: Ardiq) -> None:
    """H4: one banner, one stop, names of their own; all of them work."""
    process = start(workers, "--name", "shop", count=3)
    jobs = [app.send_sync("nap", 0.5) for _ in range(6)]
    found = {job.result_sync(timeout=20).worker for job in jobs}  # type: ignore[union-attr]
    assert found == {"shop.1", "shop.2", "shop.3"}
    assert process.stop(30) == 0, process.text
    assert workers.registered() == set() and len(workers.notes("down")) == 3
    text = process.text
    assert (text.count("worker shop"), text.count("Stop it with"), text.count("Stopped.")) == (1, 1, 1), text
    assert "processes    3, each with what follows" in text
    stops = [line.split()[2] for line in text.splitlines() if "SIGTERM: Stopping; no job is running." in line]
    assert sorted(stops) == ["shop.1", "shop.2", "shop.3"], text


@pytest.mark.fault("2", "a child of a supervisor is killed")
def test_one_that_dies_is_replaced(workers: Workers, app: Ardiq) -> None:
    """H4: with a line that says why; the others work on, and what it held runs again."""
    process = start(workers)
    jobs = [app.send_sync("nap", 1) for _ in range(4)]
    until(lambda: len(workers.notes("start")) == 4)
    victim = pids(workers)[0]
    os.kill(victim, signal.SIGKILL)
    until(lambda: "was ended by SIGKILL; it starts again in" in process.text)
    until(lambda: len(pids(workers)) == 3, 40, "another one in its place")
    for job in jobs:
        assert job.result_sync(timeout=20).success  # type: ignore[union-attr]
    assert len(workers.notes("start")) == 6
    assert process.stop(30) == 0, process.text


def test_one_that_ends_by_itself_is_replaced_at_once(workers: Workers) -> None:
    """H4: whoever stops a single child gets a fresh one; that is no crash."""
    process = start(workers)
    os.kill(pids(workers)[0], signal.SIGTERM)
    until(lambda: len(pids(workers)) == 3, 40, "another one in its place")
    assert process.stop(30) == 0, process.text
    assert "it starts again in" not in process.text


def test_one_that_never_comes_up(workers: Workers) -> None:
    """H4: tried again with growing pauses; the supervisor lives on, and stops when it is told to."""
    process = workers.spawn("--processes", "1", **OPTIONS, ardiq_fault="after_register:kill")
    until(lambda: process.text.count("it starts again in") >= 3, 40)
    assert process.popen.poll() is None
    process.signal()
    # 0 when nobody was there to be stopped, 1 when a child fell to the fault meanwhile.
    assert process.ends(30) in (0, 1), process.text


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
def test_a_signal_that_reaches_everybody_counts_once(
    workers: Workers, app: Ardiq, number: signal.Signals
) -> None:
    """H3: Ctrl-C in a terminal, or a process manager that signals every process: running jobs may end."""
    process = start(workers)
    jobs = [app.send_sync(name, 1.5) for name in ("nap", "doze", "nap", "doze")]
    until(lambda: len(workers.notes("start")) == 4)
    for pid in (process.popen.pid, *pids(workers)):
        os.kill(pid, number)
    assert process.ends(30) == 0, process.text
    assert [job.status_sync() for job in jobs] == [JobStatus.SUCCEEDED] * 4, process.text


def test_a_signal_that_comes_too_early(workers: Workers) -> None:
    """H3: children that still read the project stop as soon as they have; nothing looks like a death."""
    process = workers.spawn("--processes", "2", **OPTIONS)
    until(lambda: len(children_of(process.popen.pid)) == 2, 30)
    assert not pids(workers)
    for pid in (process.popen.pid, *children_of(process.popen.pid)):
        os.kill(pid, signal.SIGINT)
    assert process.ends(30) == 0, process.text
    assert "ended by" not in process.text and "KeyboardInterrupt" not in process.text, process.text


def children_of(pid: int) -> list[int]:
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            if int(path.read_text().rpartition(")")[2].split()[1]) == pid:
                found.append(int(path.parent.name))
    return found


def test_the_second_signal(workers: Workers, app: Ardiq) -> None:
    """H3, H4: passed on; what runs is handed back, uncharged, within about two seconds."""
    process = start(workers)
    jobs = [app.send_sync("nap", 30) for _ in range(4)]
    until(lambda: len(workers.notes("start")) == 4)
    process.signal()
    until(lambda: process.text.count("2 running jobs may end within 5 s.") == 2)
    begin = time.monotonic()
    process.signal()
    assert process.ends(30) == 0, process.text
    assert time.monotonic() - begin < 4
    infos = [job.info_sync() for job in jobs]
    assert {(info.status, info.tries, info.crashes) for info in infos if info} == {(JobStatus.QUEUED, 0, 0)}


def test_the_third_signal(workers: Workers, app: Ardiq) -> None:
    """H3, H4: at once, although a task blocks the loop; exit code 130."""
    process = start(workers, GRACE_MS=60_000)
    app.send_sync("clog", 30)
    until(lambda: workers.notes("start"))
    for count in (1, 2, 3):
        process.signal()
        if count < 3:
            time.sleep(0.3)  # signals of one kind that come together are one
    begin = time.monotonic()
    assert process.ends(30) == 130, process.text
    assert time.monotonic() - begin < 3
    gone(workers, 5)


@pytest.mark.fault("2", "a supervisor is killed")
@pytest.mark.parametrize("arguments", [(), ("--reload",)], ids=["supervisor", "watcher"])
def test_children_do_not_outlive_their_parent(
    workers: Workers, app: Ardiq, arguments: tuple[str, ...]
) -> None:
    """H4: killed with -9, it leaves nobody behind; they stop gracefully."""
    process = start(workers, *arguments)
    jobs = [app.send_sync("nap", 1) for _ in range(4)]
    until(lambda: len(workers.notes("start")) == 4)
    process.kill()
    gone(workers)
    assert [job.status_sync() for job in jobs] == [JobStatus.SUCCEEDED] * 4
    assert workers.registered() == set() and len(workers.notes("down")) == 2
    assert "The parent process is gone" in process.text


def test_a_watcher_above(workers: Workers, app: Ardiq) -> None:
    """H6: with --reload the whole of it stops on one signal."""
    process = start(workers, "--reload")
    job = app.send_sync("nap", 1)
    until(lambda: workers.notes("start"))
    process.signal(signal.SIGINT)
    assert process.ends(30) == 0, process.text
    assert job.status_sync() is JobStatus.SUCCEEDED
    gone(workers, 1)


def test_a_burst(workers: Workers, app: Ardiq) -> None:
    """H7: all drain together; it ends when all have ended, and none is started twice."""
    jobs = [app.send_sync("nap", 0.1) for _ in range(30)]
    process = workers.spawn("--burst", "--processes", "2", **OPTIONS)
    assert process.ends(40) == 0, process.text
    assert [job.status_sync() for job in jobs] == [JobStatus.SUCCEEDED] * 30
    assert len(pids(workers)) == 2 and workers.registered() == set()


def test_a_burst_that_loses_one(workers: Workers, app: Ardiq) -> None:
    """H4: exit 0 only when every child has ended well."""
    app.send_sync("nap", 5)
    # Not until both are there: the one that finds nothing to do may have ended before the other begins.
    process = workers.spawn("--processes", "2", "--burst", **OPTIONS)
    until(lambda: workers.notes("start"), 30)
    os.kill(int(workers.notes("start")[0][3]), signal.SIGKILL)
    assert process.ends(40) == 1, process.text
    assert "was ended by SIGKILL." in process.text


@pytest.mark.fault("45", "limits under a supervisor")
@pytest.mark.parametrize("burst", [(), ("--burst",)], ids=["on", "burst"])
def test_limits_renew_the_children(workers: Workers, app: Ardiq, burst: tuple[str, ...]) -> None:
    """H1: a child that has done its share is replaced at once; that is no crash, and no end of a burst."""
    jobs = [app.send_sync("nap", 0) for _ in range(12)]
    process = workers.spawn("--processes", "2", "--max-jobs", "3", *burst, **OPTIONS)
    for job in jobs:
        assert job.result_sync(timeout=40).success  # type: ignore[union-attr]
    if not burst:
        process.signal()
    assert process.ends(30) == 0, process.text
    assert len(pids(workers)) >= 4 and "it starts again in" not in process.text


# -- what no restart would mend -------------------------------------------------------------------


def test_a_server_that_no_worker_starts_on(workers: Workers, tmp_path: Path) -> None:
    """H4, R21: the reason is said once, all stop, and the exit code is not 0."""
    with own_server(tmp_path, "--maxmemory-policy", "allkeys-lru") as url:
        workers.url = url
        process = workers.spawn("--processes", "3", **OPTIONS)
        assert process.ends(40) == 1, process.text
    text = process.text
    assert text.count("CommandError: This worker does not start: maxmemory-policy is allkeys-lru") == 1, text
    assert "Traceback" not in text and "starts again" not in text and "exit code" not in text, text


def test_a_project_that_only_the_children_cannot_read(workers: Workers, tmp_path: Path) -> None:
    """H4: a tasks module that fails to import shows its own traceback, and nothing is tried again."""
    package = tmp_path / "brittle"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "tasks.py").write_text(
        "import os\nif 'ARDIQ_SUPERVISED' in os.environ:\n    import no_such_module\n"
    )
    process = workers.spawn(
        "--processes", "2", **OPTIONS, ardiq_test_apps="tests.shop,brittle", pythonpath=str(tmp_path)
    )
    assert process.ends(40) == 1, process.text
    text = process.text
    assert "No module named 'no_such_module'" in text and "starts again" not in text, text
    assert text.count("CommandError: A worker ended with exit code 1 before it was set up") == 1, text


def test_a_burst_on_such_a_server(workers: Workers, tmp_path: Path) -> None:
    """H7, R21: nothing is drained, and that is said once as well."""
    with own_server(tmp_path, "--maxmemory-policy", "allkeys-lru") as url:
        workers.url = url
        process = workers.spawn("--processes", "2", "--burst", **OPTIONS)
        assert process.ends(40) == 1, process.text
    assert process.text.count("Set it to noeviction") == 1, process.text


class Fake:
    """A child that has ended, or runs on until it is told to stop."""

    def __init__(self, code: int | None, set_up: bool = True, reason: str = "") -> None:
        self.pid, self.code, self.set_up, self.reason = 0, code, set_up, reason

    def pass_on(self, heard: list[int]) -> None:
        self.code = 0 if heard and self.code is None else self.code

    def hear(self) -> None:
        pass

    def wait(self) -> int | None:
        return self.code


@pytest.fixture
def _handlers() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("_handlers")
@pytest.mark.parametrize(
    ("child", "words"),
    [
        (Fake(78, reason="no"), "Worker 2 does not start: no; it starts again in"),
        (
            Fake(1, set_up=False),
            "Worker 2 ended with exit code 1 before it was set up; what it said stands above",
        ),
    ],
    ids=["told", "untold"],
)
def test_a_refusal_while_others_work(
    child: Fake, words: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """H4: what has changed under workers that do their work, such as a deploy, may change again."""
    monkeypatch.setattr(supervisor, "HEALTHY", -1.0)
    monkeypatch.setattr(supervisor, "FIRST_WAIT", 0.0)
    made = []

    def start(number: int) -> Any:
        made.append(number)
        if len(made) == 5:
            signal.raise_signal(signal.SIGTERM)
        return Fake(None) if number == 1 else child

    own = Supervisor(start, 2)
    assert (own.run(), own.refusal) == (1, "")
    assert made.count(2) >= 3 and made.count(1) == 1
    assert words in caplog.text


@pytest.mark.usefixtures("_handlers")
def test_a_crash_is_no_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    """H4: whoever has been set up and ends with an error, or by a signal, is started again."""
    monkeypatch.setattr(supervisor, "FIRST_WAIT", 0.0)
    children = [Fake(1), Fake(-9, set_up=False), Fake(70), Fake(None)]

    def start(number: int) -> Any:
        child = children.pop(0)
        if not children:
            signal.raise_signal(signal.SIGTERM)
        return child

    own = Supervisor(start, 1)
    assert (own.run(), own.refusal, children) == (0, "", [])


# -- the parts ------------------------------------------------------------------------------------


def test_the_pauses_grow(monkeypatch: pytest.MonkeyPatch) -> None:
    """H4: at random up to 0.5, 1, 2 ... 30 s; a minute of health makes crashes forgotten."""
    monkeypatch.setattr(supervisor.random, "uniform", lambda low, high: (low, high)[1])
    place = Place(1)
    assert [place.crashed(0.0) for _ in range(9)] == [0.5, 1, 2, 4, 8, 16, 30, 30, 30]
    place.begun = 100.0
    assert (place.crashed(159.0), place.crashed(161.0)) == (30, 0.5)
    place.crashes = 10**9
    assert place.crashed(100.0) == 30


def test_a_system_that_starts_no_process(caplog: pytest.LogCaptureFixture) -> None:
    """A fork that is refused is tried again like a crash."""
    numbers = signal.SIGTERM, signal.SIGINT
    before = [signal.getsignal(number) for number in numbers]

    def refuse(number: int) -> Any:
        if len(caplog.records) == 2:
            signal.raise_signal(signal.SIGTERM)
        raise BlockingIOError(11, "Resource temporarily unavailable")

    try:
        assert Supervisor(refuse, 1).run() == 0
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)
    assert [record.getMessage()[:31] for record in caplog.records] == ["Worker 1 could not be started, "] * 3


@pytest.mark.parametrize("given", [["--processes", "2"], ["--processes=2"], ["--proc", "2"], ["--pr=2"]])
def test_what_a_child_is_told(given: list[str]) -> None:
    words = ["python", "manage.py", "ardiq_worker", "--queue", "a", *given, "--pythonpath", "b"]
    left = ["python", "manage.py", "ardiq_worker", "--queue", "a", "--pythonpath", "b"]
    assert list(processes._without_processes(words)) == left
