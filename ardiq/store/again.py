"""Which jobs came of a job by running it again: kept beside it for as long as its record."""

from __future__ import annotations

from ardiq.store.keys import Keys
from ardiq.store.scripts import Call, id_text, script

MOST = 20  # ids that are kept: the latest
LONGEST_MS = 2_592_000_000  # 30 days: how long the list lives where the record lives for ever


def came_of(keys: Keys, parent: str, child: str) -> Call:
    """Write down that a job was made of another one. Answers how many there are in the list."""
    return script("again").call(keys.prefix, [parent, child, MOST, LONGEST_MS], int)


def read_again(raw: bytes | None) -> tuple[str, ...]:
    return tuple(id_text(id) for id in (raw or b"").split(b"\n")[-MOST:] if id)
