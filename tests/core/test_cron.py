"""Timetables: when recurring work is due (G2, G3)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise
from zoneinfo import ZoneInfo

import pytest

from ardiq.core.cron import Timetable
from ardiq.core.recurrence import Recurrence

ZONES = [
    "America/New_York",
    "Europe/Paris",
    "Australia/Lord_Howe",  # shifts by half an hour
    "America/Santiago",  # shifts at midnight
    "Asia/Kolkata",  # never shifts
    "Africa/Cairo",
    "UTC",
]


def ms(*at: int, zone: str = "UTC", fold: int = 0) -> int:
    return int(datetime(*at, tzinfo=ZoneInfo(zone), fold=fold).timestamp() * 1000)  # type: ignore[misc,arg-type]


def shown(at: int, zone: str) -> str:
    return datetime.fromtimestamp(at / 1000, ZoneInfo(zone)).isoformat(timespec="minutes")


def year(timetable: Timetable, start: int, end: int) -> list[int]:
    found = []
    for at in timetable.after(start):
        if at > end:
            return found
        found.append(at)
    return found


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("expression", ["30 2 * * *", "0 0 * * *", "15 1 * * *"])
def test_a_daily_task_over_a_year(expression: str, zone: str) -> None:
    """G3: once on every local day, at its time or, where that is skipped, at the first instant after."""
    timetable = Timetable.cron(expression, zone)
    start, end = ms(2027, 1, 1, zone=zone) - 1, ms(2028, 1, 1, zone=zone) - 1
    days = [datetime.fromtimestamp(at / 1000, ZoneInfo(zone)) for at in year(timetable, start, end)]
    assert [day.date() for day in days] == [
        (datetime(2027, 1, 1) + timedelta(days=n)).date() for n in range(365)
    ]
    minute, hour = (int(part) for part in expression.split()[:2])
    late = [day for day in days if (day.hour, day.minute) != (hour, minute)]
    for day in late:
        wanted = day.replace(hour=hour, minute=minute, fold=0)
        # The wanted time does not exist on that day: it comes back as another one.
        assert wanted.astimezone(UTC).astimezone(ZoneInfo(zone)).replace(fold=0) != wanted
        assert timedelta(0) <= day - wanted <= timedelta(hours=1)
    assert all(day.fold == 0 for day in days), "a time that comes twice is the first of the two"


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize(("expression", "minutes"), [("*/15 * * * *", 15), ("0 * * * *", 60)])
def test_a_steady_task_keeps_its_pace(expression: str, minutes: int, zone: str) -> None:
    """G3: nothing is skipped and nothing doubled when clocks change."""
    if zone == "Australia/Lord_Howe" and minutes == 60:
        pytest.skip("a shift of half an hour moves the full hour itself")
    timetable = Timetable.cron(expression, zone)
    found = year(timetable, ms(2027, 1, 1), ms(2028, 1, 1))
    gaps = {later - earlier for earlier, later in pairwise(found)}
    assert gaps == {minutes * 60_000}


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("expression", ["30 2 * * *", "*/20 * * * *", "0 0 1 * *", "0 9 * * MON-FRI"])
def test_looking_back_agrees_with_looking_forward(expression: str, zone: str) -> None:
    timetable = Timetable.cron(expression, zone)
    found = list(islice(timetable.after(ms(2027, 3, 1)), 200))
    for at in found:
        assert timetable.last_until(at) == at
        assert timetable.next_after(at - 1) == at
    for earlier, later in pairwise(found):
        assert timetable.last_until(later - 1) == earlier
        assert timetable.next_after(earlier) == later


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("0 0 29 2 *", ["2028-02-29T00:00+00:00", "2032-02-29T00:00+00:00"]),
        ("0 12 L * *", ["2027-01-31T12:00+00:00", "2027-02-28T12:00+00:00"]),
        ("0 8 * * MON#2", ["2027-01-11T08:00+00:00", "2027-02-08T08:00+00:00"]),
        ("0 8 * * 5L", ["2027-01-29T08:00+00:00", "2027-02-26T08:00+00:00"]),
        ("@daily", ["2027-01-02T00:00+00:00", "2027-01-03T00:00+00:00"]),
        ("@Hourly", ["2027-01-01T01:00+00:00", "2027-01-01T02:00+00:00"]),
        ("15 10-12/2 * JAN *", ["2027-01-01T10:15+00:00", "2027-01-01T12:15+00:00"]),
    ],
)
def test_expressions(expression: str, expected: list[str]) -> None:
    """G2: names, ranges, steps, L, #, nicknames."""
    found = islice(Timetable.cron(expression).after(ms(2027, 1, 1)), 2)
    assert [shown(at, "UTC") for at in found] == expected


@pytest.mark.parametrize(
    "expression", ["", "* * * *", "61 * * * *", "0 0 30 2 *", "0 0 * * nobody", "@sometimes", "* * * * * * *"]
)
def test_what_is_no_expression(expression: str) -> None:
    """G2: refused where it is written, with the expression in the message."""
    with pytest.raises(ValueError, match="cron") as caught:
        Timetable.cron(expression)
    assert repr(expression) in str(caught.value)


def test_zones_and_periods() -> None:
    with pytest.raises(ValueError, match="Europe/Pariss"):
        Timetable.cron("* * * * *", "Europe/Pariss")
    with pytest.raises(ValueError, match=r"every=0\.5"):
        Timetable.every(0.5)
    with pytest.raises(TypeError, match="every='1h'"):
        Timetable.every("1h")  # type: ignore[arg-type]
    period = Timetable.every(timedelta(minutes=10))
    assert list(islice(period.after(599_999), 3)) == [600_000, 1_200_000, 1_800_000]
    assert period.last_until(600_000) == 600_000 and period.last_until(599_999) == 0
    assert Timetable.cron("0 0 * * *").in_zone("Asia/Tokyo").next_after(0) == 15 * 3_600_000
    assert Timetable.cron("0 0 * * *", "UTC").in_zone("Asia/Tokyo").next_after(0) == 24 * 3_600_000


def test_missed_occurrences() -> None:
    """G1: which of them count, by policy."""
    every = Timetable.every(60)
    now, mark = 600_000 + 30_000, 120_000
    latest, skip, every_one = (
        Recurrence.checked("t", every, misfire) for misfire in ("latest", "skip", "all")
    )
    assert latest.due(mark, now) == [600_000]
    assert every_one.due(mark, now) == [180_000 + 60_000 * n for n in range(8)]
    assert skip.due(mark, now) == [600_000]  # half a minute late is in time
    rare = Recurrence.checked("t", Timetable.every(3_600), "skip")
    assert rare.due(0, 3_600_000 + 61_000) == [] and rare.due(0, 3_600_000 + 59_000) == [3_600_000]
    assert latest.due(600_000, now) == []
    assert len(Recurrence.checked("t", Timetable.every(1), "all").due(0, 1_000_000)) == 100
    with pytest.raises(ValueError, match="misfire='never'"):
        Recurrence.checked("t", every, "never")
