"""The samples of a run, lines of JSON that are appended as they are taken: a run that was killed goes on.

The name of the file comes from all that the figures depend on, so that samples of different versions, sizes
or machines never meet. A line is a turn with its figures, with what the side lacks, or with how it failed.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

from harness.plan import Turn

Figures = dict[str, float]
GIVE_UP = 2  # failures of a side in a row of the table, after which it is not tried again


def place(folder: Path, basis: Mapping[str, Any]) -> Path:
    digest = sha256(json.dumps(basis, sort_keys=True).encode()).hexdigest()[:12]
    return folder / f"samples-{digest}.jsonl"


class Samples:
    def __init__(self, path: Path) -> None:
        self.path = path
        self.entries: dict[Turn, dict[str, Any]] = {}
        if path.exists():
            for line in path.read_text().splitlines():
                try:
                    entry = json.loads(line)
                except ValueError:
                    continue  # the run was killed while it wrote this line
                self.entries[entry["round"], entry["row"], entry["side"]] = entry

    def start_again(self) -> None:
        """Forget what there is; the old file stays beside the new one."""
        if self.path.exists():
            self.path.replace(self.path.with_suffix(".old.jsonl"))
        self.entries.clear()

    def add(self, turn: Turn, **what: Any) -> None:
        number, row, side = turn
        entry = {"round": number, "row": row, "side": side, **what}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        # A line that a kill has cut short must not swallow this one.
        torn = self.path.exists() and not self.path.read_bytes().endswith(b"\n")
        with self.path.open("a") as file:
            file.write(("\n" if torn else "") + json.dumps(entry) + "\n")
        self.entries[turn] = entry

    def left(self, turns: Iterable[Turn]) -> list[Turn]:
        """Those that are not yet taken and may be, in order."""
        return [turn for turn in turns if turn not in self.entries and not self.hopeless(*turn[1:])]

    def hopeless(self, row: str, side: str) -> bool:
        """Whether to leave it out: the side lacks what the row measures, or has failed too often."""
        mine = [entry for entry in self.entries.values() if (entry["row"], entry["side"]) == (row, side)]
        failures = sum("failed" in entry for entry in mine)
        return failures >= GIVE_UP or any("lacks" in entry for entry in mine)

    def figures(self, row: str, side: str) -> list[Figures]:
        """By rounds."""
        return [
            entry["figures"]
            for turn, entry in sorted(self.entries.items())
            if turn[1:] == (row, side) and "figures" in entry
        ]

    def reasons(self, what: str) -> dict[str, dict[str, str]]:
        """Row -> side -> why, of those that lack something (``what`` is "lacks") or failed ("failed")."""
        found: dict[str, dict[str, str]] = {}
        for _, entry in sorted(self.entries.items()):
            if what in entry:
                found.setdefault(entry["row"], {})[entry["side"]] = entry[what]
        return found
