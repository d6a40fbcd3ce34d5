"""manage.py ardiq_health: exit 0 when a worker does its work, for probes of containers (S10)."""

from __future__ import annotations

import os
import time
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from ardiq import running
from ardiq.connection import broker
from ardiq.core.errors import ArdiqError
from ardiq.core.options import Options
from ardiq.management.naming import chosen, some
from ardiq.store import inspector, recurring
from ardiq.store.inspector import WorkerView
from ardiq.worker.health import patience

FRESH = 10.0  # seconds; a health file is written every second


class Command(BaseCommand):
    help = (
        "Exit 0 when Redis answers and each queue has a worker whose event loop turns, or with --file when "
        "that worker is healthy. Else exit 1, and one line says why."
    )
    # A probe runs every few seconds, and what is wrong with the project is told elsewhere.
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--queue", action="append", metavar="NAME", help="a queue to ask; default: all")
        parser.add_argument("--file", metavar="PATH", help="look at the --health-file of a worker instead")
        parser.add_argument(
            "--max-age",
            type=float,
            metavar="SECONDS",
            help="how old the last sign of life may be; default: half a lease, for a file 10",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        path, queues, most = options["file"], options["queue"], options["max_age"]
        if most is not None and not most > 0:
            raise CommandError(f"--max-age {most:g}: give seconds above 0.")
        if path is not None and queues:
            raise CommandError(
                "--file asks about one worker and --queue about all of a queue: give one of them."
            )
        if path is not None:
            said = look_at_file(path, FRESH if most is None else most)
        else:
            try:
                said = "; ".join(look(queue, most) for queue in map(running.worker_options, chosen(queues)))
            except ArdiqError as error:
                raise CommandError(" ".join(str(error).split())) from error
        self.stdout.write(said)


def look_at_file(path: str, most: float) -> str:
    """How fresh it is. Raises CommandError when it is not, or not there."""
    try:
        age = time.time() - os.stat(path).st_mtime
    except OSError as error:
        raise CommandError(f"{path}: {error.strerror}.") from error
    if age > most:
        raise CommandError(f"{path} was written {age:.0f} s ago, and {most:g} s are allowed.")
    return f"{path} was written {max(age, 0):.0f} s ago"


def look(queue: Options, most: float | None) -> str:
    """How a queue is served. Raises CommandError when it is not, BrokerError when Redis does not answer."""
    own = broker(queue)
    listed, now = own.store.run_many([inspector.workers(own.keys), recurring.now()])
    # A worker whose lease is over and whom nobody has reaped yet does nothing any more.
    asked = [inspector.worker(own.keys, id, end) for id, end in listed if end > now]
    views: list[WorkerView] = own.store.run_many(asked) if asked else []
    if not views:
        raise CommandError(f"{queue.queue}: no worker is registered.")
    allowed = patience(queue.lease_ms) if most is None else most
    ages = sorted(max(0, now - view.turned) / 1000 for view in views)
    well = [age for age in ages if age <= allowed]
    if not well and all((now - view.beat) / 1000 > allowed for view in views):
        seconds = min(now - view.beat for view in views) / 1000
        raise CommandError(f"{queue.queue}: no worker of {len(views)} has been heard of for {seconds:.0f} s.")
    if not well:
        raise CommandError(
            f"{queue.queue}: no event loop has turned for {ages[0]:.0f} s, and {allowed:g} s are allowed; "
            f"workers: {len(views)}."
        )
    return (
        f"{queue.queue}: {len(well)} of {some(len(views), 'worker')} at work, last sign {ages[0]:.0f} s ago"
    )
