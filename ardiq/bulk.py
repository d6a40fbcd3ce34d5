"""Many calls at once: all are checked before anything is sent, then stored in round trips of 500.

What can refuse a call (its signature, its encoding, its size) is done for all of them first. What cannot
fail (ids, signatures of bytes, records) is done batch by batch, while the server works on the batch before.
Between the two a call is one string of bytes: twenty thousand containers would make the garbage collector go
through the whole process (docs/explanation/speed.md).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from itertools import chain, islice, repeat
from typing import Any

from django.db import DEFAULT_DB_ALIAS

from ardiq import durability
from ardiq.batches import Aside, Batches, Target
from ardiq.connection import Broker
from ardiq.core.errors import NotDurable
from ardiq.enqueuing import Prepared
from ardiq.owners import Owner
from ardiq.results import Job
from ardiq.signals import job_enqueued

Way = tuple[str | None, bool, str | None]
"""How calls leave: the alias of a database, whether they go by its outbox, and their durability."""
NOW = ""  # stands where the alias stands for calls that leave at its commit
AT_ONCE: Way = (NOW, False, None)


Pile = Batches | Aside


class Taken:
    """The calls of a bulk, in piles that leave in different ways."""

    def __init__(self, owner: Owner, way_of: Callable[[Target], Way], make: Callable[[Way], Pile]) -> None:
        self._owner, self._way_of, self._make = owner, way_of, make
        self.piles: dict[Way, Pile] = {}
        self._pile_of: dict[Target, Pile] = {}
        # Of calls of one target in a row: whose, where they are, and how many. Three lists and no tuples,
        # because two tasks may come by turns.
        self._targets: list[Target] = []
        self._where: list[Pile] = []
        self._counts: list[int] = []

    def take(self, calls: Iterable[Prepared]) -> None:
        """Check and pack them all. Raises TypeError, ValueError or TooLarge."""
        last: Target | None = None
        pile: Pile | None = None
        before = 0
        for call in calls:
            if call.__class__ is not Prepared or call.target is not last:
                check(self._owner, call)
                if pile is not None:
                    self._counts.append(len(pile) - before)
                last = call.target
                pile = self._pile_of.get(last) or self._pile(last)
                self._targets.append(last)
                self._where.append(pile)
                before, add = len(pile), pile.adder(last)
            if add(call):
                last = None
        if pile is not None:
            self._counts.append(len(pile) - before)

    def _pile(self, target: Target) -> Pile:
        way = self._way_of(target)
        if way not in self.piles:
            self.piles[way] = self._make(way)
        pile = self._pile_of[target] = self.piles[way]
        return pile

    def to_send(self) -> list[tuple[Way, Pile]]:
        """The piles in the order in which they leave: what goes to the server alone is first, and what is
        waited for is last, for whatever comes of it the others have left then."""
        return sorted(self.piles.items(), key=lambda item: (bool(item[0][2]), item[0][0] != NOW))

    def targets(self, pile: Pile) -> Iterator[Target]:
        """Whose calls they are, in their order."""
        rows = zip(self._targets, self._where, self._counts, strict=True)
        return chain.from_iterable(repeat(target, count) for target, where, count in rows if where is pile)

    def in_order(self, jobs: dict[Way, Iterable[Job[Any]]]) -> list[Job[Any]]:
        """What came of the piles, in the order of the calls."""
        if len(jobs) <= 1:
            return list(*jobs.values())
        found = {id(self.piles[way]): iter(some) for way, some in jobs.items()}
        rows = zip(self._where, self._counts, strict=True)
        return list(chain.from_iterable(islice(found[id(pile)], count) for pile, count in rows))


async def enqueue(owner: Owner, calls: Iterable[Prepared]) -> list[Job[Any]]:
    """Calls that go by a database leave as it wants it, the others at once; handles in order."""
    own = owner.broker

    def way_of(target: Target) -> Way:
        options, durable = target.call_options, target.is_durable(own)
        return (options.using, durable, options.durability) if durable or options.on_commit else AT_ONCE

    taken = Taken(owner, way_of, lambda way: Batches(own) if way[0] == NOW else Aside(own, *way))
    with _taken_once(own):
        taken.take(calls)
    for pile in taken.piles.values():
        if isinstance(pile, Aside):
            await pile.check_async()
    jobs: dict[Way, Iterable[Job[Any]]] = {}
    missed: list[NotDurable] = []
    for way, pile in taken.to_send():
        try:
            if isinstance(pile, Aside):
                jobs[way] = await pile.submit_async()
            else:
                jobs[way] = await pile.submit_async(taken.targets(pile) if job_enqueued.receivers else None)
        except NotDurable as error:
            missed.append(error)
    if missed:
        raise durability.all_of(missed)
    return taken.in_order(jobs)


def enqueue_sync(owner: Owner, calls: Iterable[Prepared]) -> list[Job[Any]]:
    """Calls inside an open transaction leave at its commit, the others at once; handles in order."""
    own = owner.broker

    def way_of(target: Target) -> Way:
        using = target.call_options.using or DEFAULT_DB_ALIAS
        if target.is_durable(own):
            return using, True, target.call_options.durability
        return (using, False, None) if target.waits_for_commit(own) else AT_ONCE

    taken = Taken(owner, way_of, lambda way: Aside(own, *way) if way[1] else Batches(own))
    with _taken_once(own):
        taken.take(calls)
    for pile in taken.piles.values():
        if isinstance(pile, Aside):
            pile.check()
    jobs: dict[Way, Iterable[Job[Any]]] = {}
    missed: list[NotDurable] = []
    for way, pile in taken.to_send():
        try:
            if isinstance(pile, Aside):
                jobs[way] = pile.submit()
            elif way[0]:
                jobs[way] = pile.leave(taken.targets(pile), way[0])
            else:
                jobs[way] = list(pile.submit(taken.targets(pile) if job_enqueued.receivers else None))
        except NotDurable as error:
            missed.append(error)
    if missed:
        raise durability.all_of(missed)
    return taken.in_order(jobs)


def _taken_once(own: Broker) -> AbstractContextManager[None]:
    """What PROPAGATE names is looked up once for all calls."""
    return own.carrier.once() if own.carrier is not None else nullcontext()


def check(owner: Owner, call: object) -> None:
    """Raise TypeError for what is no prepared call, ValueError for one of another queue."""
    if not isinstance(call, Prepared):
        raise TypeError(f"enqueue_many takes prepared calls, got {call!r}; write task.prepare(...).")
    its = call.target.app
    if its is not owner and its.queue_name != owner.queue_name:
        raise ValueError(
            f"{call.target.name} belongs to the queue {its.queue_name!r}, not "
            f"{owner.queue_name!r}; send each queue's calls on their own."
        )
