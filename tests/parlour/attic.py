"""No task, and no word of tasks: nobody has a reason to import it."""

from __future__ import annotations


def nothing() -> None:
    raise AssertionError("called")
