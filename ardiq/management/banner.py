"""What a worker says about itself when it starts."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from ardiq import owners
from ardiq.core.options import Options
from ardiq.management.naming import some
from ardiq.version import __version__

INDENT = 15  # characters before what a line says
WIDTH = 100  # characters of a line
NAMED = 20  # tasks that are named; a project may have hundreds


def lines(name: str, queues: list[Options], burst: bool, processes: int = 1) -> list[str]:
    """Plain text, credentials masked."""
    out = [f"ardiq {__version__} worker {name}" + (" (burst)" if burst else "")]
    if processes > 1:
        out += [f"  processes    {processes}, each with what follows"]
    for options in queues:
        tasks = sorted({task for owner in owners.of(options.queue) for task in owner.registry})
        out += [
            f"  queue        {options.queue} at {options.safe_url}",
            f"  lanes        {' > '.join(reversed(options.priorities))}",
            f"  concurrency  {some(options.concurrency, 'job')}, {some(options.threads, 'thread')}",
            *_listed("tasks", tasks, "none: no tasks.py has any yet"),
        ]
        crons = {one.name: one for owner in owners.of(options.queue) for one in owner.recurrences()}
        if crons:
            spelt = [f"{name} ({crons[name].timetable.spelt})" for name in sorted(crons)]
            out += _listed("crons", spelt, "")
            if burst:
                out += [f"{'':{INDENT}}none of them fires in a burst"]
    return out


def _listed(what: str, names: list[str], none: str) -> Iterator[str]:
    """How many there are, and the first of them by name."""
    if not names:
        yield f"  {what:<{INDENT - 2}}{none}"
        return
    more = len(names) - NAMED
    text = f"{len(names):,}: {', '.join(names[:NAMED])}{f' and {more:,} more' if more > 0 else ''}"
    lines = textwrap.wrap(text, WIDTH - INDENT, break_long_words=False, break_on_hyphens=False)
    for n, line in enumerate(lines):
        yield f"{'' if n else f'  {what}':<{INDENT}}{line}"
