"""How many jobs there are, of which state, queue and task: what Redis keeps, or finds without a scan."""

from __future__ import annotations

from collections.abc import Iterable

from ardiq import conf
from ardiq.adminui.plan import Plan
from ardiq.adminui.sought import Sought
from ardiq.connection import Broker, broker
from ardiq.core.job import JobStatus
from ardiq.store import browsing, controls, inspector
from ardiq.store.browsing import STRETCH
from ardiq.store.controls import Pause
from ardiq.store.inspector import Counts

TALLIED = 1_000  # newest jobs of a queue among which tasks are counted


def broker_of(alias: str) -> Broker:
    return broker(conf.options(alias))


class Census:
    """Remembers what it has counted: make a new one for each request."""

    def __init__(self, aliases: list[str], sought: Sought) -> None:
        self.aliases = aliases
        self.sought = sought
        self._counts: dict[str, Counts] = {}
        self.pauses: dict[str, list[Pause]] = {}
        """What is paused in each queue whose jobs were counted."""
        self._windows: dict[str, dict[JobStatus, int]] = {}

    def queues(self, plan: Plan) -> list[str]:
        wanted = plan.wanted.get("queue")
        return [alias for alias in self.aliases if wanted is None or alias in wanted]

    def statuses(self, plan: Plan) -> list[JobStatus]:
        wanted = plan.wanted.get("state")
        return [status for status in browsing.STATUSES if wanted is None or status.value in wanted]

    def counts(self, alias: str) -> Counts:
        """Counts of one queue, which is tidied on the way."""
        if alias not in self._counts:
            own = broker_of(alias)
            tidy, counts = inspector.tidy(own.keys), inspector.counts(own.keys, own.options.priorities)
            pauses = controls.pauses(own.keys)
            _, self._counts[alias], self.pauses[alias] = own.store.run_many((tidy, counts, pauses))
        return self._counts[alias]

    def numbers(self, alias: str) -> dict[JobStatus, int]:
        """How many jobs of each status there are, of the time that is sought."""
        if not self.sought.timed:
            return self.counts(alias).statuses
        if alias not in self._windows:
            own = broker_of(alias)
            calls = [
                browsing.size(own.keys, browsing.places([status], own.options.priorities), self.sought.keep())
                for status in browsing.STATUSES
            ]
            found = own.store.run_many(calls)
            self._windows[alias] = dict(zip(browsing.STATUSES, found, strict=True))
        return self._windows[alias]

    def total(self, queues: Iterable[str], statuses: Iterable[JobStatus]) -> int:
        chosen = list(statuses)
        return sum(self.numbers(alias)[status] for alias in queues for status in chosen)

    def tasks(self, queues: Iterable[str], statuses: Iterable[JobStatus]) -> dict[str, int]:
        """Task -> how many, among the TALLIED jobs nearest to now of each queue; the most frequent first."""
        out: dict[str, int] = {}
        chosen = list(statuses)
        for alias in queues:
            own = broker_of(alias)
            where = browsing.places(chosen, own.options.priorities)
            calls = [
                browsing.names(own.keys, where, at, min(STRETCH, TALLIED - at), self.sought.keep())
                for at in range(0, TALLIED, STRETCH)
            ]
            for part in own.store.run_many(calls):
                for name, number in part.items():
                    out[name] = out.get(name, 0) + number
        return dict(sorted(out.items(), key=lambda one: (-one[1], one[0])))
