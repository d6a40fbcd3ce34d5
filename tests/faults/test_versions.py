"""The release before this one and this one on the same queue, as in a rolling deploy. Row 60.

Two quick tests are for every run, one for each direction; what takes a crew of both is for soaks.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ardiq import JobStatus
from tests.faults import producing
from tests.faults.field import Field
from tests.faults.report import Report
from tests.workers import ROOT, until

# The tree as it was released last: its ardiq, and the manage.py and the shop of its tests.
LAST = "9b8c0ede9190ccf6cfc2be01b57fcca5c4414ed5"


@pytest.fixture(scope="module")
def last(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """manage.py of a copy of the last release."""
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("no git history here")
    known = subprocess.run(["git", "cat-file", "-e", f"{LAST}^{{commit}}"], cwd=ROOT, capture_output=True)
    if known.returncode:
        pytest.skip("the history here does not reach back to the last release")
    place = tmp_path_factory.mktemp("last")
    packed = place / "last.tar"
    subprocess.run(["git", "archive", "-o", str(packed), LAST, "ardiq", "tests"], cwd=ROOT, check=True)
    shutil.unpack_archive(packed, place, filter="data")
    return place / "tests" / "manage.py"


def old(field: Field, manage: Path, **options: Any) -> Any:
    """A worker of the last release, registered."""
    return field.workers.start(manage=manage, LEASE_MS=1_500, CONCURRENCY=4, PREFETCH=4, **options)


def produced(field: Field, manage: Path) -> list[str]:
    """Ids of the jobs that a producer of that tree has enqueued."""
    text = Path(producing.__file__).read_text() + "\nproduce()\n"
    told = subprocess.run(
        [sys.executable, str(manage), "shell", "-c", text], capture_output=True, text=True,
        env=field.workers.environment(),
    )  # fmt: skip
    assert told.returncode == 0, told.stderr
    ids: list[str] = json.loads(told.stdout.splitlines()[-1])
    return ids


def as_expected(field: Field, ids: list[str]) -> None:
    """Each has succeeded, with the value that its arguments make."""
    field.wait_done(ids)
    results = [field.app.job(id).result_sync() for id in ids]
    assert [result and result.value for result in results] == producing.EXPECTED


@pytest.mark.fault("60", "the last release enqueues, this one runs")
def test_an_old_producer_and_a_new_worker(field: Field, last: Path) -> None:
    """F3: all kinds of calls of the last release run here."""
    ids = produced(field, last)
    worker = field.start()
    as_expected(field, ids)
    assert worker.stop() == 0, worker.text


@pytest.mark.fault("60", "this one enqueues, the last release runs")
def test_a_new_producer_and_an_old_worker(field: Field, last: Path) -> None:
    """F3: all kinds of calls of this release run there. What it does not know it parks, and a new worker
    takes over what was parked there."""
    ids = produced(field, ROOT / "tests" / "manage.py")
    strange = field.enqueue(1, "who", 0.0)
    worker = old(field, last)
    as_expected(field, ids)
    until(lambda: field.statuses(strange)[strange[0]] is JobStatus.SCHEDULED, what="parked")
    field.start()
    field.wait_done(strange)
    assert field.succeeded(strange)
    assert worker.stop() == 0, worker.text


@pytest.mark.soak
@pytest.mark.fault("60", "workers of both releases, one killed, one stopped")
def test_a_rolling_deploy(field: Field, last: Path, report: Report) -> None:
    """Each runs what the other enqueues, reaps the other's dead, and reads the other's results."""
    crew = [old(field, last), field.start()]
    assert "Traceback" not in crew[0].text
    ids = field.enqueue(120, "nap", 0.05) + field.enqueue(60, "doze", 0.05)
    ids += field.enqueue(10, "nap", 0.05, delay_ms=1_000) + field.enqueue(5, "exit")
    field.wait_started(60)
    crew[0].kill()
    crew.append(old(field, last))
    field.wait_started(110)
    crew[1].kill()
    field.wait_started(140)
    assert crew[2].stop() == 0, crew[2].text
    field.start()
    field.wait_done()
    field.count(report, ids)
    charged = field.crashes(ids)
    report.note = f"{charged} charged"
    assert (report.lost, report.stuck) == (0, 0)
    assert report.twice <= charged <= 2 * 12
    for id in ids:
        result = field.app.job(id).result_sync()
        assert result is not None, id
        assert result.status in (JobStatus.SUCCEEDED, JobStatus.FAILED)
        assert result.success or (result.error is not None and result.error.type.endswith("SystemExit"))


@pytest.mark.soak
@pytest.mark.fault("60", "a queue left behind by the last release")
def test_an_upgrade(field: Field, last: Path, report: Report) -> None:
    """Every kind of job that the last release left: waiting, due later, retried, held by a dead worker."""
    first = old(field, last)
    ended = field.enqueue(10, "nap", 0.01) + field.enqueue(3, "exit")
    field.wait_done()
    retried = field.enqueue(2, "rows")
    held = field.enqueue(2, "nap", 2.0)
    later = field.enqueue(3, "nap", 0.01, delay_ms=2_000)
    field.wait_started(12)
    first.kill()
    waiting = field.enqueue(10, "nap", 0.01)
    field.start()
    field.wait_done()
    field.count(report, held + later + waiting)
    report.note = f"{field.crashes(held)} charged"
    assert (report.lost, report.stuck) == (0, 0) and report.twice <= 2
    assert field.succeeded(held + later + waiting)
    assert field.statuses(retried) and field.app.job(ended[0]).result_sync().success  # type: ignore[union-attr]
    assert not field.app.job(ended[-1]).result_sync().success  # type: ignore[union-attr]
