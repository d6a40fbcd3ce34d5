"""What may happen to a queue, with its odds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

When = Callable[[Any], bool]


class Step:
    """What may happen: how often beside the others, when it can at all, and with which arguments."""

    def __init__(self, run: Callable[..., None], weight: int, when: When, given: dict[str, Any]) -> None:
        self.run, self.weight, self.when, self.given = run, weight, when, given

    def __repr__(self) -> str:
        return self.run.__name__


def step(weight: int, when: When = lambda machine: True, **given: Any) -> Callable[[Any], Any]:
    """Marks a method as a step. Not ``rule``, which would leave a step out of half of all runs: without
    claims nothing is settled, and without jobs nothing happens at all."""

    def mark(run: Callable[..., None]) -> Callable[..., None]:
        STEPS.append(Step(run, weight, when, given))
        return run

    return mark


STEPS: list[Step] = []
