"""Whether what was stored is somewhere else, too: on a replica (WAIT), or on the primary's disk (WAITAOF).

Both look at the last write of their own connection. A call that is repeated may write nothing, and its reply
may have come by another connection, so a write of its own goes before: what has it, has all that was
acknowledged before it by the same server. The one that is asked may be another by now, to which a failover
has brought nothing of the jobs; so it is asked for them, too, on the same connection.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any

from ardiq.core.errors import BrokerError
from ardiq.store.async_client import AsyncStore
from ardiq.store.client import Store
from ardiq.store.keys import Keys
from ardiq.store.newjobs import NewJob, mark
from ardiq.store.refusals import Denied, Refused, Unavailable
from ardiq.store.scripts import Call
from ardiq.store.verbs import CHUNK

Sent = Sequence[tuple[str, NewJob]]
"""Jobs that were stored, behind the ids they came to: their own, or those of jobs that stand for them."""

REPLICA, FSYNC = "replica", "fsync"
WAYS = (REPLICA, FSYNC)
LONGEST_MS = 2_000  # less than a caller waits for a reply (client.CALLER_TIMEOUT)


def _count(way: str, ms: int) -> Call:
    """How many have it, of the one that is asked for. Answers within ``ms``."""
    if way == REPLICA:
        return Call(("WAIT", 1, ms), int)
    return Call(("WAITAOF", 1, 0, ms), lambda reply: int(reply[0]))


def _parts(sent: Sent) -> Iterator[Sent]:
    return (sent[at : at + CHUNK] for at in range(0, len(sent), CHUNK))


def _calls(keys: Keys, way: str, sent: Sent) -> list[Call]:
    """A write, how many of the jobs are there, and how many others have it all."""
    write = Call(("SET", keys.confirmed, "1", "PX", 1_000), bool)
    there = (Call(("EXISTS", *(keys.job(id) for id, _ in part)), int) for part in _parts(sent))
    return [write, *there, _count(way, LONGEST_MS)]


def _told(answers: list[Any], count: int) -> list[bool] | None:
    """What ``_calls`` are answered means for each job; None where each has to be looked for."""
    _, *there, others = answers
    return [bool(others)] * count if not others or sum(there) == count else None


def _looks(keys: Keys, sent: Sent) -> list[Call]:
    """Each job for itself: whether it is there, then whether it has been, and has ended and left nothing. In
    this order, since jobs go on ending."""
    there = (Call(("EXISTS", keys.job(id)), bool) for id, _ in sent)
    marks = (("ZMSCORE", keys.spent, *(mark(job) for _, job in part)) for part in _parts(sent))
    return [*there, *(Call(command, list) for command in marks)]


def _seen(looks: list[Any], count: int) -> list[bool]:
    scores = chain.from_iterable(looks[count:])
    return [there or score is not None for there, score in zip(looks[:count], scores, strict=True)]


def _explained(error: Refused) -> BrokerError:
    text = str(error).lower()
    if isinstance(error, Denied):
        return error
    if "unknown command" in text:
        need = "a server that knows WAITAOF: Redis 7.2 or later, or Valkey"
    elif "appendonly" in text:
        need = "an append-only file; set appendonly yes"
    else:
        return error
    return BrokerError(f"durability='fsync' needs {need}. Nothing was stored.")


class Confirming:
    """Asks for sync callers. ``check`` comes before anything is stored."""

    def __init__(self, store: Store, keys: Keys) -> None:
        self._store, self._keys = store, keys
        self._known: set[str] = set()

    def check(self, way: str) -> None:
        """Raise BrokerError where the server cannot tell. Asks it once."""
        if way not in self._known and not self._store.endpoint.is_fake:
            try:
                self._store.run(_count(way, 1))
            except Refused as error:
                raise _explained(error) from error
            self._known.add(way)

    def confirmed(self, way: str, sent: Sent) -> bool:
        """Whether these jobs are there, within LONGEST_MS. Raises BrokerError."""
        if self._store.endpoint.is_fake:
            return True
        calls = _calls(self._keys, way, sent)
        try:
            answers = self._store.run_on_one(calls)
        except (Refused, Unavailable):
            self._store.run(calls[0])  # finds the way to whoever serves the queue by now
            answers = self._store.run_on_one(calls)
        found = _told(answers, len(sent))
        return all(found or _seen(self._store.run_on_one(_looks(self._keys, sent)), len(sent)))


class AsyncConfirming:
    """``Confirming`` for the coroutines of one loop, on a connection of its own, since nothing else is
    answered while it waits. Those who come meanwhile are asked for together."""

    def __init__(self, store: AsyncStore, keys: Keys) -> None:
        self._store, self._keys = store, keys
        self._known: set[str] = set()
        self._waiting: list[tuple[str, Sent, asyncio.Future[bool]]] = []
        self._flight: asyncio.Task[None] | None = None

    async def check(self, way: str) -> None:
        if way not in self._known and not self._store.endpoint.is_fake:
            try:
                await self._store.run(_count(way, 1))
            except Refused as error:
                raise _explained(error) from error
            self._known.add(way)

    async def confirmed(self, way: str, sent: Sent) -> bool:
        if self._store.endpoint.is_fake:
            return True
        future: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting.append((way, sent, future))
        if self._flight is None:
            self._flight = asyncio.ensure_future(self._fly())
        return await future

    async def _fly(self) -> None:
        try:
            while self._waiting:
                batch, self._waiting = self._waiting, []
                for way in dict.fromkeys(way for way, *_ in batch):
                    await self._settle(way, [(sent, future) for one, sent, future in batch if one == way])
        finally:
            self._flight = None

    async def _settle(self, way: str, callers: list[tuple[Sent, asyncio.Future[bool]]]) -> None:
        at = 0
        found: list[bool] | Exception
        try:
            found = await self._ask(way, [one for sent, _ in callers for one in sent])
        except Exception as error:
            found = error
        for sent, future in callers:
            if future.done():
                pass
            elif isinstance(found, Exception):
                future.set_exception(found)
            else:
                future.set_result(all(found[at : at + len(sent)]))
            at += len(sent)

    async def _ask(self, way: str, sent: list[tuple[str, NewJob]]) -> list[bool]:
        """For each job whether it is there."""
        calls = _calls(self._keys, way, sent)
        try:
            answers = await self._store.run_on_one(calls)
        except (Refused, Unavailable):
            await self._store.run(calls[0])
            answers = await self._store.run_on_one(calls)
        found = _told(answers, len(sent))
        return found or _seen(await self._store.run_on_one(_looks(self._keys, sent)), len(sent))
