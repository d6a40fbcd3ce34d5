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


def panel(
    axes: Axes, title: str, figure: dict[str, Any], names: dict[str, str], theme: dict[str, str]
) -> None:
    """Best on top; the thin line is from the least to the most.

    Bars, whose lengths can be compared; dots on a scale of powers of ten where most bars would be too short.
    """
    more = figure["more_is_better"]
    order = sorted(figure["medians"], key=lambda side: figure["medians"][side], reverse=not more)
    values = [figure["medians"][side] for side in order]
    least, most = ([pick(figure["samples"][side]) for side in order] for pick in (min, max))
    colors = [theme["ours"] if side == "ours" else theme["others"] for side in order]
    places = range(len(order))
    wide = max(values) > 50 * min(values) > 0
    if wide:
        axes.set_xscale("log")
        axes.set_xlim(min(least) / 2, max(most) * 4)
        axes.hlines(places, min(least) / 2, max(most) * 4, color=theme["faint"], lw=0.8, zorder=1)
        axes.scatter(values, places, color=colors, s=42, zorder=3)
    else:
        axes.set_xlim(0, max(most) * 1.22)
        axes.barh(places, values, color=colors, height=0.72)
    axes.hlines(places, least, most, color=theme["text"], lw=0.8, zorder=4)
    for place, value, end in zip(places, values, most, strict=True):
        text = f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
        axes.annotate(
            text, (end, place), (6, 5 if wide else 0), textcoords="offset points", va="center", fontsize=8
        )
    better = "more" if more else "less"
    scale = ", log scale" if wide else ""
    axes.set_title(f"{title}\n{figure['unit']} ({better} is better{scale})", loc="left", fontsize=9)
    axes.set_yticks(places, [names.get(side, side) for side in order])
    axes.tick_params(length=0, which="both", labelsize=8)
    axes.tick_params(axis="x", labelbottom=False, which="both")
    for name, spine in axes.spines.items():
        spine.set_visible(name == "left" and not wide)
    for label in axes.get_yticklabels():
        label.set_fontweight("bold" if label.get_text() == "ours" else "normal")


def draw(
    path: Path,
    title: str,
    panels: list[tuple[str, dict[str, Any]]],
    names: dict[str, str],
    theme: dict[str, str],
) -> None:
    colors = dict.fromkeys(("text.color", "axes.labelcolor", "xtick.color", "ytick.color"), theme["text"])
    # Text stays text: it can be found, read aloud and copied, and the files are small.
    style = {
        "svg.fonttype": "none",
        "svg.hashsalt": "ardiq",
        "font.family": "sans-serif",
        "axes.edgecolor": theme["faint"],
    }
    most = max(len(figure["medians"]) for _, figure in panels)
    lines = (len(panels) + 1) // 2
    with mpl.rc_context({**colors, **style}):
        size = (9, lines * (0.75 + 0.24 * most) + 0.4)
        figure, grid = plt.subplots(lines, 2, figsize=size, squeeze=False, layout="constrained")
        figure.get_layout_engine().set(w_pad=0.12)
        figure.suptitle(title, x=0.01, ha="left", fontsize=12, fontweight="bold")
        for axes in grid.flat[len(panels) :]:
            axes.set_visible(False)
        for axes, (name, found) in zip(grid.flat, panels, strict=False):
            panel(axes, name, found, names, theme)
        figure.savefig(path, transparent=True, metadata={"Date": None})
        plt.close(figure)


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
            draw(folder / f"{name}-{kind}.svg", title, panels, result["names"], theme)
        drawn.append(
            [name, f"{title}: a line for each system, ours in colour. The tables below say the same."]
        )
    print(json.dumps(drawn))


if __name__ == "__main__":
    main()
