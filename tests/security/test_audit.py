"""``scripts/audit``: known holes fail the check; whoever cannot be asked does not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
HOLE = {"id": "PYSEC-1", "aliases": ["CVE-2026-1"], "fix_versions": ["2.0"], "description": ""}


def audited(directory: Path, body: str, **environment: str) -> tuple[int, str]:
    """The exit code and words of the script beside a pip-audit that does this."""
    (directory / "pip_audit.py").write_text(body)
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "audit")], capture_output=True, text=True, timeout=60,
        env={**os.environ, "PYTHONPATH": str(directory), **environment},
    )  # fmt: skip
    return done.returncode, done.stdout


def answer(*packages: dict[str, Any]) -> str:
    return f"import sys\nprint({json.dumps(json.dumps({'dependencies': packages}))})\nsys.exit(1)\n"


def test_a_hole_fails(tmp_path: Path) -> None:
    """S12: with the package, all names of the hole, and what mends it."""
    fine = {"name": "fine", "version": "1", "vulns": []}
    code, told = audited(tmp_path, answer({"name": "leaky", "version": "1.0", "vulns": [HOLE]}, fine))
    assert code == 1
    assert told == (
        "leaky 1.0: PYSEC-1, CVE-2026-1; mended in 2.0\n2 packages looked at, 1 known holes\n"
    )  # fmt: skip
    assert audited(tmp_path, answer(fine, {"name": "own", "skip_reason": "editable"})) == (
        0, "1 packages looked at (1 are not known there), 0 known holes\n",
    )  # fmt: skip


@pytest.mark.parametrize("body", ["raise SystemExit('no route to host')", "print('<html>')", ""])
def test_without_a_network_it_is_said(tmp_path: Path, body: str) -> None:
    """S12: nobody is kept from working by it."""
    code, told = audited(tmp_path, body)
    assert code == 0 and told.startswith("note: known holes were not looked for")
    assert "no route" not in body or "no route to host" in told
    code, told = audited(tmp_path, answer({"name": "a", "skip_reason": "not found on PyPI"}))
    assert code == 0 and told == "note: known holes were not looked for: not found on PyPI\n"
