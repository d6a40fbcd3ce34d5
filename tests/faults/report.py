"""What a test of a fault found, and the table of all of them at the end of the run.

``ARDIQ_FAULTS_TABLE``  file that gets the table as Markdown, too
``ARDIQ_FAULTS_ROWS``   numbers of the rows to run, separated by blanks; all when unset
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from tests.faults.matrix import ROWS

HEADS = ("row", "fault", "lost", "started twice", "stuck", "recovery s", "verdict", "note")


@dataclass
class Report:
    """``lost``: acknowledged jobs that are gone. ``twice``: starts beyond the first. ``stuck``: jobs that
    had not ended when the test gave up. ``recovery``: seconds until work went on. None: not counted."""

    lost: int | None = None
    twice: int | None = None
    stuck: int | None = None
    recovery: float | None = None
    note: str = ""


@dataclass
class Line:
    number: str
    name: str
    report: Report
    variant: str
    verdict: str = ""


@dataclass
class Ledger:
    lines: dict[str, list[Line]] = field(default_factory=dict)  # by test
    seen: set[str] = field(default_factory=set)  # numbers of collected rows


LEDGER = pytest.StashKey[Ledger]()
REPORT = pytest.StashKey[Report]()


def rows_of(item: pytest.Item) -> list[tuple[str, str]]:
    """(number, name) of each fault that a test is about, in the order of its decorators."""
    return [(mark.args[0], mark.args[1]) for mark in reversed(list(item.iter_markers("fault")))]


def _reason(longrepr: Any) -> str:
    text = longrepr[2] if isinstance(longrepr, tuple) else str(longrepr)
    return text.removeprefix("Skipped: ").splitlines()[0]


def _verdict(report: pytest.TestReport) -> str:
    if report.failed:
        return "BROKEN"
    if hasattr(report, "wasxfail"):
        return f"known: {report.wasxfail.removeprefix('reason: ')}"
    if report.skipped:
        return f"not here: {_reason(report.longrepr)}"
    return "ok" if report.when == "call" else ""


@pytest.fixture
def report(request: pytest.FixtureRequest) -> Report:
    """What the test fills in for its line of the table."""
    found: Report = request.node.stash.setdefault(REPORT, Report())
    return found


# -- hooks, imported by tests/conftest.py: tests of faults lie in other folders, too ----------------


def pytest_configure(config: pytest.Config) -> None:
    config.stash[LEDGER] = Ledger()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    wanted = set(os.environ.get("ARDIQ_FAULTS_ROWS", "").split())
    ledger, left_out = config.stash[LEDGER], []
    for item in items:
        numbers = {number for number, _ in rows_of(item)}
        ledger.seen |= numbers
        if item.get_closest_marker("soak"):
            item.add_marker("slow")
        if wanted and not numbers & wanted:
            left_out.append(item)
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in set(left_out)]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[Any]:
    report = yield
    rows = rows_of(item)
    if rows:
        lines = item.config.stash[LEDGER].lines
        if item.nodeid not in lines:
            found = item.stash.setdefault(REPORT, Report())
            variant = item.callspec.id if hasattr(item, "callspec") else ""
            lines[item.nodeid] = [Line(number, name, found, variant) for number, name in rows]
        for line in lines[item.nodeid]:
            # The first phase that did not pass decides, be it the teardown, where the referees look.
            if (verdict := _verdict(report)) and line.verdict in ("", "ok"):
                line.verdict = verdict
    return report


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    ledger, target = config.stash[LEDGER], os.environ.get("ARDIQ_FAULTS_TABLE")
    asked = "fault" in (config.option.markexpr or "") or any("faults" in name for name in config.args)
    if not (asked or target):
        return
    cells = [_cells(line) for line in _merged(_sorted(ledger))]
    untested = _untested(ledger, config)
    if target:
        Path(target).write_text(_markdown(cells, [_sum(ledger), *untested]))
    if asked and cells:
        terminalreporter.section("faults")
        for text in (*_columns([HEADS, *cells]), "", _sum(ledger)):
            terminalreporter.write_line(text)
    for text in untested:
        terminalreporter.write_line(text)


# -- the table --------------------------------------------------------------------------------------


def _sorted(ledger: Ledger) -> list[Line]:
    def key(line: Line) -> tuple[int, str, str]:
        digits = re.match(r"\d+", line.number)
        return (int(digits[0]) if digits else 1_000, line.name, line.variant)

    return sorted((line for lines in ledger.lines.values() for line in lines), key=key)


def _merged(lines: list[Line]) -> list[Line]:
    """One line for all variants of a test that passed and counted nothing."""
    plain: dict[tuple[str, str], Line] = {}
    out = []
    for line in lines:
        if line.verdict != "ok" or line.report != Report() or not line.variant:
            out.append(line)
        elif one := plain.get((line.number, line.name)):
            one.variant = f"{int(one.variant.split()[0]) + 1} variants"
        else:
            one = plain[line.number, line.name] = replace(line, variant="1 variant")
            out.append(one)
    return out


def _untested(ledger: Ledger, config: pytest.Config) -> list[str]:
    """Rows of the matrix without a test. Only a run of everything can tell."""
    if config.option.markexpr != "fault" or config.option.keyword or len(config.args) > 1:
        return []
    if any("::" in name or name.endswith(".py") for name in config.args):
        return []
    return [
        f"row {row.number} ({row.fault}) has no test"
        for row in ROWS
        if row.wants_a_test and row.number not in ledger.seen
    ]


def _cells(line: Line) -> tuple[str, ...]:
    def shown(value: float | None) -> str:
        return "-" if value is None else f"{value:.1f}" if isinstance(value, float) else str(value)

    found = line.report
    counts = (shown(found.lost), shown(found.twice), shown(found.stuck), shown(found.recovery))
    name = f"{line.name} [{line.variant}]" if line.variant else line.name
    return (line.number, name, *counts, line.verdict or "did not run", found.note)


def _columns(rows: list[tuple[str, ...]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADS))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]


def _sum(ledger: Ledger) -> str:
    """How many tests ended how, and how many rows of the matrix they were about."""
    verdicts = Counter(lines[0].verdict.partition(":")[0] for lines in ledger.lines.values())
    rows = {line.number for lines in ledger.lines.values() for line in lines}
    return f"{len(rows)} rows, {len(ledger.lines)} tests: " + ", ".join(
        f"{count} {verdict or 'did not run'}" for verdict, count in verdicts.most_common()
    )


def _markdown(cells: list[tuple[str, ...]], notes: list[str]) -> str:
    def line(row: tuple[str, ...]) -> str:
        return "| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |"

    lines = [line(HEADS), line(("---",) * len(HEADS)), *map(line, cells)]
    return "\n".join([*lines, "", *notes]) + "\n"
