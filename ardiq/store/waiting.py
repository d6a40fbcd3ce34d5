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

from redis.exceptions import ResponseError

from ardiq.store import verbs
from ardiq.store.async_client import AsyncStore
from ardiq.store.client import CALLER_TIMEOUT, Store
from ardiq.store.endpoint import LOST, Endpoint
from ardiq.store.keys import Keys
from ardiq.store.link import close_with_loop, let_go
from ardiq.store.listener import SILENCE, Listener
from ardiq.store.refusals import refused
from ardiq.store.scripts import id_text

POLL_FIRST, POLL_MOST = 1.0, 5.0  # seconds between looks, in case a push was lost
HUNG_UP = 0.2  # seconds before a listener that was lost is replaced: the next may be hung up on as soon


class Subscription:
    """One channel on a connection of its own: ``async for text in subscription``."""

    def __init__(self, endpoint: Endpoint, channel: str) -> None:
        self._endpoint, self._channel = endpoint, channel
        self._heard: asyncio.Queue[str | None] = asyncio.Queue()
        self._link: Listener | None = None

    async def open(self) -> None:
        """Subscribe. Raises BrokerError when Redis cannot be reached, or refuses."""
        self._link = Listener(self._endpoint, self._heard.put_nowait)
        await self._link.listen(self._channel)

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
        # The sign says that a push may bring the record; a worker that does not know it pushes the id alone.
        self._client = "+" + secrets.token_hex(8)
        self._guard: AsyncIterator[None] | None = None
        self._link: Listener | None = None
        self._opening: asyncio.Task[None] | None = None
        self._expected: dict[str, set[asyncio.Future[bytes]]] = {}

    async def wait(self, id: str, timeout: float | None) -> bytes | None:
        """The record of a job once it has ended; None when there is none. Raises TimeoutError (seconds)."""
        loop = asyncio.get_running_loop()
        end = None if timeout is None else loop.time() + timeout
        poll = POLL_FIRST
        await self._listen()
        while True:
            told: asyncio.Future[bytes] = loop.create_future()
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
                if record := told.result():
                    return record
                answers = await self._store.run(verbs.read(self._keys, [id]))
                if answers[0] is None or answers[0][:1] not in b"QDR":
                    found: bytes | None = answers[0]
                    return found
                continue
            poll = min(poll * 1.5, POLL_MOST)
            await self._listen()

    def _forget(self, id: str, told: asyncio.Future[bytes]) -> None:
        others = self._expected.get(id)
        if others is not None:
            others.discard(told)
            if not others:
                del self._expected[id]

    async def _listen(self) -> None:
        if self._link is not None and self._link.open:
            return
        # One try for all who wait: one after the other, the last of them would hear too late (C13).
        if self._opening is None:
            self._opening = asyncio.ensure_future(self._open())
            self._opening.add_done_callback(let_go)
        await asyncio.shield(self._opening)

    async def _open(self) -> None:
        try:
            if self._guard is None:
                self._guard = close_with_loop(self.close)
                await anext(self._guard)
            self._link = Listener(self._endpoint, self._told)
            await self._link.listen(self._keys.done(self._client))
        finally:
            self._opening = None

    def close(self) -> None:
        if self._link is not None:
            self._link.close()

    def _told(self, text: str | None) -> None:
        id, _, record = (text or "").partition("\n")
        for future in self._expected.get(id, ()):
            if not future.done():
                future.set_result(record.encode("utf-8", "surrogateescape"))


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
        if connection is None or self._local.pid != os.getpid() or not self._alive(connection):
            self._local.connection = None
            self._local.client = secrets.token_hex(8)
            self._local.connection = self._subscribe(self._keys.done(self._local.client))
            self._local.pid, self._local.heard = os.getpid(), time.monotonic()
        name: str = self._local.client
        return name

    def _subscribe(self, channel: str) -> Any:
        try:
            connection = self._endpoint.connected(CALLER_TIMEOUT)
            try:
                connection.send_command("SUBSCRIBE", channel)
                connection.read_response(disable_decoding=True)
            except BaseException:
                connection.disconnect()
                raise
        except ResponseError as error:
            raise refused(str(error), error, "the command SUBSCRIBE") from error
        except LOST as error:
            self._endpoint.forget()
            raise self._endpoint.unreachable(error) from error
        return connection

    def _alive(self, connection: Any) -> bool:
        """Whether somebody is at the other end. What was pushed is read away: the record is read next."""
        if time.monotonic() - self._local.heard < SILENCE:
            return True
        try:
            connection.send_command("PING")
            while connection.read_response(disable_decoding=True)[0] != b"pong":
                pass
        except (ResponseError, *LOST):
            connection.disconnect()
            return False
        self._local.heard = time.monotonic()
        return True

    def _told(self, id: str, until: float) -> bool:
        connection = self._local.connection
        try:
            while (left := until - time.monotonic()) > 0:
                if not connection.can_read(timeout=left):
                    return False
                message = connection.read_response(disable_decoding=True)
                self._local.heard = time.monotonic()
                if message[0] == b"message" and id_text(message[2]) == id:
                    return True
        except (ResponseError, *LOST):
            self._local.connection = None
            time.sleep(max(0.0, min(until - time.monotonic(), HUNG_UP)))
        return False
