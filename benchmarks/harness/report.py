"""Samples to medians, ratios and marks: a dict for JSON, tables for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from statistics import median
from typing import Any

from harness.metrics import Mark, Metric

PEER = "ardiq"
NAMES = {"ours": "ours", "ardiq": "ardiq 1.2.0", "vtasks": "django-vtasks", "rq": "RQ", "celery": "Celery",
         "dramatiq": "Dramatiq", "huey": "Huey"}  # fmt: skip
Rows = Mapping[str, Any]


def summary(
    title: str, metrics: Sequence[Metric], samples: Mapping[str, Sequence[Mapping[str, float]]]
) -> dict[str, Any]:
    """One row: its metrics with medians and samples of each side, ratio ours : peer, mark and verdict.

    ``samples``: side -> its samples, one per round; a side without any does not appear.
    """
    figures: dict[str, Any] = {}
    own = {
        metric.name: median(sample[metric.name] for sample in samples["ours"])
        for metric in metrics
        if samples.get("ours") and all(metric.name in sample for sample in samples["ours"])
    }
    for metric in metrics:
        values = {
            side: found
            for side, taken in samples.items()
            if (found := [sample[metric.name] for sample in taken if metric.name in sample])
        }
        if values:
            figures[metric.name] = _figure(metric, values, own)
    return {"title": title, "figures": figures}


def _figure(metric: Metric, values: Mapping[str, list[float]], own: Mapping[str, float]) -> dict[str, Any]:
    medians = {side: median(found) for side, found in values.items()}
    both = "ours" in medians and medians.get(PEER)
    mark = metric.mark
    return {
        "unit": metric.unit,
        "more_is_better": metric.more_is_better,
        "compared": metric.compared,
        "medians": medians,
        "samples": dict(values),
        "ratio": medians["ours"] / medians[PEER] if both else None,
        "mark": None if mark is None else mark.text(metric.more_is_better),
        "reached": None if mark is None else _reached(mark, medians, own),
        "met": None if mark is None else mark.met(metric.more_is_better, medians, own),
    }


def _reached(mark: Mark, medians: Mapping[str, float], own: Mapping[str, float]) -> float | None:
    """Our figure in the terms of the mark."""
    scale = 1.0 if not mark.of else own.get(mark.of[1:]) if mark.of[0] == "." else medians.get(mark.of)
    return medians["ours"] / scale if scale and "ours" in medians else None


def best(figure: Mapping[str, Any]) -> str:
    pick = max if figure["more_is_better"] else min
    return str(pick(figure["medians"], key=lambda side: figure["medians"][side]))


def each(rows: Rows) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Row, its title, figure."""
    for name, row in rows.items():
        for figure in row["figures"].values():
            yield name, row["title"], figure


def pair_table(rows: Rows) -> str:
    """Ours beside ardiq 1.2.0, with ranges, ratio and mark: one line per figure."""
    lines = [
        "| row | figure | ours | (range) | ardiq 1.2.0 | (range) | ours : ardiq | mark |",
        "|---|---|--:|---|--:|---|--:|---|",
    ]
    for name, _, figure in each(rows):
        cells = [name, figure["unit"]]
        for side in ("ours", PEER):
            values = figure["samples"].get(side)
            cells += [number(figure["medians"][side]), spread(values)] if values else ["–", ""]
        ratio = figure["ratio"]
        cells += [f"{ratio:.2f}x" if ratio is not None else "", verdict(figure)]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def field_table(rows: Rows, sides: Sequence[str], failed: Mapping[str, Mapping[str, str]]) -> str:
    """Medians of every side, the best one bold: one line per figure. A dash is what a side does not have."""
    lines = ["| row | figure | " + " | ".join(NAMES.get(side, side) for side in sides) + " |"]
    lines.append("|---|---|" + "--:|" * len(sides))
    for name, title, figure in each(rows):
        cells = [_cell(figure, side, side in failed.get(name, {})) for side in sides]
        lines.append(f"| {title} | {figure['unit']} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _cell(figure: Mapping[str, Any], side: str, failed: bool) -> str:
    if side not in figure["medians"]:
        return "failed" if failed else "–"
    text = number(figure["medians"][side])
    leads = figure["compared"] and len(figure["medians"]) > 1 and side == best(figure)
    return f"**{text}**" if leads else text


def spread_table(rows: Rows, sides: Sequence[str]) -> str:
    """The least and the most of every median in ``field_table``."""
    lines = ["| row | figure | " + " | ".join(NAMES.get(side, side) for side in sides) + " |"]
    lines.append("|---|---|" + "--:|" * len(sides))
    for _, title, figure in each(rows):
        cells = [spread(figure["samples"].get(side, [])) or "–" for side in sides]
        lines.append(f"| {title} | {figure['unit']} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def verdict(figure: Mapping[str, Any]) -> str:
    if figure["mark"] is None:
        return ""
    reached = f", {figure['reached']:.3g}" if figure["reached"] is not None else ""
    return (
        figure["mark"]
        + {True: f"{reached}: met", False: f"{reached}: **missed**", None: ": not measured"}[figure["met"]]
    )


def missed(rows: Rows) -> list[str]:
    """The figures whose mark was measured and not reached."""
    return [f"{name}, {figure['unit']}" for name, _, figure in each(rows) if figure["met"] is False]


def spread(values: Sequence[float]) -> str:
    return f"{number(min(values))} to {number(max(values))}" if len(values) > 1 else ""


def number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
