"""Recurring tasks one by one, as people and as machines read them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from itertools import islice
from typing import Any
from zoneinfo import ZoneInfo

from ardiq.management import status
from ardiq.management.tables import NOTHING, Block, Cell, Style, ago, until
from ardiq.overview import Standing

NEXT = 5  # runs to come that are shown


def coming(one: Standing) -> list[int]:
    """The next runs, epoch ms; none while it is paused."""
    if not one.next_at:
        return []
    return list(islice(one.recurrence.timetable.after(one.next_at - 1), NEXT))


def moment(ms: int, zone: str) -> str:
    """'2026-11-25 02:30:00 CET': local time as the timetable means it."""
    try:
        return f"{datetime.fromtimestamp(ms / 1000, ZoneInfo(zone or 'UTC')):%Y-%m-%d %H:%M:%S %Z}"
    except (ValueError, OverflowError, OSError):
        return f"{ms} ms"  # beyond the year 9999


def described(one: Standing, now: int, zone: str) -> Iterator[Block]:
    """``zone`` is that of the queue, for a fixed period."""
    recurrence, state = one.recurrence, one.state
    timetable = recurrence.timetable
    zone = timetable.zone or zone
    mark = Cell(" (paused)", "warn") if state.paused else Cell(" (late)", "bad") if one.late else Cell("")
    yield []
    yield [Cell("  "), Cell.of(recurrence.name, "head"), mark]
    where = f" in {timetable.zone}" if timetable.zone else ""
    policies = f"misfire {recurrence.misfire}, overlap {recurrence.overlap}"
    yield [Cell("    timetable  ", "dim"), Cell.of(f"{timetable.spelt}{where}; {policies}")]
    yield [Cell("    last run   ", "dim"), *_last(one, now, zone)]
    if one.last_at:
        yield [Cell("    its job    ", "dim"), Cell.of(state.last_id)]
    runs = coming(one)
    if not runs:
        yield [Cell("    next runs  ", "dim"), Cell("none while it is paused") if state.paused else NOTHING]
    for n, at in enumerate(runs):
        begin = "    next runs  " if n == 0 else " " * 15
        yield [Cell(begin, "dim"), Cell(f"{moment(at, zone)}  "), Cell(until(at, now).text, "dim")]


def _last(one: Standing, now: int, zone: str) -> Iterator[Cell]:
    state = one.state
    if not one.last_at:
        yield NOTHING
        return
    yield Cell(f"{moment(one.last_at, zone)}  ")
    yield Cell(ago(one.last_at, now).text, "dim")
    style: Style = {"succeeded": "good", "failed": "bad"}.get(state.ended_status, "warn")  # type: ignore[assignment]
    yield Cell("  ")
    yield Cell.of(state.ended_status, style) if state.ended_status else Cell("not ended yet", "dim")


def data(one: Standing) -> dict[str, Any]:
    return {**status.schedule_data(one), "next": coming(one)}
