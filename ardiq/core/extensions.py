"""Values that msgpack does not know travel as extension types; ``pack`` and ``unpack`` are the body format.

=====  =========================  =====================================================================
code   type                       data
=====  =========================  =====================================================================
1-3    tuple, set, frozenset      none: the mark is the first item of an array that holds the rest
4      int beyond 64 bits         signed, big-endian, up to 4,096 bits
5      Decimal                    its exact text
6      UUID                       16 bytes
7      datetime                   year month day hour minute second fold microsecond, zone (see ``times``)
8      date                       year month day
9      time                       hour minute second fold microsecond, zone
10     timedelta                  days seconds microseconds
64-127 ``register_extension``     whatever its encoder wrote
=====  =========================  =====================================================================

A subclass of a type that can travel (a namedtuple, a safe string, a text
choice, a defaultdict) travels as its base type. Bytearrays and memoryviews arrive as bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from decimal import Decimal, InvalidOperation
from enum import Enum
from typing import Any
from uuid import UUID

import msgpack

from ardiq.core import times

TUPLE, SET, FROZENSET, BIG_INT, DECIMAL, UUID_, DATETIME, DATE, TIME, TIMEDELTA = range(1, 11)
MAX_INT_BITS = 4_096
MAX_DECIMAL_DIGITS = 4_096
MAX_DECIMAL_EXPONENT = 6_176  # that of IEEE decimal128: a small text may not become gigabytes of digits

_MARKS = {code: msgpack.ExtType(code, b"") for code in (TUPLE, SET, FROZENSET)}
_MARK_BYTES = b"\xc7\x00"  # how every mark starts; a body without it holds no tuple and no set
_BUILDERS: dict[int, Callable[[Any], object]] = {TUPLE: tuple, SET: set, FROZENSET: frozenset}

Match = type | Callable[[object], bool]
_registered: dict[
    int, tuple[Callable[[object], bool], Callable[[Any], bytes], Callable[[bytes], object]]
] = {}


def register_extension(
    code: int, match: Match, encode: Callable[[Any], bytes], decode: Callable[[bytes], object]
) -> None:
    """Let another type travel: ``match`` is the type, or a predicate that sees one object.

    ``code`` is 64 to 127 and the same in all processes; registering a code again replaces it.
    ``encode`` may raise TypeError or ValueError: that becomes an EncodeError which names the path.
    ``decode`` may raise ValueError (BadPayload) or any ArdiqError of its own; other exceptions pass.
    """
    if not 64 <= code <= 127:
        raise ValueError(f"extension code {code} is not 64 to 127; the codes below are ardiq's own.")
    if isinstance(match, type):
        kind = match
        _registered[code] = (lambda value: isinstance(value, kind), encode, decode)
    else:
        _registered[code] = (match, encode, decode)


# -- encoding ------------------------------------------------------------------------


def _int_ext(value: int) -> msgpack.ExtType:
    bits = value.bit_length()
    if bits > MAX_INT_BITS:
        raise ValueError(f"an integer of {bits:,} bits; at most {MAX_INT_BITS:,} can travel, pass it as text")
    return msgpack.ExtType(BIG_INT, value.to_bytes(bits // 8 + 1, "big", signed=True))


def _decimal_ext(value: Decimal) -> msgpack.ExtType:
    _check_decimal(value)
    return msgpack.ExtType(DECIMAL, Decimal.__str__(value).encode())


def _check_decimal(value: Decimal) -> None:
    _, digits, exponent = value.as_tuple()
    if len(digits) > MAX_DECIMAL_DIGITS or (
        isinstance(exponent, int) and abs(exponent) > MAX_DECIMAL_EXPONENT
    ):
        raise ValueError(
            f"a Decimal beyond {MAX_DECIMAL_DIGITS:,} digits or an exponent of {MAX_DECIMAL_EXPONENT:,}; "
            "round it or pass it as text"
        )


def _set_list(code: int, value: Any) -> list[object]:
    # The order of a set changes with every process; equal calls must be equal bytes.
    return [_MARKS[code], *sorted(map(_settled, value), key=pack)]


def _settled(item: object) -> object:
    """A set's item with its own sets already in order: sorting them at every level would cost 2**depth."""
    if type(item) is tuple:
        return [_MARKS[TUPLE], *map(_settled, item)]
    return _set_list(FROZENSET, item) if type(item) is frozenset else item


def _plain_int(value: int) -> object:
    plain = int.__int__(value)
    return plain if -(1 << 63) <= plain < 1 << 64 else _int_ext(plain)


# In this order: a datetime is a date, and an int subclass is met only as such or beyond 64 bits.
_ENCODERS: list[tuple[type, Callable[[Any], object]]] = [
    (tuple, lambda value: [_MARKS[TUPLE], *value]),
    (str, str.__str__),
    (int, _plain_int),
    (dict, dict),
    (list, list),
    (datetime, lambda value: msgpack.ExtType(DATETIME, times.from_datetime(value))),
    (date, lambda value: msgpack.ExtType(DATE, times.from_date(value))),
    (time, lambda value: msgpack.ExtType(TIME, times.from_time(value))),
    (timedelta, lambda value: msgpack.ExtType(TIMEDELTA, times.from_timedelta(value))),
    (Decimal, _decimal_ext),
    (UUID, lambda value: msgpack.ExtType(UUID_, value.bytes)),
    (set, lambda value: _set_list(SET, value)),
    (frozenset, lambda value: _set_list(FROZENSET, value)),
    (float, float.__float__),
    (bytes, bytes.__bytes__),
]
_EXACT = dict(_ENCODERS)


def _name(kind: type) -> str:
    return kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def default(value: object) -> object:
    """What msgpack is told to pack instead of a value that it does not know itself."""
    encoder = _EXACT.get(type(value))
    if encoder is not None:
        return encoder(value)
    for code, (match, encode, _) in _registered.items():
        if match(value):
            return msgpack.ExtType(code, encode(value))
    for kind, encoder in _ENCODERS:
        if isinstance(value, kind):
            return encoder(value)
    if isinstance(value, Enum):
        raise TypeError(f"{_name(type(value))}.{value.name} is an enum member; pass its .value")
    raise TypeError(f"{type(value)!r} has no encoding; pass plain data, or an id to look it up by")


_packers: list[msgpack.Packer] = []  # idle ones; a Packer may be used by one call at a time


def new_packer() -> msgpack.Packer:
    """For one call at a time, and not after an error."""
    return msgpack.Packer(default=default, strict_types=True, buf_size=4_096)


def pack(value: object) -> bytes:
    """The value as bytes. Raises TypeError, ValueError and whatever an extension's encoder raises."""
    # list.pop and list.append are atomic: cheaper than a thread-local, and it nests (sets pack their items).
    try:
        packer = _packers.pop()
    except IndexError:
        packer = new_packer()
    # Packed one level deeper than needed: msgpack packs 1,024 levels, but unpacks only 1,023.
    body: bytes = packer.pack([value])[1:]
    _packers.append(packer)  # one that failed is not put back
    return body


# -- decoding ------------------------------------------------------------------------


def _big_int(data: bytes) -> int:
    if len(data) > MAX_INT_BITS // 8 + 1:
        raise ValueError("an integer beyond its limit")
    return int.from_bytes(data, "big", signed=True)


def _decimal(data: bytes) -> Decimal:
    if len(data) > MAX_DECIMAL_DIGITS + 32:
        raise ValueError("a Decimal beyond its limit")
    try:
        value = Decimal(data.decode("ascii"))
    except InvalidOperation:
        raise ValueError("a Decimal that is no number") from None
    _check_decimal(value)
    return value


_DECODERS: dict[int, Callable[[bytes], object]] = {
    BIG_INT: _big_int,
    DECIMAL: _decimal,
    UUID_: lambda data: UUID(bytes=data),
    DATETIME: times.to_datetime,
    DATE: times.to_date,
    TIME: times.to_time,
    TIMEDELTA: times.to_timedelta,
}


def _extension(code: int, data: bytes) -> object:
    decode = _DECODERS.get(code)
    if decode is not None:
        try:
            return decode(data)
        except struct.error as problem:
            raise ValueError(f"extension type {code} of a wrong length") from problem
    if code in _registered:
        return _registered[code][2](data)
    raise UnknownExtension(f"unknown extension type {code}")


class UnknownExtension(ValueError):
    """Nothing is registered for this code here."""


class _Mark:
    """A mark on its way from ``ext_hook`` to ``list_hook``; it is never part of a decoded value."""

    __slots__ = ("build",)

    def __init__(self, build: Callable[[Any], object]) -> None:
        self.build = build


def unpack(body: bytes) -> object:
    """The value of ``pack``'s bytes. Raises ValueError and its like on bytes that ``pack`` never wrote."""
    if _MARK_BYTES not in body:
        return msgpack.unpackb(body, ext_hook=_extension, raw=False, strict_map_key=False)
    pending = 0

    def extension(code: int, data: bytes) -> object:
        nonlocal pending
        if code in _BUILDERS and not data:
            pending += 1
            return _Mark(_BUILDERS[code])
        return _extension(code, data)

    def build(items: list[Any]) -> object:
        nonlocal pending
        if items and type(items[0]) is _Mark:
            pending -= 1
            mark = items.pop(0)
            return mark.build(items)
        return items

    value = msgpack.unpackb(body, ext_hook=extension, list_hook=build, raw=False, strict_map_key=False)
    if pending:
        raise ValueError("a tuple or set mark outside its array")
    return value
