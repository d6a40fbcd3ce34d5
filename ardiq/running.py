"""Workers of this process: built from the tasks and options of a queue, run on one event loop."""

from __future__ import annotations

import asyncio
import logging
import os
import platform
import socket
import threading
import time
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack, nullcontext, suppress
from functools import partial
from typing import Any, TypeVar

import django

from ardiq import conf, isolated, owners
from ardiq.connection import broker
from ardiq.core.events import Events
from ardiq.core.options import Options
from ardiq.equipment import (
    Finder,
    Timetables,
    following,
    hooks_of,
    lifespans_of,
    relaying,
    upkeep,
    worker_options,
)
from ardiq.owners import Owner
from ardiq.signals import Courier
from ardiq.store import aside
from ardiq.version import __version__
from ardiq.worker import log as job_log
from ardiq.worker import signals
from ardiq.worker.around import Around
from ardiq.worker.drain import HANDED_OVER
from ardiq.worker.limits import Limits
from ardiq.worker.worker import Worker

__all__ = ["build", "default_name", "listening", "queue_names", "run", "run_app", "worker_options"]

HEARD_OUT = 5.0  # seconds that receivers of signals get when the workers have ended

log = logging.getLogger("ardiq.worker")

_courier = Courier(owners.task_of)  # one for all workers of this process, so that signals come in order


def queue_names() -> list[str]:
    """Every queue that a worker here can serve: those in settings, and those built in code."""
    return list(dict.fromkeys([*conf.known_aliases(), *(owner.queue_name for owner in owners.every())]))


def default_name() -> str:
    return f"{socket.gethostname()}-{os.getpid()}"


def build(
    queue: str,
    options: Options,
    *,
    name: str = "",
    burst: bool = False,
    around: Around | None = None,
    events: Events | None = None,
    limits: Limits | None = None,
    kind: Callable[..., Worker] = Worker,
    **more: Any,
) -> Worker:
    """A worker of one queue that knows every task registered for it in this process. ``more`` comes before
    what is found here."""
    own = broker(options)
    found: dict[str, Any] = {
        "name": name or default_name(),
        "options": options,
        "codec": own.codec,
        "endpoint": own.endpoint,
        "find": Finder(queue),
        "hooks": lambda: hooks_of(queue),
        "around": around,
        "events": events or listening(),
        "about": about(options),
        "burst": burst,
        "listed_ms": lambda: _listed_ms(options),
        "isolation": (isolated.main, isolated.serve, isolated.nursery),
        "timetables": Timetables(queue),
        "limits": limits,
        "follow": following(queue, _courier.post),
    }
    return kind(**{**found, **more})


def listening() -> Events:
    """Events that the log and the signals listen to."""
    events = Events()
    events.subscribe(job_log.write, job_log.wanted)
    events.subscribe(_courier.hear, _courier.wanted)
    return events


def result_ttls(options: Options) -> list[int]:
    """How long results of a queue may be kept, ms: by its own option, and by those of its tasks."""
    ttls = [options.result_ttl_ms]
    for owner in owners.of(options.queue):
        own = (owner.registry[name].result_ttl_ms for name in owner.registry)
        ttls += [ttl for ttl in own if ttl is not None]
    return ttls


def _listed_ms(options: Options) -> int:
    """How long ended jobs stay listed: as long as the longest of their results; 0 without a limit."""
    ttls = result_ttls(options)
    return 0 if min(ttls) < 0 else max(ttls)


def about(options: Options) -> dict[str, str]:
    return {
        "host": socket.gethostname(),
        "pid": str(os.getpid()),
        "version": __version__,
        "python": platform.python_version(),
        "django": django.get_version(),
        "lanes": ",".join(options.priorities),
        "threads": str(options.threads),
        "prefetch": str(options.prefetch),
        "lease_ms": str(options.lease_ms),
        "grace_ms": str(options.grace_ms),
    }


async def run(workers: list[Worker], ready: Callable[[], None] | None = None, *, burst: bool = False) -> None:
    """Run workers until all have stopped. One that fails stops the others, and its error is raised."""
    job_log.shield()
    aside.equip()
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(relaying([worker.options for worker in workers], burst))
        for queue in {worker.options.queue for worker in workers}:
            await stack.enter_async_context(lifespans_of(queue))
        if ready is not None:
            ready()
        tasks = [asyncio.ensure_future(worker.run()) for worker in workers]
        try:
            await asyncio.gather(*tasks)
        except BaseException:
            for worker in workers:
                worker.stop(hurry=True)
            await asyncio.gather(*tasks, return_exceptions=True)
            raise
        finally:
            # Receivers may take their time, and lifespans end after the last of them.
            if _courier.busy and not await _heard_out():
                log.warning("Receivers of job signals were not done within %g s.", HEARD_OUT)


async def _heard_out() -> bool:
    """Whether all that was heard has been sent in time. Looked for, in no thread: those of the loop may all
    hang in tasks, and the system may have none."""
    done, end = _courier.last(), time.monotonic() + HEARD_OUT
    while not done.is_set():
        if time.monotonic() > end:
            return False
        await asyncio.sleep(0.02)
    return True


T = TypeVar("T")


def complete(main: Coroutine[Any, Any, T]) -> T:
    """``asyncio.run``, except that it waits neither for tasks that swallow their cancellation nor for threads
    of ``asyncio.to_thread`` that do not return: both are left behind."""
    if _in_loop():
        main.close()
        raise RuntimeError(
            "A worker runs an event loop of its own: call this where none runs, as in a thread."
        )
    loop = asyncio.new_event_loop()
    try:
        asyncio.set_event_loop(loop)
        return loop.run_until_complete(main)
    finally:
        try:
            loop.run_until_complete(_wind_up())
        finally:
            asyncio.set_event_loop(None)
            loop.close()


def _in_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


async def _wind_up() -> None:
    left = asyncio.all_tasks() - {asyncio.current_task()}
    for task in left:
        task.cancel()
    if left:
        _, left = await asyncio.wait(left, timeout=HANDED_OVER)
    for task in left:
        # It was said how many did not stop; asyncio would say it again for each of them.
        task._log_destroy_pending = False  # type: ignore[attr-defined]
    with suppress(TimeoutError):
        async with asyncio.timeout(HANDED_OVER):
            await asyncio.get_running_loop().shutdown_asyncgens()


def stop_all(workers: list[Worker], hurry: bool) -> str:
    """Stop them, as a signal asks for. Answers what that means for what they run, for the log."""
    count = sum(worker.running for worker in workers)
    grace = max(worker.options.grace_ms for worker in workers) / 1000
    for worker in workers:
        worker.stop(hurry)
    if not count:
        return "Stopping; no job is running."
    jobs = "1 running job" if count == 1 else f"{count} running jobs"
    if hurry:
        return f"Stopping at once; {jobs} {'is' if count == 1 else 'are'} handed back."
    return f"Stopping; {jobs} may end within {grace:g} s."


def run_app(app: Owner, burst: bool) -> None:
    """Run one queue here, as ``Ardiq.run`` promises. Raises SystemExit when this process should end, because
    jobs that do not stop have taken its slots."""
    if isolated.here():
        # The process of one job reads the script of its parent to find the tasks, and meets this call.
        return

    async def main() -> int:
        worker = build(app.queue_name, app.options, burst=burst, around=upkeep())
        loop = asyncio.get_running_loop()

        def stop() -> None:
            loop.call_soon_threadsafe(worker.stop)

        main_thread = threading.current_thread() is threading.main_thread()
        with (
            owners.stopped_by(app, stop),
            signals.answered(partial(stop_all, [worker])) if main_thread else nullcontext(),
        ):
            await run([worker], burst=burst)
        return worker.exit_code

    if code := complete(main()):
        raise SystemExit(code)
