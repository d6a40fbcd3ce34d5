"""The outbox and tasks that run once on the databases of servers: their own tests, run there.

Plus what only such a database has: pools of connections.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ardiq import Ardiq
from tests import mariadb, postgres
from tests.server import missing
from tests.workers import ROOT, Workers

pytestmark = pytest.mark.slow

FILES = ("commits", "once", "outbox", "relay", "tablechecks")


@pytest.fixture(scope="module", params=["postgresql", "mariadb"])
def database(request: pytest.FixtureRequest) -> Iterator[str]:
    if request.param == "mariadb":
        with mariadb.server() as url:
            yield mariadb.make_database(url, "ardiq")
    else:
        with postgres.cluster() as url:
            yield postgres.make_database(url, "ardiq")


def test_what_is_promised_there(database: str, redis_url: str) -> None:
    """D1, D4, D5: on every database that Django has transactions and row locks for."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-n0", "-p", "no:cacheprovider",
         *(f"tests/django/test_{name}.py" for name in FILES)],
        env={**os.environ, "ARDIQ_TEST_DATABASE": database, "ARDIQ_TEST_REDIS_URL": redis_url},
        cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-8_000:]


def test_a_pool_of_connections(redis_url: str, queue_name: str, tmp_path: Path) -> None:
    """H9: psycopg's pool under workers: more jobs than it has connections, in threads and on the loop, each
    gives its own back; and a relay beside them."""
    try:
        import psycopg_pool  # noqa: F401
    except ImportError:
        missing("psycopg_pool is not installed")
    with postgres.cluster() as url:
        database = postgres.make_database(url, "pooled")
        workers = Workers(redis_url, queue_name, tmp_path)
        environment = {
            "ardiq_test_database": database,
            "ardiq_test_database_options": json.dumps(
                {"pool": {"min_size": 1, "max_size": 3, "timeout": 20}}
            ),
            "ardiq_test_apps": "tests.shop,tests.ledger",
        }
        try:
            for command in (["tests/manage.py", "migrate", "-v0"], ["-m", "tests.ledger.web", "tables"]):
                subprocess.run(
                    [sys.executable, *command], env=workers.environment(**environment), cwd=ROOT, check=True
                )
            app = Ardiq(queue_name, ["low", "default", "high"], redis_url)
            names = ["rows", "rows_sync", "enter"] * 20
            jobs = app.enqueue_many_sync(
                app.ref(name).prepare(*([number] if name == "enter" else []))
                for number, name in enumerate(names)
            )
            worker = workers.spawn(CONCURRENCY=8, **environment)
            results = [job.result_sync(timeout=60) for job in jobs]
            assert all(result is not None and result.success for result in results), worker.text
            assert worker.stop() == 0, worker.text
        finally:
            workers.close()
