"""Tasks that fail again and again, and tasks that all fail at once. Rows 52 and 53."""

from __future__ import annotations

import time
from collections import Counter
from itertools import pairwise

import pytest

from tests.faults.field import Field, Watch
from tests.faults.report import Report
from tests.workers import until


@pytest.mark.soak
@pytest.mark.fault("52", "20 jobs that fail at once, every time, in the highest lane")
def test_a_hot_retry_loop(field: Field, report: Report) -> None:
    """The default back-off cools it: a second at least, then four, then nine; nobody else waits for it."""
    hot = field.enqueue(20, "hot", priority="high")
    worker = field.start()
    field.wait_started(20)
    begin = time.monotonic()
    innocent = field.enqueue(100, priority="low")
    field.wait_done(innocent)
    report.recovery = time.monotonic() - begin
    until(lambda: time.monotonic() - begin > 7, 20)
    starts = field.starts()
    report.note = f"{max(starts[id] for id in hot)} starts at most in 7 s"
    field.count(report, innocent)
    assert report.recovery < 5
    assert (report.lost, report.twice, report.stuck) == (0, 0, 0)
    # At 0, 1 and 1 + 4 seconds.
    assert max(starts[id] for id in hot) <= 3
    for id in hot:
        assert field.app.job(id).abort_sync()
    assert worker.stop() == 0, worker.text


@pytest.mark.fault("52", "a back-off of one ms in the highest lane")
def test_a_loop_that_was_asked_for(field: Field, report: Report) -> None:
    """Who asks for it gets it, and the other lanes still get their turn."""
    field.enqueue(4, "burn", priority="high")
    field.start()
    field.wait_started(40)
    watch = Watch()
    innocent = field.enqueue(40, "add", 1, 2, priority="low")
    field.wait_done(innocent, 20)
    report.recovery = watch.seconds
    field.workers.close()
    for id in set(field.ids) - set(innocent):
        field.app.job(id).abort_sync()


@pytest.mark.soak
@pytest.mark.fault("53", "300 jobs fail at once, because what they need is away for 3 s")
def test_a_retry_storm(field: Field, report: Report) -> None:
    """Jitter spreads their return; each runs when what it needs is back, none fails for good."""
    crew = [field.start() for _ in range(2)]
    ids = field.enqueue(300, "sour", time.time() + 3)
    field.wait_done(seconds=90)
    assert field.succeeded()
    starts: dict[str, list[float]] = {}
    for words in field.workers.notes("sour"):
        starts.setdefault(words[1], []).append(float(words[2]))
    gaps = [later - one for times in starts.values() for one, later in pairwise(sorted(times))]
    report.note = f"{len(gaps)} retries, {min(gaps):.2f} to {max(gaps):.2f} s apart"
    spread = Counter(int(gap * 20) for gap in gaps)
    assert max(spread.values()) < 0.7 * len(gaps), f"they come back in step: {spread}"
    assert min(gaps) >= 0.99
    infos = [field.app.info_sync(id) for id in ids]
    report.lost, report.stuck = sum(info is None for info in infos), 0
    assert all(info is not None and info.crashes == 0 for info in infos)
    for process in crew:
        assert process.stop() == 0, process.text
