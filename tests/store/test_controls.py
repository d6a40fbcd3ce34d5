"""What people tell a queue: pause it, move all that waits in a lane, tell a worker what to do."""

from __future__ import annotations

from typing import Any

import pytest

from ardiq.core.job import JobStatus
from ardiq.store import controls, letters, moving, verbs
from ardiq.store.controls import Pause
from tests.store.bench import LEASE, Bench, Clock, retried

ME = "worker-1"


@pytest.fixture(autouse=True)
def registered(bench: Bench, clock: Clock) -> None:
    bench.register(ME)


def pause(bench: Bench, lane: str = "", reason: str = "", by: str = "") -> bool:
    return bool(bench.run(controls.pause(bench.keys, lane, reason, by)))


def resume(bench: Bench, lane: str = "") -> bool:
    return bool(bench.run(controls.resume(bench.keys, lane)))


def pauses(bench: Bench) -> list[Pause]:
    found: list[Pause] = bench.run(controls.pauses(bench.keys))
    return found


def test_a_paused_queue_hands_out_nothing(bench: Bench) -> None:
    """Enqueuing, settling and renewing go on; resumed, it hands out in its order as before."""
    bench.enqueue("a", "b", "c")
    held = bench.take(ME, 1)
    assert pause(bench) is True
    claimed = bench.claim(ME, 10, number=2)
    assert (claimed.jobs, claimed.paused, claimed.more, claimed.lost) == ([], True, False, False)
    bench.enqueue("d")
    assert bench.settle(ME, retried(held["a"])) == {}
    assert bench.run(verbs.renew(bench.keys, ME, LEASE, {})).held == 0
    assert resume(bench) is True
    assert list(bench.take(ME, 10, number=3)) == ["b", "c", "d"]
    assert not bench.claim(ME, 1, number=4).paused


def test_a_paused_lane_lets_the_others_go_on(bench: Bench) -> None:
    bench.enqueue("h", lane="high")
    bench.enqueue("d")
    pause(bench, "high")
    claimed = bench.claim(ME, 10)
    assert ([id for id, _ in claimed.jobs], claimed.paused) == (["d"], True)
    resume(bench, "high")
    assert list(bench.take(ME, 10, number=2)) == ["h"]


def test_housekeeping_goes_on(bench: Bench, clock: Clock) -> None:
    """What falls due is promoted, and a dead worker's jobs come back, while nothing is handed out."""
    bench.enqueue("held")
    bench.take(ME, 1)
    bench.enqueue("later", delay_ms=1_000)
    pause(bench)
    clock.advance(LEASE + 1)
    bench.register("worker-2")
    assert bench.claim("worker-2").jobs == []
    assert bench.lane() == ["held", "later"] and bench.record("held").status is JobStatus.QUEUED
    resume(bench)
    assert list(bench.take("worker-2", 10, number=2)) == ["held", "later"]


def test_who_why_and_since_when(bench: Bench) -> None:
    """The clock of the server says since when; a second pause says it anew; what is shown is one line."""
    assert pauses(bench) == []
    bench.enqueue("a")
    pause(bench, "low", "batch is\nbroken", "bob")
    assert pause(bench, reason="deploy", by="ann") is True
    assert pause(bench, reason="x" * 1_000, by="ann\ncarl") is False
    whole, low = pauses(bench)
    assert (whole.lane, whole.by, whole.reason) == ("", "ann carl", "x" * controls.REASON_MOST)
    assert (low.lane, low.by, low.reason) == ("low", "bob", "batch is broken")
    assert abs(whole.at - bench.record("a").at) < 5_000
    assert resume(bench) is True and resume(bench) is False
    assert [one.lane for one in pauses(bench)] == ["low"], "a lane that was paused by itself stays so"
    assert resume(bench, "low") is True and not bench.redis.exists(bench.keys.paused)


def test_resuming_wakes(bench: Bench) -> None:
    bench.enqueue("a")
    pause(bench)
    bench.redis.delete(bench.keys.wake)
    bench.claim(ME)
    assert "wake" not in bench.state(), "a paused queue keeps nobody busy"
    resume(bench)
    assert bench.state()["wake"] == ["1"]


def test_a_key_of_another_type_stops_nobody(bench: Bench) -> None:
    """R9: whoever wrote it, jobs are handed out."""
    bench.enqueue("a")
    bench.redis.set(bench.keys.paused, "x")
    assert list(bench.take(ME, 10)) == ["a"]
    bench.redis.delete(bench.keys.paused)


# -- orders -------------------------------------------------------------------------------------------


def order(bench: Bench, worker: str, what: Any = "quiet", by: str = "ann") -> bool:
    return bool(bench.run(controls.order(bench.keys, worker, what, by)))


def test_an_order_comes_with_the_next_renewal(bench: Bench) -> None:
    """Should nobody have heard it; it lives no longer than the worker."""
    assert bench.run(verbs.renew(bench.keys, ME, LEASE, {})).order == ""
    assert order(bench, ME)
    assert bench.run(verbs.renew(bench.keys, ME, LEASE, {})).order == "quiet"
    assert order(bench, ME, "work")
    assert bench.run(verbs.renew(bench.keys, ME, LEASE, {})).order == "work"
    about = bench.run(verbs.worker_info(bench.keys, ME))
    assert (about["ordered_by"], about["order"]) == ("ann", "work") and int(about["ordered_at"])
    assert 0 < bench.redis.pttl(bench.keys.worker(ME)) <= 3 * LEASE
    bench.run(verbs.unregister(bench.keys, ME))
    assert bench.state() == {}


def test_nobody_obeys_who_is_not_there(bench: Bench) -> None:
    bench.redis.delete(bench.keys.worker(ME))
    assert not order(bench, ME) and not order(bench, "worker-9")
    assert not bench.redis.exists(bench.keys.worker(ME)), "no key without an end was left"


def test_orders_are_told_from_ids() -> None:
    """No id begins with a newline (check_id)."""
    assert controls.heard("0af3") == ("", "")
    assert controls.heard("\npause") == ("pause", "")
    assert controls.heard("\nquiet 0af3") == ("quiet", "0af3")


# -- moving what waits --------------------------------------------------------------------------------


def shift(bench: Bench, lane: str, to: str) -> int:
    return letters.drive(bench.store, moving.shift(bench.keys, lane, to))


def test_all_that_waits_moves_in_its_order(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """C12, R9: a piece at a time, each job once, behind what waits there; calls and slots as they were."""
    monkeypatch.setattr(moving, "PIECE", 2)
    bench.enqueue("h", lane="high")
    bench.enqueue("a", "b", "c", "d", "e", unique="")
    bench.enqueue("slot", unique="s")
    bench.redis.delete(bench.keys.wake)
    assert shift(bench, "default", "high") == 6
    assert bench.lane("high") == ["h", "a", "b", "c", "d", "e", "slot"] and bench.lane() == []
    record = bench.record("slot")
    assert (record.lane, record.call, record.unique) == ("high", b"call of slot", "s")
    assert bench.state()["wake"] == ["1"]
    assert shift(bench, "default", "high") == 0
    assert list(bench.take(ME)) == ["h", "a", "b", "c", "d", "e", "slot"]


def test_what_is_not_there_any_more_does_not_move(bench: Bench) -> None:
    """The record decides: what has gone, runs or was moved stays what it is."""
    bench.enqueue("runs", "gone", "elsewhere", "waits")
    bench.take(ME, 1)
    bench.redis.rpush(bench.keys.lane("default"), "runs")
    bench.redis.delete(bench.keys.job("gone"))
    bench.run(moving.move(bench.keys, "elsewhere", lane="low"))
    bench.redis.rpush(bench.keys.lane("default"), "elsewhere")
    assert shift(bench, "default", "high") == 1
    assert (bench.lane("high"), bench.lane("low"), bench.lane()) == (["waits"], ["elsewhere"], [])
    assert bench.status("runs") == "running"


def test_one_that_was_told_to_abort_stays(bench: Bench, clock: Clock) -> None:
    """It has no business but to be claimed from where it is, and stopped."""
    bench.enqueue("a", "b")
    bench.take(ME, 1)
    assert bench.run(verbs.abort(bench.keys, "a", 1_000, b"aborted"))
    clock.advance(LEASE + 1)
    bench.register("worker-2")
    bench.claim("worker-2", 0)
    assert bench.lane() == ["a", "b"]
    assert shift(bench, "default", "high") == 1
    assert (bench.lane(), bench.lane("high")) == (["a"], ["b"])
    assert bench.claim("worker-2", number=2).aborted == {"a"}


def test_large_jobs_move_a_few_at_a_time(bench: Bench) -> None:
    """R9: five of a megabyte are one piece, so that no script copies two hundred of them."""
    bench.run(verbs.enqueue(bench.keys, [bench.new(f"j{n}", call=b"x" * 1_000_000) for n in range(7)]))
    first = bench.run(moving.piece(bench.keys, "default", "high", 200))
    assert first == (5, 5)
    assert bench.lane() == ["j5", "j6"]
    assert shift(bench, "default", "high") == 2
    assert bench.lane("high") == [f"j{n}" for n in range(7)]
