"""manage.py ardiq_schedules: list, pause, resume and run recurring tasks."""

from __future__ import annotations

import json
from typing import Any, TextIO, cast

from django.core.management.base import BaseCommand, CommandError, CommandParser, no_translations

from ardiq import owners, running
from ardiq.core.errors import ArdiqError
from ardiq.core.names import did_you_mean
from ardiq.management import asking, schedules
from ardiq.management.naming import chosen
from ardiq.management.tables import Block, Cell
from ardiq.management.terminal import screen
from ardiq.overview import standings
from ardiq.recurring import Recurring

Found = dict[str, list[Recurring]]
"""name -> those whose recurring task has that name, one of each queue."""


class Command(BaseCommand):
    help = "Looks at recurring tasks, pauses them, and runs them now."
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        add = asking.verbs(parser)

        def verb(name: str, help: str, names: str = "+") -> CommandParser:
            made = add(name, help)
            made.add_argument("names", nargs=names, metavar="NAME", help="name of a recurring task")
            made.add_argument("--queue", action="append", metavar="QUEUE", help="a queue; default: all")
            made.add_argument("--json", action="store_true", help="for machines: one JSON object")
            return made

        verb("list", "Timetable, next five runs, last run and its outcome of each, or of those named.", "*")
        verb("pause", "Fire no more until resumed. What runs goes on.")
        verb("resume", "Fire again; what fell into the pause is over.")
        verb("run", "Enqueue once, now, whatever the timetable says, paused or not.")

    @no_translations
    def handle(self, *args: Any, **options: Any) -> None:
        try:
            found = self._found(options["queue"])
            for name in options["names"]:
                if name not in found:
                    hint = did_you_mean(name, found) if found else "There are none."
                    raise CommandError(f"No recurring task is named {name!r}. {hint}")
            if options["verb"] == "list":
                self._list(found, options)
            else:
                self._act(found, options)
        except ArdiqError as error:
            raise CommandError(" ".join(str(error).split())) from error

    def _found(self, queues: list[str] | None) -> Found:
        found: Found = {}
        for queue in chosen(queues):
            for owner in owners.of(queue):
                if not isinstance(owner, Recurring):
                    continue
                for name in owner.crons:
                    apps = found.setdefault(name, [])
                    # Of several objects of one queue the first one has the say, as in a worker.
                    if all(one.options.queue != queue for one in apps):
                        apps.append(owner)
        return found

    # -- looking ----------------------------------------------------------------------------------

    def _list(self, found: Found, options: dict[str, Any]) -> None:
        wanted = set(options["names"] or found)
        told: dict[str, Any] = {}
        blocks: list[Block] = []
        for queue in map(running.worker_options, chosen(options["queue"])):
            now, states = standings(queue)
            states = [one for one in states if one.recurrence.name in wanted]
            if not states:
                continue
            told[queue.queue] = [schedules.data(one) for one in states]
            blocks.append([Cell.of(queue.queue, "head"), Cell(" at "), Cell.of(queue.safe_url, "dim")])
            for one in states:
                blocks += schedules.described(one, now, queue.time_zone)
        if options["json"]:
            self.stdout.write(json.dumps({"queues": told}, indent=2))
        else:
            out = cast("TextIO", self.stdout._out)
            shown = screen(out, no_color=options["no_color"], force_color=options["force_color"])
            shown.show(blocks or [[Cell("There are no recurring tasks.")]])

    # -- doing ------------------------------------------------------------------------------------

    def _act(self, found: Found, options: dict[str, Any]) -> None:
        several = [name for name in options["names"] if len(found[name]) > 1]
        if several:
            raise CommandError(f"{several[0]} is in several queues: name one with --queue.")
        told = []
        for name in dict.fromkeys(options["names"]):
            [app] = found[name]
            facts = {"task": name, "queue": app.options.queue, **self._done(options["verb"], app, name)}
            told.append(facts)
            if not options["json"]:
                self.stdout.write(f"{name}: {facts['text']}")
        if options["json"]:
            self.stdout.write(json.dumps({"tasks": told}, indent=2))

    def _done(self, verb: str, app: Recurring, name: str) -> dict[str, Any]:
        """What was done; ``changed`` tells whether anything was."""
        if verb == "run":
            job = app.run_now_sync(name)
            text = f"enqueued as {job.id}" if job.created else f"an identical job waits or runs: {job.id}"
            return {"changed": job.created, "job": job.id, "text": text}
        if verb == "pause":
            changed = app.pause_sync(name)
            return {"changed": changed, "text": "paused" if changed else "was paused already"}
        changed = app.resume_sync(name)
        [one] = [one for one in app.schedules_sync() if one.name == name]
        coming = f"; next run {schedules.moment(one.next_at, one.zone or app.options.time_zone)}"
        return {
            "changed": changed, "next_at": one.next_at or None,
            "text": f"{'resumed' if changed else 'was not paused'}{coming if one.next_at else ''}",
        }  # fmt: skip
