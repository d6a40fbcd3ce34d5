"""What a worker says about itself when it starts."""

from __future__ import annotations

from ardiq import owners
from ardiq.core.options import Options
from ardiq.version import __version__


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
            f"  concurrency  {options.concurrency} jobs, {options.threads} threads",
            f"  tasks        {len(tasks)}"
            + (f": {', '.join(tasks)}" if tasks else " (no tasks.py has any yet)"),
        ]
        crons = {one.name: one for owner in owners.of(options.queue) for one in owner.recurrences()}
        if crons:
            spelt = (f"{name} ({crons[name].timetable.spelt})" for name in sorted(crons))
            out += [
                f"  crons        {len(crons)}: {', '.join(spelt)}" + (", not in a burst" if burst else "")
            ]
    return out
