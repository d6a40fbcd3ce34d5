"""Dates, times and durations as bytes, exactly: with their fold and their time zone.

A zone is nothing (naive), ``U`` (UTC), ``O`` seconds microseconds [name] (a fixed offset), or ``Z``
and the key of a ``ZoneInfo``. Other tzinfo classes are refused: they could not come back as themselves.
"""

from __future__ import annotations

import struct
import zoneinfo
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo

from ardiq.core.shortage import is_short

_DATETIME = struct.Struct(">HBBBBBBI")
_DATE = struct.Struct(">HBB")
_TIME = struct.Struct(">BBBBI")
_TIMEDELTA = struct.Struct(">iII")
_OFFSET = struct.Struct(">ciI")


def from_datetime(value: datetime) -> bytes:
    v = value  # short, to keep the fields in one line
    head = _DATETIME.pack(v.year, v.month, v.day, v.hour, v.minute, v.second, v.fold, v.microsecond)
    return head + _from_zone(v.tzinfo)


def to_datetime(data: bytes) -> datetime:
    year, month, day, hour, minute, second, fold, micros = _DATETIME.unpack_from(data)
    return datetime(
        year, month, day, hour, minute, second, micros, _to_zone(data[_DATETIME.size :]), fold=fold
    )


def from_date(value: date) -> bytes:
    return _DATE.pack(value.year, value.month, value.day)


def to_date(data: bytes) -> date:
    return date(*_DATE.unpack(data))


def from_time(value: time) -> bytes:
    head = _TIME.pack(value.hour, value.minute, value.second, value.fold, value.microsecond)
    return head + _from_zone(value.tzinfo)


def to_time(data: bytes) -> time:
    hour, minute, second, fold, micros = _TIME.unpack_from(data)
    return time(hour, minute, second, micros, _to_zone(data[_TIME.size :]), fold=fold)


def from_timedelta(value: timedelta) -> bytes:
    return _TIMEDELTA.pack(value.days, value.seconds, value.microseconds)


def to_timedelta(data: bytes) -> timedelta:
    return timedelta(*_TIMEDELTA.unpack(data))


def _from_zone(zone: tzinfo | None) -> bytes:
    if zone is None:
        return b""
    if zone is UTC:
        return b"U"
    if isinstance(zone, timezone):
        offset, name = zone.utcoffset(None), zone.tzname(None)
        head = _OFFSET.pack(b"O", offset.days * 86_400 + offset.seconds, offset.microseconds)
        return head if name == timezone(offset).tzname(None) else head + name.encode()
    if isinstance(zone, zoneinfo.ZoneInfo) and zone.key:
        return b"Z" + zone.key.encode()
    kind = f"{type(zone).__module__}.{type(zone).__qualname__}"
    raise TypeError(f"its time zone is a {kind}; convert it to zoneinfo.ZoneInfo or datetime.UTC")


def _to_zone(data: bytes) -> tzinfo | None:
    kind, rest = data[:1], data[1:]
    if not data:
        return None
    if data == b"U":
        return UTC
    if kind == b"O" and len(data) >= _OFFSET.size:
        _, seconds, micros = _OFFSET.unpack_from(data)
        offset = timedelta(seconds=seconds, microseconds=micros)
        name = data[_OFFSET.size :].decode()
        return timezone(offset, name) if name else timezone(offset)
    if kind == b"Z" and 1 <= len(rest) <= 100:
        key = rest.decode("ascii")
        try:
            return zoneinfo.ZoneInfo(key)
        except (LookupError, OSError) as problem:
            if is_short(problem):
                raise  # of files or memory, for a while: nothing is wrong with the zone
            raise ValueError(f"time zone {key!r} is unknown on this machine; install tzdata") from problem
    raise ValueError("a time zone of unknown form")
