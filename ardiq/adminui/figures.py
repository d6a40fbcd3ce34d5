"""The statistics of some queues as the charts and tables of the dashboard."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

from django.http import HttpRequest
from django.utils import formats
from django.utils.translation import gettext as _

from ardiq.adminui import times
from ardiq.adminui.chart import Chart, Series
from ardiq.adminui.filters import number as whole
from ardiq.core.statistics import Histogram, Period, Sample, Statistics, Tally

SLOWEST = 5  # tasks
RANGES = (60, 360, 1_440, 4_320)  # minutes


def minutes_in(request: HttpRequest) -> int:
    """The time that a page is asked for, one of RANGES."""
    text = request.GET.get("minutes", "")
    return int(text) if text.isdigit() and int(text) in RANGES else min(RANGES)


def range_of(minutes: int, **kept: str) -> tuple[int, str, str]:
    """What a link to another time offers: its minutes, what it is called, its address."""
    return minutes, _("%(n)d h") % {"n": minutes // 60}, f"?{urlencode({'minutes': minutes, **kept})}"


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
    return times.NOTHING if value is None else whole(int(value))


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

    ended = Chart(
        _("Throughput"),
        [
            Series(_("succeeded"), [row.tally.succeeded for row in rows], "good"),
            Series(_("failed"), [row.tally.failed for row in rows], "bad"),
        ],
        names, number, bars=True,
        summary=_("%(good)s succeeded, %(bad)s failed") % {
            "good": number(total.succeeded), "bad": number(total.failed)
        },
    )  # fmt: skip
    troubles = Chart(
        _("Failures and retries"),
        [
            Series(_("failed"), [row.tally.failed for row in rows], "bad"),
            Series(_("retried"), [row.tally.retried for row in rows], "odd"),
            Series(_("crashed"), [row.tally.crashed for row in rows], "worse"),
        ],
        names, number, bars=True,
        summary=_("%(bad)s failed, %(again)s retried, %(worse)s crashed") % {
            "bad": number(total.failed), "again": number(total.retried), "worse": number(total.crashed)
        },
    )  # fmt: skip
    wait = _quantiles(_("Wait"), names, total.wait, [row.tally.wait for row in rows])
    run = _quantiles(_("Run time"), names, total.run, [row.tally.run for row in rows])
    depth = Series(_("waiting"), [row.waiting for row in rows], "plain")
    waiting = _("%(number)s waiting") % {"number": number(depth.last())}
    return [ended, troubles, wait, run, Chart(_("Queue depth"), [depth], names, number, summary=waiting)]


def _quantiles(title: str, names: list[str], total: Histogram, rows: Sequence[Histogram]) -> Chart:
    return Chart(
        title,
        [
            Series("p95", [row.p95_ms for row in rows], "odd"),
            Series("p50", [row.p50_ms for row in rows], "plain"),
        ],
        names,
        milliseconds,
        summary=f"p50 {milliseconds(total.p50_ms)}, p95 {milliseconds(total.p95_ms)}",
    )


def slowest(found: Sequence[Statistics]) -> list[TaskFigures]:
    """The tasks whose runs take longest, by their 95th percentile."""
    cells: dict[str, list[dict[str, int]]] = {}
    for one in found:
        for (_lane, task), cell in one.cells.items():
            cells.setdefault(task, []).append(dict(cell))
    tasks = [TaskFigures(name, Tally.of(parts)) for name, parts in cells.items()]
    measured = [task for task in tasks if task.tally.run.count]
    return sorted(measured, key=lambda task: -(task.tally.run.p95_ms or 0))[:SLOWEST]
