"""Moving a job that waits: to another lane, or to another time."""

from __future__ import annotations

from ardiq.store.keys import Keys
from ardiq.store.scripts import Call, script

NOW = "+0"


def due(delay_ms: int = 0, schedule_ms: int = 0) -> str:
    """A time as scripts take it: ``delay_ms`` from now, or ``schedule_ms`` absolute where that is given."""
    return f"={schedule_ms}" if schedule_ms else f"+{delay_ms}"


def move(keys: Keys, id: str, *, lane: str = "", due: str = "") -> Call:
    """'': as it is. Answers whether the job waits, there and then."""
    return script("move").call(keys.prefix, [id, lane, due], bool)
