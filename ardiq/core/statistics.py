"""Figures of a queue: how many jobs ended how, how long they ran and waited; per lane and per task.

Times are sorted into buckets whose bounds are powers of two, so that a bucket is told by counting bits, and
sums of buckets from any number of workers and minutes are buckets again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

BUCKETS = 23
BOUNDS_MS = tuple(1 << bits for bits in range(BUCKETS - 1))
"""Upper bounds of all buckets but the last: 1 ms, 2 ms, 4 ms, ... 35 minutes."""
OTHER = "other"  # the task of whatever goes beyond the most tasks that are counted apart

# How each figure is called in Redis, behind lane and task. The counts go by the letters of statuses.
SUCCEEDED, FAILED, RETRIED, ABORTED, EXPIRED, CRASHED = "S", "F", "D", "A", "X", "C"
RUN, WAIT = "R", "W"  # sums, us
RUN_BUCKETS = tuple(f"r{number}" for number in range(BUCKETS))
WAIT_BUCKETS = tuple(f"w{number}" for number in range(BUCKETS))

Cell = dict[str, int]
"""The figures of one task in one lane: code -> number."""


def bucket(ms: int) -> int:
    """The number of the bucket for a time."""
    return min(ms.bit_length(), BUCKETS - 1) if ms > 0 else 0


@dataclass(frozen=True, slots=True)
class Histogram:
    """Times, ms. ``counts[n]`` of them were below ``BOUNDS_MS[n]`` and in no bucket before."""

    counts: tuple[int, ...]
    total_ms: float

    @property
    def count(self) -> int:
        return sum(self.counts)

    @property
    def mean_ms(self) -> float | None:
        """None when nothing was measured."""
        count = self.count
        return self.total_ms / count if count else None

    def quantile_ms(self, share: float) -> float | None:
        """The time that this ``share`` (0 to 1) stayed below, within the bounds of its bucket; None when
        nothing was measured. Of what took more than 35 minutes only that is known."""
        if not 0 <= share <= 1:
            raise ValueError(f"share={share!r}: give a number from 0 to 1.")
        rank, below = share * self.count, 0
        for number, count in enumerate(self.counts):
            if count and below + count >= rank:
                lower = BOUNDS_MS[number - 1] if number else 0
                if number == BUCKETS - 1:
                    return float(lower)
                return lower + (BOUNDS_MS[number] - lower) * (rank - below) / count
            below += count
        return None

    @property
    def p50_ms(self) -> float | None:
        return self.quantile_ms(0.5)

    @property
    def p95_ms(self) -> float | None:
        return self.quantile_ms(0.95)


@dataclass(frozen=True, slots=True)
class Tally:
    """How jobs ended, how long those runs took (``run``), and how long they had been ready before (``wait``).

    ``retried`` counts attempts that failed and come again, ``crashed`` those whose process died. From large
    claims a part of the jobs is measured and counts for the rest, in ``run`` and ``wait`` only.
    """

    succeeded: int
    failed: int
    retried: int
    aborted: int
    expired: int
    crashed: int
    run: Histogram
    wait: Histogram

    @property
    def ended(self) -> int:
        """Jobs that have reached their end, whichever."""
        return self.succeeded + self.failed + self.aborted + self.expired

    @classmethod
    def of(cls, cells: Iterable[Mapping[str, int]]) -> Tally:
        """The sum of some cells."""
        total: Cell = {}
        for cell in cells:
            for code, number in cell.items():
                total[code] = total.get(code, 0) + number
        get = total.get
        return cls(
            get(SUCCEEDED, 0), get(FAILED, 0), get(RETRIED, 0), get(ABORTED, 0), get(EXPIRED, 0),
            get(CRASHED, 0),
            Histogram(tuple(get(code, 0) for code in RUN_BUCKETS), get(RUN, 0) / 1_000),
            Histogram(tuple(get(code, 0) for code in WAIT_BUCKETS), get(WAIT, 0) / 1_000),
        )  # fmt: skip


@dataclass(frozen=True)
class Figures:
    """``cells``: (lane, task) -> what was counted there."""

    cells: Mapping[tuple[str, str], Mapping[str, int]]

    @cached_property
    def total(self) -> Tally:
        """All together."""
        return Tally.of(self.cells.values())

    @cached_property
    def lanes(self) -> dict[str, Tally]:
        """By lane; only those in which anything was counted."""
        return self._by(0)

    @cached_property
    def tasks(self) -> dict[str, Tally]:
        """By name of the task; ``other`` is the sum of those beyond the most that are counted apart."""
        return self._by(1)

    def _by(self, part: int) -> dict[str, Tally]:
        groups: dict[str, list[Mapping[str, int]]] = {}
        for key, cell in self.cells.items():
            groups.setdefault(key[part], []).append(cell)
        return {name: Tally.of(groups[name]) for name in sorted(groups)}


@dataclass(frozen=True, slots=True)
class Sample:
    """A look at the queue: jobs that wait in each lane, and how long the first of each has been ready (ms, 0
    for none), jobs that are scheduled and that run, workers that live. Of ten minutes the largest values."""

    waiting: dict[str, int]
    oldest_ms: dict[str, int]
    scheduled: int
    running: int
    workers: int


@dataclass(frozen=True)
class Period(Figures):
    """A minute, or ten. ``start``: epoch ms by the clock of the server. ``sample`` is None when no worker
    lived to take one."""

    start: int
    length_ms: int
    sample: Sample | None


@dataclass(frozen=True)
class Statistics(Figures):
    """The latest minutes of a queue, as its workers count them; a second old at most.

    ``periods``, oldest first, have no gaps; the last one is not over yet. ``now``: epoch ms by the clock of
    the server. The figures of the whole time are here, too: ``total``, ``lanes`` and ``tasks``.
    """

    queue: str
    now: int
    periods: tuple[Period, ...]

    @property
    def seconds(self) -> float:
        """How long a time this covers."""
        return (self.now - self.periods[0].start) / 1000

    @classmethod
    def over(cls, queue: str, now: int, periods: Iterable[Period]) -> Statistics:
        """The sum of some periods."""
        periods, cells = tuple(periods), dict[tuple[str, str], Cell]()
        for period in periods:
            for key, cell in period.cells.items():
                total = cells.setdefault(key, {})
                for code, number in cell.items():
                    total[code] = total.get(code, 0) + number
        return cls(cells, queue, now, periods)
