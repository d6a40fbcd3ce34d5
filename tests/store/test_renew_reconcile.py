"""register, renew, reconcile, unregister: one lease for all that a worker holds, and no lost reply leaks."""

from __future__ import annotations

import pytest

from ardiq.store import verbs
from tests.store.bench import LEASE, Bench, Clock, succeeded

ME = "worker-1"


@pytest.fixture(autouse=True)
def registered(bench: Bench, clock: Clock) -> None:
    bench.register(ME)


def test_registering(bench: Bench) -> None:
    """R1: the lease is reckoned by the clock of the server; what people want to know expires with it."""
    now = bench.run(verbs.register(bench.keys, "worker-2", LEASE, {"host": "here", "pid": 7}))
    assert bench.redis.zscore(bench.keys.workers, "worker-2") == now + LEASE
    info = bench.run(verbs.worker_info(bench.keys, "worker-2"))
    assert info == {"since": str(now), "host": "here", "pid": "7"}
    assert 0 < bench.redis.pttl(bench.keys.worker("worker-2")) <= 3 * LEASE


def test_a_renewal(bench: Bench, clock: Clock) -> None:
    """R5: now, how many the server thinks are held, and what is to be aborted; O(1) whatever is held."""
    bench.enqueue("a", "b", "c")
    bench.take(ME, 2)
    bench.run(verbs.abort(bench.keys, "b", 60_000, b""))
    clock.advance(10_000)
    renewed = bench.run(verbs.renew(bench.keys, ME, LEASE, {"running": 2}))
    assert (renewed.held, renewed.aborted, renewed.lost) == (2, ("b",), False)
    assert bench.redis.zscore(bench.keys.workers, ME) == renewed.now + LEASE
    info = bench.run(verbs.worker_info(bench.keys, ME))
    assert (info["running"], info["seen"]) == ("2", str(renewed.now))


def test_a_renewal_names_only_its_own_aborts(bench: Bench) -> None:
    """E5: what another worker is to stop is no affair of this one."""
    bench.register("worker-2")
    bench.enqueue("a")
    bench.take("worker-2")
    bench.run(verbs.abort(bench.keys, "a", 60_000, b""))
    assert bench.run(verbs.renew(bench.keys, ME, LEASE, {"running": 0})).aborted == ()


def test_a_reaped_worker_cannot_renew(bench: Bench) -> None:
    """R3: a reaped name never comes back, and nothing of it is written."""
    bench.redis.zrem(bench.keys.workers, ME)
    bench.redis.delete(bench.keys.worker(ME))
    before = bench.state()
    assert bench.run(verbs.renew(bench.keys, ME, LEASE, {"running": 0})).lost
    assert bench.state() == before and not bench.redis.exists(bench.keys.worker(ME))


@pytest.mark.parametrize(
    ("known", "back", "gone", "lane"),
    [
        (["a", "b"], 0, [], ["c"]),
        (["a"], 1, [], ["b", "c"]),
        ([], 2, [], None),
        (["a", "b", "x"], 0, ["x"], ["c"]),
        (["x", "y"], 2, ["x", "y"], None),
    ],
)
def test_reconciling(
    bench: Bench, known: list[str], back: int, gone: list[str], lane: list[str] | None
) -> None:
    """R5: what the worker never heard of goes back uncharged, what it does not hold any more is named."""
    bench.enqueue("a", "b", "c")
    bench.take(ME, 2)
    found = bench.run(verbs.reconcile(bench.keys, ME, known))
    assert (found[0], sorted(found[1])) == (back, gone)
    if lane is None:
        assert sorted(bench.lane()[:2]) == ["a", "b"] and bench.lane()[2:] == ["c"]
    else:
        assert bench.lane() == lane
    assert bench.record("a").crashes == bench.record("b").crashes == 0
    held = {id: "1" for id in "ab" if id in known}
    assert bench.state().get(f"held:{ME}", {}) == held


def test_a_claim_whose_reply_was_lost(bench: Bench) -> None:
    """R5: its jobs neither leak nor wait for the lease; the same worker may have them again at once."""
    bench.enqueue("a", "b")
    bench.claim(ME, 10, number=1)  # nobody reads this
    bench.run(verbs.reconcile(bench.keys, ME, []))
    assert sorted(bench.take(ME, number=2)) == ["a", "b"]
    assert bench.state()[f"held:{ME}"] == {"a": "2", "b": "2"}


def test_a_reconcile_that_arrives_late(bench: Bench) -> None:
    """R5: it was sent before a later claim, and knows nothing of what runs under that one."""
    bench.enqueue("a", "b")
    bench.claim(ME, 1, number=1)  # nobody reads this
    late = verbs.reconcile(bench.keys, ME, [], 1)
    bench.claim(ME, 1, number=2)
    assert bench.run(late) == (1, [])
    assert bench.lane() == ["a"] and bench.state()[f"held:{ME}"] == {"b": "2"}


def test_reconciling_is_bounded(bench: Bench) -> None:
    """R9: at most 500 in one call; the count tells that there may be more."""
    count = verbs.CHUNK + 100
    bench.enqueue(*(f"{n:04}" for n in range(count)))
    bench.take(ME, count)
    assert bench.run(verbs.reconcile(bench.keys, ME, []))[0] == verbs.CHUNK
    assert bench.run(verbs.reconcile(bench.keys, ME, []))[0] == 100
    assert len(bench.lane()) == count


def test_reconciling_without_a_lease(bench: Bench) -> None:
    """R3: lost is lost; nothing is handed back by somebody who holds nothing."""
    bench.redis.zrem(bench.keys.workers, ME)
    assert bench.run(verbs.reconcile(bench.keys, ME, ["a"])) == (-1, [])


def test_signing_off(bench: Bench) -> None:
    """R16: only a worker that has settled all it held; else its lease is left to run out."""
    bench.enqueue("a")
    job = bench.take(ME)["a"]
    assert bench.run(verbs.unregister(bench.keys, ME)) == 1
    assert bench.state()["workers"] == [ME]
    bench.settle(ME, succeeded(job, ME))
    assert bench.run(verbs.unregister(bench.keys, ME)) == 0
    state = bench.state()
    assert "workers" not in state and not bench.redis.exists(bench.keys.worker(ME))
    assert bench.claim(ME).lost
