"""The field itself: nothing is broken here, so nothing may be lost, repeated or stuck."""

from __future__ import annotations

import pytest

from tests.faults.field import Field
from tests.faults.report import Report


@pytest.mark.fault("5", "nothing is broken")
def test_nothing_broken(field: Field, report: Report) -> None:
    field.enqueue(40)
    field.enqueue(20, "doze", priority="high")
    worker = field.start()
    field.wait_done()
    field.count(report)
    assert (report.lost, report.twice, report.stuck) == (0, 0, 0)
    assert field.succeeded()
    assert worker.stop() == 0, worker.text
