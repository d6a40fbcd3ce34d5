"""Workers of this process: built from the tasks and options of a queue, run on one event loop."""

from __future__ import annotations

import asyncio
import logging
import os
import platform
import socket
import threading
from collections.abc import Callable, Iterable
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any

from django.apps import apps as django_apps

from ardiq import conf, owners
from ardiq.connection import broker
from ardiq.core.errors import OptionError
from ardiq.core.events import Events
from ardiq.core.options import Options
from ardiq.core.registry import Definition
from ardiq.owners import Owner
from ardiq.version import __version__
from ardiq.worker import log as job_log
from ardiq.worker import signals
from ardiq.worker.judge import ErrorHook
from ardiq.worker.runner import Around
from ardiq.worker.worker import Worker

log = logging.getLogger("ardiq.worker")


def worker_options(queue: str, **overrides: Any) -> Options:
    """The options that a worker of this queue runs with: those of an Ardiq built in code come first."""
    found = [owner.options for owner in owners.of(queue)] or [conf.merged(queue, {})]
    options = max(found, key=lambda one: len(one.priorities))
    for other in found:
        if not set(other.priorities) <= set(options.priorities):
            raise OptionError(
                f"Queue {queue!r} has the lanes {', '.join(options.priorities)} in one place and "
                f"{', '.join(other.priorities)} in another, and a worker drains one list of lanes; "
                "give every Ardiq of this queue, and PRIORITIES in settings, the same."
            )
    given = {key: value for key, value in overrides.items() if value is not None}
    if "concurrency" in given and "threads" not in given and options.threads == options.concurrency:
        given["threads"] = given["concurrency"]
    return replace(options, **given)


def queue_names() -> list[str]:
    """Every queue that a worker here can serve: those in settings, and those built in code."""
    return list(dict.fromkeys([*conf.known_aliases(), *(owner.queue_name for owner in owners.every())]))


class Finder:
    """Looks a task up among all the Ardiq objects of one queue in this process."""

    def __init__(self, queue: str) -> None:
        self._queue = queue
        self._known: dict[str, Definition] = {}

    def __call__(self, name: str) -> Definition | None:
        found = self._known.get(name)
        if found is None:
            for app in owners.of(self._queue):
                found = app.registry.get(name)
                if found is not None:
                    self._known[name] = found
                    break
        return found


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
) -> Worker:
    """A worker of one queue that knows every task registered for it in this process."""
    own = broker(options)

    def hooks() -> Iterable[ErrorHook]:
        return [hook for app in owners.of(queue) for hook in app.error_hooks]

    return Worker(
        name=name or default_name(),
        options=options,
        codec=own.codec,
        endpoint=own.endpoint,
        find=Finder(queue),
        hooks=hooks,
        around=around,
        events=events or listening(),
        about=about(options),
        burst=burst,
        listed_ms=lambda: _listed_ms(queue, options),
    )


def listening() -> Events:
    """Events that the log listens to."""
    events = Events()
    events.subscribe(job_log.write, job_log.wanted)
    return events


def _listed_ms(queue: str, options: Options) -> int:
    """How long ended jobs stay listed: as long as the longest of their results; 0 without a limit."""
    ttls = [options.result_ttl_ms]
    for owner in owners.of(queue):
        own = (owner.registry[name].result_ttl_ms for name in owner.registry)
        ttls += [ttl for ttl in own if ttl is not None]
    return 0 if min(ttls) < 0 else max(ttls)


def about(options: Options) -> dict[str, str]:
    return {
        "host": socket.gethostname(),
        "pid": str(os.getpid()),
        "version": __version__,
        "python": platform.python_version(),
        "lanes": ",".join(options.priorities),
    }


async def run(workers: list[Worker], ready: Callable[[], None] | None = None) -> None:
    """Run workers until all have stopped. One that fails stops the others, and its error is raised."""
    async with AsyncExitStack() as stack:
        for queue in {worker.options.queue for worker in workers}:
            for app in owners.of(queue):
                await enter_lifespans(app, stack)
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


async def enter_lifespans(app: Owner, stack: AsyncExitStack) -> None:
    """Enter the lifespan hooks of a queue; they are left when the worker has stopped."""
    for hook in app.lifespan_hooks:
        await stack.enter_async_context(hook(app))


def run_app(app: Owner, burst: bool) -> None:
    """Run one queue here, as ``Ardiq.run`` promises."""

    async def main() -> None:
        around: Around | None = None
        if django_apps.ready:
            from ardiq.upkeep import DjangoUpkeep

            around = DjangoUpkeep()
        worker = build(app.queue_name, app.options, burst=burst, around=around)
        loop = asyncio.get_running_loop()

        def stop() -> None:
            loop.call_soon_threadsafe(worker.stop)

        if threading.current_thread() is threading.main_thread():
            signals.install(worker.stop)
        with owners.stopped_by(app, stop):
            await run([worker])

    asyncio.run(main())
