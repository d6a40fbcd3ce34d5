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
from ardiq.management.queues import chosen
from ardiq.store.checkup import Remark, checkup
from ardiq.store.fsck import Report, check

SHOWN = 20  # findings of a queue that are printed


class Command(BaseCommand):
    help = (
        "Checks the server of each queue, and that every job is in its place; may run beside workers. "
        "Exit 1 when something is wrong, also when all of it was repaired; then the next run exits 0."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--queue", action="append", metavar="NAME", help="a queue to check; default: all")
        parser.add_argument("--repair", action="store_true", help="put right what is not in its place")
        parser.add_argument("--json", action="store_true", help="for machines: one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        told: dict[str, Any] = {}
        wrong = False
        try:
            for queue in map(running.worker_options, chosen(options["queue"])):
                own = broker(queue)
                remarks = checkup(own.store, own.keys)
                report = check(
                    own.store, own.keys, repair=options["repair"], lanes=queue.priorities,
                    for_ever=min(running.result_ttls(queue)) < 0,
                )  # fmt: skip
                wrong = wrong or report.found > 0 or any(remark.state == "wrong" for remark in remarks)
                if options["json"]:
                    told[queue.queue] = _as_data(queue, remarks, report)
                else:
                    self._print(queue, remarks, report)
        except ArdiqError as error:
            raise CommandError(str(error)) from error
        if options["json"]:
            self.stdout.write(json.dumps({"ok": not wrong, "queues": told}, indent=2))
        if wrong:
            raise SystemExit(1)

    def _print(self, queue: Options, remarks: list[Remark], report: Report) -> None:
        self.stdout.write(self.style.MIGRATE_HEADING(f"{queue.queue} at {queue.safe_url}"))
        for remark in remarks:
            self._line(remark.state, remark.name, remark.text, remark.way_out)
        for finding in report.findings[:SHOWN]:
            self._line("mended" if finding.repaired else "wrong", finding.kind, finding.text)
        if report.found > SHOWN:
            self._line("wrong", "...", f"and {report.found - SHOWN:,} more; --json lists them")
        for note in report.notes:
            self._line("look", "note", note)
        text = f"{report.looked_at:,} looked at"
        left = report.found - report.repaired
        if left:
            told = "--repair puts right what can be put right"
            self._line("wrong", "jobs", f"{text}, {report.found:,} findings, {left:,} left", told)
        elif report.found:
            self._line("mended", "jobs", f"{text}, {report.found:,} findings, all repaired")
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
