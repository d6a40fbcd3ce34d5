"""manage.py ardiq_server: whether the embedded servers of the queues run, and an end to them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser, no_translations

from ardiq import running
from ardiq.core.address import EMBEDDED
from ardiq.core.errors import ArdiqError
from ardiq.management import asking
from ardiq.management.naming import chosen, some
from ardiq.overview import read
from ardiq.store import embedded

AGAIN = "Whoever still uses it, such as a site, starts it again at once."


class Command(BaseCommand):
    help = "Tells whether the servers of embedded:// run, and stops them. Other servers are left alone."
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        add = asking.verbs(parser)
        for name, help in (
            ("status", "Whether each of them runs; starts none."),
            ("stop", "Stop them, with everything on disk; refused while workers run."),
        ):
            made = add(name, help)
            made.add_argument("--queue", action="append", metavar="NAME", help="a queue; default: all")
            if name == "status":
                made.add_argument("--json", action="store_true", help="for machines: one JSON object")

    @no_translations
    def handle(self, *args: Any, **options: Any) -> None:
        try:
            found = self._found(options["queue"])
            if options["verb"] == "stop":
                self._stop(found)
            else:
                self._status(found, options["json"])
        except ArdiqError as error:
            raise CommandError(str(error)) from error

    def _found(self, names: list[str] | None) -> dict[Path, list[str]]:
        """The directory of each embedded server, and the queues in it."""
        found: dict[Path, list[str]] = {}
        for name in chosen(names):
            url = running.worker_options(name).redis_url
            if url.startswith(EMBEDDED):
                found.setdefault(Path(url.removeprefix(EMBEDDED)).resolve(), []).append(name)
        if not found:
            raise CommandError("None of these queues is at an embedded:// server.")
        return found

    def _status(self, found: dict[Path, list[str]], as_json: bool) -> None:
        runs = {directory: embedded.runs(directory) for directory in found}
        if as_json:
            told = [{"directory": str(one), "queues": found[one], "runs": runs[one]} for one in found]
            self.stdout.write(json.dumps({"servers": told}, indent=2))
            return
        for directory, names in found.items():
            state = "runs" if runs[directory] else "does not run"
            self.stdout.write(f"{', '.join(names)}: the server in {directory} {state}")

    def _stop(self, found: dict[Path, list[str]]) -> None:
        for directory, names in found.items():
            if embedded.runs(directory):
                self._refuse_with_workers(names)
            stopped = embedded.stop(directory)
            state = "is stopped. " + AGAIN if stopped else "did not run"
            self.stdout.write(f"{', '.join(names)}: the server in {directory} {state}")

    def _refuse_with_workers(self, names: list[str]) -> None:
        for name in names:
            seen = read(running.worker_options(name))
            alive = [worker for worker in seen.workers if seen.now < worker.lease_end]
            if alive:
                raise CommandError(
                    f"{some(len(alive), 'worker')} of {name} would start it again at once; stop them first: "
                    f"manage.py ardiq_workers stop --all --queue {name}"
                )
