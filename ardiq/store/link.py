"""One connection shared by every coroutine of a loop.

redis-py opens it (TLS, authentication, unix sockets, Sentinel), then this protocol takes the
transport over: replies are matched to commands by their order. redis-py's pool and client layers
cost 40-50 us a call; this costs about 10 (docs/explanation/speed.md).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Any

import hiredis
from redis.exceptions import TimeoutError as RedisTimeout

from ardiq.core.errors import ArdiqError
from ardiq.store import aside
from ardiq.store.awake import WINDOW, Awake
from ardiq.store.endpoint import REPLY_TIMEOUT, Endpoint


class Refusal(Exception):
    """An error reply; the connection is fine."""


def let_go(future: asyncio.Future[Any]) -> None:
    """Look at it, so that the loop does not complain of an error when nobody waits for it any more."""
    if not future.cancelled():
        future.exception()


async def _discard(connection: Any) -> None:
    if connection is not None:
        with contextlib.suppress(Exception):
            await connection.disconnect(nowait=True)


async def close_with_loop(close: Callable[[], None]) -> AsyncIterator[None]:
    """Start it (``anext``) and keep it: asyncio.run closes generators that are still open, which is the one
    hook that a loop offers at its end."""
    try:
        yield
    finally:
        close()


class Link(asyncio.Protocol):
    """Sends commands and answers futures. Once it is ``closed`` it stays so; make another one."""

    def __init__(
        self,
        endpoint: Endpoint,
        limit: float = REPLY_TIMEOUT,
        awake: Awake | None = None,
    ) -> None:
        self.closed = True  # not open yet
        self._endpoint = endpoint
        self._limit = limit
        self._awake = awake
        self._awake_until = 0.0
        self._reader = hiredis.Reader(replyError=Refusal)
        self._waiting: deque[asyncio.Future[Any]] = deque()
        self._unsent: list[bytes] = []
        self._sent_this_tick = False
        self._heard = 0.0
        self.place: tuple[str, int] = ("", 0)

    async def connect(self) -> Link:
        """Open the connection. Raises ConnectionError within a few seconds when that fails."""
        self._loop = asyncio.get_running_loop()
        connection: Any = None
        try:
            async with asyncio.timeout(self._endpoint.connect_timeout * 1.5):
                connection = await self._endpoint.async_connection()
                ours = aside.ours.set(True)
                try:
                    await connection.connect()
                finally:
                    aside.ours.reset(ours)
        except (asyncio.CancelledError, ArdiqError):
            await _discard(connection)
            raise
        except Exception as error:
            # Code of the project runs in here, such as a credential provider: whatever it raises (R14).
            await _discard(connection)
            late = isinstance(error, (TimeoutError, RedisTimeout))
            # An embedded server may be starting; the others are silent.
            if late and (connection is not None or not self._endpoint.is_embedded):
                # "no reply" tells callers that trying again would only double their wait (C13).
                told = f": {error}" if str(error) and connection is None else " to a new connection"
                raise ConnectionError(f"no reply{told}") from error
            raise ConnectionError(
                str(error) or ("no answer in time" if late else type(error).__name__)
            ) from error
        self.place = (getattr(connection, "host", ""), getattr(connection, "port", 0))
        # redis-py must not read from, or close, what it has handed over; the writer is kept because its
        # finaliser closes the transport.
        self._handed_over = connection._writer
        self._transport: asyncio.Transport = connection._writer.transport
        connection._writer = connection._reader = None
        self._transport.set_protocol(self)
        self.closed = False
        self._watchdog = self._loop.call_later(self._limit / 8, self._watch)
        self._endpoint.watch(self)
        return self

    def drop(self) -> None:
        """Close, from any thread."""
        with contextlib.suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(self.close)

    def send(self, packed: bytes) -> asyncio.Future[Any]:
        """Send one packed command; the future holds its reply, a Refusal for an error reply."""
        future = self._loop.create_future()
        if self.closed:
            future.set_exception(ConnectionError("the connection is closed"))
            return future
        if not self._waiting:
            self._heard = now = self._loop.time()
            if self._awake is not None and self._awake_until < now and self._awake.worth_it():
                self._awake_until = now + WINDOW
                self._loop.call_soon(self._stay_awake)
        self._waiting.append(future)
        # The first command of a tick leaves at once (an idle caller waits for it); those that other
        # coroutines send in the same tick leave together.
        if self._sent_this_tick:
            self._unsent.append(packed)
        else:
            self._sent_this_tick = True
            self._transport.write(packed)
            self._loop.call_soon(self._flush)
        return future

    def _flush(self) -> None:
        self._sent_this_tick = False
        if self._unsent and not self.closed:
            self._transport.write(b"".join(self._unsent))
            self._unsent.clear()

    def _stay_awake(self) -> None:
        # A loop that has something to do next looks for events without going to sleep.
        assert self._awake is not None
        if not self._waiting:
            self._awake.learn(True)
        elif self._loop.time() < self._awake_until:
            self._loop.call_soon(self._stay_awake)
            return
        else:
            self._awake.learn(False)
        self._awake_until = 0.0

    def data_received(self, data: bytes) -> None:
        self._heard = self._loop.time()
        self._reader.feed(data)
        gets = self._reader.gets
        while (reply := gets()) is not False:
            if self._waiting:
                future = self._waiting.popleft()
                if not future.done():
                    future.set_result(reply)

    def _watch(self) -> None:
        if self.closed:
            return
        if self._waiting and self._loop.time() - self._heard > self._limit:
            self._lose(ConnectionError(f"no reply within {self._limit:g} s"))
            return
        self._watchdog = self._loop.call_later(self._limit / 8, self._watch)

    def connection_lost(self, error: Exception | None) -> None:
        self._lose(ConnectionError(str(error or "the server closed the connection")))

    def _lose(self, error: ConnectionError) -> None:
        if self.closed:
            return
        self.closed = True
        self._watchdog.cancel()
        self._transport.abort()
        waiting, self._waiting = self._waiting, deque()
        for future in waiting:
            if not future.done():
                future.set_exception(error)

    def close(self) -> None:
        """Close, failing whatever still waits for a reply. May be called twice."""
        self._lose(ConnectionError("the connection was closed"))
