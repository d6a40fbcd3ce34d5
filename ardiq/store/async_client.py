"""A thin client that runs calls: AsyncStore, for coroutines. Store (client.py) is its sync twin."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import Any

from ardiq.core.errors import BrokerError
from ardiq.store.awake import Awake
from ardiq.store.client import CALLER_TIMEOUT
from ardiq.store.endpoint import REPLY_TIMEOUT, Endpoint
from ardiq.store.link import Link, Refusal, close_with_loop, let_go
from ardiq.store.refusals import Patience, Unavailable, refused
from ardiq.store.scripts import Call


class AsyncStore:
    """For coroutines of one event loop: one connection that all of them share.

    ``retry=False`` is for workers, whose loops decide themselves what a lost connection means.
    """

    def __init__(self, endpoint: Endpoint, limit: float | None = None, retry: bool = True) -> None:
        self.endpoint = endpoint
        self._limit = limit or (CALLER_TIMEOUT if retry else REPLY_TIMEOUT)
        self._retry = retry
        self.awake = Awake(on=retry)
        self._link: Link | None = None
        self._opening: asyncio.Task[Link] | None = None
        self._guard: AsyncIterator[None] | None = None
        self._known: tuple[Link, str] | None = None

    async def open(self) -> Link:
        """The open connection. Raises ConnectionError when there is none to be had."""
        if self._link is not None and not self._link.closed:
            return self._link
        if self._opening is None:
            self._opening = asyncio.ensure_future(self._open())
            self._opening.add_done_callback(let_go)
        # Shielded: one caller that gives up must not close the door on the others.
        return await asyncio.shield(self._opening)

    async def _open(self) -> Link:
        try:
            if self._guard is None:
                self._guard = close_with_loop(self.close)
                await anext(self._guard)
            self._link = await Link(self.endpoint, self._limit, awake=self.awake).connect()
            return self._link
        except ConnectionError:
            self.endpoint.forget()
            raise
        finally:
            self._opening = None

    def close(self) -> None:
        if self._link is not None:
            self._link.close()

    async def send(self, call: Call) -> Any:
        """Send one call and return its raw reply; a lost connection is tried once more."""
        packed = call.packed()
        link = self._link
        try:
            if link is None or link.closed:
                link = await self.open()
            return await link.send(packed)
        except ConnectionError as error:
            lost = error
        patience = self.endpoint.patience()
        while True:
            pause = patience.pause() if self._retry and "no reply" not in str(lost) else None
            if pause is None:
                raise self.endpoint.unreachable(lost) from lost
            await asyncio.sleep(pause)
            try:
                return await (await self.open()).send(packed)
            except ConnectionError as error:
                lost = error

    async def run(self, call: Call) -> Any:
        """Run one call. Raises BrokerError within a bounded time when Redis cannot be reached."""
        reply = await self.send(call)
        if isinstance(reply, Refusal):
            return await self._again(call, reply)
        return call.decode(reply)

    async def run_awake(self, call: Call) -> Any:
        """``run``, awake for the reply where calls of this client are not otherwise (awake.py)."""
        was, self.awake.on = self.awake.on, True
        try:
            return await self.run(call)
        finally:
            self.awake.on = was

    async def _again(self, call: Call, reply: Any) -> Any:
        """What an error reply asks for: the text of the script, another server, or another try later."""
        patience, name = Patience(), call.name
        while isinstance(reply, Refusal):
            message = str(reply)
            if message.startswith("NOSCRIPT") and call.script is not None:
                call = call.in_full()
            elif message.startswith("MOVED") and patience.hop():
                # Others may have been told the same, and have opened the right one meanwhile.
                if self._link is not None and self._link.place != self.endpoint.moved(message):
                    self.close()
            else:
                await self._bear(refused(message, command=name), patience)
            reply = await self.send(call)
        return call.decode(reply)

    async def _bear(self, error: BrokerError, patience: Patience) -> None:
        """Drop the connection of a server that cannot serve, and wait for the next try, or raise."""
        if not isinstance(error, Unavailable):
            raise error
        self.close()
        self.endpoint.forget()
        pause = patience.pause() if self._retry else None
        if pause is None:
            raise error
        await asyncio.sleep(pause)

    async def run_each(self, calls: Iterable[Call]) -> AsyncIterator[Any]:
        """Run a stream of calls, preparing the next one while the server works on the last."""
        flight: tuple[Call, asyncio.Future[Any]] | None = None
        link = await self._opened()
        for call in calls:
            if flight is None and call.script is not None and self._known != (link, call.script.sha):
                # Alone: a server that does not know the script yet would take the calls behind it first.
                yield await self.run(call)
                self._known = (link, call.script.sha)
                continue
            future = link.send(call.packed())
            if flight is not None:
                yield await self._landed(*flight)
            flight = (call, future)
        if flight is not None:
            yield await self._landed(*flight)

    async def _opened(self) -> Link:
        try:
            return await self.open()
        except ConnectionError as error:
            raise self.endpoint.unreachable(error) from error

    async def _landed(self, call: Call, flight: asyncio.Future[Any]) -> Any:
        try:
            reply = await flight
        except ConnectionError as error:
            if "no reply" in str(error):
                raise self.endpoint.unreachable(error) from error
            return await self.run(call)
        return await self._again(call, reply) if isinstance(reply, Refusal) else call.decode(reply)

    async def run_on_one(self, calls: Iterable[Call]) -> list[Any]:
        """Run calls on one connection, for those that are about the ones before them. Raises what the first
        is refused with."""
        calls = list(calls)
        try:
            link = await self.open()
            replies = await asyncio.gather(*(link.send(call.packed()) for call in calls))
        except ConnectionError as error:
            raise self.endpoint.unreachable(error) from error
        for call, reply in zip(calls, replies, strict=True):
            if isinstance(reply, Refusal):
                raise refused(str(reply), command=call.name)
        return [call.decode(reply) for call, reply in zip(calls, replies, strict=True)]

    async def run_many(self, calls: Iterable[Call]) -> list[Any]:
        """Run calls in one round trip, answers in order. Not atomic across calls."""
        return list(await asyncio.gather(*(self.run(call) for call in calls)))
