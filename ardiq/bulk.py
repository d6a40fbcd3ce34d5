"""Many calls at once: checked and encoded before anything is sent, then stored in round trips of 500.

Batches are made while calls are encoded, so that no container for each job outlives its batch: twenty
thousand of them would make the garbage collector go through the whole process (docs/explanation/speed.md).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any

from asgiref.sync import sync_to_async
from django.db import DEFAULT_DB_ALIAS

from ardiq import durability, leaving, outbox, transactions
from ardiq.connection import Answer, Batch, Broker, is_new
from ardiq.core.errors import BrokerError
from ardiq.enqueuing import Enqueuable, Prepared, handle
from ardiq.owners import Owner
from ardiq.results import Job
from ardiq.signals import job_enqueued
from ardiq.store import verbs
from ardiq.store.newjobs import NewJob

NOW = ""  # stands where the alias of a database stands for calls that leave at its commit

# The alias of a database, whether the calls go by its outbox, and what else they wait for
Aside = tuple[str | None, bool, str | None]
When = tuple[str, bool, str | None]


class Batches:
    """Encoded calls that leave together."""

    def __init__(self, own: Broker) -> None:
        self._own = own
        self._jobs: list[NewJob] = []
        self._full: list[Batch] = []
        self.aside: list[tuple[int, Aside, Enqueuable[Any, Any], NewJob]] = []
        """What async code sends by a database: its place among all the calls, and how."""
        # Whose calls they are, in their order; only where somebody is to be told of each.
        self._noted: list[Enqueuable[Any, Any]] | None = [] if job_enqueued.receivers else None

    def add(self, call: Prepared) -> None:
        """Encode a call. Raises TypeError, ValueError or TooLarge."""
        self._jobs.append(call.build(self._own))
        if self._noted is not None:
            self._noted.append(call.target)
        if len(self._jobs) == verbs.CHUNK:
            self.all()

    def take(self, owner: Owner, calls: Iterable[Prepared]) -> None:
        """``add`` for all calls of one queue; in one loop, because there may be very many."""
        own, chunk, last = self._own, self._jobs, None
        noted = self._noted
        for call in calls:
            if call.__class__ is not Prepared or call.target is not last:
                check(owner, call)
                last = call.target
                if last.is_durable(own) or last.call_options.on_commit:
                    self._set_aside(call)
                    last = None
                    continue
            chunk.append(call.build(own))
            if noted is not None:
                noted.append(call.target)
            if len(chunk) == verbs.CHUNK:
                self._full.append(own.batch(chunk))
                chunk.clear()

    def _set_aside(self, call: Prepared) -> None:
        before = verbs.CHUNK * len(self._full) + len(self._jobs) + len(self.aside)
        target = call.target
        options = target.call_options
        how = (options.using, target.is_durable(self._own), options.durability)
        self.aside.append((before, how, target, call.build(self._own)))

    def announce(self, ids: list[str], answers: list[Answer]) -> None:
        """Tell of those of a batch that are new, if anybody wants to know."""
        if self._noted is not None:
            targets, self._noted = self._noted[: len(ids)], self._noted[len(ids) :]
            for target, id, answer in zip(targets, ids, answers, strict=True):
                if is_new(answer):
                    target.announce(self._own, [id])

    @property
    def announces(self) -> bool:
        return self._noted is not None

    def all(self) -> list[Batch]:
        if self._jobs:
            self._full.append(self._own.batch(self._jobs))
            self._jobs = []
        return self._full

    @property
    def name(self) -> str:
        """What a log calls it."""
        sizes = [len(ids) for ids, _ in self.all()]
        return (
            f"A bulk of {sum(sizes):,} jobs of {self._own.options.queue} ({self.all()[0][0][0]} is the first)"
        )

    def submit(self) -> Iterator[Job[Any]]:
        """Store from sync code; handles in order."""
        for ids, answers in self._own.submit_many(self.all()):
            self.announce(ids, answers)
            yield from map(partial(handle, self._own), ids, answers)

    def leaving(self) -> transactions.Leaving:
        """All of it as one thing that leaves at a commit."""
        ids = tuple(id for ids, _ in self.all() for id in ids)
        return transactions.Leaving(self, _leave, self.name, ids)

    def submit_all(self) -> None:
        for ids, answers in self._own.submit_many(self.all()):
            self.announce(ids, answers)

    def promised(self) -> Iterator[Job[Any]]:
        """Handles of jobs that leave later."""
        for ids, _ in self.all():
            yield from (Job(id, self._own) for id in ids)


def _leave(bulks: list[Batches]) -> tuple[int, BrokerError | None]:
    try:
        for bulk in bulks:
            bulk.submit_all()
    except BrokerError as error:
        return 0, error
    return len(bulks), None


class Rows(Batches):
    """Calls that go by the outbox of a database: written together, all or none."""

    def __init__(self, own: Broker, using: str) -> None:
        super().__init__(own)
        self._using = using

    def add(self, call: Prepared) -> None:
        self._jobs.append(call.build(self._own))

    def submit(self) -> Iterator[Job[Any]]:
        answers = outbox.put(self._own, self._jobs, self._using)
        return map(partial(handle, self._own), (job[0] for job in self._jobs), answers)


class Confirmed(Batches):
    """Calls that wait until their jobs are somewhere else, too."""

    def __init__(self, own: Broker) -> None:
        super().__init__(own)
        self._calls: list[tuple[Enqueuable[Any, Any], NewJob]] = []

    def add(self, call: Prepared) -> None:
        self._calls.append((call.target, call.build(self._own)))

    def submit(self) -> Iterator[Job[Any]]:
        answers = durability.put(self._own, self._calls)
        return map(partial(handle, self._own), (job[0] for _, job in self._calls), answers)


async def enqueue(owner: Owner, calls: Iterable[Prepared]) -> list[Job[Any]]:
    own = owner.broker
    batches = Batches(own)
    with _taken_once(own):
        batches.take(owner, calls)
    jobs: list[Job[Any]] = []
    if batches.all():
        async for ids, answers in own.here().submit_many(batches.all()):
            if batches.announces:
                await sync_to_async(batches.announce)(ids, answers)
            jobs += map(partial(handle, own), ids, answers)
    if batches.aside:
        await _put_aside(own, batches.aside, jobs)
    return jobs


async def _put_aside(
    own: Broker, aside: list[tuple[int, Aside, Enqueuable[Any, Any], NewJob]], jobs: list[Job[Any]]
) -> None:
    """Enqueue by a database what async code sends that way, and insert the handles among the others."""
    found: dict[int, Job[Any]] = {}
    for how in dict.fromkeys(how for _, how, _, _ in aside):
        mine = [(place, target, job) for place, one, target, job in aside if one == how]
        using, durable, way = how
        if way:
            answers = await durability.put_async(own, [(target, job) for _, target, job in mine])
        elif durable:
            answers = await outbox.put_async(own, [job for _, _, job in mine], using)
        else:
            calls = [(target, job) for _, target, job in mine]
            answers = await sync_to_async(leaving.here)(own, calls)
        for (place, _, job), answer in zip(mine, answers, strict=True):
            found[place] = handle(own, job[0], answer)
    for place in sorted(found):
        jobs.insert(place, found[place])


def enqueue_sync(owner: Owner, calls: Iterable[Prepared]) -> list[Job[Any]]:
    """Calls inside an open transaction leave at its commit, the others at once; handles in order."""
    own = owner.broker
    parts: dict[When, Batches] = {}
    when_of: dict[Enqueuable[Any, Any], When] = {}
    order: list[When] = []
    with _taken_once(own):
        for call in calls:
            check(owner, call)
            when = when_of.get(call.target)
            if when is None:
                when = when_of[call.target] = _when(call.target, own)
                if when not in parts:
                    parts[when] = _batches(own, when)
            parts[when].add(call)
            order.append(when)
    jobs: dict[When, Iterator[Job[Any]]] = {}
    for when, batches in parts.items():
        using, durable, _ = when
        waits = using != NOW and not durable
        if waits:
            transactions.at_commit(batches.leaving(), using)
        jobs[when] = batches.promised() if waits else batches.submit()
    return list(*jobs.values()) if len(jobs) == 1 else [next(jobs[when]) for when in order]


def _taken_once(own: Broker) -> AbstractContextManager[None]:
    """What PROPAGATE names is looked up once for all calls."""
    return own.carrier.once() if own.carrier is not None else nullcontext()


def _batches(own: Broker, when: When) -> Batches:
    using, durable, way = when
    if way:
        return Confirmed(own)
    return Rows(own, using) if durable else Batches(own)


def _when(target: Enqueuable[Any, Any], own: Broker) -> When:
    using = target.call_options.using or DEFAULT_DB_ALIAS
    if target.is_durable(own):
        way = target.call_options.durability
        return using, True, way
    return (using if target.waits_for_commit(own) else NOW), False, None


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
