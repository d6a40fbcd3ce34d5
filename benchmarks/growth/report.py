"""Rows as tables for people."""

from __future__ import annotations

from typing import Any

from growth.sampling import FLAT, Row


def text(result: dict[str, Any]) -> str:
    lines = [f"* {name}: {fact}" for name, fact in result["facts"].items()]
    for name, part in result["parts"].items():
        lines += ["", f"## {name}", "", *table(part["rows"], part.get("columns", ""))]
        lines += ["", *part["notes"]] if part.get("notes") else []
    return "\n".join(lines)


def table(rows: list[Row], of: str = "") -> list[str]:
    """What the server takes at each size; the wall clock of the client at the largest, where there is one."""
    if not rows:
        return []
    sizes = list(rows[0]["server_us"])
    timed = any(rows[0]["wall_us"].values())
    heads = ["verb", "of one", *(f"{size:,}{of}" if isinstance(size, int) else str(size) for size in sizes)]
    heads += ["client's clock, last column"] * timed + ["growth", f"within {FLAT - 1:.0%}"]
    lines = [f"| {' | '.join(heads)} |", f"|---|---|{'--:|' * (len(sizes) + timed)}--:|---|"]
    for row in rows:
        cells = [row["verb"], row["per"], *(number(row["server_us"][size]) for size in sizes)]
        cells += [number(row["wall_us"][sizes[-1]])] * timed
        cells += [f"{row['growth']:.2f}x", "yes" if row["flat"] else "**no**"]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def missed(result: dict[str, Any]) -> list[str]:
    """Verbs whose cost grows with the number of jobs."""
    parts = [result["parts"].get(name, {}) for name in ("jobs", "instructions")]
    return [row["verb"] for part in parts for row in part.get("rows", []) if not row["flat"]]
