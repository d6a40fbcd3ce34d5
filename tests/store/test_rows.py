"""rows: what a list shows of jobs, without the parts that are too large for it."""

from __future__ import annotations

import pytest

from ardiq.core.job import NOBODY, tail, tail_start
from ardiq.store import inspector
from ardiq.store.inspector import JobView
from tests.store.bench import Bench

LARGEST = 1_000


def look(bench: Bench, *records: bytes) -> list[JobView | None]:
    for number, record in enumerate(records):
        bench.redis.set(bench.keys.job(f"j{number}"), record)
    found: list[JobView | None] = bench.run(
        inspector.rows(bench.keys, [f"j{number}" for number in range(len(records))], LARGEST)
    )
    return found


def record(call: int, history: int, outcome: int) -> bytes:
    parts = (b"c" * call, b"h" * history, b"o" * outcome)
    return b"S0" + b"0" * 27 + NOBODY + tail(tail_start("default", "shop.add"), *parts)


@pytest.mark.parametrize("call", [0, 20, LARGEST, LARGEST + 1, 300_000])
@pytest.mark.parametrize("history", [0, LARGEST, LARGEST + 1])
@pytest.mark.parametrize("outcome", [0, 20, LARGEST, LARGEST + 1])
def test_larger_parts_are_left_out(bench: Bench, call: int, history: int, outcome: int) -> None:
    """ADMIN: and the size is that of the whole record."""
    whole = record(call, history, outcome)
    (view,) = look(bench, whole)
    assert view is not None and view.record is not None
    assert view.size == len(whole)
    small = len(whole) <= LARGEST
    for got, size, letter in (
        (view.record.call, call, b"c"),
        (view.record.history, history, b"h"),
        (view.record.outcome, outcome, b"o"),
    ):
        assert got == (letter * size if small or size <= LARGEST else b"")
    assert view.cut == (len(view.record.raw) < len(whole))


def test_what_is_not_there_or_cannot_be_read(bench: Bench) -> None:
    """A record without lengths is shown as it begins."""
    broken, gone = b"S0" + b"x" * 5_000, inspector.rows(bench.keys, ["gone"], LARGEST)
    (view,) = look(bench, broken)
    assert view is not None and view.record is None and view.size == len(broken)
    assert bench.run(gone) == [None]
