"""Waiting for the end of a job: pushed by the worker that settles it, polled in case the push is lost.

Each client has one channel of its own and one connection that listens to it; a settle tells only the
clients that wait for just that job.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import threading
import time
from collections.abc import AsyncIterator
from typing import Any

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from ardiq.core.errors import BrokerError
from ardiq.store import verbs
from ardiq.store.client import CALLER_TIMEOUT, AsyncStore, Store
from ardiq.store.endpoint import Endpoint
from ardiq.store.keys import Keys
from ardiq.store.link import Link
from ardiq.store.scripts import pack

POLL_FIRST, POLL_MOST = 1.0, 5.0  # seconds between looks, in case a push was lost


class Subscription:
    """One channel on a connection of its own: ``async for text in subscription``."""

    def __init__(self, endpoint: Endpoint, channel: str) -> None:
        self._endpoint, self._channel = endpoint, channel
        self._heard: asyncio.Queue[str | None] = asyncio.Queue()
        self._link: Link | None = None

    async def open(self) -> None:
        """Subscribe. Raises BrokerError when Redis cannot be reached."""
        try:
            self._link = await Link(self._endpoint, push=self._push).connect()
            await self._link.send(pack("SUBSCRIBE", self._channel))
        except ConnectionError as error:
            raise self._endpoint.unreachable(error) from error

    def _push(self, message: Any) -> None:
        if message is None:
            self._heard.put_nowait(None)
        elif message[0] == b"message":
            self._heard.put_nowait(message[2].decode())

    def close(self) -> None:
        if self._link is not None:
            self._link.close()

    def __aiter__(self) -> Subscription:
        return self

    async def __anext__(self) -> str:
        text = await self._heard.get()
        if text is None:
            raise StopAsyncIteration
        return text


class AsyncWaiter:
    """For the coroutines of one loop."""

    def __init__(self, endpoint: Endpoint, store: AsyncStore, keys: Keys) -> None:
        self._endpoint, self._store, self._keys = endpoint, store, keys
        self._client = secrets.token_hex(8)
        self._guard: AsyncIterator[None] | None = None
        self._link: Link | None = None
        self._opening = asyncio.Lock()
        self._expected: dict[str, set[asyncio.Future[None]]] = {}

    async def wait(self, id: str, timeout: float | None) -> bytes | None:
        """The record of a job once it has ended; None when there is none. Raises TimeoutError (seconds)."""
        loop = asyncio.get_running_loop()
        end = None if timeout is None else loop.time() + timeout
        poll = POLL_FIRST
        await self._listen()
        while True:
            told = loop.create_future()
            self._expected.setdefault(id, set()).add(told)
            try:
                record: bytes | None = await self._store.run(verbs.wait(self._keys, id, self._client))
                if record is None or record:
                    return record
                left = poll if end is None else min(poll, end - loop.time())
                if left <= 0:
                    raise TimeoutError
                await asyncio.wait((told,), timeout=left)
            finally:
                self._forget(id, told)
            if told.done():
                answers = await self._store.run(verbs.read(self._keys, [id]))
                if answers[0] is None or answers[0][:1] not in b"QDR":
                    found: bytes | None = answers[0]
                    return found
                continue
            poll = min(poll * 1.5, POLL_MOST)
            await self._listen()

    def _forget(self, id: str, told: asyncio.Future[None]) -> None:
        others = self._expected.get(id)
        if others is not None:
            others.discard(told)
            if not others:
                del self._expected[id]

    async def _listen(self) -> None:
        async with self._opening:
            if self._link is not None and not self._link.closed:
                return
            try:
                self._link = await Link(self._endpoint, push=self._told).connect()
                channel = self._keys.done(self._client)
                await self._link.send(pack("SUBSCRIBE", channel))
                if self._guard is None:
                    self._guard = self._close_with_loop()
                    await anext(self._guard)
            except ConnectionError as error:
                raise self._endpoint.unreachable(error) from error

    async def _close_with_loop(self) -> AsyncIterator[None]:
        try:
            yield
        finally:
            if self._link is not None:
                self._link.close()

    def _told(self, message: Any) -> None:
        if message is None or message[0] != b"message":
            return
        for future in self._expected.get(message[2].decode(), ()):
            if not future.done():
                future.set_result(None)


class Waiter:
    """For sync callers: each thread has its own channel and connection."""

    def __init__(self, endpoint: Endpoint, store: Store, keys: Keys) -> None:
        self._endpoint, self._store, self._keys = endpoint, store, keys
        self._local = threading.local()

    def wait(self, id: str, timeout: float | None) -> bytes | None:
        """The record of a job once it has ended; None when there is none. Raises TimeoutError (seconds)."""
        end = None if timeout is None else time.monotonic() + timeout
        poll = POLL_FIRST
        while True:
            client = self._listen()
            record: bytes | None = self._store.run(verbs.wait(self._keys, id, client))
            if record is None or record:
                return record
            until = time.monotonic() + poll
            until = until if end is None else min(until, end)
            if not self._told(id, until):
                if end is not None and time.monotonic() >= end:
                    raise TimeoutError
                poll = min(poll * 1.5, POLL_MOST)

    def _listen(self) -> str:
        connection = getattr(self._local, "connection", None)
        # A child must not share the socket, nor the channel, of its parent (fault 61).
        if connection is None or self._local.pid != os.getpid():
            client = secrets.token_hex(8)
            connection = self._endpoint.connection(CALLER_TIMEOUT)
            try:
                connection.connect()
                connection.send_command("SUBSCRIBE", self._keys.done(client))
                connection.read_response(disable_decoding=True)
            except (RedisConnectionError, RedisTimeoutError, OSError) as error:
                raise self._endpoint.unreachable(error) from error
            self._local.connection, self._local.client = connection, client
            self._local.pid = os.getpid()
        name: str = self._local.client
        return name

    def _told(self, id: str, until: float) -> bool:
        connection = self._local.connection
        try:
            while (left := until - time.monotonic()) > 0:
                if not connection.can_read(timeout=left):
                    return False
                message = connection.read_response(disable_decoding=True)
                if message[0] == b"message" and message[2].decode() == id:
                    return True
        except (RedisConnectionError, RedisTimeoutError, OSError, BrokerError):
            self._local.connection = None
        return False
