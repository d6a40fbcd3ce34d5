"""Tables for a terminal: redrawn in place on a real one, a line now and then in a log file."""

import time
from collections import Counter
from collections.abc import Iterable, Sequence
from shutil import get_terminal_size

from django.core.management.base import OutputWrapper

from ardiq import JobStatus

STATUSES = [status for status in JobStatus if status != JobStatus.NOT_FOUND]
LINE_SECONDS = 5.0


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    """Lines of equal columns; numbers to the right, everything else to the left."""
    cells = [[str(cell) for cell in head], *([str(cell) for cell in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    numeric = [all(cell.isdigit() or not cell for cell in column[1:]) for column in zip(*cells, strict=True)]
    lines = [
        "  ".join(
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(row, widths, numeric, strict=True)
        ).rstrip()
        for row in cells
    ]
    return [lines[0], "-" * max(map(len, lines)), *lines[1:]]


def count_table(counts: dict[str, Counter[JobStatus]]) -> list[str]:
    """One row per kind of task, one column per status; zeros are left out, so that the eye finds the rest."""
    rows = [
        (kind, *(found[status] or "" for status in STATUSES), found.total()) for kind, found in counts.items()
    ]
    everything = sum(counts.values(), Counter())
    rows.append(("all", *(everything[status] or "" for status in STATUSES), everything.total()))
    return table(("task", *STATUSES, "all"), rows)


class Screen:
    """Shows the counts as they change."""

    def __init__(self, out: OutputWrapper) -> None:
        self._out = out
        self._in_place = out.isatty()
        self._drawn = 0
        self._next_line = 0.0

    def show(self, counts: dict[str, Counter[JobStatus]]) -> None:
        if self._in_place:
            self._redraw(count_table(counts))
        elif time.monotonic() >= self._next_line:
            self._next_line = time.monotonic() + LINE_SECONDS
            everything = sum(counts.values(), Counter())
            line = ", ".join(f"{everything[status]} {status}" for status in STATUSES if everything[status])
            self._say(f"{time.strftime('%H:%M:%S')}  {line or 'no jobs yet'}")

    def _redraw(self, lines: list[str]) -> None:
        # A line that wraps, or one that has scrolled away, could not be drawn over again.
        size = get_terminal_size()
        lines = [line[: size.columns - 1] for line in lines[-(size.lines - 1) :]]
        back = f"\x1b[{self._drawn}A\x1b[J" if self._drawn else ""
        self._drawn = len(lines)
        self._say(back + "\n".join(lines))

    def _say(self, text: str) -> None:
        self._out.write(text)
        self._out.flush()
