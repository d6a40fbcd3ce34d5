"""manage.py ardiq_worker: run the jobs of one or more queues."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import threading
from argparse import BooleanOptionalAction
from functools import partial
from multiprocessing import current_process
from typing import Any

from django.conf import settings
from django.core.checks import Tags
from django.core.management.base import BaseCommand, CommandError, CommandParser

from ardiq import running
from ardiq.core.address import FAKE
from ardiq.core.errors import ArdiqError, BrokerError
from ardiq.core.options import Options
from ardiq.management import banner, health, metrics, processes, reload
from ardiq.management.naming import chosen
from ardiq.upkeep import DjangoUpkeep
from ardiq.worker import log as job_log
from ardiq.worker import signals
from ardiq.worker.children import REFUSED, Mouth
from ardiq.worker.health import Health
from ardiq.worker.limits import Limits, resident_mb
from ardiq.worker.supervisor import RESTART, STOPPED

LEAVE = 5.0  # seconds that threads which tasks have left behind may keep the process after the worker


class Command(BaseCommand):
    help = "Runs the jobs of one or more queues until it is told to stop (SIGTERM or Ctrl-C)."
    # Others load the URLs of the project, and with them views that a worker keeps in memory and never serves.
    requires_system_checks = ("ardiq", Tags.models)

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--queue", action="append", metavar="NAME", help="a queue to serve; default: all")
        parser.add_argument("--concurrency", type=int, metavar="N", help="jobs that run at once, per queue")
        parser.add_argument("--threads", type=int, metavar="N", help="threads for sync tasks, per queue")
        parser.add_argument(
            "--processes", type=int, metavar="N", help="this many workers, under a supervisor"
        )
        parser.add_argument("--max-jobs", type=int, metavar="N", help="drain and exit after so many jobs")
        parser.add_argument(
            "--max-rss", type=int, metavar="MB", help="drain and exit when memory exceeds this"
        )
        parser.add_argument("--burst", action="store_true", help="end when nothing is due any more")
        parser.add_argument("--name", default="", help="name shown to people; default: host and process id")
        parser.add_argument(
            "--reload",
            action=BooleanOptionalAction,
            default=None,
            help="restart when code changes; default: DEBUG",
        )
        health.add_arguments(parser)
        metrics.add_arguments(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        self._member, mouth = processes.membership(), Mouth()
        parent = mouth.pulse if self._member == processes.WATCHED else None
        try:
            self._shown = health.shown(options["health_file"], options["health_port"], parent)
            self._handle(options)
        except BrokerError as error:
            raise CommandError(str(error)) from error
        except (ArdiqError, CommandError) as error:
            # Of several workers all refuse alike: their supervisor says it once.
            if self._member and mouth.refuse(str(error)):
                raise SystemExit(REFUSED) from error
            raise error if isinstance(error, CommandError) else CommandError(str(error)) from error

    def _handle(self, options: dict[str, Any]) -> None:
        queues = self._queues(options)
        wanted = settings.DEBUG and not options["burst"] if options["reload"] is None else options["reload"]
        if wanted and reload.CHILD not in os.environ:
            raise SystemExit(reload.Parent(self.stderr.write).run())
        self._reloading = bool(wanted)
        limits, name = self._limits(options), options["name"] or running.default_name()
        self._set_up_logging(options["verbosity"], name)
        speaks = options["verbosity"] > 0 and not self._member
        lines = banner.lines(name, queues, options["burst"], options["processes"] or 1) if speaks else []
        shown = {"health": self._shown.url, "metrics": metrics.url(options["metrics_port"])}
        lines += [f"  {what:<11}  {url}" for what, url in shown.items() if lines and url]
        code = 1
        try:
            with metrics.served(options["metrics_port"]):
                if options["processes"]:
                    code = self._supervise(name, options["processes"], options["burst"], lines)
                else:
                    code = running.complete(self._work(name, queues, options["burst"], lines, limits))
        finally:
            self._leave_within(LEAVE, code)
        if speaks:
            self.stdout.write("Stopped.")
        if code:
            raise SystemExit(code)

    def _queues(self, options: dict[str, Any]) -> list[Options]:
        names = chosen(options["queue"])
        for option in ("concurrency", "threads", "processes", "max_jobs", "max_rss"):
            if options[option] is not None and options[option] < 1:
                spelt = option.replace("_", "-")
                raise CommandError(f"--{spelt} {options[option]}: give a whole number above 0.")
        found = [
            running.worker_options(name, concurrency=options["concurrency"], threads=options["threads"])
            for name in names
        ]
        for one in found:
            if one.redis_url.startswith(FAKE) and processes.from_command_line(self):
                raise CommandError(
                    f"The queue {one.queue!r} lives on fake://, inside the process that enqueues, where this "
                    "worker cannot see it; use embedded:// or the URL of a server."
                )
        return found

    def _limits(self, options: dict[str, Any]) -> Limits:
        most, resident = options["max_rss"], resident_mb()
        if most is not None and resident >= most:
            raise CommandError(
                f"--max-rss {most}: a worker of this project takes {resident} MB before its first job."
            )
        return Limits(options["max_jobs"], most)

    def _supervise(self, name: str, count: int, burst: bool, lines: list[str]) -> int:
        if not processes.from_command_line(self):
            raise CommandError("--processes repeats a command line, and there is none here.")
        return processes.supervise(name, count, burst, lambda: self._greet(lines), self._shown)

    def _leave_within(self, seconds: float, code: int) -> None:
        """End the process even if some thread that a task has started never does."""
        if processes.from_command_line(self):
            timer = threading.Timer(seconds, os._exit, (code,))
            timer.daemon = True
            try:
                timer.start()
            except RuntimeError:
                # No thread to wait in: at once, or it may be never.
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(code)

    def _greet(self, lines: list[str]) -> None:
        if not lines:
            return
        self.stdout.write(self.style.SUCCESS(lines[0]))
        for line in lines[1:]:
            self.stdout.write(line)
        how = "Code changes restart it. " if self._reloading else ""
        self.stdout.write(f"{how}Stop it with Ctrl-C; -v 2 logs every job.")

    def _set_up_logging(self, verbosity: int, name: str) -> None:
        """Show log lines on stderr, unless the project has said in LOGGING where they go."""
        job_log.carry_job_ids()
        if self._member:
            # A format of the project tells several workers apart by %(processName)s.
            current_process().name = name
        log = logging.getLogger("ardiq")
        if log.handlers or log.level:
            return
        handler = logging.StreamHandler(sys.stderr)
        who = "%(processName)s " if self._member else ""
        handler.setFormatter(logging.Formatter(f"%(asctime)s {who}%(levelname)-7s %(message)s"))
        log.addHandler(handler)
        log.propagate = False
        levels = (logging.ERROR, logging.WARNING, logging.INFO, logging.DEBUG)
        log.setLevel(levels[min(verbosity, 3)])
        logging.getLogger("ardiq.worker").setLevel(
            min(logging.INFO, log.level) if verbosity else logging.ERROR
        )

    async def _work(
        self, name: str, queues: list[Options], burst: bool, greeting: list[str], limits: Limits
    ) -> int:
        upkeep = DjangoUpkeep()
        workers = [
            running.build(options.queue, options, name=name, burst=burst, around=upkeep, limits=limits)
            for options in queues
        ]

        # Before the greeting: whoever reads it may already ask for a graceful stop.
        with signals.answered(partial(running.stop_all, workers), for_good=processes.from_command_line(self)):
            state = Health([(worker, worker.options.lease_ms) for worker in workers])
            with self._shown.showing(state.look):
                turning = asyncio.ensure_future(state.turn()) if self._shown else None
                self._greet(greeting)
                try:
                    await running.run(workers, burst=burst)
                finally:
                    if turning is not None:
                        turning.cancel()
        code = max(worker.exit_code for worker in workers)
        if self._member and limits.told:
            code = code or STOPPED
        elif self._member and limits.reached:
            code = RESTART
        if any(worker.stuck for worker in workers):
            # They have had their time; ending the loop would give them some more.
            self.stdout.flush()
            self.stderr.flush()
            os._exit(code)
        return code
