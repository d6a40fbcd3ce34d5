"""In which order samples are taken: by rounds, the sides of a row in turn, the first one rotating."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

Turn = tuple[int, str, str]  # round, row, side


def rotated(sides: Sequence[str], turn: int) -> list[str]:
    turn %= len(sides)
    return [*sides[turn:], *sides[:turn]]


def turns(rows: Sequence[str], sides: Sequence[str], rounds: int) -> Iterator[Turn]:
    """One sample of every row and side per round; whoever goes first in one pair goes later in the next."""
    for number in range(rounds):
        for place, row in enumerate(rows):
            for side in rotated(sides, number + place):
                yield number, row, side
