"""The life of a job as moments in order, with what lay between them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _

from ardiq.adminui import times
from ardiq.adminui.reading import Reading
from ardiq.adminui.text import plain
from ardiq.core.job import JobStatus


@dataclass(frozen=True, slots=True)
class Moment:
    """``at`` in epoch ms; ``before`` names what a job did up to then; ``state`` where it stood afterwards."""

    at: int
    label: Any
    before: Any = ""
    note: str = ""
    state: str = ""


@dataclass(frozen=True, slots=True)
class Step:
    """A moment for the page, and how long it was from the one before."""

    label: Any
    when: str
    ago: str
    gap: str
    before: Any
    note: str
    state: str


def steps(reading: Reading) -> list[Step]:
    """Oldest first. What is still to come stands behind what has been."""
    found = sorted(_moments(reading), key=lambda one: one.at)
    out, last = [], 0
    for one in found:
        gap = times.duration(one.at - last) if last and one.at > last else ""
        ago = times.relative(one.at)
        out.append(Step(one.label, times.absolute(one.at), ago, gap, one.before, one.note, one.state))
        last = one.at
    return out


def _moments(reading: Reading) -> Iterator[Moment]:
    record = reading.record
    if record is None:
        return
    yield Moment(record.enqueued, _("enqueued"), state="queued")
    waits = record.status is JobStatus.SCHEDULED
    if not waits and reading.due and reading.due > record.enqueued:
        yield Moment(reading.due, _("was to run"), _("waited for its time"))
    runs = reading.runs
    for run in runs:
        if run.started is None:
            continue
        worker = plain(run.worker, 200)
        yield Moment(run.started, _("started"), _("waited"), worker, "running")
        if run.ended:
            last = record.status.finished and run is runs[-1]
            note = run.error.type.rpartition(".")[2] if run.error else ""
            label = _("ended") if last else _("attempt %s failed") % run.number
            yield Moment(run.ended, label, _("ran"), plain(note, 200), run.status.value)
    if record.status.finished and not (runs and runs[-1].ended == record.at):
        yield Moment(record.at, _("ended"), _("waited"), "", record.status.value)
    if waits:
        label = _("runs again") if reading.runs else _("to run at")
        yield Moment(record.at, label, _("waits"), "", "scheduled")
    if record.status.pending and not runs and reading.expires:
        yield Moment(reading.expires, _("must start before"), "", "", "expired")
