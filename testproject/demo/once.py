"""``ardiq_demo --once``: one batch from beginning to end, judged."""

import time
from collections import Counter

from django.core.management.base import OutputWrapper

from ardiq import JobStatus
from demo import batch
from demo.ledger import Ledger
from demo.screen import Screen, table
from demo.stage import LOGIN, Stage
from demo.visitor import Visitor

DEADLINE_SECONDS = 90.0
LOOK_SECONDS = 0.25


def play(stage: Stage, out: OutputWrapper) -> list[str]:
    """Run the batch and print how it ended. Returns everything that was not as it should be."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    asked, ledger, visitor = batch.Batch(), Ledger(), Visitor(stage.address)
    asked.ask(stage)
    time.sleep(batch.TOO_SOON_MS / 1000)
    stage.start_site()
    stage.start_worker()
    if not visitor.wait_for_site():
        return [*asked.complaints, f"The site did not answer at {stage.address}.\n{stage.children[0].tail()}"]
    visitor.log_in(LOGIN, stage.password)
    asked.ask_over_http(visitor)
    _follow(ledger, stage, Screen(out), deadline)
    _look_around(visitor, ledger)
    out.write("")
    for line in table(*_verdict(ledger, asked)):
        out.write(line)
    complaints = asked.complaints + visitor.complaints + stage.fallen() + _wrong(ledger, asked)
    return complaints or batch.look_at_data()


def _follow(ledger: Ledger, stage: Stage, screen: Screen, deadline: float) -> None:
    ledger.refresh()
    while ledger.open and time.monotonic() < deadline and not stage.fallen():
        screen.show(ledger.counts())
        time.sleep(LOOK_SECONDS)
        ledger.refresh()
    screen.show(ledger.counts())


def _look_around(visitor: Visitor, ledger: Ledger) -> None:
    """The pages that a newcomer opens first must answer and show what has happened."""
    visitor.see("/", "The clockmaker of low street", "succeeded")
    visitor.see("/report/", "lighthouse")
    visitor.see("/notices/", "Welcome to the library")
    visitor.see("/admin/ardiq/job/", *(entry.job_id for entry, _ in ledger.ended[-3:]))
    for entry, status in ledger.ended:
        if status == JobStatus.FAILED:
            visitor.see(f"/admin/ardiq/job/{entry.job_id}/change/", "UnidentifiedImageError")
            break


def _verdict(ledger: Ledger, asked: batch.Batch) -> tuple[tuple[str, ...], list[tuple[object, ...]]]:
    seen = [*ledger.ended, *ledger.open.items()]
    rows = Counter((entry.kind, status, asked.expected(entry)) for entry, status in seen)
    lines = [
        (kind, number, status, expected, "" if status == expected else "WRONG")
        for (kind, status, expected), number in sorted(rows.items())
    ]
    return ("task", "jobs", "status", "expected", ""), [*lines, ("all", rows.total(), "", "", "")]


def _wrong(ledger: Ledger, asked: batch.Batch) -> list[str]:
    wrong = [
        f"{entry.kind} {entry.job_id} is {status}, expected {asked.expected(entry)}."
        for entry, status in ledger.ended
        if status != asked.expected(entry)
    ]
    wrong += [
        f"{entry.kind} {entry.job_id} is still {status} after {DEADLINE_SECONDS:.0f} s."
        for entry, status in ledger.open.items()
    ]
    return wrong
