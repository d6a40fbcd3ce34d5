"""Processes that workers fork for jobs: each sets the project up as its parent did, and runs one job
(worker/suspects.py) or one after the other (worker/processes.py)."""

from __future__ import annotations

import importlib
import logging
import os
import socket
import sys
from ctypes import c_double
from multiprocessing import current_process, parent_process

from ardiq.worker import isolation, processes, serving
from ardiq.worker.isolation import Errand, Parts
from ardiq.worker.line import Line

NURSERY_PATH = "ARDIQ_NURSERY_PATH"  # sys.path of the worker, which a fork server is not given


log = logging.getLogger("ardiq.worker")


def main(line: socket.socket, errand: Errand, end: c_double) -> None:
    """Run the job of the errand in this process; its settlement goes back over the line."""
    isolation.alone()
    set_up()
    isolation.work(Line(line), errand, _parts(errand.queue), end)


def serve(line: socket.socket, queue: str, worker: str, end: c_double) -> None:
    """Run jobs of the queue for this worker, one after the other, as they come over the line."""
    isolation.alone(group=True)
    set_up()
    serving.serve(Line(line), worker, _parts(queue), _load, end)


def _load(module: str) -> None:
    """Import a module as the worker has; only the worker says which."""
    try:
        importlib.import_module(module)
    except Exception:
        log.exception("The module %s of a task cannot be imported in a child process.", module)


def set_up() -> bool:
    """Set Django up, where the worker has it. Answers whether it has."""
    if not os.environ.get("DJANGO_SETTINGS_MODULE"):
        return False
    import django

    django.setup()
    return True


def _parts(queue: str) -> Parts:
    # Not before the set-up of Django.
    from ardiq import equipment
    from ardiq.connection import broker
    from ardiq.worker import log

    log.carry_job_ids()
    log.shield()
    options = equipment.worker_options(queue)
    return Parts(
        options=options,
        codec=broker(options).codec,
        find=equipment.Finder(queue),
        hooks=lambda: equipment.hooks_of(queue),
        around=equipment.upkeep(),
        lifespans=lambda: equipment.lifespans_of(queue),
    )


def nursery() -> str:
    """The module for the fork server, which learns from the environment where modules are."""
    os.environ[NURSERY_PATH] = os.pathsep.join(sys.path)
    return "ardiq.nursery"


def here() -> bool:
    """Whether this process is one: nothing in it may start a worker."""
    return parent_process() is not None and current_process().name in (isolation.NAME, processes.NAME)
