"""A database that is away: in a task, and at the commit that would have enqueued. Rows 33 and 34."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import OperationalError, connection, transaction

from ardiq import JobStatus
from tests.faults.field import Field
from tests.faults.report import Report
from tests.workers import ROOT, until


@pytest.mark.fault("33", "the database is down in a task, and comes back")
def test_down_in_a_task(field: Field, report: Report, tmp_path: Path) -> None:
    """Attempts fail and are retried; nothing keeps a connection that is of no use any more."""
    place = tmp_path / "volume"
    database = {"ardiq_test_database": str(place / "db.sqlite3")}
    worker = field.start(BACKOFF_MS=400, MAX_RETRIES=30, **database)
    ids = field.enqueue(3, "rows") + field.enqueue(3, "rows_sync")
    until(lambda: all(info.tries >= 2 for info in infos(field, ids)), what="attempts that fail")
    place.mkdir()
    command = [sys.executable, str(ROOT / "tests" / "manage.py"), "migrate", "contenttypes", "-v", "0"]
    subprocess.run(command, env=field.workers.environment(**database), cwd=ROOT, check=True, timeout=60)
    field.wait_done()
    statuses = field.statuses()
    report.lost = sum(status is JobStatus.NOT_FOUND for status in statuses.values())
    report.stuck = sum(status.pending for status in statuses.values())
    assert field.succeeded()
    for info in infos(field, ids):
        assert info.crashes == 0 and info.attempts[0].error.type.endswith("OperationalError")
    assert worker.stop() == 0, worker.text


def infos(field: Field, ids: list[str]) -> list[Any]:
    return [field.app.info_sync(id) for id in ids]


@pytest.mark.django_db(transaction=True)
@pytest.mark.fault("34", "the commit itself fails: never enqueued")
def test_a_commit_that_fails(field: Field, monkeypatch: pytest.MonkeyPatch) -> None:
    """The work was rolled back, and so nobody hears of it."""
    task = field.app.task(name="add")(lambda a, b: a + b)

    def broken() -> None:
        raise OperationalError("server closed the connection unexpectedly")

    with monkeypatch.context() as patch:
        patch.setattr(connection, "_commit", broken)
        with pytest.raises(OperationalError, match="closed the connection"), transaction.atomic():
            User.objects.create(username="ann")
            job = task.enqueue_sync(1, 2)
            many = field.app.enqueue_many_sync([task.prepare(1, n) for n in range(3)])
    assert {one.status_sync() for one in (job, *many)} == {JobStatus.NOT_FOUND}
    assert not User.objects.exists()
    with transaction.atomic():
        User.objects.create(username="ann")
        job = task.enqueue_sync(1, 2)
    assert job.status_sync() is JobStatus.QUEUED
