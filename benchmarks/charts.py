"""Draws the figures of a run: ``charts.py <folder>``, the result as JSON on standard input.

It runs in an environment of its own (Matplotlib). Each chart is written twice, for light and for dark
pages, both on the page's own background. The last line printed is a list of [name, description] as JSON.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("svg")
import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

# Text and marks have a contrast of 4.5 : 1 and more on the white and the near-black of common pages.
THEMES = {
    "light": {"text": "#24292f", "faint": "#d0d7de", "ours": "#0b6b4f", "others": "#8c959f"},
    "dark": {"text": "#e6edf3", "faint": "#3d444d", "ours": "#3fb98a", "others": "#7d8590"},
}
SHEETS = {
    "speed-enqueue": (
        "Jobs enqueued in a second",
        (
            ("enqueue_one_async", "rate"), ("enqueue_one_sync", "rate"),
            ("enqueue_100_way", "rate"), ("enqueue_bulk", "rate"),
        ),
    ),
    "speed-run": (
        "Jobs run in a second by one worker",
        (
            ("dispatch_async_c10", "rate"), ("dispatch_async_c100", "rate"), ("dispatch_sync_c10", "rate"),
            ("dispatch_two", "rate"), ("io_c100", "rate"), ("cpu_1", "rate"),
        ),
    ),
    "speed-latency": (
        "Milliseconds until a job starts and until its result is there",
        (
            ("latency", "start_p50"), ("latency", "result_p50"),
            ("latency_loaded", "start_p50"), ("latency_loaded", "start_p99"),
        ),
    ),
    "speed-cost": (
        "What a job costs, and what a worker takes",
        (
            ("redis_per_job", "run_us"), ("redis_per_job", "run_commands"),
            ("redis_per_job", "bytes"), ("dispatch_sync_c10", "worker_us"),
            ("memory", "idle"), ("memory", "after"),
        ),
    ),
}  # fmt: skip


def bars(
    axes: Axes, title: str, figure: dict[str, Any], names: dict[str, str], theme: dict[str, str]
) -> None:
    """Best on top; the thin line is from the least to the most. Scaled by powers of ten where it must be."""
    more = figure["more_is_better"]
    order = sorted(figure["medians"], key=lambda side: figure["medians"][side], reverse=not more)
    values = [figure["medians"][side] for side in order]
    samples = [figure["samples"][side] for side in order]
    errors = [
        [value - min(found) for value, found in zip(values, samples, strict=True)],
        [max(found) - value for value, found in zip(values, samples, strict=True)],
    ]
    colors = [theme["ours"] if side == "ours" else theme["others"] for side in order]
    labels = [names.get(side, side) for side in order]
    axes.barh(
        labels, values, color=colors, height=0.72, xerr=errors, ecolor=theme["text"], error_kw={"lw": 0.8}
    )
    wide = max(values) > 50 * min(values)
    if wide:
        axes.set_xscale("log")
        axes.set_xlim(min(values) / 2, max(values) * 4)
    else:
        axes.set_xlim(0, max(max(found) for found in samples) * 1.22)
    for place, (value, found) in enumerate(zip(values, samples, strict=True)):
        text = f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
        axes.annotate(text, (max(found), place), (4, 0), textcoords="offset points", va="center", fontsize=8)
    better = "more" if more else "less"
    scale = ", log scale" if wide else ""
    axes.set_title(f"{title}\n{figure['unit']} ({better} is better{scale})", loc="left", fontsize=9)
    axes.tick_params(length=0, labelsize=8)
    axes.tick_params(axis="x", labelbottom=False, which="both")
    axes.minorticks_off()
    for name, spine in axes.spines.items():
        spine.set_visible(name == "left")
    for label in axes.get_yticklabels():
        label.set_fontweight("bold" if label.get_text() == "ours" else "normal")


def sheet(
    title: str, panels: list[tuple[str, dict[str, Any]]], names: dict[str, str], theme: dict[str, str]
) -> Figure:
    colors = dict.fromkeys(("text.color", "axes.labelcolor", "xtick.color", "ytick.color"), theme["text"])
    style = {
        "svg.fonttype": "none",
        "svg.hashsalt": "ardiq",
        "font.family": "sans-serif",
        "axes.edgecolor": theme["faint"],
    }
    most = max(len(figure["medians"]) for _, figure in panels)
    lines = (len(panels) + 1) // 2
    with mpl.rc_context({**colors, **style}):
        figure, grid = plt.subplots(
            lines, 2, figsize=(9, lines * (0.75 + 0.24 * most) + 0.4), squeeze=False, layout="constrained"
        )
        figure.suptitle(title, x=0.01, ha="left", fontsize=12, fontweight="bold")
        for axes in grid.flat[len(panels) :]:
            axes.set_visible(False)
        for axes, (name, found) in zip(grid.flat, panels, strict=False):
            bars(axes, name, found, names, theme)
    return figure


def main() -> None:
    folder, result = Path(sys.argv[1]), json.load(sys.stdin)
    drawn = []
    for name, (title, wanted) in SHEETS.items():
        rows = result["rows"]
        panels = [
            (rows[row]["title"], rows[row]["figures"][figure])
            for row, figure in wanted
            if figure in rows.get(row, {}).get("figures", {})
        ]
        if not panels:
            continue
        for kind, theme in THEMES.items():
            drawing = sheet(title, panels, result["names"], theme)
            drawing.savefig(folder / f"{name}-{kind}.svg", transparent=True, metadata={"Date": None})
            plt.close(drawing)
        drawn.append(
            [name, f"{title}: a bar for each system, ours in colour. The tables below say the same."]
        )
    print(json.dumps(drawn))


if __name__ == "__main__":
    main()
