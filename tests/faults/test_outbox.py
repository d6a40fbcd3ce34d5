"""Committed, and then killed: web processes, relays and workers die between the database and Redis.

Each test counts the lines of two tables: what transactions wanted that have committed, and what was entered.
"""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ardiq import Ardiq, JobStatus
from tests import mariadb, postgres
from tests.faults.netproxy import Network
from tests.ledger import PLACES
from tests.workers import ROOT, Process, Workers, until

DATABASES = ("sqlite", "postgresql", "mariadb")
SHORT = {"LEASE_MS": 1_000, "CONCURRENCY": 2, "CRASH_LIMIT": 200}


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    with postgres.cluster() as url:
        yield url


@pytest.fixture(scope="module")
def mariadb_server() -> Iterator[str]:
    with mariadb.server() as url:
        yield url


class Ledger:
    """The tables, the web processes that want entries, and the workers that enter them."""

    def __init__(self, workers: Workers, database: str) -> None:
        self.workers, self.database = workers, database
        self.options: dict[str, Any] = {}
        self.web("tables")

    def environment(self, **options: Any) -> dict[str, Any]:
        apps = {"ardiq_test_apps": "tests.shop,tests.ledger", "ardiq_test_database": self.database}
        return {**SHORT, **self.options, **apps, **options}

    def web(self, *words: str) -> str:
        return self.end(self.start_web(*words))

    def start_web(self, *words: str) -> subprocess.Popen[str]:
        return self.start("tests.ledger.web", *words)

    def start(self, module: str, *words: str, stdin: int | None = None) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", module, *words],
            env=self.workers.environment(**self.environment()), cwd=ROOT, text=True,
            stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    def end(self, process: subprocess.Popen[str], seconds: float = 600) -> str:
        out, err = process.communicate(timeout=seconds)
        assert process.returncode == 0, err
        return out

    def spawn(self, *arguments: str, **options: Any) -> Process:
        return self.workers.spawn(*arguments, **self.environment(**options))

    def numbers(self, table: str, column: str = "number") -> list[Any]:
        query = f"SELECT {column} FROM {table}"  # noqa: S608 - names of this file
        if self.database.startswith("postgresql:"):
            import psycopg

            with psycopg.connect(self.database) as connection:
                return [row[0] for row in connection.execute(query.encode())]
        if self.database.startswith("mysql:"):
            with mariadb.connect(self.database) as other, other.cursor() as cursor:
                cursor.execute(query)
                return [row[0] for row in cursor]
        with sqlite3.connect(self.database, timeout=20) as connection:
            return [row[0] for row in connection.execute(query)]

    def complete(self, seconds: float = 120) -> Counter[int]:
        """Wait until all that is wanted is entered and nothing waits. Answers how often each was."""
        wanted = set(self.numbers("wanted"))
        until(lambda: wanted <= set(self.numbers("entry")), seconds, "entries that are wanted")
        until(lambda: not self.numbers("ardiq_outbox", "job"), seconds, "an empty outbox")
        entered = Counter(self.numbers("entry"))
        assert set(entered) == wanted, "entered, but never committed"
        return entered


@pytest.fixture(params=DATABASES)
def database(request: pytest.FixtureRequest, queue_name: str, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return str(tmp_path / "ledger.sqlite3")
    if request.param == "mariadb":
        return mariadb.make_database(request.getfixturevalue("mariadb_server"), queue_name)
    return postgres.make_database(request.getfixturevalue("cluster"), queue_name)


@pytest.fixture
def ledger(redis_url: str, queue_name: str, tmp_path: Path, database: str) -> Iterator[Ledger]:
    workers = Workers(redis_url, queue_name, tmp_path)
    yield Ledger(workers, database)
    workers.close()


@pytest.fixture
def distant(
    network: Network, redis_url: str, queue_name: str, tmp_path: Path, database: str
) -> Iterator[Ledger]:
    """A ledger whose processes reach Redis by a network that fails."""
    workers = Workers(network.url, queue_name, tmp_path, redis_url)
    yield Ledger(workers, database)
    workers.close()


@pytest.fixture
def app(redis_url: str, queue_name: str) -> Ardiq:
    return Ardiq(queue_name, ["low", "default", "high"], redis_url)


def kill_the_web(ledger: Ledger, each: int) -> None:
    for web in [ledger.start_web("die", place, str(each)) for place in PLACES]:
        ledger.end(web)
    left = len(ledger.numbers("ardiq_outbox", "job"))
    assert left >= each, "nobody died between the commit and the push"
    ledger.spawn()
    entered = ledger.complete()
    assert set(entered.values()) == {1}
    print(f"{4 * each} transactions, {left} rows left by the dead, {len(entered)} entries, each once")


@pytest.mark.slow
def test_the_web_is_killed(ledger: Ledger) -> None:
    """D4: in its transaction, after the commit, after the push: what has committed runs, and nothing else."""
    kill_the_web(ledger, 8)


@pytest.mark.soak
def test_the_web_is_killed_often(ledger: Ledger) -> None:
    """D4: two hundred transactions, fifty at each place."""
    kill_the_web(ledger, 50)


def redis_is_away(ledger: Ledger, network: Network, seconds: float, how: str) -> None:
    for _ in range(2):
        ledger.spawn()
    until(lambda: len(ledger.workers.registered()) == 2, 60, "two workers")
    web = ledger.start("tests.ledger.web", "load", stdin=subprocess.PIPE)
    until(lambda: len(set(ledger.numbers("entry"))) > 20, 60, "work")
    getattr(network, how)()
    time.sleep(seconds)
    until(lambda: len(ledger.numbers("ardiq_outbox", "job")) > 20, 60, "rows that wait")
    (network.accept if how == "refuse" else network.heal)()
    longest, number = map(int, ledger.end(web).split())
    entered = ledger.complete(600)
    assert set(entered.values()) == {1}
    assert longest < 8_000, "a request has waited for Redis more than once"
    print(f"{number} transactions, {len(entered)} entries, each once; the longest took {longest} ms")


@pytest.mark.slow
@pytest.mark.parametrize("how", ["refuse", "go_dark"])
def test_redis_is_away_under_load(distant: Ledger, network: Network, how: str) -> None:
    """D4: no request fails, and afterwards everything is entered once."""
    redis_is_away(distant, network, 4, how)


@pytest.mark.soak
def test_redis_is_away_for_a_minute(distant: Ledger, network: Network) -> None:
    """D4: the same for a minute."""
    redis_is_away(distant, network, 60, "refuse")


@pytest.mark.slow
def test_the_relay_is_killed(ledger: Ledger) -> None:
    """D4: with the rows locked, and after the push: the next relay goes on, and makes no second job."""
    ledger.web("die", "before the push", "12")
    for point in ("before_push", "after_push", "after_push"):
        process = ledger.spawn(ardiq_fault=f"{point}:kill")
        if not ledger.numbers("ardiq_outbox", "job"):
            break
        assert process.ends(60) == -signal.SIGKILL, process.text
    ledger.spawn()
    assert set(ledger.complete().values()) == {1}


@pytest.mark.slow
def test_a_burst_relays_first(ledger: Ledger) -> None:
    """D4: what has committed is due, and runs in the same burst."""
    ledger.web("die", "before the push", "6")
    process = ledger.spawn("--burst")
    assert process.ends(60) == 0, process.text
    assert set(ledger.complete(1).values()) == {1}


FATAL = ("after_task:kill:2", "before_flush:kill:1")  # where a worker dies, in turn


def kill_workers(ledger: Ledger, app: Ardiq, kills: int, task: str = "enter") -> Counter[int]:
    jobs = app.enqueue_many_sync([app.ref(task).prepare(n) for n in range(3 * kills)])
    for number in range(kills):
        process = ledger.spawn(ardiq_fault=FATAL[number % 2])
        assert process.ends(90) == -signal.SIGKILL, process.text
    return effects(ledger, jobs, kills)


def kill_forged_workers(ledger: Ledger, app: Ardiq, kills: int, at_once: int = 8) -> Counter[int]:
    # What the dead leave is run again in a child process for each: most of it at the end, by one worker.
    ledger.options = {"LEASE_MS": 20_000, "PREFETCH": 0}
    jobs = app.enqueue_many_sync([app.ref("enter").prepare(n) for n in range(3 * kills)])
    forge = ledger.start("tests.ledger.forge", stdin=subprocess.PIPE)
    assert forge.stdin is not None and forge.stdout is not None
    for number in range(kills // at_once):
        forge.stdin.write(f"{FATAL[number % 2]} {at_once} {ledger.workers.directory}\n")
        forge.stdin.flush()
        assert forge.stdout.readline().split() == [str(-signal.SIGKILL)] * at_once
    ledger.end(forge)
    return effects(ledger, jobs, kills)


def effects(ledger: Ledger, jobs: list[Any], kills: int) -> Counter[int]:
    """Let a last worker do what is left. Answers how often each effect is there."""
    ledger.spawn()
    until(lambda: {job.status_sync() for job in jobs} == {JobStatus.SUCCEEDED}, 600, "all jobs")
    assert [job.result_sync().value for job in jobs] == [2 * n for n in range(len(jobs))]
    entered = Counter(ledger.numbers("entry"))
    print(f"{kills} workers killed, {len(jobs)} jobs, {sum(entered.values())} effects")
    return entered


@pytest.mark.slow
def test_a_worker_is_killed_between_commit_and_settle(ledger: Ledger, app: Ardiq) -> None:
    """D5: each effect once, and the result is what the run that has committed returned."""
    assert set(kill_workers(ledger, app, 4).values()) == {1}


@pytest.mark.soak
def test_workers_are_killed_two_hundred_times(ledger: Ledger, app: Ardiq) -> None:
    """D5: the same, two hundred times."""
    assert set(kill_forged_workers(ledger, app, 200).values()) == {1}


@pytest.mark.soak
def test_without_once_it_is_seen(ledger: Ledger, app: Ardiq) -> None:
    """The same kills, without the promise: effects are there twice, or these tests prove nothing."""
    assert max(kill_workers(ledger, app, 4, "enter_again").values()) > 1


@pytest.mark.slow
def test_once_in_a_child_process(ledger: Ledger, app: Ardiq) -> None:
    """D5, B5: the process executor runs the body in the same transaction with its mark."""
    jobs = app.enqueue_many_sync([app.ref("enter_in_a_child").prepare(n) for n in range(3)])
    process = ledger.spawn("--burst")
    assert process.ends(90) == 0, process.text
    assert [job.result_sync().value for job in jobs] == [0, 2, 4], process.text  # type: ignore[union-attr]
    assert sorted(ledger.numbers("entry")) == [0, 1, 2]
    assert sorted(ledger.numbers("ardiq_once", "job")) == sorted(job.id for job in jobs)


@pytest.mark.slow
def test_two_workers_run_the_same_job(ledger: Ledger, app: Ardiq) -> None:
    """D5: frozen in the body, one loses its lease: the other waits at its mark, whatever becomes of it."""
    job = app.send_sync("enter_slowly", 1, 1.5)
    first = ledger.spawn()
    until(lambda: ledger.workers.notes("body"), 60, "the body")
    first.signal(signal.SIGSTOP)
    second = ledger.spawn()
    until(lambda: _runs_again(job), 60, "a redelivery")
    time.sleep(2)
    assert len(ledger.workers.notes("body")) == 1, "two bodies at once"
    # It finds that its lease is lost and rolls back, or has committed before it looks.
    first.signal(signal.SIGCONT)
    result = job.result_sync(timeout=60)
    assert result is not None and result.success and result.value == 2, (first.text, second.text)
    assert ledger.numbers("entry") == [1]


def _runs_again(job: Any) -> bool:
    info = job.info_sync()
    return info is not None and info.crashes > 0 and info.status is JobStatus.RUNNING
