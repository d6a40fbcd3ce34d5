"""The process of one suspect (worker/suspects.py): sets the project up as its parent did, runs one job."""

from __future__ import annotations

import os
import sys
from multiprocessing import current_process, parent_process
from multiprocessing.connection import Connection

from ardiq.worker.isolation import NAME, Errand, Parts, alone, work

NURSERY_PATH = "ARDIQ_NURSERY_PATH"  # sys.path of the worker, which a fork server is not given


def main(connection: Connection, errand: Errand) -> None:
    """Run the job of the errand in this process; its settlement goes back through the connection."""
    alone()
    set_up()
    work(connection, errand, _parts(errand.queue))


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
    return parent_process() is not None and current_process().name == NAME
