"""Processes that fork, and loops that end. Rows 61 and 63."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections import Counter
from typing import Any

import pytest

from tests.faults.field import Field
from tests.faults.report import Report
from tests.workers import ROOT

CHILDREN, CALLS = 4, 25


def run(*arguments: str, flags: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *flags, "-m", *arguments], cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip


@pytest.mark.fault("61", "four children of a process that was connected")
def test_forks_after_connecting(field: Field, report: Report) -> None:
    """Each has connections of its own: no reply goes to another process, no job is lost or made twice."""
    worker = field.start()
    done = run("tests.faults.preloading", field.url, field.queue, str(CHILDREN), str(CALLS))
    assert done.returncode == 0, done.stderr
    told = Counter(done.stdout.split())
    # The parent twice, before and after the fork; each in sync and in async code.
    assert told == {"0": 4 * CALLS} | {str(1_000 * n): 2 * CALLS for n in range(1, CHILDREN + 1)}
    report.lost = report.twice = report.stuck = 0
    assert worker.stop() == 0, worker.text


@pytest.mark.fault("63", "loops that end, warnings are errors")
def test_nothing_is_left_behind(field: Field, report: Report) -> None:
    """Four loops with a worker in each, half of them stopped while busy: not a word on stderr."""
    done = run("tests.faults.lifetimes", field.url, field.queue, flags=("-X", "dev", "-W", "error"))
    assert (done.returncode, done.stderr, done.stdout) == (0, "", "done\n")


@pytest.mark.fault("63", "worker processes, warnings are errors")
def test_worker_processes_are_quiet(field: Field, report: Report) -> None:
    """Stopped while idle, while busy, and with jobs to hand back: nothing on stderr but log lines."""
    strict: dict[str, Any] = {
        "pythonwarnings": "error::ResourceWarning,error::RuntimeWarning",
        "pythondevmode": "1",
    }
    field.enqueue(30, "nap", 0.05)
    field.enqueue(30, "doze", 0.05)
    texts = []
    for _ in range(2):
        process = field.start("-v", "1", **strict)
        field.wait_started(len(field.workers.notes("start")) + 4)
        assert process.stop() == 0, process.text
        texts.append(process.text)
    last = field.start(**strict)
    field.wait_done()
    assert last.stop() == 0
    field.count(report)
    assert (report.lost, report.twice, report.stuck) == (0, 0, 0)
    for written in (*texts, last.text):
        # What asyncio says of a loop that was slow, as on a busy machine, names tasks that are pending.
        text = re.sub(r"^Executing <.* took .* seconds$", "", written, flags=re.MULTILINE)
        for word in (
            "Warning",
            "Traceback",
            "never awaited",
            "pending",
            "never retrieved",
            "Exception ignored",
        ):
            assert word not in text, text
