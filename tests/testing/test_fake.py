"""``fake://``: the real scripts on a server inside the process."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import redis
from django.core import mail
from django.core.checks import run_checks
from django.core.management import CommandError, call_command
from django.test import override_settings

from ardiq import Ardiq, BrokerError, JobStatus
from ardiq.store import fake as store
from ardiq.testing import fake, run_jobs, travel
from tests.keyspace import faults

ROOT = Path(__file__).resolve().parents[2]
QUEUE = "kit-configured"


def app_at(url: str, queue: str) -> Any:
    app = Ardiq(queue, redis_url=url)

    @app.task
    def double(n: int) -> int:
        return 2 * n

    app.double = double  # type: ignore[attr-defined]
    return app


def test_a_url_like_any_other() -> None:
    """A: jobs of one URL are found by all that name it, and by nobody else."""
    one, other = app_at("fake://a", QUEUE), app_at("fake://b", QUEUE)
    try:
        job = one.double.enqueue_sync(4)
        assert one.job(job.id).status_sync() is JobStatus.QUEUED
        assert other.job(job.id).status_sync() is JobStatus.NOT_FOUND
        call_command("ardiq_worker", queue=[QUEUE], burst=True, verbosity=0)
    finally:
        store.close("fake://a")
        store.close("fake://b")


def test_a_process_that_is_busy_answers_late(monkeypatch: pytest.MonkeyPatch) -> None:
    """K3: it has to answer itself, so that there is no use in giving up as early as with a server."""
    serve = store._Guest.serve

    def late(guest: store._Guest) -> None:
        time.sleep(2.4)
        serve(guest)

    monkeypatch.setattr(store._Guest, "serve", late)
    try:
        assert asyncio.run(Ardiq("busy", redis_url="fake://busy").queue_size()) == 0
    finally:
        store.close("fake://busy")


def test_whoever_waits_is_told(errands: Any) -> None:
    """K3: results are pushed to waiters, sync and async, while a worker runs in another thread."""
    with fake():
        job = errands.add.enqueue_sync(1)
        threading.Timer(0.2, lambda: run_jobs(errands.app.queue_name)).start()
        assert job.result_sync(timeout=20).value == 2

        async def main() -> Any:
            job = await errands.add.enqueue(2)
            threading.Timer(0.2, lambda: run_jobs(errands.app.queue_name)).start()
            return (await job.result(timeout=20)).value

        assert asyncio.run(main()) == 3


def test_errors_are_those_of_a_server(errands: Any) -> None:
    """A: replies that refuse keep their code, and hundreds of connections are welcome."""
    with fake():
        server = store.servers()[-1]
        connections = [redis.Redis(unix_socket_path=server.path, protocol=2) for _ in range(150)]
        assert all(one.ping() for one in connections)
        client = connections[0]
        client.lpush("list", "x")
        with pytest.raises(redis.ResponseError, match="WRONGTYPE"):
            client.get("list")
        with pytest.raises(redis.exceptions.NoScriptError):
            client.evalsha("0" * 40, 0)
        with pytest.raises(redis.ResponseError, match="QUEUEFULL no room"):
            client.eval("return redis.error_reply('QUEUEFULL no room')", 0)
        assert client.eval("return {1, 'two', {3}, false}", 0) == [1, b"two", [3], None]
        for one in connections:
            one.close()


def test_nothing_is_left(errands: Any) -> None:
    """K3: neither the socket nor the server once a block has ended, whatever happened in it."""
    before = store.servers()
    with pytest.raises(ZeroDivisionError), fake():
        path = store.servers()[-1].path
        assert os.path.exists(path)
        errands.add.enqueue_sync(1)
        raise ZeroDivisionError
    assert not os.path.exists(path) and store.servers() == before


def test_a_queue_full_of_everything_is_in_order(errands: Any) -> None:
    """K3: what the scripts leave in it is what they leave on a real server."""
    with fake():
        errands.app.enqueue_many_sync(errands.add.prepare(n) for n in range(50))
        errands.flaky.enqueue_sync(9)
        errands.add.options(delay_ms=60_000, unique=True).enqueue_sync(1)
        assert run_jobs(max_jobs=20, retries=True).attempts >= 20
        assert faults(store.servers()[-1].client(), errands.app.queue_name) == []


def _enqueue_in_child(connection: Any, app: Any) -> None:
    job = app.double.enqueue_sync(1)
    run_jobs(app.queue_name)
    connection.send((job.result_sync().value, store.server("fake://forked").path))


def test_a_forked_process_has_a_server_of_its_own() -> None:
    """K3: as the test processes of Django's --parallel are."""
    app = app_at("fake://forked", "kit-forked")
    try:
        app.double.enqueue_sync(2)
        ours, theirs = multiprocessing.Pipe()
        context = multiprocessing.get_context("fork")
        child = context.Process(target=_enqueue_in_child, args=(theirs, app))
        child.start()
        assert ours.poll(30)
        value, path = ours.recv()
        child.join()
        assert value == 2 and path != store.server("fake://forked").path
        assert run_jobs("kit-forked").succeeded == 1, "what the parent has enqueued"
    finally:
        store.close("fake://forked")


def test_without_the_extra(errands: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A: it is said what to install."""
    monkeypatch.setattr(store, "find_spec", lambda name: None if name == "lupa" else name)
    with pytest.raises(BrokerError, match=r'pip install "django-ardiq\[test\]"'), fake():
        pass
    app = app_at("fake://missing", "kit-missing")
    with pytest.raises(BrokerError, match=r"django-ardiq\[test\]"):
        app.double.enqueue_sync(1)

    async def main() -> None:
        await app.double.enqueue(1)

    with pytest.raises(BrokerError, match=r"django-ardiq\[test\]"):
        asyncio.run(main())


def test_a_worker_of_its_own_process_refuses() -> None:
    """A: nobody else's jobs are there."""
    environ = {**os.environ, "ARDIQ_TEST_SETTINGS": '{"default": {"REDIS_URL": "fake://"}}'}
    done = subprocess.run(
        [sys.executable, "tests/manage.py", "ardiq_worker", "--burst"],
        cwd=ROOT, env={**environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode != 0 and "inside the process that enqueues" in done.stderr
    assert "Traceback" not in done.stderr
    with pytest.raises(CommandError, match="fake"):
        raise CommandError(done.stderr)


@override_settings(ARDIQ={"default": {"REDIS_URL": "fake://"}})
def test_a_check_warns_outside_of_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    """A: and says nothing in them."""
    assert not [one for one in run_checks(tags=["ardiq"]) if one.id == "ardiq.W009"]
    monkeypatch.delattr(mail, "outbox", raising=False)
    found = [one for one in run_checks(tags=["ardiq"]) if one.id == "ardiq.W009"]
    assert len(found) == 1 and "embedded://" in str(found[0].hint)


def test_jobs_of_a_configured_server_run_where_they_are(redis_url: str, queue_name: str) -> None:
    """K3: outside of the blocks of the kit; and K4 holds there as well."""
    app = app_at(redis_url, queue_name)
    job, later = app.double.enqueue_sync(4), app.double.options(delay_ms=60_000).enqueue_sync(5)
    assert run_jobs(queue_name).jobs == [job]
    with travel(61):
        assert run_jobs(queue_name).jobs == [later]
    assert (job.result_sync().value, later.result_sync().value) == (8, 10)
