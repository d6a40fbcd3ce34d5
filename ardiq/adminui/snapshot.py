"""What the dashboard tells of a queue: read at once, in four or five round trips, and kept for a second.

Ten people who look at the same dashboard cost no more than one.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from ardiq import conf, overview
from ardiq.adminui.reading import Reading
from ardiq.adminui.sources import broker_of
from ardiq.core.options import Options
from ardiq.core.statistics import Statistics
from ardiq.overview import Overview
from ardiq.store import inspector
from ardiq.store.inspector import JobView
from ardiq.store.letters import FailureGroup, drive_beside
from ardiq.store.statistics import statistics

KEPT = 1.0  # seconds


@dataclass(frozen=True, slots=True)
class Failures:
    """A group of failures, and the latest of its jobs if that is still there."""

    queue: str
    group: FailureGroup
    latest: JobView | None

    def reading(self) -> Reading | None:
        if self.latest is None or self.latest.record is None:
            return None
        return Reading(self.queue, broker_of(self.queue).codec, self.latest)


@dataclass(frozen=True, slots=True)
class Snapshot:
    seen: Overview
    statistics: Statistics
    failures: tuple[Failures, ...]

    @property
    def queue(self) -> str:
        return self.seen.options.queue


_kept: dict[tuple[Options, int], tuple[float, Snapshot]] = {}


def snapshot(alias: str, minutes: int) -> Snapshot:
    """A queue of settings, with its statistics of so many minutes. Raises BrokerError."""
    options = conf.options(alias)
    now, key = time.monotonic(), (options, minutes)
    at, found = _kept.get(key, (0.0, None))
    if found is None or now - at > KEPT:
        for old in [one for one, (since, _) in _kept.items() if now - since > KEPT]:
            _kept.pop(old, None)
        found = _read(alias, options, minutes)
        _kept[key] = (now, found)
    return found


def _read(alias: str, options: Options, minutes: int) -> Snapshot:
    seen = overview.read(options)
    own = broker_of(alias)
    # The latest job of each group comes with the statistics, not with a round trip of its own.
    latest = inspector.rows(own.keys, [group.job for group in seen.groups])
    figures, [views] = drive_beside(own.store, statistics(own.keys, minutes), [latest])
    failures = [Failures(alias, *pair) for pair in zip(seen.groups, views, strict=True)]
    return Snapshot(seen, figures, tuple(failures))
