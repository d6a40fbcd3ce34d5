"""When Redis cannot be reached: a bounded wait, one silent retry, and never two jobs."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from ardiq import Ardiq, ArdiqError, BrokerError, Job
from tests.admin_client import direct
from tests.django.conftest import Stored, Work
from tests.proxy import Proxy
from tests.server import admin, answers, free_port, need_binary, start_server, stop_server
from tests.workers import until

BOUND = 3.0  # seconds (C13)
SLACK = 1.5  # seconds that a busy machine may add

Call = Callable[[Ardiq], Any]


async def gathered(app: Ardiq, times: int) -> list[Job[Any]]:
    return await asyncio.gather(*(app.send("t", n) for n in range(times)))


async def all_waiting(app: Ardiq, times: int) -> None:
    """Raises what the last of them is told."""
    waits = (app.result(f"x{n}", timeout=30) for n in range(times))
    for found in await asyncio.gather(*waits, return_exceptions=True):
        assert isinstance(found, BrokerError)
    raise found


CALLS: dict[str, Call] = {
    "enqueue": lambda app: asyncio.run(app.send("t", 1)),
    "enqueue at once": lambda app: asyncio.run(gathered(app, 20)),
    "enqueue_sync": lambda app: app.send_sync("t", 1),
    "enqueue_many": lambda app: asyncio.run(
        app.enqueue_many([app.ref("t").prepare(n) for n in range(1_100)])
    ),
    "enqueue_many_sync": lambda app: app.enqueue_many_sync([app.ref("t").prepare(n) for n in range(1_100)]),
    "status": lambda app: asyncio.run(app.status("x")),
    "status_sync": lambda app: app.status_sync("x"),
    "result": lambda app: asyncio.run(app.result("x", timeout=30)),
    "results at once": lambda app: asyncio.run(all_waiting(app, 20)),
    "result_sync": lambda app: app.result_sync("x", timeout=30),
    "abort_sync": lambda app: app.abort_sync("x"),
    "queue_size": lambda app: asyncio.run(app.queue_size()),
}
each_call = pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)


def refused(call: Callable[[], Any]) -> BrokerError:
    """The BrokerError of a call, which must come within the bound."""
    began = time.monotonic()
    with pytest.raises(BrokerError) as caught:
        call()
    assert time.monotonic() - began < BOUND + SLACK
    assert isinstance(caught.value, ArdiqError) and isinstance(caught.value, RuntimeError)
    assert "cannot be reached" in str(caught.value) and "Check REDIS_URL (or ARDIQ_REDIS_URL in" in str(
        caught.value
    )
    return caught.value


@each_call
def test_nobody_listens(call: Call) -> None:
    """C13: BrokerError, under ArdiqError, under RuntimeError, naming the place; at once."""
    place = f"127.0.0.1:{free_port()}"
    began = time.monotonic()
    error = refused(lambda: call(Ardiq("q", redis_url=f"redis://{place}/0")))
    assert place in str(error)
    assert time.monotonic() - began < 1


@pytest.fixture
def mute() -> Iterator[str]:
    """Url of a server that accepts connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0), backlog=100) as server:
        yield f"redis://127.0.0.1:{server.getsockname()[1]}/0"


def test_a_server_that_never_answers(mute: str) -> None:
    """C13: a connection that is accepted and then silent costs no more than the bound, on every path."""
    with ThreadPoolExecutor(len(CALLS)) as threads:
        calls = [partial(refused, partial(call, Ardiq("q", redis_url=mute))) for call in CALLS.values()]
        for done in [threads.submit(call) for call in calls]:
            assert isinstance(done.result(), BrokerError)


def test_whoever_stops_waiting_leaves_no_noise(mute: str, caplog: pytest.LogCaptureFixture) -> None:
    """The try to connect goes on without the caller; that it failed is no error of the loop."""

    async def give_up() -> None:
        app = Ardiq("q", redis_url=mute)
        for call in (app.send("t", 1), app.result("x", timeout=30)):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(call, 0.1)
        await asyncio.sleep(3)
        gc.collect()

    asyncio.run(give_up())
    assert "never retrieved" not in caplog.text


@pytest.fixture
def frozen(tmp_path: Path) -> Iterator[tuple[str, Callable[[], None]]]:
    """(url, freeze) of a server of our own."""
    port = free_port()
    process = start_server(need_binary(), tmp_path, port)
    url = f"redis://127.0.0.1:{port}/0"
    assert answers(url, 10)
    with admin(url) as client:
        pid = int(client.info("server")["process_id"])
    yield url, lambda: os.kill(pid, signal.SIGSTOP)
    os.kill(pid, signal.SIGCONT)
    stop_server(process)


def test_a_server_that_hangs(frozen: tuple[str, Callable[[], None]]) -> None:
    """C13: a server that stops answering on connections that were fine costs no more than the bound."""
    url, freeze = frozen
    app = Ardiq("q", redis_url=url)
    calls = [app.ref("t").prepare(n) for n in range(1_100)]
    warm = threading.Barrier(5)

    async def hang(enqueue: Callable[[], Any]) -> None:
        await enqueue()
        warm.wait()
        warm.wait()
        began = time.monotonic()
        with pytest.raises(BrokerError, match="cannot be reached"):
            await enqueue()
        assert time.monotonic() - began < BOUND + SLACK

    def hang_sync(enqueue: Callable[[], Any]) -> None:
        enqueue()
        warm.wait()
        warm.wait()
        refused(enqueue)

    with ThreadPoolExecutor(4) as threads:
        hanging = [
            threads.submit(lambda: asyncio.run(hang(lambda: app.send("t", 1)))),
            threads.submit(lambda: asyncio.run(hang(lambda: app.enqueue_many(calls)))),
            threads.submit(hang_sync, lambda: app.send_sync("t", 1)),
            threads.submit(hang_sync, lambda: app.enqueue_many_sync(calls)),
        ]
        warm.wait()
        freeze()
        warm.wait()
        for done in hanging:
            done.result()


class Enough(Exception):
    """What a signal handler of the project raises, as some servers do to end a slow request."""


def ring_when_stuck(thread: int) -> None:
    """Send SIGALRM once a thread waits for a server: where it is has not changed for four looks."""

    def place() -> tuple[str, int]:
        frame = sys._current_frames()[thread]
        return frame.f_code.co_filename, frame.f_lineno

    seen: list[tuple[str, int]] = []
    until(lambda: _is_stuck(seen) or time.sleep(0.05) or seen.append(place()), what="a wait for the server")
    signal.pthread_kill(thread, signal.SIGALRM)


def _is_stuck(seen: list[tuple[str, int]]) -> bool:
    return len(seen) >= 4 and len(set(seen[-4:])) == 1 and "/redis/" in seen[-1][0]


def test_an_interrupted_batch_mixes_up_no_answers(frozen: tuple[str, Callable[[], None]]) -> None:
    """C13: interrupted between sending and reading, the next call does not read the answer of that one."""
    url, freeze = frozen
    app = Ardiq("q", redis_url=url)
    app.send_sync("warm")
    with admin(url) as client:
        pid = int(client.info("server")["process_id"])

    def ring(*_: object) -> None:
        os.kill(pid, signal.SIGCONT)
        raise Enough

    before = signal.signal(signal.SIGALRM, ring)
    try:
        for enqueue in (app.enqueue_many_sync, lambda calls: [app.send_sync("t")]):
            freeze()
            threading.Thread(target=ring_when_stuck, args=(threading.get_ident(),)).start()
            with pytest.raises(Enough):
                enqueue([app.ref("t").prepare(n) for n in range(1_100)])
            assert app.status_sync("nobody") == "not_found"
            assert app.send_sync("t").status_sync() == "queued"
    finally:
        signal.signal(signal.SIGALRM, before)


def test_a_stale_connection_is_replaced_silently(app: Ardiq, redis_url: str, stored: Stored) -> None:
    """C13: connections that the server has closed meanwhile are opened anew, without a word to the caller."""

    def cut() -> None:
        with admin(redis_url) as client:
            client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")

    async def go_on() -> None:
        await app.send("t", 1)
        for n in range(3):
            cut()
            await app.send("t", n)
            cut()
            await gathered(app, 3)

    asyncio.run(go_on())
    app.send_sync("t", 1)
    for n in range(3):
        cut()
        app.send_sync("t", n)
    cut()
    assert app.queue_size_sync() == len(stored()) == 1 + 3 * 4 + 1 + 3


@pytest.fixture
def lossy(app: Ardiq, redis_url: str, queue_name: str) -> Iterator[tuple[Ardiq, Proxy]]:
    """The queue of the test behind a proxy that loses replies; the script is known to the server."""
    app.enqueue_many_sync([app.ref("warm").options(delay_ms=600_000).prepare()])
    proxy = Proxy(direct(redis_url, queue_name))
    proxy.only_if = lambda request: b"EVAL" in request
    yield Ardiq(app.queue_name, priorities=["low", "default", "high"], redis_url=proxy.url), proxy
    proxy.close()


ONCE: dict[str, Callable[[Ardiq], list[Job[Any]]]] = {
    "sync": lambda app: [app.send_sync("t", 1)],
    "async": lambda app: [asyncio.run(app.send("t", 1))],
    "at once": lambda app: asyncio.run(gathered(app, 50)),
    "delayed": lambda app: [app.ref("t").options(delay_ms=60_000).enqueue_sync(1)],
    "own id": lambda app: [app.ref("t").options(task_id="mine").enqueue_sync(1)],
    "unique": lambda app: [app.ref("t").options(unique=True).enqueue_sync(1)],
    "unique, async": lambda app: asyncio.run(unique_async(app)),
    "many": lambda app: app.enqueue_many_sync([app.ref("t").prepare(n) for n in range(1_200)]),
    "many, async": lambda app: asyncio.run(app.enqueue_many([app.ref("t").prepare(n) for n in range(1_200)])),
}


async def unique_async(app: Ardiq) -> list[Job[Any]]:
    return [await app.ref("t").options(unique=True).enqueue(1)]


@pytest.mark.parametrize("enqueue", ONCE.values(), ids=ONCE)
def test_a_lost_reply_never_makes_two_jobs(
    lossy: tuple[Ardiq, Proxy], stored: Stored, enqueue: Callable[[Ardiq], list[Job[Any]]]
) -> None:
    """C13: the server stored the job, its reply was lost, the call is repeated: one job, created True."""
    app, proxy = lossy
    app.send_sync("warm")
    before = stored()
    proxy.lose = 1
    jobs = enqueue(app)
    assert proxy.lost == 1
    assert all(job.created for job in jobs)
    assert stored() - before == {job.id for job in jobs}
    size = sum(1 for job in jobs if job.status_sync() == "queued")
    assert app.queue_size_sync() == 1 + size, "each stands in its lane once"


def test_a_replaced_job_is_replaced_once(lossy: tuple[Ardiq, Proxy], work: Work) -> None:
    """C13, C6: the reply of a replace=True is lost; the new life starts once and the answer is created."""
    app, proxy = lossy
    ran: list[int] = []
    task = app.task(name="t")(lambda n: ran.append(n))
    task.options(task_id="mine").enqueue_sync(1)
    work(app)
    proxy.lose = 1
    job = task.options(task_id="mine", replace=True).enqueue_sync(2)
    assert (proxy.lost, job.created, app.queue_size_sync()) == (1, True, 1)
    work(app)
    assert ran == [1, 2]


def test_two_lost_replies_are_an_error(lossy: tuple[Ardiq, Proxy], stored: Stored) -> None:
    """C13: one retry and no more; the caller hears of it, and asking again under the same id is safe."""
    app, proxy = lossy
    app.send_sync("warm")
    proxy.lose = 2
    mine = app.ref("t").options(task_id="mine")
    refused(lambda: mine.enqueue_sync(1))
    assert proxy.lost == 2
    assert mine.enqueue_sync(1).created is False
    assert "mine" in stored()
