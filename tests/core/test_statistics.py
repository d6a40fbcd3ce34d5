"""Buckets, quantiles and sums: what figures are made of."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ardiq.core import statistics as s
from ardiq.core.statistics import BOUNDS_MS, BUCKETS, Histogram, Tally, bucket


@given(st.integers(-5, 10**9))
def test_a_time_is_in_the_bucket_that_its_bounds_name(ms: int) -> None:
    number = bucket(ms)
    assert number == next((n for n, bound in enumerate(BOUNDS_MS) if ms < bound), BUCKETS - 1)


def histogram(times: list[int]) -> Histogram:
    counts = [0] * BUCKETS
    for ms in times:
        counts[bucket(ms)] += 1
    return Histogram(tuple(counts), float(sum(times)))


@given(st.lists(st.integers(0, 2_000_000), min_size=1), st.sampled_from([0.0, 0.25, 0.5, 0.95, 1.0]))
def test_a_quantile_lies_in_the_bucket_of_the_true_one(times: list[int], share: float) -> None:
    """The n-th smallest time and what is told of it are at most a factor of two apart."""
    rank = max(0, -(-int(share * 1_000_000) * len(times) // 1_000_000) - 1)
    true = sorted(times)[rank]
    found = histogram(times).quantile_ms(share)
    number = bucket(true)
    assert found is not None
    assert (BOUNDS_MS[number - 1] if number else 0) <= found <= BOUNDS_MS[number]


def test_quantiles_of_many_even_times_come_close() -> None:
    dice = random.Random(7)
    seen = histogram([dice.randrange(1, 1_000) for _ in range(20_000)])
    assert seen.p50_ms == pytest.approx(500, rel=0.05) and seen.p95_ms == pytest.approx(950, rel=0.1)
    assert seen.mean_ms == pytest.approx(500, rel=0.05)


def test_nothing_has_no_quantiles() -> None:
    nothing = histogram([])
    assert (nothing.count, nothing.mean_ms, nothing.p50_ms, nothing.quantile_ms(1)) == (0, None, None, None)
    with pytest.raises(ValueError, match=r"share=95: give a number from 0 to 1"):
        nothing.quantile_ms(95)


def test_what_takes_for_ever_is_above_the_last_bound() -> None:
    assert histogram([10**9]).p50_ms == BOUNDS_MS[-1] == 2_097_152


def test_figures_add_up_by_lane_and_by_task() -> None:
    figures = s.Figures(
        {
            ("high", "a"): {"S": 2, "F": 1, "R": 3_000_000, "r12": 3},
            ("low", "a"): {"S": 1, "X": 1, "A": 1, "D": 4, "C": 5},
            ("low", "b"): {"S": 7, "W": 500, "w0": 7},
        }
    )
    assert figures.total.succeeded == 10 and figures.total.ended == 13
    assert {lane: tally.succeeded for lane, tally in figures.lanes.items()} == {"high": 2, "low": 8}
    assert {task: tally.succeeded for task, tally in figures.tasks.items()} == {"a": 3, "b": 7}
    a = figures.tasks["a"]
    assert (a.failed, a.retried, a.aborted, a.expired, a.crashed, a.run.count) == (1, 4, 1, 1, 5, 3)
    assert a.run.mean_ms == 1_000 and figures.tasks["b"].wait.total_ms == 0.5


def test_the_sum_of_nothing_is_nothing() -> None:
    assert Tally.of([]).ended == 0 and Tally.of([]).wait.count == 0
