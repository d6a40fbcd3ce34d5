"""What workers count: every way in which a job ends, how long it ran and waited, and what it costs nobody."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable
from typing import Any

import pytest

from ardiq import Ardiq, BrokerError, Retry, Statistics, current_job
from ardiq.core.job import JobRecord, JobStatus, tail_start
from ardiq.core.statistics import Sample
from ardiq.store import verbs
from ardiq.store.keys import Keys
from ardiq.store.refusals import Denied
from ardiq.store.scripts import Call
from ardiq.store.verbs import Settlement
from ardiq.worker.held import Clock, Held
from ardiq.worker.lease import Lease
from ardiq.worker.statistics import MEASURED, PAIRS, choose
from ardiq.worker.statistics import Statistics as Counting
from tests.workers import Workers, Working, until

Make = Callable[..., Working]


def counted(app: Ardiq, **wanted: int) -> Statistics:
    """The statistics, once they tell of as many ended jobs as are wanted in all."""
    names = ("succeeded", "failed", "aborted", "expired")
    ended = sum(number for name, number in wanted.items() if name in names)
    seen: Statistics = until(
        lambda: (found := app.statistics_sync(3)).total.ended >= ended and found, 15, f"{wanted}"
    )
    figures = {name: getattr(seen.total, name) for name in (*names, "retried", "crashed")}
    assert figures == dict.fromkeys(figures, 0) | wanted
    return seen


@pytest.mark.parametrize("colour", ["async", "sync"])
def test_every_way_to_end(app: Ardiq, working: Make, colour: str) -> None:
    """E3: each once, for its task and its lane; retries are counted apart."""

    def define(name: str, body: Callable[[], Any], **options: Any) -> Any:
        async def in_loop() -> Any:
            return body()

        return app.task(name=name, **options)(in_loop if colour == "async" else body)

    def boom() -> None:
        raise ValueError("boom")

    def again() -> None:
        job = current_job()
        assert job is not None
        if job.attempt == 1:
            raise Retry("not yet", delay_ms=1)

    fine = define("fine", lambda: 1, priority="high")
    broken, later = define("broken", boom, max_retries=1), define("later", again)
    for task in (fine, fine, fine, broken, later):
        task.enqueue_sync()
    fine.options(expire_ms=1, priority="low").enqueue_sync()
    waiting = fine.options(delay_ms=90_000).enqueue_sync()
    assert waiting.abort_sync()
    time.sleep(0.1)  # what is awaited is the end of its window
    with working():
        seen = counted(app, succeeded=4, failed=1, retried=2, expired=1, aborted=1)
    assert (seen.tasks["fine"].succeeded, seen.tasks["fine"].expired) == (3, 1)
    assert (seen.tasks["broken"].failed, seen.tasks["broken"].retried) == (1, 1)
    assert (seen.tasks["later"].succeeded, seen.tasks["later"].retried) == (1, 1)
    assert (seen.lanes["high"].succeeded, seen.lanes["low"].expired) == (3, 1)
    assert seen.tasks["broken"].run.count == 2, "each attempt has run"
    assert seen.total.run.count == seen.total.wait.count == 7, "what has expired or was aborted has not"


@pytest.mark.parametrize("colour", ["async", "sync"])
def test_how_long_jobs_ran_and_waited(app: Ardiq, working: Make, colour: str) -> None:
    """Waiting begins when a job is ready, not when it was enqueued."""

    async def in_loop() -> None:
        await asyncio.sleep(0.15)

    def in_thread() -> None:
        time.sleep(0.15)

    task = app.task(name="slow")(in_loop if colour == "async" else in_thread)
    task.enqueue_sync()
    until(lambda: app.queue_size_sync() == 1)
    time.sleep(0.3)  # what is measured is time
    delayed = task.options(delay_ms=400).enqueue_sync()
    with working():
        assert delayed.result_sync(timeout=15)
        seen = counted(app, succeeded=2).tasks["slow"]
    assert seen.run.count == 2 and 280 <= seen.run.total_ms < 20_000
    assert seen.run.p50_ms is not None and seen.run.p50_ms >= 128
    assert 300 <= seen.wait.total_ms < 20_000
    quick = [n for n, number in enumerate(seen.wait.counts) if number]
    assert quick[-1] >= 9, "the first one waited for 256 ms or more"


def test_many_at_once_are_counted_one_by_one(app: Ardiq, working: Make) -> None:
    """Counts are exact whatever is measured, and what is measured stands for all."""

    @app.task(name="one")
    async def one() -> None: ...

    @app.task(name="two", priority="high")
    def two() -> None: ...

    calls = [task.prepare() for _ in range(600) for task in (one, two)]
    app.enqueue_many_sync(calls)
    with working(concurrency=50):
        seen = counted(app, succeeded=1_200)
    assert (seen.tasks["one"].succeeded, seen.tasks["two"].succeeded) == (600, 600)
    assert seen.total.run.count == seen.total.wait.count == 1_200
    assert 0 < seen.tasks["one"].run.count < 1_200


def test_a_burst_tells_all_before_it_ends(app: Ardiq) -> None:
    """H7: also what was counted a moment ago."""

    @app.task
    async def fine() -> None: ...

    for _ in range(5):
        fine.enqueue_sync()
    app.run(burst=True)
    assert app.statistics_sync(2).total.succeeded == 5


@pytest.mark.slow
def test_what_kills_its_process_is_counted(workers: Workers, app: Ardiq) -> None:
    """F4, B5: a worker, found dead by the next one; the process of a suspect, and a child of the pool, whose
    run is measured like any other."""
    options: dict[str, Any] = {"LEASE_MS": 1_500, "ardiq_test_apps": "tests.shop,tests.mill", "BACKOFF_MS": 1}
    first = workers.start(**options)
    killer = app.send_sync("kill", signal.SIGKILL)
    first.ends()
    workers.start(**options)
    mill = app.send_sync("die", signal.SIGKILL)
    slow = app.send_sync("grind", 0.3)
    for job in (killer, mill, slow):
        assert job.result_sync(timeout=60)
    seen = until(lambda: (found := app.statistics_sync(5)).total.ended == 3 and found, 20)
    kill, die, grind = (seen.tasks[name] for name in ("kill", "die", "grind"))
    assert (kill.failed, kill.crashed) == (1, 3)
    assert (die.failed, die.retried, die.crashed) == (1, 1, 2)
    assert grind.succeeded == 1 and 200 <= grind.run.total_ms < 20_000


def test_an_idle_worker_takes_a_sample(app: Ardiq, working: Make) -> None:
    """What waits is seen even where nothing is done."""
    fine = app.task(name="fine")(lambda: 1)
    for _ in range(3):
        fine.options(delay_ms=60_000).enqueue_sync()

    def sample() -> Sample | None:
        return next((one.sample for one in app.statistics_sync(3).periods if one.sample), None)

    with working():
        seen = until(sample)
    assert (seen.scheduled, seen.running, seen.workers) == (3, 0, 1)
    assert seen.waiting == dict.fromkeys(["low", "default", "high"], 0)


def test_twins(app: Ardiq, working: Make) -> None:
    """Async and sync code are told the same."""
    fine = app.task(name="fine")(lambda: 1)
    fine.enqueue_sync()
    with working():
        seen = counted(app, succeeded=1)
    again = asyncio.run(app.statistics(3))
    assert again.tasks == seen.tasks and again.queue == seen.queue == app.queue_name


# -- the parts alone ------------------------------------------------------------------------------


def held(name: str = "fine", lane: str = "high") -> Held:
    record = JobRecord(name, b"R" + b"0" * 36 + tail_start(lane, name) + b"000000000000")
    return Held(record, 1, Lease(30_000), 0.0, marked=False)


def done(one: Held) -> tuple[Held, Settlement]:
    return one, verbs.finished(one.record, 1, JobStatus.SUCCEEDED, 1, 0, "w" * 8, b"")


def pick(jobs: list[Held]) -> None:
    choose([(str(n), b"") for n in range(len(jobs))], {str(n): one for n, one in enumerate(jobs)})


@pytest.mark.parametrize("size", [0, 1, MEASURED, MEASURED + 1, 100, 500])
def test_what_is_measured_stands_for_all(size: int) -> None:
    """Of any claim; and not always the same of many."""
    jobs = [held() for _ in range(size)]
    pick(jobs)
    chosen = [one for one in jobs if one.measured]
    assert len(chosen) == min(size, MEASURED) and sum(one.measured for one in jobs) == size
    if size == 500:
        spots = []
        for _ in range(20):
            jobs = [held() for _ in range(size)]
            pick(jobs)
            spots.append(tuple(n for n, one in enumerate(jobs) if one.measured))
        assert len(set(spots)) == 20


class Server:
    """Takes calls, or fails."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.fails: Exception | None = None

    async def run(self, call: Call) -> int:
        self.calls.append(call)
        if self.fails is not None:
            raise self.fails
        return 0

    def rows(self) -> list[Any]:
        """Lane, task, figures of the last call."""
        return list(self.calls[-1].command[7:])


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def counting(server: Server) -> Counting:
    return Counting(server, Keys("q"), Clock(), ["high"])  # type: ignore[arg-type]


def test_what_may_not_have_arrived_is_sent_again(counting: Counting, server: Server) -> None:
    """Rather counted twice than lost; and what comes meanwhile is added."""
    counting.count([done(held()), done(held())])
    server.fails = BrokerError("gone")
    asyncio.run(counting.send())
    counting.count([done(held())])
    server.fails = None
    asyncio.run(counting.send())
    assert server.rows() == ["high", "fine", "S 3 "]
    asyncio.run(counting.send())
    assert len(server.calls) == 2, "nothing is left, and this minute has its sample"


def test_a_server_that_refuses_is_not_bothered_with_old_figures(
    counting: Counting, server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    """S5: a user without the rights, or a full server: it is said once, and the worker goes on."""
    server.fails = Denied("NOPERM")
    for _ in range(3):
        counting.count([done(held())])
        asyncio.run(counting.send())
    assert [record.message for record in caplog.records] == ["Statistics are not kept. NOPERM"]
    server.fails = None
    counting.count([done(held())])
    asyncio.run(counting.send())
    assert server.rows() == ["high", "fine", "S 1 "]


def test_what_waits_to_be_sent_is_bounded(counting: Counting, server: Server) -> None:
    """However many names there are, and however long Redis is away."""
    counting.count([done(held(f"task{n}")) for n in range(PAIRS + 50)])
    server.fails = BrokerError("gone")
    asyncio.run(counting.send())
    counting.count([done(held(f"more{n}")) for n in range(50)])
    assert len(counting._cells) == PAIRS + 1
    assert counting._cells["high", "other"] == {"S": 100}


def test_one_call_takes_no_more_than_its_share(counting: Counting, server: Server) -> None:
    """R9: many tasks go in several calls."""
    counting.count([done(held(f"task{n}")) for n in range(25)])
    asyncio.run(counting.send())
    assert [len(call.command[7:]) // 3 for call in server.calls] == [10, 10, 5]


def test_parked_and_handed_back_is_no_attempt(counting: Counting, server: Server) -> None:
    """F3: nothing was run, and nothing is counted."""
    one = held()
    counting.count([
        (one, verbs.parked(one.record, 1, 5, b"")), (one, verbs.given_back(one.record, 1)),
        (one, verbs.retried(one.record, 1, 1, 5, b"")),
    ])  # fmt: skip
    asyncio.run(counting.send())
    assert server.rows() == ["high", "fine", "D 1 "]
