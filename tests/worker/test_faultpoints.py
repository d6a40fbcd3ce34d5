"""The fault points of a worker, and what an error of the worker itself does: it ends loudly (R14)."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ardiq import Ardiq, JobStatus
from ardiq.store.scripts import script
from ardiq.worker import faults
from tests.admin_client import direct
from tests.proxy import Proxy
from tests.workers import Process, Workers, until

pytestmark = pytest.mark.slow

SHORT = {"LEASE_MS": 1_000, "GRACE_MS": 5_000}


@pytest.fixture
def proxy(redis_url: str, queue_name: str) -> Iterator[Proxy]:
    proxy = Proxy(direct(redis_url, queue_name))
    yield proxy
    proxy.close()


def test_nothing_is_armed_unless_asked() -> None:
    """Production: the bool that every point tests is false, and a visit does nothing."""
    assert faults.armed is False
    for point in faults.POINTS:
        faults.hit(point)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", None),
        ("after_claim:kill", faults.Fault("after_claim", "kill", 1, 1.0)),
        ("before_flush:delay:3:0.5", faults.Fault("before_flush", "delay", 3, 0.5)),
    ],
)
def test_how_it_is_spelt(text: str, fault: faults.Fault | None) -> None:
    assert faults.parse(text) == fault


@pytest.mark.parametrize(
    "text", ["after_claim", "after_lunch:kill", "after_claim:hurt", "after_claim:kill:x"]
)
def test_what_is_misspelt(text: str) -> None:
    """A fault that would never happen must not look like a test that has passed."""
    with pytest.raises(ValueError):
        faults.parse(text)


def test_it_happens_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """At the hit that was named, and not before or after."""
    monkeypatch.setattr(faults, "_fault", faults.Fault("after_claim", "raise", 2))
    monkeypatch.setattr(faults, "_hits", 0)
    faults.hit("after_claim")
    faults.hit("before_claim")
    with pytest.raises(RuntimeError):
        faults.hit("after_claim")
    faults.hit("after_claim")


@pytest.mark.slow
@pytest.mark.parametrize("point", [point for point in faults.POINTS if not point.endswith("_push")])
def test_every_point_is_reached(
    workers: Workers, app: Ardiq, point: str, request: pytest.FixtureRequest
) -> None:
    """Each kills a real worker; those of the relay do in tests/faults/test_outbox.py."""
    app.send_sync("nap", 0.01)
    options: dict[str, Any] = dict(SHORT)
    if point.endswith("reconcile"):
        proxy: Proxy = request.getfixturevalue("proxy")
        sha, text = script("claim").sha.encode(), script("claim").text
        proxy.only_if = lambda sent: sha in sent or text in sent
        proxy.lose = 1
        options["REDIS_URL"] = proxy.url
    process = workers.spawn(ardiq_fault=f"{point}:kill", **options)
    if point in ("before_give_back", "before_unregister"):
        until(lambda: workers.notes("end"), 30)
        process.signal()
    assert process.ends(30) == -signal.SIGKILL, process.text
    assert f"ARDIQ_FAULT: kill at {point}, hit 1." in process.text


def test_frozen_and_delayed(workers: Workers, app: Ardiq) -> None:
    """The other two: a process that is stopped, and a thread that is held up."""
    job = app.send_sync("nap", 0)
    process = workers.spawn(ardiq_fault="before_start:stop")
    until(lambda: state(process) == "T", 30)
    assert job.status_sync() is JobStatus.RUNNING and not workers.notes("start")
    process.signal(signal.SIGCONT)
    assert job.result_sync(timeout=15).success  # type: ignore[union-attr]
    process.stop()
    begin = time.monotonic()
    app.send_sync("nap", 0)
    assert workers.spawn("--burst", ardiq_fault="after_task:delay:1:1.5").ends() == 0
    assert time.monotonic() - begin > 1.5


def state(process: Process) -> str:
    stat = Path(f"/proc/{process.popen.pid}/stat").read_text()
    return stat.rpartition(")")[2].split()[0]


@pytest.mark.parametrize(
    "point",
    [
        "after_register",
        "before_claim",  # the pump
        "before_flush",  # the settler
        "before_renew",  # the thread
        "before_give_back",  # the drain
        "before_unregister",
    ],
)
def test_a_part_that_ends_takes_the_worker_with_it(workers: Workers, app: Ardiq, point: str) -> None:
    """R14: exit 1 with the traceback, also while a task swallows every cancellation; what it held goes on
    elsewhere."""
    app.send_sync("nap", 0.01)
    process = workers.spawn(ardiq_fault=f"{point}:raise", **SHORT)
    if point in ("before_give_back", "before_unregister"):
        until(lambda: workers.notes("end"), 30)
        process.signal()
    assert process.ends(30) == 1, process.text
    assert f"RuntimeError: The fault that ARDIQ_FAULT asked for at {point}" in process.text
    until(lambda: workers.registered() == set() or workers.spawn("--burst", **SHORT).ends() == 0, 30)


@pytest.mark.parametrize("point", ["before_renew", "before_flush"])
def test_it_ends_although_a_task_does_not(workers: Workers, app: Ardiq, point: str) -> None:
    """R14: a task that swallows every cancellation does not keep a broken worker alive."""
    stubborn = app.send_sync("insist")
    process = workers.spawn(ardiq_fault=f"{point}:raise:2", **SHORT)
    until(lambda: workers.notes("start"), 30)
    app.send_sync("nap", 0)
    until(lambda: len(workers.notes("end")) == 1, 30)
    app.send_sync("nap", 0)
    assert process.ends(30) == 1, process.text
    stubborn.abort_sync()


def test_the_settler_fails_while_it_drains(workers: Workers, app: Ardiq) -> None:
    """R14: a drain that cannot commit is no clean stop."""
    app.send_sync("nap", 1)
    process = workers.start(ardiq_fault="before_flush:raise", **SHORT)
    until(lambda: workers.notes("start"))
    process.signal()
    assert process.ends(30) == 1, process.text
    assert "The fault that ARDIQ_FAULT asked for at before_flush" in process.text


def test_a_new_lease_that_fails(workers: Workers, app: Ardiq) -> None:
    """R14: neither the pump nor the thread may go on without a lease."""
    options: dict[str, Any] = {**SHORT, "CONCURRENCY": 1, "PREFETCH": 0}
    process = workers.start(ardiq_fault="after_register:raise:2", **options)
    job = app.send_sync("nap", 1)
    until(lambda: workers.notes("start"))
    process.signal(signal.SIGSTOP)
    until(lambda: state(process) == "T")
    heir = workers.start(**options)
    assert job.result_sync(timeout=30).success  # type: ignore[union-attr]
    process.signal(signal.SIGCONT)
    assert process.ends(30) == 1, process.text
    assert heir.stop() == 0


def test_wrong_variable() -> None:
    """No worker runs under a variable that names no point."""
    code = "import os; os.environ['ARDIQ_FAULT'] = 'nowhere:kill'; import ardiq.worker.faults"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert found.returncode == 1 and "the points are" in found.stderr
