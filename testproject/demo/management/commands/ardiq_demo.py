"""One command that shows everything: the queue's server, the site, a worker, and jobs on their way."""

import signal
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management import BaseCommand, CommandError

from ardiq import BrokerError
from demo import live, once, place
from demo.stage import LOGIN, Stage, stage

DEFAULT_PORT = 8000


class Command(BaseCommand):
    help = "Run the site and a worker, and watch a stream of jobs go through them. Ctrl-C stops everything."

    # The site and the worker check themselves. Here a check would open the database of the settings, and
    # --once shall leave that alone.
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--port",
            type=int,
            help=f"Port of the site (default {DEFAULT_PORT}; any free one if it is taken, and with --once).",
        )
        parser.add_argument(
            "--once",
            action="store_true",
            help="Process one batch in a temporary directory; exit 0 if every job ended as it should.",
        )

    def handle(self, *args: Any, once: bool, port: int | None, **options: Any) -> None:
        # kill and Ctrl-C mean the same here: leave nothing running. SIGINT too is set, because a shell that
        # starts a command in the background lets it ignore that one.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.default_int_handler)
        complaints: list[str] = []
        try:
            with place.throwaway() if once else place.kept():
                complaints = self._play(once, port if port is not None else 0 if once else DEFAULT_PORT)
        except KeyboardInterrupt:
            if once:
                raise CommandError("Interrupted before the batch had ended.") from None
        except BrokerError as error:
            raise CommandError(f"The queue cannot be used: {error}") from error
        if complaints:
            raise CommandError("\n".join(["This went wrong:", *complaints]))
        self.stdout.write(self.style.SUCCESS("Everything ended as it should." if once else "Stopped."))

    def _play(self, is_once: bool, port: int) -> list[str]:
        with stage(port) as ready:
            self._introduce(ready)
            if not is_once:
                self.stdout.write("Press Ctrl-C to stop.\n")
            try:
                ready.complaints += (once if is_once else live).play(ready, self.stdout)
            finally:
                # From here on everything has a time limit of its own; a second Ctrl-C would only leave
                # processes behind.
                for number in (signal.SIGINT, signal.SIGTERM):
                    signal.signal(number, signal.SIG_IGN)
                self.stdout.write("Stopping...")
        return ready.complaints

    def _introduce(self, ready: Stage) -> None:
        bold = self.style.MIGRATE_HEADING
        self.stdout.write(f"{bold('Site')}    {ready.address}/")
        self.stdout.write(f"{bold('Admin')}   {ready.address}/admin/")
        self.stdout.write(f"{bold('Login')}   {LOGIN}, password {ready.password}")
        self.stdout.write(f"{bold('Data')}    {settings.DATA_DIR} (site.log, worker.log)")
        self.stdout.write("")
        self.stdout.flush()
