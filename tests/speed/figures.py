"""The table of what one job takes: read, compared with, printed, and written anew."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

FILE = Path(__file__).with_name("figures.json")
MARGIN = 1.25
SLACK = 0.05  # of one command or instruction: a batch costs each of its jobs next to nothing
UPDATE = "ARDIQ_SPEED"  # 'update' in this environment variable writes the table instead of comparing with it

Figures = dict[str, float]


def python() -> str:
    """The section of this interpreter: each version has instructions of its own."""
    return "python {}.{}".format(*sys.version_info)


def updates() -> bool:
    return os.environ.get(UPDATE) == "update"


def read(section: str) -> dict[str, Figures]:
    """Of a version that is not in the table yet, those of the newest that is."""
    table = json.loads(FILE.read_text()) if FILE.exists() else {}
    known = sorted((name for name in table if name.startswith("python")), key=lambda name: int(name[9:]))
    found: dict[str, Figures] = table.get(section) or (
        table[known[-1]] if known and section != "server" else {}
    )
    return found


def write(section: str, scene: str, figures: Figures) -> None:
    table = json.loads(FILE.read_text()) if FILE.exists() else {}
    table.setdefault(section, {})[scene] = {what: round(number, 3) for what, number in figures.items()}
    FILE.write_text(json.dumps(table, indent=1, sort_keys=True) + "\n")


def too_much(found: Figures, known: Figures) -> Figures:
    """What is beyond the margin."""
    return {what: number for what, number in found.items() if number > known[what] * MARGIN + SLACK}
