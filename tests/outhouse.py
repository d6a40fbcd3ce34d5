"""A task in a module of no installed app."""

from __future__ import annotations

from tests.parlour.origin import origin


@origin.task()
def pid() -> int:
    return 0
