"""Writes a run into the documentation: the part of speed.md between two comments, its JSON, its charts."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.environments import BENCHMARKS, CHARTS
from harness.report import NAMES, best, each, field_table, number, pair_table, spread_table

BEGIN = "<!-- figures: benchmarks/run --docs writes from here -->"
END = "<!-- figures: to here -->"
FACTS = ("taken", "cpu", "memory", "load", "system", "server", "commit")


def write(result: Mapping[str, Any], root: Path) -> None:
    """``root`` is the folder of the docs. Raises ValueError when speed.md has no place for figures."""
    page = root / "explanation" / "speed.md"
    text = between(page.read_text(), section(result, charts(result, root / "images")))
    page.with_suffix(".json").write_text(json.dumps(result, indent=1) + "\n")
    page.write_text(text)


def between(text: str, section: str) -> str:
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"speed.md has no lines {BEGIN} and {END}")
    return f"{before}{BEGIN}\n\n{section.strip()}\n\n{END}{after}"


def charts(result: Mapping[str, Any], folder: Path) -> list[tuple[str, str]]:
    """Draw them, in the environment that has the library for it. Returns name and description of each."""
    folder.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(
        [str(CHARTS.ensure()), str(BENCHMARKS / "charts.py"), str(folder)],
        input=json.dumps({**result, "names": NAMES}),
        check=True,
        capture_output=True,
        text=True,
    )
    return [(name, text) for name, text in json.loads(done.stdout)]


def section(result: Mapping[str, Any], drawn: list[tuple[str, str]]) -> str:
    """Markdown: when and where, the marks, the field, what we lose, what others lack, the spread."""
    rows, sides, facts = result["rows"], result["sides"], result["facts"]
    parts = []
    if result["trial"]:
        parts.append("**A trial on small sizes: these are no figures.**")
    parts.append(
        f"Medians of {result['rounds']} rounds, interleaved, the first side to go rotating; "
        "the samples are in [speed.json](speed.json)."
    )
    parts.append("\n".join(f"* {name}: {facts[name]}" for name in FACTS if name in facts))
    parts.append("\n".join(f"* {NAMES.get(side, side)}: {facts[side]}" for side in sides))
    parts += [_picture(name, text) for name, text in drawn]
    parts += ["### Ours beside ardiq 1.2.0, and the marks", pair_table(rows)]
    if set(sides) - {"ours", "ardiq"}:
        parts += ["### The field", field_table(rows, sides, result["failed"])]
        parts += _lost(result)
    parts += _reasons("What a dash means", result["lacks"], rows)
    parts += _reasons("What failed", result["failed"], rows)
    if set(sides) - {"ours", "ardiq"}:
        parts += [
            "<details><summary>The least and the most of each figure</summary>",
            spread_table(rows, sides),
            "</details>",
        ]
    return "\n\n".join(parts)


def _picture(name: str, text: str) -> str:
    dark, light = f"../images/{name}-dark.svg", f"../images/{name}-light.svg"
    source = f'<source media="(prefers-color-scheme: dark)" srcset="{dark}">'
    return f'<picture>\n  {source}\n  <img alt="{text}" src="{light}">\n</picture>'


def _lost(result: Mapping[str, Any]) -> list[str]:
    """The figures in which somebody else is better."""
    lines = []
    for _, title, figure in each(result["rows"]):
        leader = best(figure)
        if not figure["compared"] or "ours" not in figure["medians"] or leader == "ours":
            continue
        theirs, ours = figure["medians"][leader], figure["medians"]["ours"]
        lines.append(
            f"* {title}, {figure['unit']}: {NAMES.get(leader, leader)} {number(theirs)}, ours {number(ours)}"
        )
    return ["### Where others are ahead", "\n".join(lines) or "Nowhere in this run."]


def _reasons(title: str, reasons: Mapping[str, Mapping[str, str]], rows: Mapping[str, Any]) -> list[str]:
    """One line for each side and reason, with the rows that it concerns."""
    where: dict[tuple[str, str], list[str]] = {}
    for row, found in reasons.items():
        for side, reason in found.items():
            where.setdefault((side, reason.splitlines()[0]), []).append(rows[row]["title"])
    lines = [
        f"* {NAMES.get(side, side)}: {reason.removeprefix(side + ': ')} ({'; '.join(titles)})"
        for (side, reason), titles in sorted(where.items())
    ]
    return [f"### {title}", "\n".join(lines)] if lines else []
