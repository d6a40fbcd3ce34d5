"""Figures on their way to Redis, counted by workers, and read again for people and machines.

A worker sends what it has counted about once a second. When the reply is lost it sends that again: then a
figure may count something twice. What a dead worker had not sent yet is missing. Outcomes are neither.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import Any

from ardiq.core.statistics import Cell, Period, Sample, Statistics
from ardiq.store import verbs
from ardiq.store.keys import Keys
from ardiq.store.letters import Steps
from ardiq.store.recurring import now
from ardiq.store.scripts import Call, Part, script

MINUTE, TEN = 60_000, 600_000  # ms
BY_MINUTE = 180  # minutes that are kept one by one; for more, tens of them are read
MOST_MINUTES = 4_320  # that are kept at all
MOST = 10  # pairs of lane and task in one script: below 2 ms of the server even if all buckets are filled
HEADS = 10  # ids at the head of a lane among which a job that waits is looked for

Cells = dict[tuple[str, str], Cell]
"""(lane, task) -> its figures."""


def count(keys: Keys, lanes: Sequence[str], cells: Iterable[tuple[tuple[str, str], Cell]]) -> Call:
    """Add figures of at most MOST pairs; ``lanes`` are looked at once a minute. Answers the time, ms."""
    argv: list[Part] = [HEADS, verbs.MOST_WORKERS, " ".join(lanes)]
    for (lane, task), cell in cells:
        argv += (lane, task, "".join(f"{code} {number} " for code, number in cell.items()))
    return script("count").call(keys.prefix, argv, int)


def totals(keys: Keys) -> Call:
    """What was counted since counting began, as Cells."""
    return Call(("HGETALL", keys.totals), lambda reply: _read(reply)[0])


def statistics(keys: Keys, minutes: int) -> Steps[Statistics]:
    """The latest ``minutes``, up to three days; beyond three hours in steps of ten minutes.

    One round trip where the clock of this machine agrees with that of the server, which decides. Raises
    TypeError or ValueError for a number that is none.
    """
    if not isinstance(minutes, int) or isinstance(minutes, bool):
        raise TypeError(f"minutes={minutes!r}: give a whole number.")
    if not 1 <= minutes <= MOST_MINUTES:
        raise ValueError(f"minutes={minutes!r}: give 1 to {MOST_MINUTES:,}.")
    length, key = (MINUTE, keys.stats) if minutes <= BY_MINUTE else (TEN, keys.sums)
    count = -(-minutes * MINUTE // length)

    def last(ms: int) -> range:
        """The numbers of the periods that end with the current one."""
        return range(ms // length - count + 1, ms // length + 1)

    guess = last(int(time.time() * 1000))
    at, *replies = yield [now(), *(_period(key(number)) for number in guess)]
    found = dict(zip(guess, replies, strict=True))
    if missing := [number for number in last(at) if number not in found]:
        found.update(zip(missing, (yield [_period(key(number)) for number in missing]), strict=True))
    periods = []
    for number in last(at):
        cells, sample = found[number]
        periods.append(Period(cells, number * length, length, sample))
    return Statistics.over(keys.queue, at, periods)


def last_minute(keys: Keys, ms: int) -> Call:
    """The Period of the last whole minute before this time of the server."""
    number = ms // MINUTE - 1

    def decode(reply: list[bytes]) -> Period:
        cells, sample = _read(reply)
        return Period(cells, number * MINUTE, MINUTE, sample)

    return Call(("HGETALL", keys.stats(number)), decode)


def _period(key: str) -> Call:
    return Call(("HGETALL", key), _read)


def _read(reply: list[bytes]) -> tuple[Cells, Sample | None]:
    cells: Cells = {}
    looks: dict[tuple[str, str], int] = {}
    for field, number in zip(reply[::2], reply[1::2], strict=True):
        name = field.decode("utf-8", "backslashreplace")
        if name[:1] == "=":
            what, _, lane = name[1:].partition(" ")
            looks[what, lane] = _number(number)
            continue
        lane, _, task = name.partition(" ")
        words = number.decode("utf-8", "replace").split()
        cells[lane, task] = {code: _number(word) for code, word in zip(words[::2], words[1::2], strict=False)}
    return cells, _sample(looks) if looks else None


def _number(raw: bytes | str) -> int:
    return int(raw) if raw.isdigit() and raw.isascii() else 0


def _sample(looks: dict[tuple[str, str], int]) -> Sample:
    def of(what: str) -> dict[str, int]:
        return {lane: number for (name, lane), number in looks.items() if name == what}

    def one(what: str) -> Any:
        return looks.get((what, ""), 0)

    return Sample(of("waiting"), of("oldest"), one("scheduled"), one("running"), one("workers"))
