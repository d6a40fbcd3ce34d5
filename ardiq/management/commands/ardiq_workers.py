"""manage.py ardiq_workers: list workers, and tell them to be quiet, to work again, or to stop."""

from __future__ import annotations

import json
from typing import Any, TextIO, cast

from django.core.management.base import BaseCommand, CommandError, CommandParser, no_translations

from ardiq import running
from ardiq.connection import broker
from ardiq.core.errors import ArdiqError
from ardiq.management import asking, status
from ardiq.management.commands.ardiq_queues import who
from ardiq.management.naming import chosen, some
from ardiq.management.tables import Cell
from ardiq.management.terminal import screen
from ardiq.overview import Overview, read
from ardiq.store import controls

TOLD = {
    "quiet": "told to finish what it runs and take no more",
    "work": "told to take jobs again",
    "stop": "told to stop",
}


class Command(BaseCommand):
    help = "Looks at workers, and tells them to be quiet, to work again, or to stop."
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        add = asking.verbs(parser)

        def verb(name: str, help: str) -> CommandParser:
            made = add(name, help)
            made.add_argument("--queue", action="append", metavar="NAME", help="a queue; default: all")
            return made

        verb("list", "The workers of each queue.").add_argument(
            "--json", action="store_true", help="for machines: one JSON object"
        )
        for name, help in (
            ("quiet", "Finish what runs and take no more, until told to work again."),
            ("work", "Take jobs again."),
            (
                "stop",
                "Stop as by SIGTERM: the whole process. No supervisor of ours starts another one for it.",
            ),
        ):
            made = verb(name, help)
            made.add_argument(
                "workers", nargs="*", metavar="WORKER", help="name of a worker, or start of its id"
            )
            made.add_argument("--all", action="store_true", help="all workers of the queues")
            if name == "stop":
                asking.add_yes(made)

    @no_translations
    def handle(self, *args: Any, **options: Any) -> None:
        try:
            seen = [read(running.worker_options(name)) for name in chosen(options["queue"])]
            if options["verb"] == "list":
                self._list(seen, options)
            else:
                self._tell(seen, options)
        except ArdiqError as error:
            raise CommandError(" ".join(str(error).split())) from error

    def _list(self, seen: list[Overview], options: dict[str, Any]) -> None:
        if options["json"]:
            told = {one.options.queue: status.workers_data(one) for one in seen}
            self.stdout.write(json.dumps({"queues": told}, indent=2))
            return
        out = cast("TextIO", self.stdout._out)
        shown = screen(out, no_color=options["no_color"], force_color=options["force_color"])
        for one in seen:
            shown.show([[Cell.of(one.options.queue, "head")], status.workers_table(one), []])

    def _tell(self, seen: list[Overview], options: dict[str, Any]) -> None:
        if bool(options["workers"]) == options["all"]:
            raise CommandError("Name workers, or say --all.")
        known = [(one, worker) for one in seen for worker in one.workers if one.now < worker.lease_end]
        wanted = known if options["all"] else []
        for name in options["workers"]:
            found = [
                pair for pair in known
                if pair[1].about.get("name") == name or (len(name) >= 4 and pair[1].id.startswith(name))
            ]  # fmt: skip
            if not found:
                raise CommandError(f"There is no worker {name!r}; see ardiq_workers list.")
            wanted += found
        if not wanted:
            raise CommandError("There are no workers.")
        order = options["verb"]
        if order == "stop" and options["all"]:
            what = f"Stop {some(len(wanted), 'worker')} of {', '.join(one.options.queue for one in seen)}."
            if not asking.sure(self.stdout.write, what, options["interactive"]):
                return
        for one, worker in wanted:
            own = broker(one.options)
            called = f"{one.options.queue}: {worker.about.get('name') or worker.id[:8]}"
            there = own.store.run(controls.order(own.keys, worker.id, order, who()))
            self.stdout.write(f"{called} {TOLD[order] if there else 'is gone'}")
