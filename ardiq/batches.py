"""The calls of a bulk that leave together: plain ones of one task packed, all others as jobs.

A packed call is one string of bytes that lacks an id and what follows from it. That is added batch by batch,
while the server works on the batch before (bulk.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import chain, islice
from typing import Any, NamedTuple

from asgiref.sync import sync_to_async

from ardiq import durability, leaving, outbox, transactions
from ardiq.connection import Answer, Batch, Broker, is_new, new_ids
from ardiq.core.errors import BrokerError
from ardiq.enqueuing import Enqueuable, Prepared, handle
from ardiq.plain import PLAIN_ROOT, Start
from ardiq.results import Job
from ardiq.signals import job_enqueued
from ardiq.store import verbs
from ardiq.store.newjobs import NewJob

Target = Enqueuable[Any, Any]
Add = Callable[[Prepared], "bool | None"]
"""Takes one call. True: the next one is not for this, ask for another."""


class Packed(NamedTuple):
    """Plain calls of one task that lack their ids and signatures."""

    start: Start
    bodies: list[bytes]

    def jobs(self) -> list[NewJob]:
        ids, calls = self._sealed()
        return [(id, self.start.lane, self.start.texts, call) for id, call in zip(ids, calls, strict=True)]

    def batch(self, own: Broker) -> Batch:
        ids, calls = self._sealed()
        start = self.start
        return ids, verbs.enqueue_alike(own.keys, start.lane, start.texts, ids, calls, own.limit)

    def _sealed(self) -> tuple[list[str], list[bytes]]:
        assert self.start.seal is not None
        ids = new_ids(len(self.bodies))
        return ids, list(map(self.start.seal, map(str.encode, ids), self.bodies))


class Batches:
    """Calls that leave together, in round trips of their own."""

    def __init__(self, own: Broker) -> None:
        self._own = own
        self._full: list[Batch | Packed] = []
        # What is being filled: any number of calls of one task, or else a batch of any jobs.
        self._packed: Packed | None = None
        self._jobs: list[NewJob] = []

    def __len__(self) -> int:
        packed = len(self._packed.bodies) if self._packed else 0
        return verbs.CHUNK * len(self._full) + packed + len(self._jobs)

    def adder(self, target: Target) -> Add:
        """What takes the next calls of this target."""
        start = target.start_in(self._own)
        if self._packed and self._packed.start is not start:
            # The others of the last, unfinished batch may be anything.
            self._jobs = self._cut().jobs()
        if self._jobs or start is None or start.seal is None:
            return self._add_job
        if self._packed is None:
            self._packed = Packed(start, [])
        return _packing(start, self._packed.bodies, self._own)

    def _add_job(self, call: Prepared) -> bool:
        self._jobs.append(call.build(self._own))
        if len(self._jobs) < verbs.CHUNK:
            return False
        self._full.append(self._own.batch(self._jobs))
        self._jobs = []
        return True

    def _cut(self) -> Packed:
        """Cut what is packed into batches. Answers the rest."""
        assert self._packed is not None
        (start, bodies), self._packed = self._packed, None
        whole = len(bodies) - len(bodies) % verbs.CHUNK
        cuts = range(0, whole, verbs.CHUNK)
        self._full += (Packed(start, bodies[at : at + verbs.CHUNK]) for at in cuts)
        return Packed(start, bodies[whole:])

    def __iter__(self) -> Iterator[Batch]:
        """What to send, made as it is asked for. Once, for ids are given on the way."""
        if self._packed and (rest := self._cut()).bodies:
            self._full.append(rest)
        if self._jobs:
            self._full.append(self._own.batch(self._jobs))
            self._jobs = []
        for one in self._full:
            yield one.batch(self._own) if isinstance(one, Packed) else one

    def submit(self, targets: Iterator[Target] | None) -> Iterator[Job[Any]]:
        """Store from sync code; handles in order. ``targets`` are to be told what is new."""
        for ids, answers in _submitted(self._own, self, targets):
            yield from _handles(self._own, ids, answers)

    async def submit_async(self, targets: Iterator[Target] | None) -> list[Job[Any]]:
        jobs: list[Job[Any]] = []
        if len(self):
            async for ids, answers in self._own.here().submit_many(self):
                if targets is not None:
                    await sync_to_async(_announce)(self._own, targets, ids, answers)
                jobs += _handles(self._own, ids, answers)
        return jobs

    def leave(self, targets: Iterator[Target], using: str) -> Iterator[Job[Any]]:
        """Store at the commit of the transaction that is open here, as one thing."""
        own, batches = self._own, list(self)
        ids = tuple(chain.from_iterable(ids for ids, _ in batches))
        name = f"A bulk of {len(ids):,} jobs of {own.options.queue} ({ids[0]} is the first)"
        store = partial(_store, own, batches, targets)
        transactions.at_commit(transactions.Leaving(store, _leave, name, ids), using)
        return (Job(id, own) for id in ids)


def _packing(start: Start, bodies: list[bytes], own: Broker) -> Add:
    pack, keep = own.codec.packer(PLAIN_ROOT), bodies.append
    beside = own.codec.overhead
    most = start.most - beside

    def add(call: Prepared) -> None:
        body = pack([list(call.args), call.kwargs])
        if len(body) > most:
            raise call.too_large(len(body) + beside, own)
        keep(body)

    return add


def _handles(own: Broker, ids: list[str], answers: list[Answer]) -> list[Job[Any]]:
    pairs = zip(ids, answers, strict=True)
    return [Job(id, own) if answer is True else handle(own, id, answer) for id, answer in pairs]


def _announce(own: Broker, targets: Iterator[Target], ids: list[str], answers: list[Answer]) -> None:
    """Tell of those of a batch that are new."""
    for target, id, answer in zip(islice(targets, len(ids)), ids, answers, strict=True):
        if is_new(answer):
            target.announce(own, [id])


def _submitted(
    own: Broker, batches: Iterable[Batch], targets: Iterator[Target] | None
) -> Iterator[tuple[list[str], list[Answer]]]:
    """Store batches. Who listens may use the queue, by the connection of this thread: all answers are taken
    from it before anything is told."""
    if targets is None:
        yield from own.submit_many(batches)
        return
    stored: list[tuple[list[str], list[Answer]]] = []
    try:
        stored.extend(own.submit_many(batches))
    finally:
        for ids, answers in stored:
            _announce(own, targets, ids, answers)
    yield from stored


def _store(own: Broker, batches: list[Batch], targets: Iterator[Target]) -> None:
    for _ in _submitted(own, batches, targets if job_enqueued.receivers else None):
        pass


def _leave(stores: list[Callable[[], None]]) -> tuple[int, BrokerError | None]:
    try:
        for store in stores:
            store()
    except BrokerError as error:
        return 0, error
    return len(stores), None


class Aside:
    """Calls that go by a database, or wait until their jobs are somewhere else, too; in one piece."""

    def __init__(self, own: Broker, using: str | None, durable: bool, durability: str | None) -> None:
        self._own, self._using, self._durable, self._confirmed = own, using, durable, bool(durability)
        self._calls: list[tuple[Target, NewJob]] = []

    def __len__(self) -> int:
        return len(self._calls)

    def adder(self, target: Target) -> Add:
        def add(call: Prepared) -> None:
            self._calls.append((target, call.build(self._own)))

        return add

    def check(self) -> None:
        """Raise ArdiqError where what they ask for cannot be had; nothing is stored yet."""
        if self._confirmed:
            durability.check(self._own, self._calls)

    async def check_async(self) -> None:
        if self._confirmed:
            await durability.check_async(self._own, self._calls)

    def submit(self) -> Iterator[Job[Any]]:
        """From sync code. Rows of the outbox are written all or none."""
        if self._confirmed:
            return self._handles(durability.put(self._own, self._calls))
        return self._handles(outbox.put(self._own, [job for _, job in self._calls], self._using))

    async def submit_async(self) -> list[Job[Any]]:
        """The same from async code; or leave at the commit in the thread of Django's async ORM."""
        if self._confirmed:
            return list(self._handles(await durability.put_async(self._own, self._calls)))
        if self._durable:
            jobs = [job for _, job in self._calls]
            return list(self._handles(await outbox.put_async(self._own, jobs, self._using)))
        return list(self._handles(await sync_to_async(leaving.here)(self._own, self._calls)))

    def _handles(self, answers: list[Answer]) -> Iterator[Job[Any]]:
        return map(partial(handle, self._own), (job[0] for _, job in self._calls), answers)
