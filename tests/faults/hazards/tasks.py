"""Tasks that harm the process that runs them. They belong to the queue of tests/shop."""

from __future__ import annotations

import asyncio
import ctypes
import multiprocessing
import os
import signal
import time

from ardiq import current_job
from tests.shop.tasks import app, note, started


def ended() -> None:
    job = current_job()
    assert job is not None
    note("end", job.id)


@app.task(name="who")
async def who(seconds: float) -> int:
    """Which process ran it."""
    started()
    await asyncio.sleep(seconds)
    ended()
    return os.getpid()


@app.task(name="who_sync")
def who_sync(seconds: float) -> int:
    started()
    time.sleep(seconds)
    ended()
    return os.getpid()


@app.task(name="fall")
def fall(how: str) -> None:
    """Ends its process: by ``exit``, ``segfault`` or ``kill``."""
    started()
    if how == "exit":
        os._exit(9)
    elif how == "segfault":
        ctypes.string_at(0)
    else:
        os.kill(os.getpid(), signal.SIGKILL)


@app.task(name="seize")
def seize(seconds: int) -> int:
    """Holds the interpreter in C: no other thread of the process runs meanwhile."""
    started()
    ctypes.PyDLL(None).sleep(seconds)
    ended()
    return os.getpid()


@app.task(name="deaf")
def deaf() -> None:
    """A thread that never ends: it swallows whatever is thrown into it."""
    started()
    while True:
        try:
            time.sleep(0.05)
        except BaseException:
            note("swallowed")


HOARD: list[bytes] = []


@app.task(name="hoard")
def hoard(megabytes: int) -> None:
    """Leaks."""
    started()
    HOARD.append(os.urandom(1_000) * 1_000 * megabytes)
    ended()


@app.task(name="hot", max_retries=50, backoff_ms=0)
async def hot() -> None:
    """Fails at once, every time."""
    started()
    raise ValueError("hot")


@app.task(name="burn", max_retries=1_000, backoff_ms=1)
async def burn() -> None:
    """The same, and asks to be back in a millisecond."""
    started()
    raise ValueError("burning")


@app.task(name="sour", max_retries=5, backoff_ms=1_000)
async def sour(until: float) -> str:
    """Fails as long as what it needs is away: until that moment, epoch seconds."""
    job = current_job()
    assert job is not None
    note("sour", job.id, time.time())
    if time.time() < until:
        raise ConnectionError("away")
    return "back"


@app.task(name="clock")
async def clock() -> float:
    """What time this process thinks it is."""
    started()
    return time.time()


if os.environ.get("ARDIQ_TEST_BEAT"):

    @app.cron(every=1, overlap="queue", misfire="all", name="beat")
    async def beat() -> None:
        started()


@app.task(name="grab", max_retries=0)
async def grab(seconds: float) -> int:
    """Opens files until there are no more to be had, and keeps them for a while."""
    started()
    files = []
    try:
        while True:
            files.append(open("/dev/null"))  # noqa: SIM115
    except OSError:
        files.pop().close()  # the journal is a file, too
        note("full", len(files))
        files.append(open("/dev/null"))  # noqa: SIM115
        await asyncio.sleep(seconds)
    finally:
        for file in files:
            file.close()
    ended()
    return len(files)


@app.task(name="litter", max_retries=0)
def litter(die: bool) -> int:
    """Starts a process that holds all that it has inherited, then dies and leaves it behind, or ends it."""
    started()
    other = multiprocessing.get_context("fork").Process(target=time.sleep, args=(90,))
    other.start()
    note("litter", other.pid)
    if die:
        os.kill(os.getpid(), signal.SIGKILL)
    other.kill()
    other.join()
    ended()
    return other.exitcode or 0
