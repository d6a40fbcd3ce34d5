"""Brokers that tell what goes through them: every job that is new, by whichever door it came."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator
from typing import Any, Protocol

from ardiq.connection import Answer, Broker, LoopBroker, is_new
from ardiq.core.job import JobRecord
from ardiq.core.options import Options
from ardiq.store import verbs
from ardiq.store.async_client import AsyncStore
from ardiq.store.client import Store
from ardiq.store.endpoint import Endpoint
from ardiq.store.keys import Keys
from ardiq.store.newjobs import NewJob
from ardiq.store.scripts import Call
from ardiq.store.waiting import AsyncWaiter, Waiter

ENQUEUE = "enqueue"
MAKES_DUE = (ENQUEUE, "replay", "move")  # scripts after which something may be due that was not


class Watch(Protocol):
    """Who is told."""

    def stored(self, broker: Broker, records: list[JobRecord]) -> None: ...
    def due(self, broker: Broker) -> None: ...
    async def due_async(self, broker: Broker) -> None: ...


def new_ids(call: Call, answers: Any) -> list[str]:
    """Ids of the jobs that this call of enqueue.lua made; an older job that stands for one is not new."""
    _, lane, start, *jobs = call.command[4:]
    ids = jobs[:: 2 if lane or start else 4]
    return [str(id) for id, answer in zip(ids, answers, strict=True) if is_new(answer)]


def is_of(call: Call, *names: str) -> bool:
    return call.script is not None and call.script.name in names


class WatchedStore(Store):
    """One call at a time, in order: what a job of the first does, the second finds done."""

    def __init__(self, endpoint: Endpoint, broker: WatchedBroker) -> None:
        super().__init__(endpoint)
        self._broker = broker

    def run_many(self, calls: Iterable[Call]) -> list[Any]:
        return [self._one(call) for call in calls]

    def run_each(self, calls: Iterable[Call]) -> Iterator[Any]:
        return map(self._one, calls)

    def _one(self, call: Call) -> Any:
        answer = super().run_many((call,))[0]
        if is_of(call, ENQUEUE) and (ids := new_ids(call, answer)):
            raws = super().run_many((verbs.read(self._broker.keys, ids),))[0]
            self._broker.note(ids, raws)
        if is_of(call, *MAKES_DUE):
            self._broker.watch.due(self._broker)
        return answer


class WatchedAsyncStore(AsyncStore):
    """``WatchedStore`` for coroutines."""

    def __init__(self, endpoint: Endpoint, broker: WatchedBroker) -> None:
        super().__init__(endpoint)
        self._broker = broker

    async def run(self, call: Call) -> Any:
        answer = await super().run(call)
        if is_of(call, ENQUEUE) and (ids := new_ids(call, answer)):
            self._broker.note(ids, await super().run(verbs.read(self._broker.keys, ids)))
        if is_of(call, *MAKES_DUE):
            await self._broker.watch.due_async(self._broker)
        return answer

    async def run_many(self, calls: Iterable[Call]) -> list[Any]:
        return [await self.run(call) for call in calls]

    async def run_each(self, calls: Iterable[Call]) -> AsyncIterator[Any]:
        for call in calls:
            yield await self.run(call)


class WatchedLoopBroker(LoopBroker):
    """No group commit: a job that runs at once may itself enqueue, and would wait for the flight it is on."""

    def __init__(self, endpoint: Endpoint, keys: Keys, limit: str, broker: WatchedBroker) -> None:
        super().__init__(endpoint, keys, limit)
        self.store = WatchedAsyncStore(endpoint, broker)
        self.waiter = AsyncWaiter(endpoint, self.store, keys)

    async def submit(self, job: NewJob) -> Answer:
        call = verbs.enqueue(self.keys, (job,), self._limit, stamped=True)
        answers: list[Answer] = await self.store.run(call)
        return answers[0]


class WatchedBroker(Broker):
    """The broker of a queue in a block of the testing kit."""

    def __init__(self, options: Options, signing_keys: Iterable[bytes]) -> None:
        super().__init__(options, signing_keys)
        self.watch = watches[-1]
        self.store = WatchedStore(self.endpoint, self)
        self.waiter = Waiter(self.endpoint, self.store, self.keys)

    def half(self) -> LoopBroker:
        return WatchedLoopBroker(self.endpoint, self.keys, self.limit, self)

    def note(self, ids: list[str], raws: list[bytes | None]) -> None:
        self.watch.stored(self, [JobRecord(id, raw) for id, raw in zip(ids, raws, strict=True) if raw])


watches: list[Watch] = []
