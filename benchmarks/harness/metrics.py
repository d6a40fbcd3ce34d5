"""What a figure is, and what it ought to be: units, directions, marks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

OURS = "ours"


@dataclass(frozen=True)
class Mark:
    """A bound on our figure. ``of`` is what it is a multiple of: another side, or with a dot in front another
    figure of our own in the same row, or nothing, and then the bound is the figure itself."""

    bound: float
    of: str = "ardiq"
    first: bool = False  # and no side may be better

    def text(self, more_is_better: bool) -> str:
        sign = "≥" if more_is_better else "≤"
        if not self.of:
            return f"{sign} {self.bound:g}"
        whole = f"{sign} {self.bound:g}x {self.of.removeprefix('.').replace('_', ' ')}"
        return whole + (", and first" if self.first else "")

    def met(
        self, more_is_better: bool, medians: Mapping[str, float], own: Mapping[str, float]
    ) -> bool | None:
        """None when it cannot be told: what it is a multiple of was not measured.

        ``medians``: side -> median of this figure; ``own``: name -> our median of each figure of the row.
        """
        if OURS not in medians:
            return None
        scale = 1.0 if not self.of else own.get(self.of[1:]) if self.of[0] == "." else medians.get(self.of)
        if scale is None:
            return None
        ours = medians[OURS]
        kept = ours >= self.bound * scale if more_is_better else ours <= self.bound * scale
        if self.first and kept:
            best = max(medians.values()) if more_is_better else min(medians.values())
            return ours == best
        return kept


@dataclass(frozen=True)
class Metric:
    """One figure of a row."""

    name: str
    unit: str
    more_is_better: bool = True
    mark: Mark | None = None
    compared: bool = True  # whether more or less of it is better or worse, or only told


def more(name: str, unit: str, mark: Mark | None = None) -> Metric:
    return Metric(name, unit, True, mark)


def less(name: str, unit: str, mark: Mark | None = None) -> Metric:
    return Metric(name, unit, False, mark)


def told(name: str, unit: str) -> Metric:
    return Metric(name, unit, True, None, False)
