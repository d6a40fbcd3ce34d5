"""Moving jobs that wait: one to another lane or time, or all of a lane to another."""

from __future__ import annotations

from ardiq.store.keys import Keys
from ardiq.store.letters import PIECE, Steps, Told, size
from ardiq.store.scripts import Call, id_text, script

NOW = "+0"


def due(delay_ms: int = 0, schedule_ms: int = 0) -> str:
    """A time as scripts take it: ``delay_ms`` from now, or ``schedule_ms`` absolute where that is given."""
    return f"={schedule_ms}" if schedule_ms else f"+{delay_ms}"


def move(
    keys: Keys, id: str, *, lane: str = "", due: str = "", ready_in: str = "", head: bool = False
) -> Call:
    """'': as it is. ``ready_in``: only a job that is ready in that lane. ``head``: what gets ready is the
    next of its lane instead of the last. Answers whether the job waits, there and then."""
    return script("move").call(keys.prefix, [id, lane, due, ready_in, int(head)], bool)


def first(keys: Keys, lane: str, most: int) -> Call:
    """The first ids of a lane; some of their jobs may be elsewhere by now."""
    return Call(("LRANGE", keys.lane(lane), 0, most - 1), lambda reply: [id_text(id) for id in reply])


def piece(keys: Keys, lane: str, to: str, most: int) -> Call:
    """Move the first jobs of a lane to the end of another. Answers (looked at, moved)."""
    return script("shift").call(keys.prefix, [lane, to, most], tuple)


def shift(keys: Keys, lane: str, to: str, told: Told | None = None, most: int | None = None) -> Steps[int]:
    """Move all that waited in a lane when it began to the end of another, in its order, or no more than
    ``most``. Answers how many."""
    (left,) = yield [size(keys, f"lane:{lane}")]
    moved = 0
    while left > 0 and (most is None or moved < most):
        ((looked, count),) = yield [piece(keys, lane, to, min(PIECE, left))]
        moved, left = moved + count, (left - looked if looked else 0)
        if told:
            told(moved, left)
    return moved
