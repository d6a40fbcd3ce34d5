"""Figures in Redis: what is added up where, for how long it is kept, and how it is read again."""

from __future__ import annotations

import time
from typing import Any

import pytest

from ardiq.core.job import JobStatus
from ardiq.core.statistics import RUN_BUCKETS, WAIT_BUCKETS, Cell, Statistics
from ardiq.store import letters, statistics, verbs
from tests.store.bench import LANES, Bench, Clock, ended

ME, OTHER = "worker-1", "worker-2"
FULL: Cell = dict.fromkeys([*"SFDAXCRW", *RUN_BUCKETS, *WAIT_BUCKETS], 3)


def add(bench: Bench, *cells: tuple[str, str, Cell]) -> int:
    rows = [((lane, task), cell) for lane, task, cell in cells]
    now: int = bench.run(statistics.count(bench.keys, LANES, rows))
    return now


def read(bench: Bench, minutes: int = 5) -> Statistics:
    return letters.drive(bench.store, statistics.statistics(bench.keys, minutes))


def totals(bench: Bench) -> statistics.Cells:
    cells: statistics.Cells = bench.run(statistics.totals(bench.keys))
    return cells


def test_what_several_workers_count_is_added_up(bench: Bench) -> None:
    """Per task and per lane, in the minute of the server."""
    add(bench, ("high", "shop.pay", {"S": 2, "r3": 2, "R": 9_000}))
    add(bench, ("high", "shop.pay", {"S": 1, "F": 1, "r3": 1, "r4": 1}), ("low", "shop.mail", {"S": 5}))
    seen = read(bench)
    assert seen.total.succeeded == 8 and seen.total.ended == 9
    assert {task: tally.succeeded for task, tally in seen.tasks.items()} == {"shop.mail": 5, "shop.pay": 3}
    assert {lane: tally.succeeded for lane, tally in seen.lanes.items()} == {"high": 3, "low": 5}
    assert seen.tasks["shop.pay"].run.counts[3:5] == (3, 1)
    assert seen.tasks["shop.pay"].run.total_ms == 9
    assert len(seen.periods) == 5 and seen.periods[-1].start <= seen.now < seen.periods[-1].start + 60_000
    assert sum(period.total.ended for period in seen.periods) == 9


def test_periods_have_no_gaps_and_tens_are_sums(bench: Bench, clock: Clock) -> None:
    """A period in which nothing was counted is there, and empty. Beyond three hours, steps of ten minutes."""
    minute = int(time.time()) // 60
    for offset in (-25, -13, -12, 0):
        clock.ahead = offset * 60_000
        add(bench, ("high", "a", {"S": 1}))
    seen = read(bench, 60)
    starts = [period.start // 60_000 for period in seen.periods]
    assert starts == list(range(starts[0], starts[0] + 60))
    counted = {start: period.total.succeeded for start, period in zip(starts, seen.periods, strict=True)}
    last = max(start for start, number in counted.items() if number)
    assert last - minute in (0, 1)
    assert [start - last for start, number in counted.items() if number] == [-25, -13, -12, 0]
    tens = read(bench, 181)
    assert [period.length_ms for period in tens.periods] == [600_000] * 19
    assert tens.total.succeeded == 4 and tens.seconds > 180 * 60
    assert all(period.start % 600_000 == 0 for period in tens.periods)


def test_a_wrong_clock_here_costs_a_round_trip_and_no_figure(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R1: the server's clock decides which minutes are the latest."""
    add(bench, ("high", "a", {"S": 1}))
    trips: list[int] = []

    class Counted:
        def run_many(self, calls: Any) -> list[Any]:
            trips.append(len(calls))
            return bench.store.run_many(calls)

    def look() -> Statistics:
        return letters.drive(Counted(), statistics.statistics(bench.keys, 5))  # type: ignore[arg-type]

    right = look().total.succeeded, len(trips)
    monkeypatch.setattr(statistics.time, "time", lambda: 1_000_000_000.0)  # type: ignore[attr-defined]
    wrong = look().total.succeeded, len(trips)
    assert right[0] == wrong[0] == 1
    assert wrong[1] - right[1] == 2 and trips[-2:] == [6, 5]


def test_everything_has_an_end(bench: Bench) -> None:
    """Minutes are kept for three hours, tens and totals for three days; nothing without a TTL."""
    now = add(bench, ("high", "a", {"S": 1}))
    minute = now // 60_000
    ttls = {
        bench.keys.stats(minute): 3, bench.keys.sums(minute // 10): 72, bench.keys.totals: 72,
        bench.keys.prefix + "counted": 72,
    }  # fmt: skip
    for key, hours in ttls.items():
        assert hours * 3_600_000 - 60_000 < bench.redis.pttl(key) <= (hours + 0.4) * 3_600_000, key


def test_the_number_of_tasks_is_bounded(bench: Bench) -> None:
    """What is beyond a hundred is "other" in its lane; what has a place keeps it."""
    for begin in range(0, 120, 20):
        add(bench, *(("high", f"task{n}", {"S": 1}) for n in range(begin, begin + 20)))
    add(bench, ("high", "task0", {"S": 1}), ("low", "task119", {"F": 1}))
    seen = read(bench)
    assert len(seen.tasks) == 101
    assert seen.tasks["task0"].succeeded == 2 and "task119" not in seen.tasks
    assert (seen.tasks["other"].succeeded, seen.tasks["other"].failed) == (20, 1)
    assert set(seen.lanes) == {"high", "low"} and seen.lanes["low"].failed == 1


def test_a_task_that_is_gone_makes_room(bench: Bench, clock: Clock) -> None:
    """After three days of which nothing was counted its totals are forgotten, all of them."""
    clock.ahead = -73 * 3_600_000
    add(bench, ("high", "old", FULL))
    assert totals(bench) == {("high", "old"): FULL}
    clock.ahead = 0
    add(bench, ("high", "new", {"S": 1}))
    assert totals(bench) == {("high", "new"): {"S": 1}}
    assert bench.redis.zrange(bench.keys.prefix + "counted", 0, -1) == [b"high new"]


def test_totals_go_on_from_minute_to_minute(bench: Bench, clock: Clock) -> None:
    for minutes in (-30, -20, 0):
        clock.ahead = minutes * 60_000
        add(bench, ("high", "a", {"S": 2, "r0": 2}))
    assert totals(bench) == {("high", "a"): {"S": 6, "r0": 6}}


def test_the_first_call_of_a_minute_takes_a_sample(bench: Bench, clock: Clock) -> None:
    """How much waits in each lane and since when, what runs, who lives; of ten minutes the most."""
    # In the middle of ten minutes, wherever the test began.
    clock.ahead = 600_000 - int(time.time() * 1000) % 600_000 + 30_000
    bench.register(ME, OTHER)
    bench.enqueue("a", "b", "c", lane="high")
    bench.enqueue("d", lane="low")
    bench.enqueue("e", delay_ms=500_000)
    bench.take(ME, 1)
    clock.advance(2_000)
    now = add(bench)
    first = read_at(bench, now // 60_000)
    assert first.waiting == {"high": 2, "default": 0, "low": 1}
    assert 2_000 <= first.oldest_ms["high"] < 20_000 and first.oldest_ms["default"] == 0
    assert (first.scheduled, first.running, first.workers) == (1, 1, 2)
    bench.enqueue("f", lane="high")
    add(bench)
    assert read_at(bench, now // 60_000) == first, "a second look in one minute changes nothing"
    clock.advance(60_000)
    now = add(bench)
    assert read_at(bench, now // 60_000).waiting["high"] == 3
    bench.redis.delete(bench.keys.lane("high"))
    clock.advance(60_000)
    add(bench)
    assert read_at(bench, now // 60_000 + 1).waiting["high"] == 0
    sums = bench.redis.hgetall(bench.keys.sums(now // 600_000))
    assert (sums[b"=waiting high"], sums[b"=scheduled"], sums[b"=running"]) == (b"3", b"1", b"1")
    for id in "bcf":  # whose lane is gone
        bench.redis.delete(bench.keys.job(id))


def read_at(bench: Bench, minute: int) -> Any:
    _, sample = statistics._read([part for pair in bench.redis.hgetall(bench.keys.stats(minute)).items()
                                  for part in pair])  # fmt: skip
    return sample


def test_a_job_whose_worker_died_is_counted_where_it_is_found(bench: Bench, clock: Clock) -> None:
    """F4: nobody else can tell; once for each crash that is charged."""
    bench.register(ME)
    bench.enqueue("a", "b")
    bench.take(ME)
    clock.advance(31_000)
    bench.register(OTHER)
    bench.take(OTHER)
    assert totals(bench) == {("default", "shop.add"): {"C": 2}}


def test_a_job_that_is_aborted_while_it_waits_is_counted(bench: Bench) -> None:
    """E5: no worker ever hears of it."""
    bench.enqueue("a")
    bench.enqueue("b", delay_ms=9_000)
    assert bench.run(verbs.abort(bench.keys, "a", 1_000, b"")) and bench.run(
        verbs.abort(bench.keys, "b", 0, b"")
    )
    assert not bench.run(verbs.abort(bench.keys, "a", 1_000, b""))
    assert totals(bench) == {("default", "shop.add"): {"A": 2}}


def test_figures_of_a_wrong_type_cost_no_job(bench: Bench, clock: Clock) -> None:
    """R9: what cannot be counted is not, and the step itself is taken."""
    bench.register(ME)
    bench.enqueue("a", "b")
    bench.redis.set(bench.keys.prefix + "counted", "x")
    bench.take(ME, 1)
    assert bench.run(verbs.abort(bench.keys, "b", 1_000, b""))
    clock.advance(31_000)
    bench.register(OTHER)
    assert list(bench.take(OTHER)) == ["a"]
    bench.settle(OTHER, ended(bench.record("a"), OTHER, JobStatus.SUCCEEDED))
    bench.redis.delete(bench.keys.prefix + "counted")


def test_what_cannot_be_sampled_costs_no_figure(bench: Bench) -> None:
    """R9: a lane of a wrong type: what was counted is there, and its key has an end."""
    bench.redis.set(bench.keys.lane("default"), "x")
    add(bench, ("high", "shop.pay", {"S": 2}))
    assert totals(bench) == {("high", "shop.pay"): {"S": 2}}
    for key in bench.redis.scan_iter(bench.keys.prefix + "stats:*"):
        assert bench.redis.pttl(key) > 0
    bench.redis.delete(bench.keys.lane("default"))


@pytest.mark.parametrize("minutes", [0, -1, 4_321, 2.5, True, "60", None])
def test_a_number_of_minutes(bench: Bench, minutes: Any) -> None:
    with pytest.raises((TypeError, ValueError), match=r"minutes=.*: give"):
        read(bench, minutes)


def test_what_somebody_else_has_written_is_read_as_far_as_it_goes(bench: Bench) -> None:
    """S1: a field that is none of ours never raises."""
    now = add(bench, ("high", "a", {"S": 1}))
    bench.redis.hset(
        bench.keys.stats(now // 60_000), mapping={"x": "y", "=": "z", b"\xff \xff S": 1, "high a F": "-"}
    )
    seen = read(bench)
    assert seen.total.succeeded == 1 and seen.total.failed == 0
