"""README.md and docs/ as data: their blocks of code, their links, their headings, their tables."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

_FENCE = re.compile(r"^( *)(`{3,})(\w*)\s*$")
_MARK = re.compile(r"^ *<!-- *(skip|run: *[\w-]+)(?:[,:] *(.*?))? *-->\s*$")
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


@dataclass(frozen=True)
class Block:
    """A fenced block. ``sequence`` is empty unless it is marked to run, and then ``how`` says how."""

    page: Path
    line: int
    language: str
    text: str
    skipped: bool
    sequence: str
    how: str

    @property
    def where(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


@cache
def pages() -> tuple[Path, ...]:
    return (
        ROOT / "README.md",
        ROOT / "CONTRIBUTING.md",
        ROOT / "CHANGELOG.md",
        *sorted((ROOT / "docs").rglob("*.md")),
    )


@cache
def blocks() -> tuple[Block, ...]:
    return tuple(block for page in pages() for block in _blocks_of(page))


def _blocks_of(page: Path) -> Iterator[Block]:
    mark: re.Match[str] | None = None
    lines = iter(enumerate(page.read_text("utf-8").splitlines(), 1))
    for number, line in lines:
        fence = _FENCE.match(line)
        if fence is None:
            mark = _MARK.match(line) or (mark if not line.strip() else None)
            continue
        indent, text = len(fence[1]), []
        for _, inner in lines:
            if inner.strip() == fence[2]:
                break
            text.append(inner[indent:])
        kind = mark[1] if mark else ""
        sequence = kind.removeprefix("run:").strip() if kind != "skip" else ""
        how = (mark[2] or "") if mark else ""
        yield Block(page, number, fence[3], "\n".join(text) + "\n", kind == "skip", sequence, how)
        mark = None


def sequences() -> dict[str, list[Block]]:
    found: dict[str, list[Block]] = {}
    for block in blocks():
        if block.sequence:
            found.setdefault(block.sequence, []).append(block)
    return found


def prose(page: Path) -> str:
    """The page without its fenced blocks and its code spans."""
    kept, inside = [], ""
    for line in page.read_text("utf-8").splitlines():
        fence = _FENCE.match(line)
        if fence and (not inside or fence[2] == inside):
            inside = "" if inside else fence[2]
        elif not inside:
            kept.append(re.sub(r"`[^`]*`", "`code`", line))
    return "\n".join(kept)


def links(page: Path) -> list[str]:
    return _LINK.findall(prose(page))


@cache
def anchors(page: Path) -> frozenset[str]:
    """What ``page.md#anchor`` may name: headings as GitHub spells them."""
    found, inside = set(), False
    for line in page.read_text("utf-8").splitlines():
        if _FENCE.match(line):
            inside = not inside
        elif not inside and (heading := re.match(r"#+ +(.*)", line)):
            text = re.sub(r"[^\w\- ]", "", heading[1].lower())
            found.add(text.strip().replace(" ", "-"))
    return frozenset(found)


def rows(page: str, first: str) -> list[list[str]]:
    """Rows of the tables of a page under docs/ whose first column is headed ``first``; cells as written."""
    found: list[list[str]] = []
    wanted = False
    for line in (ROOT / "docs" / page).read_text("utf-8").splitlines():
        if not line.startswith("|"):
            wanted = False
            continue
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip().strip("|"))]
        if cells[0] == first:
            wanted = True
        elif wanted and not set(cells[0]) <= set("-: "):
            found.append(cells)
    return found


def code(cell: str) -> str:
    """``name`` of a cell that says `name`."""
    match = re.search(r"`([^`]+)`", cell)
    return match[1] if match else cell
