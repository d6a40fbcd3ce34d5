"""What commands show in a terminal: lines and tables, said once, whoever paints them.

Widths are counted in cells. Whatever comes from Redis goes through ``plain``, so that no name can move the
cursor or change a colour.
"""

from __future__ import annotations

import textwrap
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from ardiq.adminui.text import plain

Style = Literal["", "head", "good", "warn", "bad", "dim"]

GAP = 2  # cells between two columns
INDENT = 2  # cells before a table
LONGEST = 200  # characters of one cell
NARROWEST = 8  # cells that a column which may be cut keeps


@dataclass(frozen=True, slots=True)
class Cell:
    """A piece of text with one style. Styles only repeat what the words say."""

    text: str
    style: Style = ""

    @classmethod
    def of(cls, value: object, style: Style = "") -> Cell:
        text = f"{value:,}" if type(value) is int else plain(value, LONGEST)
        return cls(" ".join(text.split()), style)


@dataclass(frozen=True, slots=True)
class Column:
    """``cut``: where it may be shortened, down to ``least`` cells: names of tasks differ at their end.
    ``drop``: left out where there is no room, the highest number first."""

    title: str
    right: bool = False
    cut: Literal["", "start", "end"] = ""
    drop: int = 0
    least: int = NARROWEST


@dataclass(frozen=True, slots=True)
class Table:
    title: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[Cell]]

    def capped(self, most: int) -> Table:
        """The first rows of it, and how many that are."""
        if len(self.rows) <= most:
            return self
        title = f"{self.title.partition(';')[0]}; {most} of {len(self.rows)} fit here"
        return Table(title, self.columns, self.rows[:most])

    def fitted(self, room: int | None) -> tuple[list[int], list[int]]:
        """Which columns to show in so many cells (None: any number), and how wide each of them is."""
        shown = list(range(len(self.columns)))
        natural = [max(map(width, self._texts(n))) for n in shown]
        if room is None:
            return shown, natural
        room -= INDENT
        for at in sorted(shown, key=lambda n: -self.columns[n].drop):
            if self.columns[at].drop and _total(natural[n] for n in shown) > room:
                shown.remove(at)
        widths = [natural[n] for n in shown]
        while (much := _total(widths) - room) > 0:
            columns = [self.columns[n] for n in shown]
            cut = [i for i, column in enumerate(columns) if column.cut and widths[i] > column.least]
            if not cut:
                break
            widest = max(cut, key=lambda i: widths[i])
            # Down to the next widest, so that the long ones share what is missing.
            next_to = max((widths[i] for i in cut if widths[i] < widths[widest]), default=0)
            widths[widest] -= max(1, min(much, widths[widest] - max(next_to, columns[widest].least)))
        return shown, widths

    def _texts(self, column: int) -> Iterator[str]:
        yield self.columns[column].title
        for row in self.rows:
            yield row[column].text

    def lines(self, room: int | None) -> Iterator[list[Cell]]:
        """Row by row, padded and cut, the titles of the columns first."""
        shown, widths = self.fitted(room)
        heads = [Cell(column.title, "dim") for column in self.columns]
        for row in (heads, *self.rows):
            cells = []
            for n, size in zip(shown, widths, strict=True):
                text, last = shortened(row[n].text, size, self.columns[n].cut), n == shown[-1]
                pad = " " * (size - width(text))
                text = pad + text if self.columns[n].right else text if last else text + pad
                cells.append(Cell(text, row[n].style))
            yield cells


Line = Sequence[Cell]
Block = Line | Table


def _total(widths: Iterable[int]) -> int:
    sizes = list(widths)
    return sum(sizes) + GAP * (len(sizes) - 1)


def width(text: str) -> int:
    """Cells that a terminal needs for it."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(one) else 1 + (unicodedata.east_asian_width(one) in "WF") for one in text
    )


def shortened(text: str, cells: int, side: str = "end") -> str:
    if width(text) <= cells:
        return text
    while text and width(text) > cells - 1:
        text = text[1:] if side == "start" else text[:-1]
    return "…" + text if side == "start" else text + "…"


def laid_out(blocks: Iterable[Block], room: int | None, rows: int | None = None) -> Iterator[list[Cell]]:
    """Every line of a page, as pieces to be written one behind the other; so many rows of each table."""
    for block in blocks:
        if not isinstance(block, Table):
            yield from _wrapped(block, room)
            continue
        yield []
        if rows is not None:
            block = block.capped(rows)
        yield [Cell(shortened(block.title, room or LONGEST), "head")]
        for cells in block.lines(room) if block.rows else ():
            gaps = [" " * INDENT, *[" " * GAP] * (len(cells) - 1)]
            yield [piece for gap, cell in zip(gaps, cells, strict=True) for piece in (Cell(gap), cell)]


def _wrapped(line: Line, room: int | None) -> Iterator[list[Cell]]:
    """A line that is too long goes on below the beginning of its last piece."""
    if room is None or not line or sum(width(cell.text) for cell in line) <= room:
        yield list(line)
        return
    *before, last = line
    used = sum(width(cell.text) for cell in before)
    indent = min(used, room // 2)
    # Stands in for the pieces before it: spaces would be taken for the indentation of an empty first line.
    head, *rest = textwrap.wrap("x" * used + last.text, room, subsequent_indent=" " * indent)
    yield [*before, Cell(head[used:], last.style)]
    yield from ([Cell(text, last.style)] for text in rest)


def fitting(blocks: Iterable[Block], room: int, height: int) -> list[list[Cell]]:
    """A page in so many lines, if that can be: first without empty lines between its tables, then with fewer
    rows of each. What stands last must not fall off the end, for that is what went wrong."""
    page, lines = list(blocks), []
    for rows, tight in ((None, False), (None, True), (10, True), (5, True), (3, True), (2, True), (1, True)):
        lines = list(laid_out(page, room, rows))
        if tight:
            lines = [line for line in lines if line]
        if len(lines) <= height:
            return lines
    return cropped(lines, height)


def cropped(lines: list[list[Cell]], room: int) -> list[list[Cell]]:
    """As many lines as there is room for, the last of which tells of more."""
    if len(lines) <= room:
        return lines
    more = len(lines) - room + 1
    return [*lines[: room - 1], [Cell(f"... {more} more lines; a taller terminal shows them", "dim")]]


# -- words ----------------------------------------------------------------------------------------


NOTHING = Cell("-", "dim")


def span(ms: float) -> str:
    """'0 s', '59 s', '12 min', '47 h', '3 d': one unit, rounded down."""
    seconds = max(0, int(ms / 1000))
    for size, most, unit in ((1, 60, "s"), (60, 60, "min"), (3_600, 48, "h")):
        if seconds // size < most:
            return f"{seconds // size} {unit}"
    return f"{seconds // 86_400:,} d"


def ago(at: int, now: int) -> Cell:
    """A moment in the past, epoch ms; 0 for none."""
    return Cell(f"{span(now - at)} ago") if at else NOTHING


def until(at: int, now: int) -> Cell:
    """A moment to come, epoch ms; 0 for none."""
    if not at:
        return NOTHING
    return Cell(f"in {span(at - now)}") if at - now >= 1_000 else Cell("now")
