"""manage.py ardiq_queues: list, pause, resume and move what waits."""

from __future__ import annotations

import getpass
import json
import socket
from collections.abc import Callable
from typing import Any, TextIO, cast

from django.core.management.base import BaseCommand, CommandError, CommandParser, no_translations

from ardiq import running
from ardiq.connection import Broker, broker
from ardiq.core.errors import ArdiqError
from ardiq.core.names import did_you_mean
from ardiq.management import asking, queues
from ardiq.management.naming import chosen
from ardiq.management.terminal import screen
from ardiq.store import controls, letters, moving


class Command(BaseCommand):
    help = "Looks at queues, pauses and resumes them, and moves what waits in a lane to another one."
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        add = asking.verbs(parser)

        def verb(name: str, help: str, names: str = "+") -> CommandParser:
            made = add(name, help)
            if names:
                made.add_argument("names", nargs=names, metavar="QUEUE", help="a queue")
            return made

        one = verb("list", "What waits and runs in each queue, its workers, and what is paused.", "*")
        one.add_argument("--json", action="store_true", help="for machines: one JSON object")
        one = verb("pause", "Hand out no more jobs until resumed. What runs goes on.")
        one.add_argument("--lane", metavar="NAME", help="only this lane")
        one.add_argument("--reason", default="", metavar="TEXT", help="why, for whoever looks")
        one = verb("resume", "Hand out jobs again.")
        one.add_argument("--lane", metavar="NAME", help="only this lane, which was paused by itself")
        one = verb("move", "Move all that waits in a lane to the end of another one.", "")
        one.add_argument("queue", metavar="QUEUE")
        one.add_argument("--lane", required=True, metavar="NAME", help="where they wait")
        one.add_argument("--to", required=True, metavar="NAME", help="the lane that they move to")
        asking.add_yes(one)

    @no_translations
    @no_translations
    def handle(self, *args: Any, **options: Any) -> None:
        try:
            getattr(self, f"_{options['verb']}")(options)
        except ArdiqError as error:
            raise CommandError(" ".join(str(error).split())) from error

    def _list(self, options: dict[str, Any]) -> None:
        found = [queues.seen(running.worker_options(name)) for name in chosen(options["names"])]
        if options["json"]:
            self.stdout.write(json.dumps({"queues": [queues.data(one) for one in found]}, indent=2))
            return
        out = cast("TextIO", self.stdout._out)
        shown = screen(out, no_color=options["no_color"], force_color=options["force_color"])
        shown.show(queues.page(found))

    def _each(self, options: dict[str, Any], act: Callable[[Broker, str], str]) -> None:
        named = [broker(running.worker_options(name)) for name in chosen(options["names"])]
        lane = options["lane"]
        for own in named:
            if lane is not None and lane not in own.options.priorities and options["verb"] == "pause":
                hint = did_you_mean(lane, own.options.priorities)
                raise CommandError(f"Queue {own.options.queue} has no lane {lane!r}. {hint}")
        for own in named:
            what = f"{own.options.queue}, lane {lane}" if lane else own.options.queue
            self.stdout.write(f"{what}: {act(own, lane or '')}")

    def _pause(self, options: dict[str, Any]) -> None:
        def act(own: Broker, lane: str) -> str:
            was = own.store.run(controls.pause(own.keys, lane, options["reason"], who()))
            return "paused" if was else "was paused already; who and why are said anew"

        self._each(options, act)

    def _resume(self, options: dict[str, Any]) -> None:
        def act(own: Broker, lane: str) -> str:
            told = "resumed" if own.store.run(controls.resume(own.keys, lane)) else "was not paused"
            left = [one.lane for one in own.store.run(controls.pauses(own.keys)) if one.lane and not lane]
            return f"{told}; still paused by themselves: {', '.join(left)}" if left else told

        self._each(options, act)

    def _move(self, options: dict[str, Any]) -> None:
        [name] = chosen([options["queue"]])
        own = broker(running.worker_options(name))
        lane, to, lanes = options["lane"], options["to"], own.options.priorities
        # From a lane that settings have no more, too: nobody drains it, and that is how its jobs are saved.
        if to not in lanes:
            raise CommandError(f"Queue {name} has no lane {to!r}. {did_you_mean(to, lanes)}")
        if lane == to:
            raise CommandError(f"--to {to}: they are in this lane already; name another one.")
        count = own.store.run(letters.size(own.keys, f"lane:{lane}"))
        if not count and lane not in lanes:
            raise CommandError(f"Queue {name} has no lane {lane!r}. {did_you_mean(lane, lanes)}")
        what = f"Move {count:,} jobs of queue {name} from lane {lane} to the end of lane {to}."
        if asking.sure(self.stdout.write, what, options["interactive"]):
            told = asking.progress(self.stdout.write)
            done = letters.drive(own.store, moving.shift(own.keys, lane, to, told))
            self.stdout.write(f"{done:,} moved.")


def who() -> str:
    """Who sits at this terminal: user@host."""
    try:
        return f"{getpass.getuser()}@{socket.gethostname()}"
    except (OSError, KeyError, ImportError):  # a container whose user has no name
        return socket.gethostname()
