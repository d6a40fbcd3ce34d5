"""Blobs: what a signature binds, what bad bytes become, other body formats and registered types."""

from __future__ import annotations

import contextlib
import json
import random
import uuid
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import msgpack
import pytest

from ardiq.core import extensions
from ardiq.core.codec import NEWER, Codec, register_extension
from ardiq.core.errors import BadPayload, BadSignature, EncodeError, MissingRow, NewerPayload

CALL = ("args", "kwargs")
JOB = b"4f1c0c7e9b6f4c0f8f0e1d2c3b4a5968"


@pytest.fixture
def codec() -> Codec:
    return Codec("mail", [b"secret"])


# -- signatures ----------------------------------------------------------------------


def test_a_blob_is_bound_to_its_place(codec: Codec) -> None:
    """FAULTS S3: bytes moved to another kind, job or queue, or changed anywhere, are a BadSignature."""
    blob = codec.encode("call", JOB, [1, 2])
    assert codec.decode("call", JOB, blob) == [1, 2]
    attempts = [
        ("result", JOB, blob),
        ("call", JOB + b"x", blob),
        ("call", b"", blob),
        ("call", JOB, blob[1:]),
    ]
    attempts += [("call", JOB, blob[:i] + bytes([blob[i] ^ 1]) + blob[i + 1 :]) for i in range(len(blob))]
    attempts += [("call", JOB, blob[:n]) for n in range(len(blob))]
    for kind, subject, changed in attempts:
        with pytest.raises(BadSignature, match="SECRET_KEY"):
            codec.decode(kind, subject, changed)
    with pytest.raises(BadSignature):
        Codec("other", [b"secret"]).decode("call", JOB, blob)


def test_lengths_are_unambiguous() -> None:
    """FAULTS S3: moving bytes over a border between kind, queue, subject and body changes the signature."""
    whole = Codec("q", [b"secret"], lambda value: value, lambda body: body)
    blob = whole.encode("call", b"ab", b"cd")
    with pytest.raises(BadSignature):
        whole.decode("call", b"abc", blob[:16] + b"d")
    with pytest.raises(BadSignature):
        Codec("lq", [b"secret"], lambda value: value, lambda body: body).decode("cal", b"ab", blob)


def test_keys_rotate() -> None:
    """FAULTS S3: the first key signs, every key verifies, an unknown one does not."""
    old, new = Codec("mail", [b"old"]), Codec("mail", [b"new", b"old"])
    assert new.decode("call", JOB, old.encode("call", JOB, 1)) == 1
    assert Codec("mail", [b"new"]).decode("call", JOB, new.encode("call", JOB, 1)) == 1
    with pytest.raises(BadSignature):
        old.decode("call", JOB, new.encode("call", JOB, 1))


def test_unsigned_bytes_are_refused_by_a_signing_codec(codec: Codec) -> None:
    """FAULTS S3: signing cannot be avoided by leaving the signature out."""
    with pytest.raises(BadSignature):
        codec.decode("call", JOB, Codec("mail").encode("call", JOB, ["a" * 40]))


def test_an_empty_key_is_refused() -> None:
    """FAULTS S3: an empty key would sign with a secret that everybody knows."""
    with pytest.raises(ValueError, match="empty"):
        Codec("mail", [b"secret", b""])


# -- bad bytes -----------------------------------------------------------------------


def ext(code: int, data: bytes = b"") -> bytes:
    return msgpack.packb(msgpack.ExtType(code, data))  # type: ignore[no-any-return]


BAD = {
    "empty": b"",
    "cut off": b"\x92\x01",
    "left over": b"\x01\x01",
    "never used": b"\xc1",
    "list of 4 G": b"\xdd\xff\xff\xff\xff",
    "text of 4 G": b"\xdb\xff\xff\xff\xff",
    "deep": b"\x91" * 100_000 + b"\x01",
    "bad utf-8": b"\xa1\xff",
    "list as key": b"\x81\x90\x01",
    "dict in a set": b"\x92" + ext(extensions.SET) + b"\x80",
    "unknown extension": ext(63),
    "unregistered": ext(99, b"x"),
    "mark alone": ext(extensions.TUPLE),
    "mark last": b"\x92\x01" + ext(extensions.TUPLE),
    "mark as key": b"\x81" + ext(extensions.SET) + b"\x01",
    "two marks": b"\x92" + ext(extensions.TUPLE) * 2,
    "mark with data": b"\x92" + ext(extensions.TUPLE, b"x") + ext(extensions.TUPLE),
    "short datetime": ext(extensions.DATETIME, b"\x07"),
    "month 13": ext(extensions.DATE, b"\x07\xe8\x0d\x01"),
    "long date": ext(extensions.DATE, b"\x07\xe8\x01\x01\x01"),
    "zone outside": ext(extensions.TIME, bytes(8) + b"Z../../etc/passwd"),
    "no such zone": ext(extensions.TIME, bytes(8) + b"ZNowhere/Land"),
    "zone directory": ext(extensions.TIME, bytes(8) + b"ZEurope"),
    "zone of no kind": ext(extensions.TIME, bytes(8) + b"X"),
    "offset too large": ext(extensions.TIME, bytes(8) + b"O\x7f\xff\xff\xff\x00\x00\x00\x00"),
    "duration too large": ext(extensions.TIMEDELTA, b"\x7f\xff\xff\xff" + bytes(8)),
    "no number": ext(extensions.DECIMAL, b"ten"),
    "huge exponent": ext(extensions.DECIMAL, b"1E+999999"),
    "long decimal": ext(extensions.DECIMAL, b"1" * 5_000),
    "long int": ext(extensions.BIG_INT, b"\x01" * 514),
    "short uuid": ext(extensions.UUID_, b"x" * 15),
}


@pytest.mark.parametrize("body", BAD.values(), ids=BAD.keys())
def test_bad_bytes_are_a_bad_payload(body: bytes) -> None:
    """FAULTS S2: whatever is wrong with stored bytes, there is one error for it."""
    with pytest.raises(BadPayload, match=r"^cannot decode this call: "):
        Codec("mail").decode("call", JOB, body)


def test_mutated_bytes_decode_or_are_a_bad_payload() -> None:
    """FAULTS S2: 10,000 mutations, and nothing but a value or BadPayload comes of them."""
    codec, dice = Codec("mail"), random.Random(7)
    values = [
        (1, {2}),
        frozenset({"a"}),
        datetime(2024, 1, 1, tzinfo=ZoneInfo("Europe/Berlin")),
        1.5,
        b"x",
        1 << 70,
    ]
    values += [time(1), date(2024, 1, 1), timedelta(1), Decimal("1.5"), uuid.UUID(int=1), {"a": [None, True]}]
    seeds = [codec.encode("call", JOB, [[value], {"k": value}]) for value in values]
    for _ in range(10_000):
        body = bytearray(dice.choice(seeds)[:300])
        for _ in range(dice.randint(1, 4)):
            body[dice.randrange(len(body))] = dice.randrange(256)
        with contextlib.suppress(BadPayload):
            codec.decode(
                "call", JOB, bytes(body[: dice.randint(1, len(body))] if dice.random() < 0.2 else body)
            )


# -- newer bytes ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "codec",
    [Codec("mail", [b"secret"]), Codec("mail"), Codec("mail", [b"secret"], None, json.loads),
     Codec("mail", (), None, json.loads)],
    ids=["signed", "unsigned", "own format, signed", "own format"],
)  # fmt: skip
def test_a_later_format_tells_itself_apart(codec: Codec) -> None:
    """F3: whatever follows, a later release can make known that its bytes are no corruption."""
    for rest in (b"", b"\x00", b"anything at all" * 9):
        with pytest.raises(NewerPayload, match="this call is of format 2, and this release reads format 1"):
            codec.decode("call", JOB, NEWER + b"\x02" + rest)
    for broken in (NEWER, NEWER + b"\x00", NEWER + b"\x01" + b"x" * 40, NEWER[1:] + b"\x02" + b"x" * 40):
        with pytest.raises(BadPayload) as caught:
            codec.decode("call", JOB, broken)
        assert not isinstance(caught.value, NewerPayload)


def test_what_is_signed_begins_as_it_likes() -> None:
    """F3: the mark of later formats is looked for in what cannot be read, and nowhere else."""
    codec = Codec("mail", (), lambda value: NEWER + b"\x02", lambda body: "read")
    assert codec.decode("call", JOB, codec.encode("call", JOB, 1)) == "read"


@pytest.mark.parametrize("code", [63, 99])
def test_an_extension_of_somebody_else(code: int) -> None:
    """F3: signed bytes are no garbage, so somebody knows the type; unsigned ones may be anything."""
    theirs = Codec("mail", [b"secret"], lambda value: ext(code, b"x"))
    with pytest.raises(NewerPayload, match=f"unknown extension type {code}"):
        Codec("mail", [b"secret"]).decode("call", JOB, theirs.encode("call", JOB, 1))
    with pytest.raises(BadPayload) as caught:
        Codec("mail").decode("call", JOB, ext(code, b"x"))
    assert not isinstance(caught.value, NewerPayload)


# -- other formats and types ---------------------------------------------------------


def test_a_serializer_replaces_the_body_and_not_the_signature() -> None:
    """A1: SERIALIZER and DESERIALIZER are used for the body; the blob stays signed."""
    codec = Codec("mail", [b"secret"], lambda value: json.dumps(value).encode(), json.loads)
    blob = codec.encode("call", JOB, [1, {"a": 2}])
    assert blob[16:] == b'[1, {"a": 2}]'
    assert codec.decode("call", JOB, blob) == [1, {"a": 2}]
    with pytest.raises(BadSignature):
        codec.decode("call", JOB, blob + b" ")


def test_the_failures_of_a_serializer_are_ours() -> None:
    """C11: what a custom serializer or deserializer raises becomes EncodeError or BadPayload."""
    codec = Codec("mail", (), lambda value: json.dumps(value).encode(), json.loads)
    with pytest.raises(
        EncodeError, match="cannot encode args and kwargs: the serializer failed with TypeError"
    ):
        codec.encode("call", JOB, [[object()], {}], root=CALL)
    with pytest.raises(BadPayload, match="deserializer failed with JSONDecodeError"):
        codec.decode("call", JOB, b"{")
    with pytest.raises(EncodeError, match="it returned str, not bytes"):
        Codec("mail", (), json.dumps, json.loads).encode("call", JOB, 1)  # type: ignore[arg-type]


class Money:
    def __init__(self, cents: int) -> None:
        self.cents = cents


def money_bytes(money: Money) -> bytes:
    if money.cents < 0:
        raise ValueError("debts cannot be posted; pass the cents")
    return str(money.cents).encode()


@pytest.mark.usefixtures("own_extensions")
@pytest.mark.parametrize("match", [Money, lambda value: hasattr(value, "cents")], ids=["type", "predicate"])
def test_other_types_can_be_registered(codec: Codec, match: Any) -> None:
    """C11: a registered extension travels as itself, and its refusals name the path too."""
    register_extension(70, match, money_bytes, lambda data: Money(int(data)))
    decoded: Any = codec.decode("call", JOB, codec.encode("call", JOB, [(Money(5),)]))
    assert decoded[0][0].cents == 5
    with pytest.raises(EncodeError, match=r"kwargs\['m'\]: debts cannot be posted; pass the cents"):
        codec.encode("call", JOB, [[], {"m": Money(-1)}], root=CALL)
    with pytest.raises(BadPayload):
        Codec("mail").decode("call", JOB, ext(70, b"many"))


@pytest.mark.usefixtures("own_extensions")
def test_a_missing_row_is_not_a_bad_payload(codec: Codec) -> None:
    """C11: a reference whose row is gone says so, and a database that is down is not the payload's fault."""
    errors: list[Exception] = [MissingRow(), ConnectionError("down")]

    def fetch(data: bytes) -> object:
        raise errors[int(data)]

    register_extension(71, Money, money_bytes, fetch)
    with pytest.raises(MissingRow):
        codec.decode("call", JOB, codec.encode("call", JOB, Money(0)))
    with pytest.raises(ConnectionError):
        codec.decode("call", JOB, codec.encode("call", JOB, Money(1)))


@pytest.mark.parametrize("code", [-1, 0, 10, 63, 128])
def test_own_codes_cannot_be_taken(code: int) -> None:
    """C11: ardiq's own extension codes cannot be replaced by accident."""
    with pytest.raises(ValueError, match="64 to 127"):
        register_extension(code, Money, money_bytes, Money)  # type: ignore[arg-type]


def test_repr_shows_no_key() -> None:
    """A4: a secret never appears in repr."""
    assert repr(Codec("mail", [b"secret"])) == "Codec('mail', signing)"
