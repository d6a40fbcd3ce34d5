"""Whether what was stored is somewhere else, too: on a replica (WAIT), or on the primary's disk (WAITAOF).

Both look at the last write of their own connection. A call that is repeated may write nothing, and its reply
may have come by another connection, so a write of its own goes before: what has it, has all that was
acknowledged before it.
"""

from __future__ import annotations

import asyncio

from ardiq.core.errors import BrokerError
from ardiq.store.async_client import AsyncStore
from ardiq.store.client import Store
from ardiq.store.endpoint import Endpoint
from ardiq.store.fake import SCHEME
from ardiq.store.keys import Keys
from ardiq.store.refusals import Denied, Refused, Unavailable
from ardiq.store.scripts import Call

REPLICA, FSYNC = "replica", "fsync"
WAYS = (REPLICA, FSYNC)
LONGEST_MS = 2_000  # less than a caller waits for a reply (client.CALLER_TIMEOUT)


def _count(way: str, ms: int) -> Call:
    """How many have it, of the one that is asked for. Answers within ``ms``."""
    if way == REPLICA:
        return Call(("WAIT", 1, ms), int)
    return Call(("WAITAOF", 1, 0, ms), lambda reply: int(reply[0]))


def _is_here(endpoint: Endpoint) -> bool:
    """Whether the server is part of this process, and there is no other place."""
    return endpoint.url.startswith(SCHEME)


def _calls(keys: Keys, way: str) -> list[Call]:
    return [Call(("SET", keys.confirmed, "1", "PX", 1_000), bool), _count(way, LONGEST_MS)]


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
        if way not in self._known and not _is_here(self._store.endpoint):
            try:
                self._store.run(_count(way, 1))
            except Refused as error:
                raise _explained(error) from error
            self._known.add(way)

    def confirmed(self, way: str) -> bool:
        """Whether all that was acknowledged so far is there, within LONGEST_MS. Raises BrokerError."""
        if _is_here(self._store.endpoint):
            return True
        calls = _calls(self._keys, way)
        try:
            return bool(self._store.run_on_one(calls)[-1])
        except (Refused, Unavailable):
            self._store.run(calls[0])  # finds the way to whoever serves the queue by now
            return bool(self._store.run_on_one(calls)[-1])


class AsyncConfirming:
    """``Confirming`` for the coroutines of one loop, on a connection of its own, since nothing else is
    answered while it waits. Those who come meanwhile are asked for together."""

    def __init__(self, store: AsyncStore, keys: Keys) -> None:
        self._store, self._keys = store, keys
        self._known: set[str] = set()
        self._waiting: list[tuple[str, asyncio.Future[bool]]] = []
        self._flight: asyncio.Task[None] | None = None

    async def check(self, way: str) -> None:
        if way not in self._known and not _is_here(self._store.endpoint):
            try:
                await self._store.run(_count(way, 1))
            except Refused as error:
                raise _explained(error) from error
            self._known.add(way)

    async def confirmed(self, way: str) -> bool:
        if _is_here(self._store.endpoint):
            return True
        future: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting.append((way, future))
        if self._flight is None:
            self._flight = asyncio.ensure_future(self._fly())
        return await future

    async def _fly(self) -> None:
        try:
            while self._waiting:
                batch, self._waiting = self._waiting, []
                for way in dict.fromkeys(way for way, _ in batch):
                    await self._settle(way, [future for one, future in batch if one == way])
        finally:
            self._flight = None

    async def _settle(self, way: str, futures: list[asyncio.Future[bool]]) -> None:
        answer: bool | Exception
        try:
            answer = await self._ask(way)
        except Exception as error:
            answer = error
        for future in futures:
            if future.done():
                continue
            if isinstance(answer, Exception):
                future.set_exception(answer)
            else:
                future.set_result(answer)

    async def _ask(self, way: str) -> bool:
        calls = _calls(self._keys, way)
        try:
            return bool((await self._store.run_on_one(calls))[-1])
        except (Refused, Unavailable):
            await self._store.run(calls[0])
            return bool((await self._store.run_on_one(calls))[-1])
