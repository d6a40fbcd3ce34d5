"""Bulk operations as they lie in Redis: what is to be done to which jobs, and how far that is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ardiq.store.keys import Keys
from ardiq.store.scripts import Call, Part, id_text, script

KEPT_MS = 604_800_000  # how long an operation is known after the last that was heard of it: 7 days
LISTED = 100  # the latest ones that are listed
RUNNING, DONE, CANCELLED, FAILED = "running", "done", "cancelled", "failed"


@dataclass(frozen=True, slots=True)
class Bulk:
    """One operation. ``told`` is what its record says, as text."""

    id: str
    told: Mapping[str, str]

    def text(self, name: str) -> str:
        return self.told.get(name, "")

    def number(self, name: str) -> int:
        text = self.text(name)
        return int(text) if text.isascii() and text.isdigit() else 0

    @property
    def state(self) -> str:
        return self.text("state")


def begin(keys: Keys, id: str, fields: Mapping[str, Part]) -> Call:
    """Write a new one down. Answers the time of the server, epoch ms."""
    pairs = [part for item in fields.items() for part in item]
    return script("bulk").call(keys.prefix, ["new", id, KEPT_MS, LISTED, *pairs], int)


def advance(keys: Keys, id: str, fields: Mapping[str, Part]) -> Call:
    """Write down how far it is. A ``state`` is only taken by one that runs. Answers whether it does."""
    pairs = [part for item in fields.items() for part in item]
    return script("bulk").call(keys.prefix, ["step", id, KEPT_MS, LISTED, *pairs], bool)


def read(keys: Keys, id: str) -> Call:
    """A Bulk; None when there is none."""

    def decode(reply: Any) -> Bulk | None:
        texts = [part.decode("utf-8", "backslashreplace") for part in reply]
        return Bulk(id, dict(zip(texts[::2], texts[1::2], strict=True))) if texts else None

    return Call(("HGETALL", keys.bulk(id)), decode)


def latest(keys: Keys, most: int) -> Call:
    """Ids, that of the latest first."""
    return Call(("ZREVRANGE", keys.bulks, 0, most - 1), lambda reply: [id_text(id) for id in reply])
