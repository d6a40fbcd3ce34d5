"""What values of options must be: each function answers None for one that will do, else what it must be."""

from __future__ import annotations

import zoneinfo
from collections.abc import Callable


def time_zone(value: object) -> str | None:
    must = "it must be a time zone of the IANA database, such as 'Europe/Berlin'"
    if not isinstance(value, str):
        return must
    try:
        zoneinfo.ZoneInfo(value)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        return must
    return None


def one_of(*words: str) -> Callable[[object], str | None]:
    must = f"it must be {' or '.join(map(repr, words))}"
    return lambda value: None if isinstance(value, str) and value in words else must


def address_with(part: str) -> Callable[[object], str | None]:
    must = f"it must be an http(s) address with {part} in it, or None"

    def fault(value: object) -> str | None:
        good = isinstance(value, str) and value.startswith(("http://", "https://")) and value.count(part) == 1
        return None if value is None or good else must

    return fault
