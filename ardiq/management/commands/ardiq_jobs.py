"""manage.py ardiq_jobs: list, show, retry, abort, delete and purge jobs."""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser, no_translations

from ardiq import running
from ardiq.connection import Broker, broker
from ardiq.core.errors import ArdiqError
from ardiq.core.job import ENDED, JobStatus
from ardiq.management import asking, choosing, jobs
from ardiq.management.naming import chosen, some
from ardiq.store import browsing, letters

STATUSES = [status.value for status in JobStatus if status is not JobStatus.NOT_FOUND]


class Command(BaseCommand):
    help = "Looks at jobs and acts on them. Exit 1 when nothing was found, or some were refused."
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        add = asking.verbs(parser)

        def verb(name: str, help: str) -> CommandParser:
            made = add(name, help)
            made.add_argument(
                "--queue", action="append", metavar="NAME", help="a queue; default: all, or that of the job"
            )
            return made

        one = verb("list", "Jobs, nearest to now first; or with --groups what they failed of.")
        one.add_argument("--status", action="append", choices=STATUSES, help="may be given several times")
        one.add_argument("--task", default="", metavar="NAME", help="jobs of this task")
        one.add_argument("--lane", action="append", metavar="NAME", help="jobs that wait in this lane")
        one.add_argument("--group", default="", metavar="FINGERPRINT", help="dead letters of a group")
        one.add_argument(
            "--search", default="", metavar="TEXT",
            help="start of an id, or part of a task's name; of failed jobs also part of the error",
        )  # fmt: skip
        one.add_argument("--groups", action="store_true", help="groups of failures instead of jobs")
        one.add_argument("--limit", type=int, default=50, metavar="N", help="at most so many; default: 50")
        one.add_argument("--json", action="store_true", help="for machines: one JSON object")
        one = verb("show", "All that is known of a job: call, error, attempts, log. Secrets are masked.")
        one.add_argument("id", metavar="ID")
        one.add_argument("--json", action="store_true", help="for machines: one JSON object")
        one = verb("retry", "Run jobs again under their ids, by id, or dead letters of a task or a group.")
        _selects(one, many=True)
        one.add_argument("--per-second", type=float, metavar="N", help="spread them over time")
        _selects(verb("abort", "Stop jobs: waiting ones end at once, running ones are told to stop."))
        _selects(verb("delete", "Forget jobs that do not run, by id, or dead letters."), many=True)
        one = verb("purge", "Delete all jobs of a lane, all that are scheduled, or all that ended so.")
        place = one.add_mutually_exclusive_group(required=True)
        place.add_argument("--lane", metavar="NAME")
        place.add_argument("--scheduled", action="store_const", const="scheduled", dest="status")
        place.add_argument("--status", choices=[one for one in STATUSES if one != JobStatus.RUNNING])
        asking.add_yes(one)

    @no_translations
    def handle(self, *args: Any, **options: Any) -> None:
        if options.get("limit") is not None and options["limit"] < 1:
            raise CommandError(f"--limit {options['limit']}: give a whole number above 0.")
        try:
            done = getattr(self, f"_{options['verb']}")(options)
        except ArdiqError as error:
            raise CommandError(" ".join(str(error).split())) from error
        except KeyboardInterrupt:
            self._say("Interrupted: what was done so far stays done.")
            raise SystemExit(130) from None
        if not done:
            raise SystemExit(1)

    # -- printing ---------------------------------------------------------------------------------

    def _say(self, text: str, style: str = "") -> None:
        encoding = getattr(self.stdout, "encoding", None) or "utf-8"
        text = text.encode(encoding, "backslashreplace").decode(encoding)
        styles = {
            "title": self.style.MIGRATE_HEADING, "error": self.style.ERROR, "failed": self.style.ERROR,
            "succeeded": self.style.SUCCESS, "running": self.style.WARNING,
        }  # fmt: skip
        self.stdout.write(styles[style](text) if style in styles else text)

    def _json(self, told: object) -> None:
        self.stdout.write(json.dumps(told, indent=2, default=str, skipkeys=True))

    def _width(self) -> int:
        """Cells of a line. A file or a pipe has none: whoever reads it wants whole names."""
        if self.stdout.isatty():
            return shutil.get_terminal_size((80, 24)).columns
        told = os.environ.get("COLUMNS", "")
        return int(told) if told.isdecimal() and int(told) else sys.maxsize

    # -- looking ----------------------------------------------------------------------------------

    def _brokers(self, options: dict[str, Any]) -> list[Broker]:
        return [broker(running.worker_options(name)) for name in chosen(options["queue"])]

    def _list(self, options: dict[str, Any]) -> bool:
        if options["groups"]:
            return self._groups(options)
        own = self._brokers(options)
        found, looked, complete = [], 0, True
        for one in own:
            queue = one.options.queue
            ids, count, all_seen = choosing.find(one, options)
            found += [(queue, reading) for reading in jobs.readings(one, ids) if reading]
            looked, complete = looked + count, complete and all_seen
        now = int(time.time() * 1000)
        found.sort(key=lambda pair: -jobs.nearness(pair[1], now))
        more = len(found) > options["limit"] or not complete
        found = found[: options["limit"]]
        if options["json"]:
            rows = [jobs.data(*pair) for pair in found]
            self._json({"jobs": rows, "looked_at": looked, "complete": not more})
            return bool(found)
        for queue in dict.fromkeys(queue for queue, _ in found):
            if len(own) > 1:
                self._say(queue, "title")
            for style, text in jobs.rows([one for of, one in found if of == queue], self._width()):
                self._say(text, style)
        if not found:
            self._say("No such jobs." if complete else f"None among the {looked:,} that were looked at.")
        elif more:
            self._say(f"{len(found):,} shown, {looked:,} looked at; there may be more (--limit).")
        return bool(found)

    def _groups(self, options: dict[str, Any]) -> bool:
        told: list[dict[str, Any]] = []
        own = self._brokers(options)
        for one in own:
            found = letters.drive(one.store, letters.found_groups(one.keys, options["limit"]))
            latest = jobs.readings(one, [group.job for group in found])
            if found and len(own) > 1 and not options["json"]:
                self._say(one.options.queue, "title")
            for group, reading in zip(found, latest, strict=True):
                error = jobs.error_of(reading) if reading else None
                told.append(jobs.group_data(group, error) | {"queue": one.options.queue})
                for n, text in enumerate(jobs.group_lines(group, error, self._width())):
                    if not options["json"]:
                        self._say(text, "" if n else "error")
        if options["json"]:
            self._json({"groups": told})
        elif not told:
            self._say("No failures are grouped.")
        return bool(told)

    def _show(self, options: dict[str, Any]) -> bool:
        located, _ = choosing.locate(self._brokers(options), [options["id"]])
        for own, ids in located:
            whole = jobs.Whole(own, ids[0])
            if whole.reading is None:
                break
            if options["json"]:
                self._json(whole.data())
            else:
                for style, text in whole.lines(self._width()):
                    self._say(text, style)
            return True
        self._say(f"There is no job {jobs.line(options['id'])}.")
        return False

    # -- some jobs, by their ids ------------------------------------------------------------------

    def _by_ids(self, options: dict[str, Any], word: str, what: str) -> bool:
        located, status = choosing.locate(self._brokers(options), options["ids"])
        if not status:
            self._say("There is no such job.")
            return False
        ask = options["interactive"] and not (word == "queued again" and len(options["ids"]) == 1)
        if not asking.sure(self._say, f"{what} ({some(len(status), 'job')}).", ask):
            return False
        refused = {id: "there is no such job" for id in options["ids"] if id not in status}
        for own, ids in located:
            for at in range(0, len(ids), choosing.CHUNK):
                for id, why in choosing.act(own, word, ids[at : at + choosing.CHUNK], status).items():
                    if why:
                        refused[id] = why
        for id, why in refused.items():
            self._say(f"{jobs.line(id)}: {why}", "error")
        done = len(dict.fromkeys(options["ids"])) - len(refused)
        told = sum(one == "told to stop" for one in status.values())
        parts = [f"{done - told:,} {word}"] if done > told or not told else []
        parts += [f"{told:,} told to stop"] if told else []
        parts += [f"{len(refused):,} not"] if refused else []
        self._say(f"{', '.join(parts)}.")
        return not refused

    def _abort(self, options: dict[str, Any]) -> bool:
        choosing.check_selection(options, filters=False)
        return self._by_ids(options, "aborted", "Waiting jobs end at once and never run, running ones stop")

    def _retry(self, options: dict[str, Any]) -> bool:
        choosing.check_selection(options)
        rate = options["per_second"]
        if rate is not None and not 0 < rate < float("inf"):
            raise CommandError(f"--per-second {rate:g}: give a number above 0.")
        if options["ids"] and rate is None:
            return self._by_ids(options, "queued again", "They run again under their ids")
        own = self._one_queue(options)
        what = "Run again {}" + (f", {rate:g} a second" if rate else "") + "."
        return self._many(own, options, letters.replaying(own.keys, rate), what, "queued again")

    def _delete(self, options: dict[str, Any]) -> bool:
        choosing.check_selection(options)
        if options["ids"]:
            return self._by_ids(options, "deleted", "Results and errors are lost, what waits never runs")
        own = self._one_queue(options)
        return self._many(own, options, letters.deleting(own.keys), "Delete {}.", "deleted")

    # -- many -------------------------------------------------------------------------------------

    def _one_queue(self, options: dict[str, Any]) -> Broker:
        own = self._brokers(options)
        if len(own) != 1:
            names = ", ".join(one.options.queue for one in own)
            raise CommandError(f"Say which queue with --queue: {names}.")
        return own[0]

    def _many(self, own: Broker, options: dict[str, Any], act: letters.Act, what: str, word: str) -> bool:
        task, group, ids, limit = (options[name] for name in ("task", "group", "ids", "limit"))
        told = asking.progress(self._say)
        if ids:
            which, steps = some(len(ids), "job"), letters.these(act, ids, limit, told)
        else:
            page = own.store.run(letters.oldest(own.keys, None, None, group=group))
            if not page.looked:
                self._say("There are no such dead letters.")
                return False
            count = page.looked + page.left
            most = count if limit is None else min(count, limit)
            which = f"{most:,} of {count:,} dead letters" if most < count else some(count, "dead letter")
            if task:
                which = f"all of task {jobs.line(task)} among {count:,} dead letters"
            steps = letters.every(act, own.keys, task=task, group=group, limit=limit, told=told)
        queue = f" of queue {own.options.queue}"
        if not asking.sure(self._say, what.format(which + queue), options["interactive"]):
            return False
        done = letters.drive(own.store, steps)
        self._say(f"{done:,} {word}.")
        return done >= len(ids) if ids else done > 0

    def _purge(self, options: dict[str, Any]) -> bool:
        own = self._one_queue(options)
        lane, status = options["lane"], options["status"]
        lanes = own.options.priorities
        places = [f"lane:{lane}"] if lane is not None else browsing.places([JobStatus(status)], lanes)
        count = sum(own.store.run_many(letters.size(own.keys, place) for place in places))
        if lane is not None and not count and lane not in lanes:
            raise CommandError(f"There is no lane {jobs.line(lane)!r}; there are {', '.join(lanes)}.")
        if not count:
            self._say("There is nothing to delete.")
            return False
        where = f"lane {jobs.line(lane)}" if lane else f"all that is {status}"
        what = f"Delete {some(count, 'job')} of queue {own.options.queue}: {where}."
        loss = "They never run." if lane or JobStatus(status) not in ENDED else "What they left is lost."
        if not asking.sure(self._say, f"{what} {loss}", options["interactive"]):
            return False
        done = letters.drive(own.store, letters.purge(own.keys, places, asking.progress(self._say)))
        self._say(f"{done:,} deleted.")
        return done > 0


def _selects(parser: CommandParser, many: bool = False) -> None:
    parser.add_argument("ids", nargs="*", metavar="ID")
    parser.set_defaults(task="", group="", all=False, limit=None, per_second=None)
    if many:
        parser.add_argument("--task", metavar="NAME", help="all dead letters of this task")
        parser.add_argument("--group", metavar="FINGERPRINT", help="all dead letters of this group")
        parser.add_argument("--all", action="store_true", help="all dead letters")
        parser.add_argument("--limit", type=int, metavar="N", help="at most so many, the oldest")
    asking.add_yes(parser)
