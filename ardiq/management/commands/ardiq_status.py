"""manage.py ardiq_status: lanes, workers, recurring tasks and dead letters of each queue, at a glance."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any, TextIO, cast

from django.core.management.base import BaseCommand, CommandError, CommandParser, no_translations

from ardiq import running
from ardiq.core.errors import ArdiqError
from ardiq.core.options import Options
from ardiq.management import status
from ardiq.management.naming import chosen
from ardiq.management.tables import Block, Cell
from ardiq.management.terminal import screen, until_told
from ardiq.overview import read
from ardiq.version import __version__

EVERY = 2.0  # seconds between two looks
SHORTEST = 0.2


class Command(BaseCommand):
    help = "Shows each queue: jobs, lanes, workers, recurring tasks, dead letters, and what needs somebody."
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--queue", action="append", metavar="NAME", help="a queue to show; default: all")
        parser.add_argument(
            "--watch", nargs="?", type=float, const=EVERY, metavar="SECONDS",
            help=f"look again and again until Ctrl-C; every {EVERY:g} s unless said otherwise",
        )  # fmt: skip
        parser.add_argument("--json", action="store_true", help="for machines: one JSON object")

    @no_translations
    def handle(self, *args: Any, **options: Any) -> None:
        seconds = options["watch"]
        if seconds is not None and options["json"]:
            raise CommandError("--watch is for people and --json for machines: give one of them.")
        if seconds is not None and not seconds >= SHORTEST:
            raise CommandError(f"--watch {seconds:g}: give {SHORTEST:g} seconds or more.")
        queues = [running.worker_options(name) for name in chosen(options["queue"])]
        try:
            if options["json"]:
                told = {queue.queue: status.as_data(read(queue)) for queue in queues}
                self.stdout.write(json.dumps({"ardiq": __version__, "queues": told}, indent=2))
                return
            out = screen(
                cast("TextIO", self.stdout._out),
                no_color=options["no_color"], force_color=options["force_color"],
            )  # fmt: skip
            if seconds is None:
                out.show([block for queue in queues for block in status.page(read(queue))])
                return
        except ArdiqError as error:
            raise CommandError(str(error)) from error
        with until_told():
            out.watch(self._again(queues, seconds), seconds)

    def _again(self, queues: list[Options], seconds: float) -> Callable[[], Iterable[Block]]:
        """A page each time it is called. While Redis is away it is the last one, and says so."""
        last: dict[str, list[Block]] = {}

        def page() -> Iterable[Block]:
            for queue in queues:
                try:
                    last[queue.queue] = list(status.page(read(queue)))
                except ArdiqError as error:
                    yield [Cell("! ", "bad"), Cell.of(error, "bad")]
                    shown = last.get(queue.queue)
                    words = "what follows is what was seen last" if shown else "nothing has been seen yet"
                    yield [Cell(f"  {words}; the next look is in {seconds:g} s", "dim")]
                    yield []
                yield from last.get(queue.queue, ())

        return page
