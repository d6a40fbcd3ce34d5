"""Tasks that tell what they do in a journal: a file, so that a worker killed in the middle has told it."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import AsyncIterator

from ardiq import Ardiq, current_job

app = Ardiq(os.environ.get("ARDIQ_TEST_QUEUE", "shop"))
log = logging.getLogger("shop")


def note(*words: object) -> None:
    """One line in the journal, written at once."""
    if path := os.environ.get("ARDIQ_TEST_JOURNAL"):
        line = " ".join(map(str, words)) + "\n"
        journal = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(journal, line.encode())
        os.close(journal)


def started() -> None:
    job = current_job()
    assert job is not None
    # Who, when, and for whom: the monotonic clock is the same in every process of a machine, and a suspect
    # runs in a child of its worker.
    note("start", job.id, job.attempt, os.getpid(), f"{time.monotonic():.3f}", os.getppid())


@app.lifespan
async def life(owner: Ardiq) -> AsyncIterator[None]:
    owner.state.greeting = "hello"
    note("up", os.getpid())
    yield
    note("down", os.getpid())


@app.task(name="add")
async def add(a: int, b: int) -> int:
    return a + b


@app.task(name="greet")
def greet() -> str:
    return str(app.state.greeting)


@app.task(name="nap")
async def nap(seconds: float) -> str:
    started()
    await asyncio.sleep(seconds)
    note("end", current_job().id)  # type: ignore[union-attr]
    return "rested"


@app.task(name="doze")
def doze(seconds: float) -> str:
    started()
    time.sleep(seconds)
    note("end", current_job().id)  # type: ignore[union-attr]
    return "rested"


@app.task(name="potter")
def potter(seconds: float) -> str:
    """Like ``doze``, in many short steps: it can be interrupted between them."""
    started()
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        time.sleep(0.02)
    note("end", current_job().id)  # type: ignore[union-attr]
    return "rested"


@app.task(name="insist")
async def insist() -> None:
    """Cannot be stopped: it swallows every cancellation."""
    started()
    while True:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            note("swallowed")


@app.task(name="murmur")
def murmur(secret: str) -> str:
    log.warning("heard something")
    return secret[::-1]


@app.task(name="exit", max_retries=0)
async def leave() -> None:
    raise SystemExit(3)


@app.task(name="rows")
async def rows() -> int:
    from django.contrib.contenttypes.models import ContentType

    return await ContentType.objects.acount()


@app.task(name="rows_sync")
def rows_sync() -> int:
    from django.contrib.contenttypes.models import ContentType

    return ContentType.objects.count()


@app.task(name="clog", max_retries=0)
async def clog(seconds: float) -> str:
    """Blocks the loop: what no async task should do."""
    started()
    time.sleep(seconds)
    return "done"


@app.task(name="kill", max_retries=0)
async def kill(number: int) -> None:
    """Kills the process that runs it: by a signal, or for 0 by leaving without a word."""
    started()
    if number == 0:
        os._exit(3)
    os.kill(os.getpid(), number)
    await asyncio.sleep(60)


@app.task(name="kill_once")
def kill_once() -> str:
    """Kills the first process that runs it, as one may that met a passing shortage of memory."""
    job = current_job()
    assert job is not None
    first = not any(words[1] == job.id for words in notes("start"))
    started()
    if first:
        os.kill(os.getpid(), 9)
    return f"{os.getpid()} {app.state.greeting}"


def notes(word: str) -> list[list[str]]:
    with open(os.environ["ARDIQ_TEST_JOURNAL"]) as journal:
        return [line.split() for line in journal if line.startswith(word)]
