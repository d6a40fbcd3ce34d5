"""The queues that a command line names, and what so many of something are called.

Apart from what shows tables, because a worker needs no more than this.
"""

from __future__ import annotations

from collections.abc import Iterable

from django.core.management.base import CommandError

from ardiq import running


def chosen(names: Iterable[str] | None) -> list[str]:
    """Each once; all that this process knows where none is named. Raises CommandError for an unknown one."""
    known = running.queue_names()
    wanted = list(dict.fromkeys(names or known))
    for name in wanted:
        if name not in known:
            raise CommandError(f"There is no queue {name!r}; there are {', '.join(known)}.")
    return wanted


def some(count: int, word: str) -> str:
    """'1 job', '2 jobs'."""
    return f"{count:,} {word}{'' if count == 1 else 's'}"
