"""The codec: what travels, what is refused and where it says the fault lies."""

from __future__ import annotations

import enum
import math
import threading
import uuid
from collections import OrderedDict, defaultdict, namedtuple
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ardiq.core.codec import Codec
from ardiq.core.errors import EncodeError

CALL = ("args", "kwargs")
JOB = b"4f1c0c7e9b6f4c0f8f0e1d2c3b4a5968"
Point = namedtuple("Point", "x y")
BERLIN = ZoneInfo("Europe/Berlin")


class Colour(enum.Enum):
    RED = "red"


class Size(enum.IntEnum):
    BIG = 3


class Mood(enum.StrEnum):
    GOOD = "good"


class SafeText(str):
    def __str__(self) -> str:
        return "not the base value"


@pytest.fixture
def codec() -> Codec:
    return Codec("mail", [b"secret"])


def exact(value: Any) -> Any:
    """A form in which only equal values of equal types are equal; NaN equals NaN, -0.0 not 0.0."""
    if isinstance(value, (list, tuple)):
        return type(value), [exact(item) for item in value]
    if isinstance(value, dict):
        return type(value), [(exact(key), exact(item)) for key, item in value.items()]
    if isinstance(value, (set, frozenset)):
        return type(value), sorted((exact(item) for item in value), key=repr)
    return type(value), repr(value), getattr(value, "fold", 0)


def same(one: Any, other: Any) -> bool:
    return bool(exact(one) == exact(other))


# -- round trips ---------------------------------------------------------------------

VALUES = [
    None,
    True,
    0,
    -(1 << 63),
    (1 << 64) - 1,
    1 << 64,
    -(1 << 63) - 1,
    (1 << 4096) - 1,
    -(1 << 4095),
    1.5,
    -0.0,
    math.nan,
    math.inf,
    "",
    "Grüße 🎉\x00",
    b"\x00\xff",
    [],
    {},
    (),
    set(),
    frozenset(),
    (1, (2, (3, [4, (5,)]))),
    {
        (1, 2): "tuple",
        frozenset({3}): "set",
        4: "int",
        5.5: "float",
        None: "none",
        b"x": "bytes",
        True: "bool",
    },
    {date(2024, 2, 29): 1, uuid.UUID(int=7): 2, Decimal("1.50"): 3},
    {1, "a", None, (2, frozenset({3}))},
    [set(), [set()], ({1}, {2: {3}})],
    datetime(2024, 2, 29, 23, 59, 59, 999_999),
    datetime(2024, 10, 27, 2, 30, fold=1, tzinfo=BERLIN),
    datetime(1, 1, 1, tzinfo=UTC),
    datetime(9999, 12, 31, tzinfo=timezone(timedelta(hours=-5, minutes=-30, seconds=-1))),
    datetime(2024, 1, 1, tzinfo=timezone(timedelta(hours=2), "EET")),
    datetime(2024, 1, 1, tzinfo=timezone(-timedelta(microseconds=1))),
    date(1, 1, 1),
    time(12, 30, 1, 7),
    time(2, 30, fold=1, tzinfo=BERLIN),
    timedelta.max,
    timedelta.min,
    timedelta(microseconds=-1),
    Decimal("1.10"),
    Decimal("-0E+3"),
    Decimal("NaN123"),
    Decimal("sNaN"),
    Decimal("-Infinity"),
    Decimal("9" * 4096),
    uuid.UUID("12345678123456781234567812345678"),
]


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
@pytest.mark.parametrize("keys", [(), (b"secret",)], ids=["plain", "signed"])
def test_a_value_comes_back_as_itself(value: object, keys: tuple[bytes, ...]) -> None:
    """C11: datetime, date, time, timedelta, Decimal, UUID, set, frozenset, tuple round-trip as themselves."""
    codec = Codec("mail", keys)
    assert same(codec.decode("call", JOB, codec.encode("call", JOB, value)), value)
    nested = [[value], {"x": {"y": value}}]
    assert same(codec.decode("call", JOB, codec.encode("call", JOB, nested)), nested)


def hashable() -> st.SearchStrategy[Any]:
    zones = st.none() | st.just(UTC) | st.sampled_from([BERLIN, ZoneInfo("Asia/Kathmandu")])
    offsets = st.timedeltas(timedelta(hours=-23), timedelta(hours=23)).map(timezone)
    leaves = st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.integers(-(1 << 4095), (1 << 4096) - 1),
        st.floats(allow_nan=False),
        st.text(st.characters(exclude_categories=["Cs"])),
        st.binary(),
        st.datetimes(timezones=zones | offsets, allow_imaginary=True),
        st.dates(),
        st.times(timezones=zones),
        st.timedeltas(),
        st.decimals(-(10**30), 10**30) | st.just(Decimal("Infinity")),
        st.uuids(),
    )
    return st.recursive(
        leaves, lambda inner: st.tuples(inner, inner) | st.frozensets(inner, max_size=4), max_leaves=5
    )


def structures() -> st.SearchStrategy[Any]:
    return st.recursive(
        hashable() | st.just(math.nan),
        lambda inner: st.one_of(
            st.lists(inner),
            st.tuples(inner, inner),
            st.sets(hashable(), max_size=4),
            st.dictionaries(hashable(), inner, max_size=4),
        ),
        max_leaves=20,
    )


@settings(max_examples=150, deadline=None)
@given(structures())
def test_any_structure_comes_back_as_itself(value: object) -> None:
    """C11: arguments round-trip, keys and nesting included."""
    codec = Codec("mail", [b"secret"])
    assert same(codec.decode("call", JOB, codec.encode("call", JOB, value)), value)


@pytest.mark.parametrize(
    ("value", "base"),
    [
        (SafeText("a"), "a"),
        (Size.BIG, 3),
        (Mood.GOOD, "good"),
        (defaultdict(list, {"a": [1]}), {"a": [1]}),
        (OrderedDict(b=1, a=2), {"b": 1, "a": 2}),
        (Point(1, [2]), (1, [2])),
        (type("N", (int,), {})(1 << 70), 1 << 70),
        (type("F", (float,), {})(2.5), 2.5),
        (type("B", (bytes,), {})(b"x"), b"x"),
        (type("L", (list,), {})([1]), [1]),
        (type("D", (datetime,), {})(2024, 1, 1), datetime(2024, 1, 1)),
        (bytearray(b"x"), b"x"),
        ({SafeText("k"): Mood.GOOD}, {"k": "good"}),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_subclass_travels_as_its_base_value(codec: Codec, value: object, base: object) -> None:
    """C11: safe strings, choices, namedtuples and the like are plain data on the other side."""
    assert same(codec.decode("call", JOB, codec.encode("call", JOB, value)), base)


def test_the_order_of_an_ordered_dict_is_kept(codec: Codec) -> None:
    """C11: an OrderedDict keeps its own order, not that of its insertions."""
    value = OrderedDict(a=1, b=2)
    value.move_to_end("a")
    assert list(codec.decode("call", JOB, codec.encode("call", JOB, value))) == ["b", "a"]  # type: ignore[call-overload]


def test_equal_sets_are_equal_bytes(codec: Codec) -> None:
    """C7: the order of a set differs from process to process, its encoding does not."""
    # 0 and 8 share a slot of a small hash table, so the order of insertion is the order of iteration.
    one, other = {0, 8}, {8, 0}
    assert list(one) != list(other)
    assert codec.encode("call", JOB, one) == codec.encode("call", JOB, other)


@pytest.mark.parametrize(
    "kind", [list, tuple, frozenset, lambda items: {1: items[0]}], ids=["list", "tuple", "frozenset", "dict"]
)
def test_what_can_be_encoded_can_be_decoded(codec: Codec, kind: Any) -> None:
    """FAULTS S2: no depth is accepted at enqueue and refused by the worker; deep sets take no age."""
    value: Any = 1
    for levels in range(1, 1_100):
        value = kind([value])
        if levels > 40 and (kind is frozenset or levels < 900):
            continue
        try:
            blob = codec.encode("call", JOB, value)
        except EncodeError:
            assert levels > 900
            continue
        codec.decode("call", JOB, blob)


# -- refusals ------------------------------------------------------------------------


class Odd(tzinfo):
    def utcoffset(self, when: datetime | None) -> timedelta:
        return timedelta(hours=1)


class Spiteful:
    def __repr__(self) -> str:
        raise RuntimeError("no")


def cyclic() -> list[Any]:
    items: list[Any] = [1]
    items.append({"again": items})
    return items


def deep(levels: int) -> list[Any]:
    items: list[Any] = []
    for _ in range(levels):
        items = [items]
    return items


REFUSED = [
    ([[object()], {}], "cannot encode args[0]: <class 'object'> has no encoding; pass"),
    ([[{"user": {"tags": [1, object()]}}], {}], "cannot encode args[0]['user']['tags'][1]: <class 'object'>"),
    (
        [[], {"x": Colour.RED}],
        "cannot encode kwargs['x']: tests.core.test_codec.Colour.RED is an enum member",
    ),
    ([[Point(1, Colour.RED)], {}], "cannot encode args[0].y: "),
    ([[{1: {(2, object())}}], {}], "cannot encode args[0][1]{(2, <object object"),
    ([[{(1, Colour.RED): 2}], {}], "cannot encode key (1, <Colour.RED: 'red'>) of args[0][1]: "),
    ([[{Spiteful(): 1}], {}], "cannot encode key <Spiteful, whose repr fails> of args[0]: "),
    ([["\ud800"], {}], "cannot encode args[0]: text with a lone surrogate"),
    ([[1 << 4096], {}], "cannot encode args[0]: an integer of 4,097 bits; at most 4,096"),
    ([[Decimal("1E+7000")], {}], "cannot encode args[0]: a Decimal beyond"),
    ([[Decimal("9" * 4097)], {}], "cannot encode args[0]: a Decimal beyond"),
    (
        [[datetime(2024, 1, 1, tzinfo=Odd())], {}],
        "cannot encode args[0]: its time zone is a tests.core.test_codec.Odd",
    ),
    ([[(i for i in [1])], {}], "cannot encode args[0]: <class 'generator'>"),
    ([[cyclic()], {}], "cannot encode args[0][1]['again']: it contains itself"),
    ([[deep(1_100)], {}], "levels deep; flatten it"),
    ([[deep(100_000)], {}], "levels deep; flatten it"),
]


@pytest.mark.parametrize(("value", "message"), REFUSED, ids=[message[14:60] for _, message in REFUSED])
def test_a_refusal_names_the_path(codec: Codec, value: object, message: str) -> None:
    """C11: arguments that cannot be encoded are a TypeError that names the path of the bad value."""
    with pytest.raises(EncodeError) as caught:
        codec.encode("call", JOB, value, root=CALL)
    assert isinstance(caught.value, TypeError)
    assert message in str(caught.value)


def test_a_result_is_called_value(codec: Codec) -> None:
    """E6: a result that cannot be encoded is refused with its path and type."""
    with pytest.raises(EncodeError, match=r"^cannot encode value\['rows'\]\[0\]: <class 'object'>"):
        codec.encode("result", JOB, {"rows": [object()]})


def test_a_shared_part_is_no_cycle(codec: Codec) -> None:
    """C11: the same list twice is fine, and does not mislead the search for the real fault."""
    part = [1]
    assert codec.decode("call", JOB, codec.encode("call", JOB, [part, part])) == [[1], [1]]
    with pytest.raises(EncodeError, match=r"value\[2\]: <class 'object'>"):
        codec.encode("call", JOB, [part, part, object()])


def test_a_codec_works_after_a_refusal(codec: Codec) -> None:
    """C11: a refused value leaves nothing behind in the encoder that the next one would send."""
    good = codec.encode("call", JOB, [1, 2])
    for value in ([1, object()], [{1, object()}], "\ud800"):
        with pytest.raises(EncodeError):
            codec.encode("call", JOB, value)
    assert codec.encode("call", JOB, [1, 2]) == good


def test_threads_share_a_codec(codec: Codec) -> None:
    """C11: one codec serves all threads of a process."""
    wrong: list[object] = []

    def work(number: int) -> None:
        for round_ in range(300):
            value = [(number, round_), {"s": {number, round_}}]
            if codec.decode("call", JOB, codec.encode("call", JOB, value)) != value:
                wrong.append(value)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
