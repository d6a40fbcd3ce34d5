"""Each row of the matrix that wants a real process or a real server has a test that names it."""

from __future__ import annotations

import ast
from pathlib import Path

from tests.faults.matrix import BY_NUMBER, ROWS

TESTS = Path(__file__).resolve().parents[1]


def named() -> dict[str, list[str]]:
    """The files that name each row with a ``fault`` marker."""
    found: dict[str, list[str]] = {}
    for path in sorted(TESTS.rglob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("mark.fault"):
                row = ast.literal_eval(node.args[0])
                found.setdefault(row, []).append(path.name)
    return found


def test_every_row_has_a_test() -> None:
    tested = named()
    untested = [f"{row.number}: {row.fault}" for row in ROWS if row.wants_a_test and row.number not in tested]
    assert untested == []


def test_every_marker_names_a_row() -> None:
    assert [row for row in named() if row not in BY_NUMBER and not row.startswith("S")] == []


def test_every_row_is_there_once() -> None:
    assert len(BY_NUMBER) == len(ROWS)
