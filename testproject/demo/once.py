"""``ardiq_demo --once``: one batch from beginning to end, judged."""

import time
from collections import defaultdict
from typing import NamedTuple

from django.core.management.base import OutputWrapper

from ardiq import JobStatus
from demo import batch
from demo.ledger import Ledger
from demo.screen import Screen, table
from demo.stage import LOGIN, Stage
from demo.visitor import Visitor

DEADLINE_SECONDS = 90.0
LOOK_SECONDS = 0.25


class Ending(NamedTuple):
    kind: str
    status: JobStatus
    expected: JobStatus

    @property
    def good(self) -> bool:
        return self.status == self.expected


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
    fallen = stage.fallen()
    if not fallen:
        _look_around(visitor, ledger)
    outcome = _outcome(ledger, asked)
    out.write("")
    for line in table(("task", "jobs", "status", "expected", ""), _rows(outcome)):
        out.write(line)
    complaints = fallen + asked.complaints + visitor.complaints + _wrong(outcome)
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


def _outcome(ledger: Ledger, asked: batch.Batch) -> dict[Ending, list[str]]:
    """The ids of the jobs that ended, or did not end, alike."""
    found = defaultdict(list)
    for entry, status in [*ledger.ended, *ledger.open.items()]:
        found[Ending(entry.kind, status, asked.expected(entry))].append(entry.job_id)
    return dict(sorted(found.items()))


def _rows(outcome: dict[Ending, list[str]]) -> list[tuple[object, ...]]:
    rows: list[tuple[object, ...]] = [
        (ending.kind, len(ids), ending.status, ending.expected, "" if ending.good else "WRONG")
        for ending, ids in outcome.items()
    ]
    return [*rows, ("all", sum(map(len, outcome.values())), "", "", "")]


def _wrong(outcome: dict[Ending, list[str]]) -> list[str]:
    return [
        f"{len(ids)} {ending.kind} should be {ending.expected} by now: {ending.status}, such as {ids[0]}."
        for ending, ids in outcome.items()
        if not ending.good
    ]
