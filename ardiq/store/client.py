"""Two thin clients that run calls: Store for sync callers, AsyncStore for coroutines.

A call that meets a lost connection is sent once more on a new one. That is safe because every verb
is idempotent under its own arguments (R10, R3), and it is why redis-py's retries are off.
"""

from __future__ import annotations

import asyncio
import os
import select
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Iterable, Iterator
from typing import Any

import redis.exceptions as errors

from ardiq.store.awake import WINDOW, Awake
from ardiq.store.endpoint import REPLY_TIMEOUT, Endpoint
from ardiq.store.link import Link, Refusal
from ardiq.store.refusals import Unavailable, refused
from ardiq.store.scripts import Call

CALLER_TIMEOUT = 2.5  # seconds that a caller waits for one reply; see CONNECT_TIMEOUT

_LOST = (errors.ConnectionError, errors.TimeoutError, errors.ReadOnlyError, OSError)


class Store:
    """For sync callers: one connection per thread, no pool, no event loop."""

    def __init__(self, endpoint: Endpoint, timeout: float = CALLER_TIMEOUT) -> None:
        self.endpoint = endpoint
        self._timeout = timeout
        self._local = threading.local()
        self._awake = Awake()

    def _connection(self) -> Any:
        connection = getattr(self._local, "connection", None)
        # A child must not share the socket of its parent (fault 61).
        if connection is None or self._local.pid != os.getpid():
            connection = self.endpoint.connection(self._timeout)
            connection.connect()
            self._local.connection, self._local.pid = connection, os.getpid()
            self._local.poll = select.poll()
            self._local.poll.register(connection._sock, select.POLLIN)
        return connection

    def close(self) -> None:
        """Close the connection of this thread."""
        connection = getattr(self._local, "connection", None)
        if connection is not None:
            self._local.connection = None
            connection.disconnect()

    def run(self, call: Call) -> Any:
        """Run one call. Raises BrokerError within a bounded time when Redis cannot be reached."""
        return self.run_many((call,))[0]

    def run_many(self, calls: Iterable[Call]) -> list[Any]:
        """Run calls in one round trip, answers in order. Not atomic across calls."""
        calls = list(calls)
        replies = self._exchange([call.packed() for call in calls])
        return [self._decode(call, reply) for call, reply in zip(calls, replies, strict=True)]

    def run_each(self, calls: Iterable[Call]) -> Iterator[Any]:
        """Run a stream of calls, one ahead of the reply: the server always has the next one at hand."""
        flights: deque[tuple[Call, Any]] = deque()
        try:
            for call in calls:
                flights.append((call, self._post(call)))
                if len(flights) > 1:
                    yield from self._landed(flights, 1)
            yield from self._landed(flights, 0)
        except BaseException as error:
            # Interrupted between sending and reading: the next reply would be somebody else's.
            if flights or not isinstance(error, GeneratorExit):
                self.close()
            raise

    def _post(self, call: Call) -> Any:
        """Send without reading. Answers the connection that will bring the reply, None if it is lost."""
        try:
            connection = self._connection()
            connection.send_packed_command([call.packed()], check_health=False)
        except _LOST as error:
            self._lose(error)
            return None
        return connection

    def _lose(self, error: Exception) -> None:
        """Drop the connection; a server that was silent for the whole time gets no second chance (C13)."""
        self.close()
        self.endpoint.forget()
        if isinstance(error, errors.TimeoutError):
            raise self.endpoint.unreachable(error) from error

    def _landed(self, flights: deque[tuple[Call, Any]], keep: int) -> Iterator[Any]:
        while len(flights) > keep:
            call, sent_on = flights.popleft()
            try:
                is_open = sent_on is not None and getattr(self._local, "connection", None) is sent_on
                reply = self._read() if is_open else None
            except _LOST as error:
                self._lose(error)
                reply = None
            if reply is not None and not isinstance(reply, errors.ResponseError):
                yield call.decode(reply)
                continue
            # Lost, or refused for want of its script: all that is under way goes out again, in order and on a
            # new connection, so that no call ever reads the reply of another.
            self.close()
            calls = [call, *(other for other, _ in flights)]
            flights.clear()
            replies = self._exchange([one.packed() for one in calls])
            yield from (self._decode(one, its) for one, its in zip(calls, replies, strict=True))

    def _read(self) -> Any:
        if self._awake.worth_it():
            self._stay_awake()
        try:
            return self._local.connection.read_response(disable_decoding=True)
        except _LOST:
            raise
        except errors.ResponseError as error:
            return error

    def _stay_awake(self) -> None:
        poll, until = self._local.poll.poll, time.perf_counter() + WINDOW
        while not (readable := poll(0)) and time.perf_counter() < until:
            pass
        self._awake.learn(bool(readable))

    def _exchange(self, packed: list[bytes]) -> list[Any]:
        for last in (False, True):
            try:
                connection = self._connection()
                connection.send_packed_command(packed, check_health=False)
                return [self._read() for _ in packed]
            except _LOST as error:
                self._lose(error)
                if last:
                    raise self.endpoint.unreachable(error) from error
            except BaseException:
                # Interrupted between sending and reading: the next reply would be somebody else's.
                self.close()
                raise
        raise AssertionError("unreachable")

    def _decode(self, call: Call, reply: Any) -> Any:
        if not isinstance(reply, errors.ResponseError):
            return call.decode(reply)
        if isinstance(reply, errors.NoScriptError) and call.script is not None:
            return self.run(call.in_full())
        if isinstance(reply, errors.MovedError):
            self.endpoint.moved(f"MOVED {reply}")
            self.close()
            return self.run(call)
        refusal = refused(str(reply), reply)
        if isinstance(refusal, Unavailable):
            self.close()
            self.endpoint.forget()
        raise refusal from reply


class AsyncStore:
    """For coroutines of one event loop: one connection that all of them share.

    ``retry=False`` is for workers, whose loops decide themselves what a lost connection means.
    """

    def __init__(self, endpoint: Endpoint, limit: float | None = None, retry: bool = True) -> None:
        self.endpoint = endpoint
        self._limit = limit or (CALLER_TIMEOUT if retry else REPLY_TIMEOUT)
        self._retry = retry
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
        # Shielded: one caller that gives up must not close the door on the others.
        return await asyncio.shield(self._opening)

    async def _open(self) -> Link:
        try:
            if self._guard is None:
                self._guard = self._close_with_loop()
                await anext(self._guard)
            awake = Awake() if self._retry else None
            self._link = await Link(self.endpoint, self._limit, awake=awake).connect()
            return self._link
        except ConnectionError:
            self.endpoint.forget()
            raise
        finally:
            self._opening = None

    async def _close_with_loop(self) -> AsyncIterator[None]:
        # asyncio.run closes generators that are still open: the one hook that a loop offers at its end.
        try:
            yield
        finally:
            self.close()

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
            if not self._retry or "no reply" in str(error):
                raise self.endpoint.unreachable(error) from error
        try:
            return await (await self.open()).send(packed)
        except ConnectionError as error:
            raise self.endpoint.unreachable(error) from error

    async def run(self, call: Call) -> Any:
        """Run one call. Raises BrokerError within a bounded time when Redis cannot be reached."""
        reply = await self.send(call)
        if isinstance(reply, Refusal):
            return await self._refusal(call, str(reply))
        return call.decode(reply)

    async def _refusal(self, call: Call, message: str) -> Any:
        if message.startswith("NOSCRIPT") and call.script is not None:
            return await self.run(call.in_full())
        if message.startswith("MOVED"):
            self.endpoint.moved(message)
            self.close()
            return await self.run(call)
        error = refused(message)
        if isinstance(error, Unavailable):
            self.close()
        raise error

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
        return await self._refusal(call, str(reply)) if isinstance(reply, Refusal) else call.decode(reply)

    async def run_many(self, calls: Iterable[Call]) -> list[Any]:
        """Run calls in one round trip, answers in order. Not atomic across calls."""
        return list(await asyncio.gather(*(self.run(call) for call in calls)))
