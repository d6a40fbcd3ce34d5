"""Charts as inline SVG: no script and no inline style; colours come from the style sheet."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

WIDTH, HEIGHT = 300, 60  # of the drawing; the page stretches it


@dataclass(frozen=True, slots=True)
class Series:
    """``values``: one for each period, None where nothing was measured. ``kind`` names its colour."""

    label: str
    values: Sequence[float | None]
    kind: str

    def last(self) -> float | None:
        """The latest value that there is."""
        return next((value for value in reversed(self.values) if value is not None), None)


@dataclass(frozen=True, slots=True)
class Chart:
    """``moments``: how each period is called; ``shown`` words a value."""

    title: str
    series: Sequence[Series]
    moments: Sequence[str]
    shown: Callable[[float | None], str]
    bars: bool = False
    summary: str = ""

    @property
    def empty(self) -> bool:
        return not any(value for one in self.series for value in one.values)

    @property
    def top(self) -> float:
        """The largest value; of bars, the largest sum of a period."""
        if self.bars:
            columns = zip(*(one.values for one in self.series), strict=True)
            return max((sum(value or 0 for value in column) for column in columns), default=0)
        return max((value or 0 for one in self.series for value in one.values), default=0)

    @property
    def most(self) -> str:
        return self.shown(self.top)

    @property
    def rows(self) -> list[tuple[str, list[str]]]:
        """The numbers, latest first, without periods of which there are none."""
        columns = list(zip(*(one.values for one in self.series), strict=True))
        table = [
            (moment, [self.shown(value) for value in column])
            for moment, column in zip(self.moments, columns, strict=True)
            if any(column)
        ]
        return table[::-1]

    def svg(self) -> SafeString:
        top = self.top or 1
        draw = _bars if self.bars else _lines
        paths = draw(self.series, top)
        return format_html(
            '<svg class="ardiq-chart" viewBox="0 0 {} {}" preserveAspectRatio="none" aria-hidden="true" '
            'focusable="false">{}</svg>',
            WIDTH,
            HEIGHT,
            format_html_join("", '<path class="ardiq-chart-{}" d="{}"/>', paths),
        )


def _lines(series: Sequence[Series], top: float) -> list[tuple[str, str]]:
    """A line for each; broken where nothing was measured."""
    paths = []
    for one in series:
        step, path, pen = WIDTH / max(1, len(one.values) - 1), [], "M"
        for number, value in enumerate(one.values):
            if value is None:
                pen = "M"
                continue
            path.append(f"{pen}{number * step:.1f} {_y(value, top):.1f}")
            # A single point has no line: a short one makes it seen.
            path.append("h1" if pen == "M" else "")
            pen = "L"
        paths.append((f"line ardiq-chart-{one.kind}", "".join(path)))
    return paths


def _bars(series: Sequence[Series], top: float) -> list[tuple[str, str]]:
    """Bars of all series on top of each other."""
    paths, ground = [], [0.0] * max((len(one.values) for one in series), default=0)
    for one in series:
        wide, path = WIDTH / max(1, len(one.values)), []
        for number, value in enumerate(one.values):
            if value:
                left, low, high = number * wide, _y(ground[number], top), _y(ground[number] + value, top)
                path.append(f"M{left:.1f} {low:.1f}V{high:.1f}h{wide * 0.85:.1f}V{low:.1f}z")
                ground[number] += value
        paths.append((f"bar ardiq-chart-{one.kind}", "".join(path)))
    return paths


def _y(value: float, top: float) -> float:
    return HEIGHT - 1 - (HEIGHT - 3) * value / top
