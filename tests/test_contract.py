"""Every promise of this release has a test that carries its number."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def contract(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "contract"), *arguments],
        capture_output=True,
        text=True,
        timeout=30,
    )


def test_no_promise_is_without_a_test() -> None:
    """Numbers that are left belong to later releases, and the script says to which."""
    done = contract()
    assert done.returncode == 0, done.stdout[-2_000:]
    assert "numbers have tests" in done.stdout


def test_a_missing_number_is_told(tmp_path: Path) -> None:
    """Only the beginning of a test's docstring counts, and what is missing is named."""
    (tmp_path / "test_some.py").write_text(
        'def test_one():\n    """C6, R10: said."""\n\n\n'
        'class Case:\n    async def test_two(self):\n        """C7: said."""\n\n\n'
        'def test_three():\n    """Like C8: but later."""\n\n\n'
        'def helper():\n    """C9: no test."""\n'
    )
    done = contract("-v", str(tmp_path))
    assert done.returncode == 1
    told = done.stdout.rpartition("No test carries ")[2]
    missing = told.strip(". \n").split(", ")
    assert {"C8", "C9", "A1"} <= set(missing) and not {"C6", "C7", "R10"} & set(missing)
    assert "test_some.py::test_two" in done.stdout
