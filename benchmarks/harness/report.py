"""Samples to medians, ratios and marks; as a table for people and a dict for JSON."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import median
from typing import Any

from harness.rows import ROWS, Metric, Sample

# row -> side -> samples, one per round
Samples = Mapping[str, Mapping[str, list[Sample]]]


def summary(samples: Samples) -> dict[str, Any]:
    """Row -> metric -> unit, medians and samples of both sides, ratio ours : peer, mark and verdict."""
    return {row: _row(ROWS[row].metrics, sides) for row, sides in samples.items() if any(sides.values())}


def _row(metrics: tuple[Metric, ...], sides: Mapping[str, list[Sample]]) -> dict[str, Any]:
    out = {}
    for metric in metrics:
        values = {side: [sample[metric.name] for sample in taken] for side, taken in sides.items() if taken}
        medians = {side: median(found) for side, found in values.items()}
        ratio = medians["ours"] / medians["peer"] if len(medians) == 2 and medians["peer"] else None
        out[metric.name] = {
            "unit": metric.unit,
            "more_is_better": metric.more_is_better,
            "medians": medians,
            "samples": values,
            "ratio": ratio,
            "mark": metric.mark,
            "mark_is_absolute": metric.absolute,
            "met": metric.met(medians["ours"], ratio) if "ours" in medians else None,
        }
    return out


def table(rows: Mapping[str, Any]) -> str:
    """Markdown: one line per metric."""
    lines = [
        "| row | unit | ours | (range) | peer | (range) | ours : peer | mark |",
        "|---|---|--:|---|--:|---|--:|---|",
    ]
    for name, metrics in rows.items():
        for found in metrics.values():
            cells = [name, found["unit"]]
            for side in ("ours", "peer"):
                values = found["samples"].get(side)
                cells += [_number(found["medians"][side]), _range(values)] if values else ["", ""]
            ratio = found["ratio"]
            cells += [f"{ratio:.2f}x" if ratio is not None else "", _mark(found)]
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _mark(found: Mapping[str, Any]) -> str:
    if found["mark"] is None:
        return ""
    sign = ">=" if found["more_is_better"] else "<="
    text = f"{sign} {found['mark']:g}" + ("" if found["mark_is_absolute"] else "x")
    return text + {True: " met", False: " **missed**", None: ""}[found["met"]]


def _range(values: list[float]) -> str:
    return f"{_number(min(values))} to {_number(max(values))}" if len(values) > 1 else ""


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
