"""How many jobs there are, of which state, queue and task: what Redis keeps, or finds without a scan."""

from __future__ import annotations

from collections.abc import Iterable

from ardiq.adminui.asking import servers, together
from ardiq.adminui.plan import Plan
from ardiq.adminui.sought import Sought
from ardiq.connection import Broker
from ardiq.core.job import JobStatus
from ardiq.store import browsing, controls, inspector
from ardiq.store.browsing import STRETCH
from ardiq.store.controls import Pause
from ardiq.store.inspector import Counts, WorkerView
from ardiq.store.scripts import Call

WORKERS = 20  # that a list offers to choose
TALLIED = 1_000  # newest jobs of a queue among which tasks are counted


class Census:
    """Remembers what it has counted: make a new one for each request. Whoever asks for the numbers of one
    queue gets those of all of its server, which costs no more than one."""

    def __init__(self, aliases: list[str], sought: Sought, crew: bool = False) -> None:
        """``crew``: the workers are of interest as well."""
        self.aliases = aliases
        self.sought = sought
        self._crew = crew
        self._counts: dict[str, Counts] = {}
        self.pauses: dict[str, list[Pause]] = {}
        """What is paused in each queue whose jobs were counted."""
        self._windows: dict[str, dict[JobStatus, int]] = {}
        self._living: dict[str, list[str]] = {}
        self._names: dict[str, str] = {}

    def queues(self, plan: Plan) -> list[str]:
        wanted = plan.wanted.get("queue")
        return [alias for alias in self.aliases if wanted is None or alias in wanted]

    def statuses(self, plan: Plan) -> list[JobStatus]:
        wanted = plan.wanted.get("state")
        return [status for status in browsing.STATUSES if wanted is None or status.value in wanted]

    def counts(self, alias: str) -> Counts:
        """Counts of one queue, which is tidied on the way."""
        if alias not in self._counts:
            self._count(alias)
        return self._counts[alias]

    def numbers(self, alias: str) -> dict[JobStatus, int]:
        """How many jobs of each status there are, of the time that is sought."""
        counts = self.counts(alias)
        return self._windows[alias] if self.sought.timed else counts.statuses

    def _count(self, alias: str) -> None:
        """One round trip."""
        groups = ([own.keys.queue for own in group] for group in servers(self.aliases))
        beside = next((group for group in groups if alias in group), [alias])
        for queue, (_tidied, counts, pauses, *sizes) in together(beside, self._calls).items():
            self._counts[queue], self.pauses[queue] = counts, pauses
            listed = sizes.pop() if self._crew else []  # those whose lease ends last first
            self._living[queue] = [id for id, _end in listed[: counts.workers]]
            self._windows[queue] = dict(zip(browsing.STATUSES, sizes, strict=False))

    def _calls(self, own: Broker) -> list[Call]:
        keys, lanes = own.keys, own.options.priorities
        calls = [inspector.tidy(keys), inspector.counts(keys, lanes), controls.pauses(keys)]
        if self.sought.timed:
            places = (browsing.places([status], lanes) for status in browsing.STATUSES)
            calls += [browsing.size(keys, where, self.sought.keep()) for where in places]
        return [*calls, inspector.workers(keys)] if self._crew else calls

    def total(self, queues: Iterable[str], statuses: Iterable[JobStatus]) -> int:
        chosen = list(statuses)
        return sum(self.numbers(alias)[status] for alias in queues for status in chosen)

    def tasks(self, queues: Iterable[str], statuses: Iterable[JobStatus]) -> dict[str, int]:
        """Task -> how many, among the TALLIED jobs nearest to now of each queue; the most frequent first. The
        names of their workers come along."""
        out: dict[str, int] = {}
        queues, chosen, keep = list(queues), list(statuses), self.sought.keep()
        workers = self._shown(queues)

        def calls(own: Broker) -> list[Call]:
            where = browsing.places(chosen, own.options.priorities)
            end = min(TALLIED, self.total([own.keys.queue], chosen))
            names = [
                browsing.names(own.keys, where, at, min(STRETCH, end - at), keep)
                for at in range(0, end, STRETCH)
            ]
            mine = (id for id, queue in workers.items() if queue == own.keys.queue)
            return [*names, *(inspector.worker(own.keys, id, 0) for id in mine)]

        for parts in together(queues, calls).values():
            for part in parts:
                if isinstance(part, WorkerView):
                    self._names[part.id] = part.about.get("name", "")
                    continue
                for name, number in part.items():
                    out[name] = out.get(name, 0) + number
        return dict(sorted(out.items(), key=lambda one: (-one[1], one[0])))

    def workers(self, queues: Iterable[str]) -> dict[str, str]:
        """Id -> name of living workers of these queues, WORKERS at most; '' where no name has come along."""
        return {id: self._names.get(id, "") for id in self._shown(queues)}

    def _shown(self, queues: Iterable[str]) -> dict[str, str]:
        """Id -> queue, in an order that renewals of leases do not change."""
        if not self._crew:
            return {}
        living: list[tuple[str, str]] = []
        for alias in queues:
            self.counts(alias)
            living += [(id, alias) for id in self._living[alias]]
        return dict(sorted(living)[:WORKERS])
