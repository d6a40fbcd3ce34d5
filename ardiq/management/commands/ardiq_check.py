"""manage.py ardiq_check: whether the server of a queue is fit for it, and whether the queue is in order."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from ardiq import running
from ardiq.connection import broker
from ardiq.core.errors import ArdiqError
from ardiq.core.options import Options
from ardiq.management.naming import chosen
from ardiq.store.checkup import Remark, checkup
from ardiq.store.fsck import Report, check

SHOWN = 20  # findings of a queue that are printed


class Command(BaseCommand):
    help = (
        "Checks the server of each queue, and that every job is in its place; may run beside workers. "
        "Exit 1 when something is wrong or cannot be reached, also when all of it was repaired; then the "
        "next run exits 0."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--queue", action="append", metavar="NAME", help="a queue to check; default: all")
        parser.add_argument("--repair", action="store_true", help="put right what is not in its place")
        parser.add_argument("--json", action="store_true", help="for machines: one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        told: dict[str, Any] = {}
        wrong = False
        try:
            queues = [running.worker_options(name) for name in chosen(options["queue"])]
        except ArdiqError as error:
            raise CommandError(str(error)) from error
        for queue in queues:
            try:
                told[queue.queue], fault = self._look(queue, options["repair"], options["json"])
            except ArdiqError as error:
                # The others are checked all the same: theirs may be another server.
                told[queue.queue], fault = {"url": queue.safe_url, "error": str(error)}, True
                if not options["json"]:
                    self._head(queue)
                    self._line("wrong", "server", str(error))
            wrong = wrong or fault
        if options["json"]:
            self.stdout.write(json.dumps({"ok": not wrong, "queues": told}, indent=2))
        if wrong:
            raise SystemExit(1)

    def _look(self, queue: Options, repair: bool, quiet: bool) -> tuple[dict[str, Any], bool]:
        """What there is to tell of a queue, and whether anything is wrong with it. Raises ArdiqError."""
        own = broker(queue)
        remarks = checkup(own.store, own.keys)
        for_ever = min(running.result_ttls(queue)) < 0
        report = check(own.store, own.keys, repair=repair, lanes=queue.priorities, for_ever=for_ever)
        if not quiet:
            self._print(queue, remarks, report, repair)
        wrong = report.found > report.harmless or any(remark.state == "wrong" for remark in remarks)
        return _as_data(queue, remarks, report), wrong

    def _head(self, queue: Options) -> None:
        self.stdout.write(self.style.MIGRATE_HEADING(f"{queue.queue} at {queue.safe_url}"))

    def _print(self, queue: Options, remarks: list[Remark], report: Report, repair: bool) -> None:
        self._head(queue)
        for remark in remarks:
            self._line(remark.state, remark.name, remark.text, remark.way_out)
        for finding in report.findings[:SHOWN]:
            state = "mended" if finding.repaired else "look" if finding.harmless else "wrong"
            self._line(state, finding.kind, finding.text)
        if report.found > SHOWN:
            self._line("look", "...", f"and {report.found - SHOWN:,} more; --json lists them")
        for note in report.notes:
            self._line("look", "note", note)
        text = f"{report.looked_at:,} looked at"
        left = report.found - report.repaired
        findings = f"{report.found:,} finding{'' if report.found == 1 else 's'}"
        if left:
            alarm = report.found > report.harmless
            findings += "" if alarm else ", harmless"
            told = "" if repair else "--repair puts right what can be put right"
            self._line("wrong" if alarm else "look", "jobs", f"{text}, {findings}, {left:,} left", told)
        elif report.found:
            self._line("mended", "jobs", f"{text}, {findings}, all repaired")
        else:
            self._line("ok", "jobs", f"{text}, everything in its place")

    def _line(self, state: str, name: str, text: str, way_out: str = "") -> None:
        styles = {
            "ok": self.style.SUCCESS, "wrong": self.style.ERROR, "look": self.style.WARNING,
            "mended": self.style.WARNING,
        }  # fmt: skip
        word = styles.get(state, self.style.NOTICE)(state) + " " * (7 - len(state))
        self.stdout.write(f"  {word}  {name:<12} {text}{f' -> {way_out}' if way_out else ''}")


def _as_data(queue: Options, remarks: list[Remark], report: Report) -> dict[str, Any]:
    return {
        "url": queue.safe_url,
        "server": [asdict(remark) for remark in remarks],
        "looked_at": report.looked_at,
        "found": report.found,
        "repaired": report.repaired,
        "findings": [asdict(finding) for finding in report.findings],
        "notes": report.notes,
    }
