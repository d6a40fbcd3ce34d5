"""Verbs of recurring tasks, like those of verbs.py. What Redis keeps of a schedule is in the hash ``cron``:

``mark:<name>`` (ms: up to where it has fired), ``last:<name>`` (id of its last job), ``paused:<name>`` (by
whom), ``ended:<name>`` (status and ms of the last end).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from ardiq.store.keys import Keys
from ardiq.store.scripts import Call, Part, ahead, script

NOBODY = "1"  # who has paused a schedule, where that is not known

Offer = tuple[str, int, str, str, str, str, bytes]
"""name, occurrence ms, overlap, id, lane, unique slot or '', record behind its worker field."""


@dataclass(frozen=True, slots=True)
class ScheduleState:
    """Where a schedule stands. Times in epoch ms, 0 for never."""

    name: str
    mark: int
    last_id: str
    paused: bool
    paused_by: str
    ended_status: str
    ended_at: int


def now() -> Call:
    """Epoch ms by the clock of the server."""
    return Call(("TIME",), lambda reply: int(reply[0]) * 1000 + int(reply[1]) // 1000 + ahead())


def marks(keys: Keys, names: Sequence[str]) -> Call:
    """(now, mark of each): up to where each schedule has fired; a new one begins now."""
    return script("marks").call(keys.prefix, list(names), lambda reply: (reply[0], reply[1:]))


def offer(keys: Keys, offers: Iterable[Offer]) -> Call:
    """Offer occurrences. Answers (now, for each 'fired', 'early', 'done', 'busy' or 'paused')."""
    argv: list[Part] = [part for one in offers for part in one]
    return script("recur").call(
        keys.prefix, argv, lambda reply: (reply[0], [one.decode() for one in reply[1:]])
    )


def pause(keys: Keys, name: str, by: str = "") -> Call:
    """Fire no more until resumed. Answers whether it was running."""
    return Call(("HSETNX", keys.cron, f"paused:{name}", by or NOBODY), bool)


def resume(keys: Keys, name: str) -> Call:
    """Fire again; what fell into the pause is over. Answers whether it was paused."""
    return Call(("HDEL", keys.cron, f"paused:{name}"), bool)


def ended(keys: Keys, name: str, status: str, at: int) -> Call:
    """Note how the last job of a schedule ended, for people."""
    return Call(("HSET", keys.cron, f"ended:{name}", f"{status} {at}"), int)


def states(keys: Keys, names: Sequence[str]) -> Call:
    """ScheduleState of each."""
    fields = [f"{kind}:{name}" for name in names for kind in ("mark", "last", "paused", "ended")]

    def decode(reply: Any) -> list[ScheduleState]:
        texts = [part.decode("utf-8", "backslashreplace") if part else "" for part in reply]
        found = []
        for name, n in zip(names, range(0, len(texts), 4), strict=True):
            mark, last, paused, end = texts[n : n + 4]
            status, _, at = end.partition(" ")
            by = "" if paused == NOBODY else paused
            found.append(ScheduleState(name, int(mark or 0), last, bool(paused), by, status, int(at or 0)))
        return found

    return Call(("HMGET", keys.cron, *fields), decode)
