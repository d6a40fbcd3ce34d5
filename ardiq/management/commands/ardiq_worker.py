"""manage.py ardiq_worker: run the jobs of one or more queues."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from argparse import BooleanOptionalAction
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from ardiq import running
from ardiq.core.errors import ArdiqError
from ardiq.core.options import Options
from ardiq.management import banner, reload
from ardiq.upkeep import DjangoUpkeep
from ardiq.worker import log as job_log
from ardiq.worker import signals


class Command(BaseCommand):
    help = "Runs the jobs of one or more queues until it is told to stop (SIGTERM or Ctrl-C)."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--queue", action="append", metavar="NAME", help="a queue to serve; default: all")
        parser.add_argument("--concurrency", type=int, metavar="N", help="jobs that run at once, per queue")
        parser.add_argument("--threads", type=int, metavar="N", help="threads for sync tasks, per queue")
        parser.add_argument("--burst", action="store_true", help="end when nothing is due any more")
        parser.add_argument("--name", default="", help="name shown to people; default: host and process id")
        parser.add_argument(
            "--reload",
            action=BooleanOptionalAction,
            default=None,
            help="restart when code changes; default: DEBUG",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        queues = self._queues(options)
        wanted = settings.DEBUG and not options["burst"] if options["reload"] is None else options["reload"]
        if wanted and reload.CHILD not in os.environ:
            raise SystemExit(reload.Parent(self.stderr.write).run())
        self._set_up_logging(options["verbosity"])
        name = options["name"] or running.default_name()
        lines = banner.lines(name, queues, options["burst"]) if options["verbosity"] > 0 else []
        try:
            asyncio.run(self._work(name, queues, options["burst"], lines, bool(wanted)))
        except ArdiqError as error:
            raise CommandError(str(error)) from error
        if options["verbosity"] > 0:
            self.stdout.write("Stopped.")

    def _queues(self, options: dict[str, Any]) -> list[Options]:
        known = running.queue_names()
        names = list(dict.fromkeys(options["queue"] or known))
        for name in names:
            if name not in known:
                raise CommandError(f"There is no queue {name!r}; there are {', '.join(known)}.")
        for option in ("concurrency", "threads"):
            if options[option] is not None and options[option] < 1:
                raise CommandError(f"--{option} {options[option]}: give a whole number above 0.")
        return [
            running.worker_options(name, concurrency=options["concurrency"], threads=options["threads"])
            for name in names
        ]

    def _greet(self, lines: list[str], reloading: bool) -> None:
        if not lines:
            return
        self.stdout.write(self.style.SUCCESS(lines[0]))
        for line in lines[1:]:
            self.stdout.write(line)
        how = "Code changes restart it. " if reloading else ""
        self.stdout.write(f"{how}Stop it with Ctrl-C; -v 2 logs every job.")

    def _set_up_logging(self, verbosity: int) -> None:
        """Show log lines on stderr, unless the project has said in LOGGING where they go."""
        job_log.carry_job_ids()
        log = logging.getLogger("ardiq")
        if log.handlers or log.level:
            return
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)-7s %(message)s"))
        log.addHandler(handler)
        log.propagate = False
        levels = (logging.ERROR, logging.WARNING, logging.INFO, logging.DEBUG)
        log.setLevel(levels[min(verbosity, 3)])
        logging.getLogger("ardiq.worker").setLevel(
            min(logging.INFO, log.level) if verbosity else logging.ERROR
        )

    async def _work(
        self, name: str, queues: list[Options], burst: bool, greeting: list[str], reloading: bool
    ) -> None:
        upkeep = DjangoUpkeep()
        workers = [
            running.build(options.queue, options, name=name, burst=burst, around=upkeep) for options in queues
        ]

        def stop(hurry: bool) -> None:
            for worker in workers:
                worker.stop(hurry)

        # Before the greeting: whoever reads it may already ask for a graceful stop.
        signals.install(stop)
        self._greet(greeting, reloading)
        await running.run(workers)
        if any(worker.stuck for worker in workers):
            # Ending the loop would wait for ever for a task that swallows its cancellation.
            self.stdout.flush()
            self.stderr.flush()
            os._exit(0)
