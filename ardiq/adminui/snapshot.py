"""What the dashboard tells of queues: read at once, in four or five round trips for all those of one server,
and kept for a second.

Ten people who look at the same dashboard cost no more than one.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from ardiq import conf, overview
from ardiq.adminui.asking import broker_of, servers
from ardiq.adminui.reading import Reading
from ardiq.connection import Broker
from ardiq.core.options import Options
from ardiq.core.statistics import Statistics
from ardiq.overview import Overview
from ardiq.store import inspector
from ardiq.store.inspector import JobView
from ardiq.store.letters import FailureGroup, Steps, drive_abreast
from ardiq.store.server import Info
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


def snapshots(aliases: Sequence[str], minutes: int) -> list[Snapshot]:
    """Queues of settings, with their statistics of so many minutes. Raises BrokerError."""
    now = time.monotonic()
    for old in [one for one, (since, _) in _kept.items() if now - since > KEPT]:
        _kept.pop(old, None)
    keys = {alias: (conf.options(alias), minutes) for alias in aliases}
    found = {alias: kept[1] for alias, key in keys.items() if (kept := _kept.get(key))}
    for one in _read([alias for alias in aliases if alias not in found], minutes):
        found[one.queue] = one
        _kept[keys[one.queue]] = (now, one)
    return [found[alias] for alias in aliases]


def _read(aliases: Iterable[str], minutes: int) -> list[Snapshot]:
    found: list[Snapshot] = []
    for group in servers(aliases):
        store, info = group[0].store, overview.info(group[0])
        # Figures depend on nothing else, so that they come with the first step of the rest, of all queues.
        looks: list[Steps[Any]] = [_look(own, info) for own in group]
        looks += [statistics(own.keys, minutes) for own in group]
        answers = drive_abreast(store, looks)
        pairs = zip(answers[: len(group)], answers[len(group) :], strict=True)
        found += [Snapshot(seen, figures, failures) for (seen, failures), figures in pairs]
    return found


def _look(own: Broker, info: Info) -> Steps[tuple[Overview, tuple[Failures, ...]]]:
    """How a queue stands, and its failures, each group with the latest of its jobs."""
    seen = yield from overview.steps(own, info)
    (views,) = yield [inspector.rows(own.keys, [group.job for group in seen.groups])]
    queue = own.keys.queue
    return seen, tuple(Failures(queue, *pair) for pair in zip(seen.groups, views, strict=True))
