"""The two clients: lost scripts, lost connections, lost replies, servers that are not there, forks."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from ardiq.core.errors import BrokerError
from ardiq.store import verbs
from ardiq.store.async_client import AsyncStore
from ardiq.store.client import Store
from ardiq.store.endpoint import Endpoint
from ardiq.store.keys import Keys
from ardiq.store.scripts import Call
from tests.admin_client import direct
from tests.proxy import Proxy
from tests.server import free_port
from tests.store.bench import Bench

Step = Callable[[], object]
Run = Callable[..., list[Any]]


def run_sync(url: str, *steps: Call | Step) -> list[Any]:
    """Run calls over one connection; between them, whatever the test does to the server."""
    store = Store(Endpoint(url))
    try:
        return [store.run(step) if isinstance(step, Call) else step() for step in steps]
    finally:
        store.close()


def run_async(url: str, *steps: Call | Step) -> list[Any]:
    async def main() -> list[Any]:
        store = AsyncStore(Endpoint(url))
        return [
            await store.run(step) if isinstance(step, Call) else await asyncio.to_thread(step)
            for step in steps
        ]

    return asyncio.run(main())


@pytest.fixture(params=[run_sync, run_async], ids=["sync", "async"])
def run(request: pytest.FixtureRequest) -> Run:
    found: Run = request.param
    return found


def echo(text: str) -> Call:
    """By a script: the user of the suite may have no other way."""
    return Call(("EVAL", "return ARGV[1]", 0, text), bytes.decode)


def enqueue(bench: Bench, *ids: str) -> Call:
    return verbs.enqueue(bench.keys, [bench.new(id) for id in ids])


def test_a_server_that_lost_its_scripts(bench: Bench, redis_url: str, run: Run) -> None:
    """C13, R13: NOSCRIPT is answered with the whole text, and the job is stored once."""
    flush = bench.redis.script_flush
    answers = run(redis_url, flush, enqueue(bench, "a"), enqueue(bench, "b"), flush, enqueue(bench, "c"))
    assert [answer for answer in answers if answer != b"OK" and answer is not True] == [[True]] * 3
    assert bench.lane() == ["a", "b", "c"]


def test_a_connection_that_was_cut_while_idle(bench: Bench, redis_url: str, run: Run) -> None:
    """C13: one stale connection is retried silently; the job is stored once."""

    def kill() -> None:
        bench.redis.client_kill_filter(_type="normal", skipme=True)

    assert run(redis_url, enqueue(bench, "a"), kill, enqueue(bench, "b"), kill, enqueue(bench, "c"))[::2] == [
        [True], [True], [True],
    ]  # fmt: skip
    assert bench.lane() == ["a", "b", "c"]


@pytest.fixture
def proxy(redis_url: str, queue_name: str) -> Iterator[Proxy]:
    proxy = Proxy(direct(redis_url, queue_name))
    proxy.only_if = lambda request: b"EVAL" in request
    yield proxy
    proxy.close()


def test_a_reply_that_was_lost(bench: Bench, proxy: Proxy, run: Run) -> None:
    """C13, R10: the server has stored the job, the caller sends again, and there is one job."""

    def lose() -> None:
        proxy.lose = 1

    answers = run(proxy.url, enqueue(bench, "a"), lose, enqueue(bench, "b"), lose, enqueue(bench, "c", "d"))
    assert (answers[2], answers[4], proxy.lost) == ([True], [True, True], 2)
    assert bench.lane() == ["a", "b", "c", "d"]


def test_replies_that_are_lost_twice(bench: Bench, proxy: Proxy, run: Run) -> None:
    """C13: retried once, not for ever: the caller hears of it, and may send the very same again."""
    proxy.lose = 2
    with pytest.raises(BrokerError, match="cannot be reached"):
        run(proxy.url, enqueue(bench, "a"))
    assert run(proxy.url, enqueue(bench, "a")) == [[True]]
    assert bench.lane() == ["a"]


def test_a_stream_whose_replies_are_lost(bench: Bench, proxy: Proxy) -> None:
    """C9, C13: the chunks of a batch that were under way are sent again; each job is stored once."""
    ids = [f"{n:02}" for n in range(40)]
    chunks = [enqueue(bench, *ids[n : n + 10]) for n in range(0, 40, 10)]
    store = Store(proxy_endpoint := Endpoint(proxy.url))
    proxy.lose = 1
    assert [answer for answers in store.run_each(chunks) for answer in answers] == [True] * 40
    store.close()

    async def main() -> list[Any]:
        proxy.lose = 1
        return [answers async for answers in AsyncStore(proxy_endpoint).run_each(chunks)]

    assert asyncio.run(main()) == [[True] * 10] * 4
    assert sorted(bench.lane()) == ids and proxy.lost == 2


def test_a_refusal_leaves_the_connection_usable(bench: Bench, redis_url: str, run: Run) -> None:
    """C13: an error reply is a BrokerError with the words of the server, and the next call works."""
    wrong = Call(("LPUSH", bench.keys.job("a"), "x"), int)
    bench.enqueue("a")
    with pytest.raises(BrokerError, match=r"refused the command.*wrong kind"):
        run(redis_url, enqueue(bench, "b"), wrong)

    def refused(url: str) -> list[Any]:
        store = Store(Endpoint(url))
        with pytest.raises(BrokerError):
            store.run(wrong)
        return [store.run(enqueue(bench, "c"))]

    assert refused(redis_url) == [[True]]


# -- not there ------------------------------------------------------------------------------------


@pytest.fixture
def deaf() -> Iterator[str]:
    """A server that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"redis://127.0.0.1:{listening.getsockname()[1]}/0"


def hears_within(seconds: float, run: Run, url: str, *steps: Call | Step) -> str:
    begin = time.monotonic()
    with pytest.raises(BrokerError) as caught:
        run(url, *steps)
    assert time.monotonic() - begin < seconds
    return str(caught.value)


def test_nobody_listens(run: Run) -> None:
    """C13: BrokerError at once, naming the place and what to check, never the password."""
    port = free_port()
    call = verbs.length(Keys("q"), "default")
    text = hears_within(1, run, f"redis://user:s3cret@127.0.0.1:{port}/0", call)
    assert f"127.0.0.1:{port}" in text and "REDIS_URL" in text and "s3cret" not in text


def test_a_server_that_never_answers(deaf: str, run: Run) -> None:
    """C13: within 3 s."""
    hears_within(3.2, run, deaf, verbs.length(Keys("q"), "default"))


def test_a_server_that_falls_silent(bench: Bench, proxy: Proxy, run: Run) -> None:
    """C13: within 3 s also on a connection that worked before."""

    def silence() -> None:
        proxy.silent = True
        begun.append(time.monotonic())

    begun: list[float] = []
    with pytest.raises(BrokerError):
        run(proxy.url, enqueue(bench, "a"), silence, enqueue(bench, "b"))
    assert time.monotonic() - begun[0] < 3.2


# -- threads, loops, forks ------------------------------------------------------------------------


def test_threads_do_not_share_a_connection(bench: Bench, redis_url: str) -> None:
    """C2: each reads its own replies, however they interleave."""
    store, wrong = Store(Endpoint(redis_url)), list[str]()

    def work(me: int) -> None:
        for n in range(50):
            text = f"{me}-{n}"
            if store.run(echo(text)) != text:
                wrong.append(text)
        store.close()

    threads = [threading.Thread(target=work, args=(me,)) for me in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_coroutines_share_a_connection(redis_url: str) -> None:
    """C1: replies find whoever asked, also when some of the askers have given up."""

    async def main() -> list[str]:
        store = AsyncStore(Endpoint(redis_url))
        calls = [echo(str(n)) for n in range(300)]
        tasks = [asyncio.ensure_future(store.run(call)) for call in calls]
        await asyncio.sleep(0)
        for task in tasks[::3]:
            task.cancel()
        found = await asyncio.gather(*tasks, return_exceptions=True)
        return [str(n) for n, one in enumerate(found) if n % 3 and one != str(n)]

    assert asyncio.run(main()) == []


@pytest.mark.fault("61", "fork after connect: one child")
def test_a_child_does_not_use_the_connection_of_its_parent(bench: Bench, redis_url: str) -> None:
    """C13: both go on after a fork, on sockets of their own, and read their own replies."""
    store = Store(Endpoint(redis_url))

    def address() -> Any:
        store.run(echo("x"))
        return store._local.connection._sock.getsockname()

    mine = address()
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            answer = address(), store.run(enqueue(bench, "child"))
            os.write(writer, repr(answer).encode())
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    text = os.read(reader, 1_000).decode()
    assert text.endswith(", [True])") and not text.startswith(f"({mine},")
    assert address() == mine
    assert store.run(enqueue(bench, "parent")) == [True]
    assert bench.lane() == ["child", "parent"]
    store.close()


def test_an_interrupted_call_does_not_leave_its_reply_behind(bench: Bench, redis_url: str) -> None:
    """B7: an exception thrown into a thread between sending and reading: the next reply is its own."""
    store = Store(Endpoint(redis_url))
    store.run(Call(("PING",), bytes.decode))

    class Stop(BaseException):
        pass

    def interrupted(*args: object, **kwargs: object) -> Any:
        raise Stop

    read, store._read = store._read, interrupted  # type: ignore[method-assign]
    with pytest.raises(Stop):
        store.run(echo("old"))
    store._read = read  # type: ignore[method-assign]
    assert store.run(echo("new")) == "new"
    store.close()
