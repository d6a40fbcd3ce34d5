"""Runs with followers (core/following.py), where there are any."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from ardiq.core import following
from ardiq.core.following import Ended, Run
from ardiq.core.retry import Ending, Outcome
from ardiq.worker.held import Held

RAISED = (Ending.RAISED, Ending.TIMED_OUT, Ending.MISSING)


def _begin(held: Held, worker: str) -> Ended:
    record, definition, meta = held.record, held.definition, held.meta or {}
    assert held.context is not None and definition is not None
    return following.run(
        Run(
            held.context, worker, record.enqueued, record.at, held.started, len(record.call),
            bool(meta.get("delay_ms") or meta.get("schedule_ms")), bool(definition.sensitive),
        )
    )  # fmt: skip


def _end(ended: Ended, outcome: Outcome) -> Outcome:
    ended(outcome.error if outcome.ending in RAISED else None)
    return outcome


async def follow(run: Callable[..., Awaitable[Outcome]], worker: str, held: Held, *call: Any) -> Outcome:
    """Run an async body, in the context of its job."""
    ended = _begin(held, worker)
    return _end(ended, await run(held, *call))


Sync = Callable[[Held, list[Any], dict[str, Any]], Outcome]


def followed(run: Sync, worker: str) -> Sync:
    """What runs a sync body, in the context of its job."""
    if not following.followers:
        return run

    def follow(held: Held, args: list[Any], kwargs: dict[str, Any]) -> Outcome:
        ended = _begin(held, worker)
        return _end(ended, run(held, args, kwargs))

    return follow
