"""The parts of the benchmark harness that need no clock: order, resuming, marks, tables, the page."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections import Counter
from pathlib import Path

import pytest


def test_a_round_has_one_sample_of_each_and_the_first_side_rotates() -> None:
    from harness.plan import turns

    sides = ["ours", "ardiq", "huey"]
    plan = list(turns(["a", "b"], sides, 3))
    assert Counter(plan) == {(number, row, side): 1 for number in range(3) for row in "ab" for side in sides}
    for row in "ab":
        first = [next(side for n, r, side in plan if (n, r) == (number, row)) for number in range(3)]
        assert sorted(first) == sorted(sides), "each side went first once"


def test_a_stopped_run_goes_on_where_it_was(tmp_path: Path) -> None:
    from harness.plan import turns
    from harness.samples import Samples

    plan = list(turns(["a"], ["ours", "ardiq"], 2))
    samples = Samples(tmp_path / "samples.jsonl")
    samples.add(plan[0], figures={"rate": 1.0})
    samples.add(plan[1], figures={"rate": 2.0})
    with samples.path.open("a") as file:
        file.write('{"round": 1, "row": "a", "si')  # killed in the middle of the line

    again = Samples(samples.path)
    assert again.left(plan) == plan[2:]
    again.add(plan[2], figures={"rate": 3.0})
    once_more = Samples(samples.path)
    assert once_more.left(plan) == plan[3:]
    assert [found["rate"] for found in once_more.figures("a", plan[2][2])] == [2.0, 3.0]

    once_more.start_again()
    assert once_more.left(plan) == plan
    assert Samples(samples.path).left(plan) == plan


def test_samples_of_other_code_have_another_file(tmp_path: Path) -> None:
    from harness.samples import place

    assert place(tmp_path, {"code": "1"}) == place(tmp_path, {"code": "1"})
    assert place(tmp_path, {"code": "1"}) != place(tmp_path, {"code": "2"})


def test_what_a_side_lacks_is_asked_once_and_what_fails_twice(tmp_path: Path) -> None:
    from harness.plan import turns
    from harness.samples import Samples

    samples = Samples(tmp_path / "samples.jsonl")
    plan = list(turns(["a"], ["ours", "huey", "rq"], 3))
    samples.add((0, "a", "huey"), lacks="runs no coroutines")
    samples.add((0, "a", "rq"), failed="no job ended")
    assert not [turn for turn in samples.left(plan) if turn[2] == "huey"]
    assert [turn for turn in samples.left(plan) if turn[2] == "rq"] == [(1, "a", "rq"), (2, "a", "rq")]
    samples.add((1, "a", "rq"), failed="no job ended")
    assert samples.hopeless("a", "rq")
    assert not samples.hopeless("a", "ours")
    assert samples.reasons("failed") == {"a": {"rq": "no job ended"}}
    assert samples.reasons("lacks") == {"a": {"huey": "runs no coroutines"}}


def test_a_sample_is_cut_off() -> None:
    from harness.bounded import TooLong, within

    with pytest.raises(TooLong), within(0.05):
        time.sleep(5)
    with within(5):
        pass


def result() -> dict[str, object]:
    from harness.metrics import Mark, less, more, told
    from harness.report import summary

    rates = (more("rate", "jobs/s", Mark(2.5, first=True)), told("floor", "trips/s"))
    waits = (less("p50", "ms, p50", Mark(0.5, "huey")), less("p99", "ms, p99", Mark(2, ".p50")))
    rows = {
        "put": summary(
            "enqueue",
            rates,
            {
                "ours": [{"rate": rate, "floor": 9.0} for rate in (300.0, 100.0, 200.0)],
                "ardiq": [{"rate": 70.0, "floor": 9.0}] * 3,
                "huey": [{"rate": 250.0}],
            },
        ),
        "wait": summary("wait", waits, {"ours": [{"p50": 1.0, "p99": 3.0}], "ardiq": [{"p50": 4.0}]}),
    }
    return {
        "facts": {"taken": "today", "ours": "ours 1", "ardiq": "ardiq 2", "huey": "huey 3"},
        "sides": ["ours", "ardiq", "huey"],
        "rounds": 3,
        "trial": False,
        "rows": rows,
        "lacks": {"wait": {"huey": "keeps no results"}},
        "failed": {"put": {"rq": "rq: no job ended\nand a log"}},
    }


def test_medians_ratios_and_marks() -> None:
    from harness.report import missed

    rows = result()["rows"]
    assert isinstance(rows, dict)
    rate = rows["put"]["figures"]["rate"]
    assert rate["medians"] == {"ours": 200.0, "ardiq": 70.0, "huey": 250.0}
    assert rate["ratio"] == pytest.approx(200 / 70)
    assert rate["met"] is False, "2.9 times the one, but not the first of the field"
    waits = rows["wait"]["figures"]
    assert waits["p50"]["met"] is None, "huey was not measured"
    assert waits["p99"]["met"] is False, "three times the median, twice is allowed"
    assert missed(rows) == ["put, jobs/s", "wait, ms, p99"]


def test_the_page_is_written_between_its_comments() -> None:
    from harness import docs

    text = docs.section(result(), [("speed-run", "Jobs run in a second")])
    assert "| put | jobs/s | 200 | 100 to 300 | 70 | 70 to 70 | 2.86x |" in text
    assert "| ≥ 2.5x ardiq, and first, 2.86: **missed** |" in text
    assert "| enqueue | jobs/s | 200 | 70 | **250** |" in text
    assert "* enqueue, jobs/s: Huey 250, ours 200" in text, "what we lose is told"
    assert "* Huey: keeps no results (wait)" in text
    assert "* RQ: no job ended (enqueue)" in text
    page = f"before\n{docs.BEGIN}\nold\n{docs.END}\nafter\n"
    written = docs.between(page, text)
    assert written.startswith("before\n") and written.endswith("\nafter\n") and "old" not in written
    assert docs.between(written, text) == written
    with pytest.raises(ValueError, match="no lines"):
        docs.between("no place", text)
    speed = Path(__file__).resolve().parents[2] / "docs" / "explanation" / "speed.md"
    docs.between(speed.read_text("utf-8"), text)


def test_every_side_has_an_adapter_and_every_row_a_measure() -> None:
    from harness.rows import ROWS
    from harness.sides import FIELD, SIDES

    assert len(FIELD) == 10
    for side in SIDES.values():
        assert (side.folder / f"{side.adapter}.py").exists(), side.name
    for row in ROWS.values():
        assert len({metric.name for metric in row.metrics}) == len(row.metrics)


def test_what_a_killed_harness_has_left_is_ended() -> None:
    from harness.processes import reap

    gone = subprocess.Popen(["sleep", "0"])
    gone.wait()
    sleeper = ["sleep", "60"]
    orphan = subprocess.Popen(sleeper, env={**os.environ, "BENCH_OWNER": str(gone.pid)})
    owned = subprocess.Popen(sleeper, env={**os.environ, "BENCH_OWNER": str(os.getpid())})
    try:
        # Between fork and exec the child still has the environment of this process.
        deadline = time.monotonic() + 10
        while orphan.poll() is None and time.monotonic() < deadline:
            reap()
            time.sleep(0.05)
        assert orphan.poll() == -signal.SIGKILL
        assert owned.poll() is None
    finally:
        for process in (orphan, owned):
            process.kill()
            process.wait()
