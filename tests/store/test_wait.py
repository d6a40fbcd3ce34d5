"""wait: the end of a job is pushed to those who wait for just that job, and found when the push is lost."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from ardiq.core.job import JobStatus
from ardiq.store import letters, verbs, waiting
from ardiq.store.async_client import AsyncStore
from ardiq.store.endpoint import Endpoint
from ardiq.store.waiting import AsyncWaiter, Waiter
from tests.store.bench import Bench, succeeded

ME = "worker-1"


def test_the_record_tells_whether_to_wait(bench: Bench) -> None:
    """E1: nothing for an unknown job, '' while it lives, the record once it has ended."""
    bench.register(ME)
    assert bench.run(verbs.wait(bench.keys, "a", "me")) is None
    bench.enqueue("a")
    assert bench.run(verbs.wait(bench.keys, "a", "me")) == b""
    bench.settle(ME, succeeded(bench.take(ME)["a"], ME))
    assert bench.run(verbs.wait(bench.keys, "a", "me")) == bench.redis.get(bench.keys.job("a"))
    assert "waiters" not in bench.state()


def test_each_client_is_told_once(bench: Bench) -> None:
    """E1: those who wait for this job and nobody else; asking twice is one entry."""
    bench.register(ME)
    bench.enqueue("a", "b")
    for id, client in (("a", "one"), ("a", "two"), ("a", "one"), ("b", "three")):
        bench.run(verbs.wait(bench.keys, id, client))
    assert bench.state()["waiters"] == {"a": "one two", "b": "three"}
    jobs = bench.take(ME)
    with bench.redis.pubsub() as listening:
        channels = {bench.keys.done(client).encode(): client for client in ("one", "two", "three")}
        listening.subscribe(*channels)
        for _ in channels:
            assert listening.get_message(timeout=5)["type"] == "subscribe"
        bench.settle(ME, succeeded(jobs["a"], ME))
        told = []
        end = time.monotonic() + 5
        while len(told) < 2 and time.monotonic() < end:
            if message := listening.get_message(timeout=0.2):
                told.append((channels[message["channel"]], message["data"]))
        assert listening.get_message(timeout=0.05) is None
    assert sorted(told) == [("one", b"a"), ("two", b"a")]
    assert bench.state()["waiters"] == {"b": "three"}


@pytest.mark.parametrize(("size", "brought"), [(100, True), (5_000, False)])
def test_the_record_comes_with_the_push(bench: Bench, size: int, brought: bool) -> None:
    """E1: to a client that asks for it, unless it is large; one of an earlier release is told the id."""
    bench.register(ME)
    bench.enqueue("a")
    job = bench.take(ME)["a"]
    for client in ("old", "+new"):
        bench.run(verbs.wait(bench.keys, "a", client))
    with bench.redis.pubsub(ignore_subscribe_messages=True) as listening:
        channels = {bench.keys.done(client).encode(): client for client in ("old", "+new")}
        listening.subscribe(*channels)
        bench.settle(ME, verbs.finished(job, 1, JobStatus.SUCCEEDED, 1, 60_000, ME, b"x" * size))
        told: dict[str, bytes] = {}
        end = time.monotonic() + 5
        while len(told) < 2 and time.monotonic() < end:
            if message := listening.get_message(timeout=0.2):
                told[channels[message["channel"]]] = message["data"]
    record = bench.redis.get(bench.keys.job("a"))
    assert told == {"old": b"a", "+new": b"a\n" + record if brought else b"a"}


def test_the_list_of_clients_is_bounded(bench: Bench) -> None:
    """R9: late ones rely on their own polling."""
    bench.enqueue("a")
    for n in range(300):
        bench.run(verbs.wait(bench.keys, "a", f"{n:016}"))
    assert len(bench.state()["waiters"]["a"]) < 3_400


@pytest.fixture
def polls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "POLL_FIRST", 0.1)


class After:
    """Ends a job from another thread, after a moment."""

    def __init__(self, bench: Bench, action: Callable[[], object]) -> None:
        self._thread = threading.Timer(0.15, action)
        bench.register(ME)
        self._thread.start()

    def __enter__(self) -> None: ...

    def __exit__(self, *error: object) -> None:
        self._thread.join()


def finish(bench: Bench) -> None:
    bench.settle(ME, succeeded(bench.take(ME)["a"], ME))


def wait_sync(bench: Bench, timeout: float | None) -> bytes | None:
    endpoint = bench.store.endpoint
    return Waiter(endpoint, bench.store, bench.keys).wait("a", timeout)


def wait_async(bench: Bench, timeout: float | None) -> bytes | None:
    async def main() -> bytes | None:
        endpoint = bench.store.endpoint
        return await AsyncWaiter(endpoint, AsyncStore(endpoint), bench.keys).wait("a", timeout)

    return asyncio.run(main())


Wait = Callable[[Bench, float | None], bytes | None]


@pytest.fixture(params=[wait_sync, wait_async], ids=["sync", "async"])
def wait(request: pytest.FixtureRequest) -> Wait:
    found: Wait = request.param
    return found


def test_waiting_for_the_end(bench: Bench, wait: Wait) -> None:
    """E1: pushed: well before the first look by oneself, which comes after a second."""
    bench.enqueue("a")
    with After(bench, lambda: finish(bench)):
        begin = time.monotonic()
        record = wait(bench, 10)
        took = time.monotonic() - begin
    assert record == bench.redis.get(bench.keys.job("a"))
    assert 0.1 < took < 0.9
    assert wait(bench, 10) == record


def test_a_lost_push_costs_a_look(bench: Bench, wait: Wait, polls: None) -> None:
    """E1: nobody is told, and the end is found all the same."""
    bench.enqueue("a")

    def finish_silently() -> None:
        job = bench.take(ME)["a"]
        bench.redis.delete(bench.keys.waiters)
        bench.settle(ME, succeeded(job, ME))

    with After(bench, finish_silently):
        assert wait(bench, 10) is not None


def test_a_connection_that_is_lost_meanwhile(bench: Bench, wait: Wait, polls: None) -> None:
    """E1: every connection of the waiting side is cut; it connects again."""
    bench.enqueue("a")

    def cut_and_finish() -> None:
        bench.redis.client_kill_filter(_type="pubsub")
        finish(bench)

    with After(bench, cut_and_finish):
        assert wait(bench, 10) is not None


def test_patience_ends(bench: Bench, wait: Wait) -> None:
    """E1: TimeoutError after the given seconds, also for 0."""
    bench.enqueue("a")
    for seconds in (0.3, 0.0):
        begin = time.monotonic()
        with pytest.raises(TimeoutError):
            wait(bench, seconds)
        assert seconds <= time.monotonic() - begin < seconds + 1


@pytest.mark.parametrize("there", [False, True])
def test_a_job_that_is_not_there_any_more(bench: Bench, wait: Wait, there: bool) -> None:
    """E1: None at once, and None when it is deleted while somebody waits."""
    if there:
        bench.enqueue("a")
    with After(bench, lambda: bench.run(letters.delete(bench.keys, ["a"]))):
        assert wait(bench, 10) is None


def test_many_waits_of_one_loop(redis_url: str, queue_name: str, bench: Bench) -> None:
    """E1: one connection listens for all coroutines of a loop, two of them for the same job."""
    ids = [f"{n:02}" for n in range(30)]
    bench.enqueue(*ids)
    bench.register(ME)

    async def main() -> list[bytes | None]:
        endpoint = Endpoint(redis_url)
        waiter = AsyncWaiter(endpoint, AsyncStore(endpoint), bench.keys)
        tasks = [asyncio.ensure_future(waiter.wait(id, 10)) for id in [*ids, ids[0]]]
        await asyncio.sleep(0.1)
        await asyncio.to_thread(settle_all)
        return await asyncio.gather(*tasks)

    def settle_all() -> None:
        own = Bench(redis_url, queue_name)
        own.settle(ME, *(succeeded(job, ME) for job in own.take(ME, 100).values()))
        own.close()

    begin = time.monotonic()
    records = asyncio.run(main())
    assert all(record and record[:1] == b"S" for record in records) and len(records) == 31
    assert time.monotonic() - begin < 0.95


def test_a_listener_that_is_always_hung_up_on(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Matrix 58: it is replaced with a pause, and the job is found by looking."""
    bench.register(ME)
    bench.enqueue("a")
    waiter = Waiter(bench.store.endpoint, bench.store, bench.keys)
    subscribe, made = waiter._subscribe, []

    def cut(channel: str) -> Any:
        made.append(channel)
        connection = subscribe(channel)
        connection._sock.shutdown(socket.SHUT_RDWR)
        return connection

    monkeypatch.setattr(waiter, "_subscribe", cut)
    with pytest.raises(TimeoutError):
        waiter.wait("a", 0.5)
    assert len(made) < 10
    bench.settle(ME, succeeded(bench.take(ME)["a"], ME))
    assert waiter.wait("a", 5) == bench.redis.get(bench.keys.job("a"))
