"""One record that is broken must not take its batch with it: what can go on goes on."""

from __future__ import annotations

import pytest

from ardiq.core.errors import BrokerError
from ardiq.core.job import JobStatus
from ardiq.store import letters, verbs
from tests.store.bench import Bench, ended, retried, succeeded

W1, W2 = "1" * 32, "2" * 32


def cut(bench: Bench, id: str, to: int = 38) -> None:
    bench.redis.set(bench.keys.job(id), bench.redis.get(bench.keys.job(id))[:to])


def test_promotion_goes_on_beside_a_record_that_is_cut_short(bench: Bench) -> None:
    """R9: four of five due jobs are claimed, the fifth is the only one that suffers."""
    ids = [f"j{number}" for number in range(5)]
    bench.enqueue(*ids, delay_ms=1)
    cut(bench, "j2")
    bench.register(W1)
    found: set[str] = set()
    for number in range(1, 20):
        found |= {id for id, _ in bench.claim(W1, number=number).jobs}
    assert found == set(ids) - {"j2"}
    bench.redis.delete(bench.keys.job("j2"))


@pytest.mark.parametrize("digits", [b"zz", b"-1"])
def test_reaping_goes_on_beside_a_record_with_broken_digits(bench: Bench, digits: bytes) -> None:
    """R9: all jobs of the dead worker go back, also the one whose count of crashes cannot be read."""
    ids = [f"j{number}" for number in range(5)]
    bench.enqueue(*ids)
    bench.register(W1, lease_ms=1)
    bench.claim(W1)
    bench.redis.setrange(bench.keys.job("j2"), 5, digits)
    bench.redis.zadd(bench.keys.workers, {W1: 1})
    bench.register(W2)
    found = {id for number in range(1, 4) for id, _ in bench.claim(W2, number=number).jobs}
    assert found == set(ids)


def test_a_dead_worker_that_held_thousands_is_reaped_to_the_last(bench: Bench) -> None:
    """R2: a hundred with each claim, however large the hash was."""
    count = 2_600
    ids = [f"j{number:04}" for number in range(count)]
    for at in range(0, count, verbs.CHUNK):
        bench.enqueue(*ids[at : at + verbs.CHUNK])
    bench.register(W1)
    for number in range(1, 8):
        bench.claim(W1, most=verbs.CHUNK, number=number)
    assert bench.redis.hlen(bench.keys.held(W1)) == count
    bench.redis.zadd(bench.keys.workers, {W1: 1})
    bench.register(W2)
    for number in range(1, 40):
        bench.claim(W2, most=1, number=number)
    assert bench.redis.hlen(bench.keys.held(W1)) == 0


def test_trimming_spares_an_id_that_lives_again(bench: Bench) -> None:
    """F1: the list of dead letters may hold an id whose record is another life by now."""
    bench.enqueue("again")
    bench.redis.zadd(bench.keys.ended(JobStatus.FAILED), {"again": 1})
    bench.enqueue("other", lane="high")
    bench.register(W1)
    claimed = bench.claim(W1, most=1, lanes=["high"])
    job = bench.record(claimed.jobs[0][0])
    ended = verbs.finished(job, 1, JobStatus.FAILED, 1, 60_000, W1, b"out")
    bench.run(verbs.settle(bench.keys, W1, [ended], listed_ms=0, failed_ms=0, failed_most=1))
    assert bench.redis.get(bench.keys.job("again"))[:1] == b"Q"


@pytest.mark.fault("38", "foreign types around a settle")
@pytest.mark.parametrize("key", ["unique:h", "waiters", "aborts", "ended:succeeded", "ended:failed"])
def test_a_settle_goes_on_beside_keys_of_a_wrong_type(bench: Bench, key: str) -> None:
    """R9: whatever somebody has put where a script expects something else, each job of the batch gets its
    outcome: none is left that nobody holds and that lies nowhere."""
    bench.register(W1)
    bench.enqueue("j0", unique="h")
    bench.enqueue("j1", "j2", "j3", "j4")
    jobs = bench.take(W1)
    assert len(jobs) == 5
    name = bench.keys.prefix + key
    bench.redis.delete(name)
    bench.redis.rpush(name, "foreign")
    verdicts = [succeeded(jobs["j0"], W1), ended(jobs["j1"], W1, JobStatus.FAILED), retried(jobs["j2"]),
                verbs.given_back(jobs["j3"], 1), succeeded(jobs["j4"], W1)]  # fmt: skip
    assert bench.settle(W1, *verdicts) == {}
    assert [bench.record(f"j{n}").status.value for n in range(5)] == [
        "succeeded", "failed", "scheduled", "queued", "succeeded",
    ]  # fmt: skip
    assert bench.redis.zscore(bench.keys.scheduled, "j2") and not bench.redis.exists(bench.keys.held(W1))
    bench.redis.delete(name)


@pytest.mark.fault("38", "a lane of a wrong type")
@pytest.mark.parametrize("broken", ["high", "low"])
def test_a_claim_goes_on_beside_a_lane_of_a_wrong_type(bench: Bench, broken: str) -> None:
    """R9: what was taken from the other lanes is handed out, what was due or held by a dead worker goes to
    them; and whoever finds nothing but the lane hears of it."""
    bench.register(W1, W2)
    bench.enqueue("held")
    bench.claim(W1)
    bench.enqueue("waits")
    bench.enqueue("due", delay_ms=1)
    bench.redis.zadd(bench.keys.workers, {W1: 1})
    bench.redis.set(bench.keys.lane(broken), "no list")
    found: set[str] = set()
    for number in range(1, 50):
        try:
            found |= {id for id, _ in bench.claim(W2, number=number).jobs}
        except BrokerError as error:
            assert "WRONGTYPE" in str(error)
            if found == {"held", "waits", "due"}:
                break
    else:
        pytest.fail(f"found {found}, and nobody was told of the lane")
    bench.redis.delete(bench.keys.lane(broken))


@pytest.mark.parametrize(
    "broken", [b"Zunknown", b"F", b"F00000000000000000000000000000000000low\nname\n\nzz"]
)
def test_deleting_and_replaying_go_on_beside_a_broken_record(bench: Bench, broken: bytes) -> None:
    """R9: it can be deleted, which is the way out that the check names; the others of its batch are done."""
    bench.register(W1)
    bench.enqueue("a", "b")
    bench.settle(W1, *(ended(job, W1, JobStatus.FAILED) for job in bench.take(W1).values()))
    bench.redis.set(bench.keys.job("broken"), broken)
    answers = bench.run(letters.replay(bench.keys, ["a", "broken", "b"]))
    assert answers == {"a": "queued", "broken": "not ended", "b": "queued"}
    assert bench.run(letters.delete(bench.keys, ["a", "broken", "b"])) == dict.fromkeys(answers, True)
    assert not bench.redis.exists(bench.keys.job("broken"))
