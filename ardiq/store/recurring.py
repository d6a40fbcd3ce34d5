"""Verbs of recurring tasks, like those of verbs.py. What Redis keeps of a schedule is in the hash ``cron``:

``mark:<name>`` (ms: up to where occurrences are over, fired or not), ``last:<name>`` (id of its last job),
``fired:<name>`` (ms: the occurrence of that job), ``paused:<name>`` (by whom), ``ended:<name>``
(how and when that job ended, and its id), ``runs:<name>`` (a line for each of the last 20
occurrences that fired).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from ardiq.store.keys import Keys
from ardiq.store.scripts import Call, Part, ahead, script

DELETED = "deleted"  # how a job ended that was removed before it ran; all the other ways are a JobStatus
NOBODY = "1"  # who has paused a schedule, where that is not known

Offer = tuple[str, int, str, str, str, str, bytes]
"""name, occurrence ms, overlap, id, lane, unique slot or '', record behind its worker field."""


@dataclass(frozen=True, slots=True)
class ScheduleState:
    """Where a schedule stands. Times in epoch ms, 0 for never. ``last_at``, ``last_id``, ``ended_status`` and
    ``ended_at`` are of one occurrence, the last that has fired."""

    name: str
    mark: int
    last_id: str
    last_at: int
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


def ended(keys: Keys, name: str, id: str, status: str, at: int) -> Call:
    """Note how a job of a schedule ended, for people. Jobs that its timetable has not made change nothing.
    Answers whether it is the last one."""
    return script("ended").call(keys.prefix, [name, id, status, at], bool)


@dataclass(frozen=True, slots=True)
class Fired:
    """An occurrence that has fired: when it was due (epoch ms) and the id of its job. ``status`` is '' and
    ``ended_at`` 0 until it is known how that ended."""

    at: int
    id: str
    status: str = ""
    ended_at: int = 0


def fired(keys: Keys, names: Sequence[str]) -> Call:
    """The last occurrences of each that have fired, 20 at most, oldest first."""

    def decode(reply: Any) -> list[tuple[Fired, ...]]:
        texts = [part.decode("utf-8", "backslashreplace") if part else "" for part in reply]
        return [tuple(_fired(line) for line in text.splitlines() if line) for text in texts]

    return Call(("HMGET", keys.cron, *(f"runs:{name}" for name in names)), decode)


def _fired(line: str) -> Fired:
    at, id, status, ended_at = [*line.split(" "), "", "", ""][:4]
    return Fired(int(at), id, status, int(ended_at or 0))


def states(keys: Keys, names: Sequence[str]) -> Call:
    """ScheduleState of each."""
    fields = [f"{kind}:{name}" for name in names for kind in ("mark", "last", "fired", "paused", "ended")]

    def decode(reply: Any) -> list[ScheduleState]:
        texts = [part.decode("utf-8", "backslashreplace") if part else "" for part in reply]
        found = []
        for name, n in zip(names, range(0, len(texts), 5), strict=True):
            mark, last, fired, paused, end = texts[n : n + 5]
            status, at, of = [*end.split(" ", 2), "", "", ""][:3]
            if not last or of != last:  # it waits or runs
                status = at = ""
            by = "" if paused == NOBODY else paused
            # An earlier release has written no time of firing.
            last_at = int(fired or mark or 0) if last else 0
            found.append(
                ScheduleState(name, int(mark or 0), last, last_at, bool(paused), by, status, int(at or 0))
            )
        return found

    return Call(("HMGET", keys.cron, *fields), decode)
