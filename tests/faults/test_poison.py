"""Tasks that take their process with them, or hold on to it. Rows 43, 44, 45, 47."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from ardiq import JobStatus
from tests.faults.field import Field, Watch
from tests.faults.report import Report
from tests.workers import Process, until

LIMIT = 3  # CRASH_LIMIT


class Init:
    """Keeps workers alive, as an init system does; ``deaths``: exit codes of those that it replaced."""

    def __init__(self, field: Field, count: int, **options: object) -> None:
        self.field, self.options = field, options
        self.crew = [field.start(**options) for _ in range(count)]
        self.deaths: list[int] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        while not self._over.wait(0.1):
            for place, process in enumerate(self.crew):
                if (code := process.popen.poll()) is not None:
                    self.deaths.append(code)
                    self.crew[place] = self.field.spawn(**self.options)

    def __enter__(self) -> Init:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        self._thread.join()


@pytest.mark.soak
@pytest.mark.fault("44", "os._exit, segfault and SIGKILL among 50 innocents, two workers")
def test_poison(field: Field, report: Report) -> None:
    """The guilty start three times at most and are dead letters with the reason; every innocent is done."""
    innocent = field.enqueue(25, "nap", 0.2)
    guilty = {how: field.enqueue(1, "fall", how)[0] for how in ("exit", "segfault", "kill")}
    innocent += field.enqueue(25, "doze", 0.2)
    watch = Watch()
    with Init(field, 2) as init:
        field.wait_done(seconds=120)
    report.recovery = watch.seconds
    field.count(report, innocent)
    starts = field.starts()
    report.note = f"starts of the guilty {[starts[id] for id in guilty.values()]}, {len(init.deaths)} deaths"
    assert (report.lost, report.stuck) == (0, 0)
    assert field.succeeded(innocent)
    reasons = {"exit": "exit code 9", "segfault": "SIGSEGV", "kill": "SIGKILL"}
    for how, id in guilty.items():
        result = field.app.job(id).result_sync()
        assert result is not None and result.status is JobStatus.FAILED and result.error is not None
        assert reasons[how] in result.error.message and "CRASH_LIMIT is 3" in result.error.message
        # One whose worker another one killed has a crash without a start.
        assert starts[id] <= LIMIT
        info = field.app.info_sync(id)
        assert info is not None and info.crashes == LIMIT
    # What was held beside the guilty ran once more at most: afterwards nobody shares their process.
    assert max(starts[id] for id in innocent) <= 1 + len(init.deaths)
    assert len(init.deaths) <= len(guilty)


@pytest.mark.soak
@pytest.mark.fault("47", "threads that never end, aborted in vain")
@pytest.mark.fault("43", "more than half the slots leaked: exit 75")
def test_slots_that_leak(field: Field, report: Report) -> None:
    """R17: the worker drains and exits with 75; the others' jobs go on, and those that were aborted are."""
    deaf = field.enqueue(3, "deaf")
    first = field.start(GRACE_MS=500)
    field.wait_started(3)
    for id in deaf:
        assert field.app.job(id).abort_sync()
    watch = Watch()
    innocent = field.enqueue(10)
    field.wait_done(innocent)
    assert first.ends(30) == 75, first.text
    report.recovery = watch.seconds
    assert "Draining for a restart" in first.text
    second = field.start()
    more = field.enqueue(5)
    field.wait_done()
    field.count(report)
    assert (report.lost, report.twice, report.stuck) == (0, 0, 0)
    assert {field.app.job(id).status_sync() for id in deaf} == {JobStatus.ABORTED}
    assert field.succeeded(innocent + more)
    assert second.stop() == 0, second.text


@pytest.mark.soak
@pytest.mark.fault("43", "a coroutine that swallows its cancellation, on its way to a restart")
def test_deaf_coroutines(field: Field, report: Report) -> None:
    """The same for coroutines: cancelled twice, given up, and gone with their process."""
    deaf = field.enqueue(3, "insist")
    first = field.start(GRACE_MS=500)
    field.wait_started(3)
    for id in deaf:
        assert field.app.job(id).abort_sync()
    assert first.ends(30) == 75, first.text
    assert len(field.workers.notes("swallowed")) >= 2 * len(deaf)
    second = field.start()
    field.wait_done()
    field.count(report)
    assert (report.lost, report.twice, report.stuck) == (0, 0, 0)
    assert {field.app.job(id).status_sync() for id in deaf} == {JobStatus.ABORTED}
    assert second.stop() == 0, second.text


@pytest.fixture
def processes(field: Field) -> Iterator[list[Process]]:
    started: list[Process] = []
    yield started
    for process in started:
        if process.popen.poll() is None:
            process.stop()


@pytest.mark.soak
@pytest.mark.fault("45", "a leaking task: max-jobs and max-rss")
@pytest.mark.parametrize("limit", [("--max-jobs", "5"), ("--max-rss", "120")], ids=lambda limit: limit[0])
def test_leaks(field: Field, report: Report, processes: list[Process], limit: tuple[str, str]) -> None:
    """Drained and started again before it is too much: nothing lost, nothing repeated, nothing charged."""
    ids = field.enqueue(30, "hoard", 10)
    parent = field.start(*limit, "--processes", "1")
    processes.append(parent)
    field.wait_done()
    until(lambda: len({words[1] for words in field.workers.notes("up")}) > 1, what="a second life")
    lives = len({words[1] for words in field.workers.notes("up")})
    field.count(report)
    report.note = f"{lives} lives"
    assert (report.lost, report.twice, report.stuck) == (0, 0, 0)
    assert field.tally(ids) == {(1, 0): 30}
    assert parent.stop() == 0, parent.text
