"""Tasks that run in child processes, on the queue of the shop."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from typing import Any

from ardiq import Retry, current_job
from tests.shop.tasks import app, note, started

log = logging.getLogger("mill")


class Journal(logging.Handler):
    """What tasks log, with the job that it belongs to."""

    def emit(self, record: logging.LogRecord) -> None:
        note("log", getattr(record, "job_id", "-"), getattr(record, "task", "-"), record.getMessage())


log.addHandler(Journal())
log.setLevel(logging.INFO)


class Unsendable(Exception):
    """No pickle of it can be made, and its text is what matters."""

    def __init__(self, text: str, lock: object) -> None:
        super().__init__(text)
        self.lock = lock


@app.task(name="grind", executor="process")
def grind(seconds: float = 0) -> int:
    """Burns the processor and never looks up. The process that did it."""
    started()
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass
    return os.getpid()


@app.task(name="grind_briefly", executor="process", timeout=0.3, max_retries=1, backoff_ms=1)
def grind_briefly(seconds: float) -> int:
    return int(grind.fn(seconds))


@app.task(name="spin", max_retries=0)
def spin(seconds: float) -> str:
    """The same in a thread."""
    started()
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass
    return "done"


@app.task(name="spin_briefly", timeout=0.3, max_retries=0)
def spin_briefly(seconds: float) -> str:
    return str(spin.fn(seconds))


@app.task(name="pid", executor="process", max_retries=0)
def pid() -> int:
    return os.getpid()


@app.task(name="die", executor="process", max_retries=1, backoff_ms=1)
def die(number: int) -> None:
    """Kills its process: by a signal, or for 0 by leaving without a word."""
    started()
    if number == 0:
        os._exit(3)
    os.kill(os.getpid(), number)
    time.sleep(60)


@app.task(name="stall", executor="process", max_retries=0)
def stall() -> None:
    """Holds the interpreter in one call that takes for ever: no thread of this process runs any more."""
    import re

    started()
    re.match(r"(a+)+$", "a" * 64 + "b")


@app.task(name="hire", executor="process", max_retries=0)
def hire(seconds: float) -> None:
    """Starts a program, as one does to convert a file, and waits for it."""
    started()
    with subprocess.Popen([sys.executable, "-c", f"import time; time.sleep({seconds})"]) as program:
        note("program", program.pid)
        program.wait()


@app.task(name="raises", executor="process", max_retries=1, backoff_ms=1)
def raises(how: str) -> Any:
    started()
    if how == "exit":
        sys.exit("enough")
    if how == "base":
        raise KeyboardInterrupt("from nobody")
    if how == "unsendable":
        raise Unsendable("no pickle of this", threading.Lock())
    if how == "retry":
        raise Retry("not yet", delay_ms=1)
    if how == "large":
        return "x" * 2_000_000
    if how == "object":
        return threading.Lock()
    raise ValueError("plain")


@app.task(name="surroundings", executor="process", max_retries=0)
def surroundings(words: str) -> dict[str, Any]:
    from django.contrib.contenttypes.models import ContentType
    from django.db import connection

    job = current_job()
    assert job is not None
    log.warning("in the mill: %s", words)
    print("printed in the mill")
    return {
        "job": [job.id, job.name, job.attempt, job.queue, job.lane, job.deadline],
        "rows": ContentType.objects.count(),
        "queries": len(connection.queries),
        "greeting": app.state.greeting,
        "main": threading.current_thread() is threading.main_thread(),
        "daemon": multiprocessing.current_process().daemon,
        "pid": os.getpid(),
    }


@app.task(name="report", executor="process", max_retries=0, keep_logs=True)
def report(steps: int, seconds: float = 0) -> None:
    """Tells at every step how far it is, and then computes in silence."""
    job = current_job()
    assert job is not None
    for step in range(1, steps + 1):
        job.progress(step, steps, f"step {step}")
        log.info("step %d of %d for %s", step, steps, job.headers.get("for"))
    grind.fn(seconds)


def heed(seconds: float) -> str:
    """Notes what it was stopped by, and whether it knew."""
    job = current_job()
    assert job is not None
    started()
    end = time.monotonic() + seconds
    try:
        while time.monotonic() < end:
            time.sleep(0.01)
    except BaseException as error:
        note("heard", job.id, type(error).__name__, job.lease_lost, os.getpid())
        raise
    return "not told"


heed_in_process = app.task(name="heed", executor="process", max_retries=0)(heed)
heed_in_thread = app.task(name="heed_in_thread", max_retries=0)(heed)


@app.task(name="heed_on_loop", max_retries=0)
async def heed_on_loop(seconds: float) -> None:
    job = current_job()
    assert job is not None
    started()
    try:
        await asyncio.sleep(seconds)
    except BaseException as error:
        note("heard", job.id, type(error).__name__, job.lease_lost, os.getpid())
        raise


@app.task(name="resist", executor="process", max_retries=0)
def resist(seconds: float) -> None:
    """Goes on whatever is raised in it."""
    started()
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            time.sleep(0.01)
        except BaseException as error:
            note("resists", type(error).__name__)


hoard: list[bytes] = []


@app.task(name="hog", executor="process", max_retries=0)
def hog(megabytes: int) -> int:
    """Takes memory, and never gives it back."""
    hoard.append(bytes(range(256)) * 4096 * megabytes)
    return os.getpid()


@app.task(name="late", executor="process", timeout=0.5, max_retries=0)
def late() -> None:
    """Fails just in time; its error hook takes longer."""
    time.sleep(0.2)
    raise ValueError("dawdle")


@app.task(name="leave_later", executor="process", max_retries=0)
def leave_later(seconds: float) -> int:
    """Ends well, and leaves a thread behind that ends the process while it does nothing or something else."""

    def leave() -> None:
        time.sleep(seconds)
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=leave, daemon=True).start()
    return os.getpid()


@app.on_error
def tell(error: BaseException, job: Any) -> None:
    if str(error) == "dawdle":
        time.sleep(0.8)
    note("error", job.id if job else "-", type(error).__name__, os.getpid())


@app.task(name="mutter", executor="process", max_retries=0, keep_logs=True)
def mutter(seconds: float) -> None:
    """Leaves a thread behind that logs in the name of its job."""

    def go_on() -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            log.info("still here")
            time.sleep(0.005)

    threading.Thread(target=contextvars.copy_context().run, args=(go_on,), daemon=True).start()
