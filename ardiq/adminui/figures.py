"""The statistics of some queues as the charts and tables of the dashboard."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from django.utils import formats
from django.utils.translation import gettext as _

from ardiq.adminui import times
from ardiq.adminui.chart import Chart, Series
from ardiq.core.statistics import Period, Sample, Statistics, Tally

SLOWEST = 5  # tasks


@dataclass(frozen=True, slots=True)
class Moment:
    """A period of all queues together."""

    start: int
    tally: Tally
    waiting: int | None
    """None when no worker lived to look."""


@dataclass(frozen=True, slots=True)
class TaskFigures:
    name: str
    tally: Tally


def number(value: float | None) -> str:
    return times.NOTHING if value is None else formats.number_format(value, 0, force_grouping=True)


def milliseconds(value: float | None) -> str:
    if value is None:
        return times.NOTHING
    if value >= 10 or not value:
        return times.duration(round(value))
    return _("%(n)s ms") % {"n": formats.number_format(value, 1)}


def moments(found: Sequence[Statistics]) -> list[Moment]:
    """Oldest first. Clocks of several servers may be apart: their latest periods go together."""
    count = min((len(one.periods) for one in found), default=0)
    return [_moment([one.periods[-back] for one in found]) for back in range(count, 0, -1)]


def _moment(periods: Sequence[Period]) -> Moment:
    cells = [cell for period in periods for cell in period.cells.values()]
    samples: list[Sample] = [period.sample for period in periods if period.sample is not None]
    waiting = sum(sum(one.waiting.values()) for one in samples) if samples else None
    return Moment(periods[0].start, Tally.of(cells), waiting)


def charts(found: Sequence[Statistics]) -> list[Chart]:
    rows = moments(found)
    total = Tally.of(cell for one in found for cell in one.cells.values())
    names = [times.clock(row.start) for row in rows]

    def series(label: str, kind: str, *values: float | None) -> Series:
        return Series(label, values, kind)

    ended = Chart(
        _("Throughput"),
        [
            series(_("succeeded"), "good", *(row.tally.succeeded for row in rows)),
            series(_("failed"), "bad", *(row.tally.failed for row in rows)),
        ],
        names, number, bars=True,
        summary=_("%(good)s succeeded, %(bad)s failed") % {
            "good": number(total.succeeded), "bad": number(total.failed)
        },
    )  # fmt: skip
    troubles = Chart(
        _("Failures and retries"),
        [
            series(_("failed"), "bad", *(row.tally.failed for row in rows)),
            series(_("retried"), "odd", *(row.tally.retried for row in rows)),
            series(_("crashed"), "worse", *(row.tally.crashed for row in rows)),
        ],
        names, number, bars=True,
        summary=_("%(bad)s failed, %(again)s retried, %(worse)s crashed") % {
            "bad": number(total.failed), "again": number(total.retried), "worse": number(total.crashed)
        },
    )  # fmt: skip
    wait = Chart(
        _("Wait"),
        [
            series("p95", "odd", *(row.tally.wait.p95_ms for row in rows)),
            series("p50", "plain", *(row.tally.wait.p50_ms for row in rows)),
        ],
        names, milliseconds,
        summary=f"p50 {milliseconds(total.wait.p50_ms)}, p95 {milliseconds(total.wait.p95_ms)}",
    )  # fmt: skip
    run = Chart(
        _("Run time"),
        [
            series("p95", "odd", *(row.tally.run.p95_ms for row in rows)),
            series("p50", "plain", *(row.tally.run.p50_ms for row in rows)),
        ],
        names, milliseconds,
        summary=f"p50 {milliseconds(total.run.p50_ms)}, p95 {milliseconds(total.run.p95_ms)}",
    )  # fmt: skip
    depth = Series(_("waiting"), [row.waiting for row in rows], "plain")
    waiting = _("%(number)s waiting") % {"number": number(depth.last())}
    return [ended, troubles, wait, run, Chart(_("Queue depth"), [depth], names, number, summary=waiting)]


def slowest(found: Sequence[Statistics]) -> list[TaskFigures]:
    """The tasks whose runs take longest, by their 95th percentile."""
    cells: dict[str, list[dict[str, int]]] = {}
    for one in found:
        for (_lane, task), cell in one.cells.items():
            cells.setdefault(task, []).append(dict(cell))
    tasks = [TaskFigures(name, Tally.of(parts)) for name, parts in cells.items()]
    measured = [task for task in tasks if task.tally.run.count]
    return sorted(measured, key=lambda task: -(task.tally.run.p95_ms or 0))[:SLOWEST]
