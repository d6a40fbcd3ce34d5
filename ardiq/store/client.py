"""A thin client that runs calls: Store, for sync callers. AsyncStore (async_client.py) is its twin.

A call that meets a lost connection is sent once more on a new one. That is safe because every verb
is idempotent under its own arguments (R10, R3), and it is why redis-py's retries are off.
"""

from __future__ import annotations

import os
import select
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any

import redis.exceptions as errors

from ardiq.core.address import Place
from ardiq.store.awake import WINDOW, Awake
from ardiq.store.endpoint import LOST, Endpoint
from ardiq.store.refusals import Patience, Unavailable, refused
from ardiq.store.scripts import Call

CALLER_TIMEOUT = 2.5  # seconds that a caller waits for one reply; see CONNECT_TIMEOUT

# redis-py counts the last two as lost connections, but the server has answered.
_SAID = (errors.ResponseError, errors.BusyLoadingError, errors.AuthenticationError)


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
            connection = self.endpoint.connected(self._timeout)
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
        return self._decoded(calls, replies)

    def run_on_one(self, calls: Iterable[Call]) -> list[Any]:
        """Run calls on one connection, for those that are about the ones before them. Raises what the first
        is refused with."""
        calls = list(calls)
        replies = self._exchange([call.packed() for call in calls])
        for call, reply in zip(calls, replies, strict=True):
            if isinstance(reply, Exception):
                raise refused(str(reply), reply, call.name) from reply
        return [call.decode(reply) for call, reply in zip(calls, replies, strict=True)]

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
        except LOST as error:
            self._lose(error)
            return None
        return connection

    def _lose(self, error: Exception) -> None:
        """Drop the connection; a server that was silent for the whole time gets no second chance (C13)."""
        self.close()
        self.endpoint.forget()
        if isinstance(error, errors.TimeoutError):
            self.endpoint.miss()
            raise self.endpoint.unreachable(error) from error

    def _landed(self, flights: deque[tuple[Call, Any]], keep: int) -> Iterator[Any]:
        while len(flights) > keep:
            call, sent_on = flights.popleft()
            try:
                is_open = sent_on is not None and getattr(self._local, "connection", None) is sent_on
                reply = self._read() if is_open else None
            except LOST as error:
                self._lose(error)
                reply = None
            if reply is not None and not isinstance(reply, Exception):
                yield call.decode(reply)
                continue
            # Lost, or refused for want of its script: all that is under way goes out again, in order and on a
            # new connection, so that no call ever reads the reply of another.
            self.close()
            calls = [call, *(other for other, _ in flights)]
            flights.clear()
            yield from self._decoded(calls, self._exchange([one.packed() for one in calls]))

    def _read(self) -> Any:
        if self._awake.worth_it():
            self._stay_awake()
        try:
            return self._local.connection.read_response(disable_decoding=True)
        except _SAID as error:
            # An answer, not a failure of here: its traceback would keep all that called until the next gc.
            return error.with_traceback(None)

    def _stay_awake(self) -> None:
        poll, until = self._local.poll.poll, time.perf_counter() + WINDOW
        while not (readable := poll(0)) and time.perf_counter() < until:
            pass
        self._awake.learn(bool(readable))

    def _exchange(self, packed: list[bytes]) -> list[Any]:
        patience: Patience | None = None
        while True:
            try:
                connection = self._connection()
                connection.send_packed_command(packed, check_health=False)
                return [self._read() for _ in packed]
            except LOST as error:
                self._lose(error)
                patience = patience or self.endpoint.patience()
                if (pause := patience.pause()) is None:
                    raise self.endpoint.unreachable(error) from error
            except BaseException:
                # Interrupted between sending and reading: the next reply would be somebody else's.
                self.close()
                raise
            time.sleep(pause)

    def _decoded(self, calls: list[Call], replies: list[Any]) -> list[Any]:
        patience: Patience | None = None
        decoded = []
        for call, reply in zip(calls, replies, strict=True):
            if not isinstance(reply, Exception):
                decoded.append(call.decode(reply))
            else:
                # The time is that of all of them; redirects are those of each, for all that were sent to the
                # wrong node have been told so.
                patience = (patience or Patience()).for_another()
                decoded.append(self._again(call, reply, patience))
        return decoded

    def _place(self) -> Place:
        """Where the connection of this thread leads."""
        connection = getattr(self._local, "connection", None)
        return getattr(connection, "host", ""), getattr(connection, "port", 0)

    def _again(self, call: Call, reply: Any, patience: Patience) -> Any:
        """What an error reply asks for: the text of the script, another server, or another try later."""
        name = call.name
        while isinstance(reply, Exception):
            if isinstance(reply, errors.NoScriptError) and call.script is not None:
                call = call.in_full()
            elif isinstance(reply, errors.MovedError) and patience.hop():
                # The other calls of a batch are told the same, when the right one is open already.
                if self._place() != self.endpoint.moved(f"MOVED {reply}"):
                    self.close()
            else:
                refusal = refused(str(reply), reply, name)
                if isinstance(refusal, Unavailable):
                    self.close()
                    self.endpoint.forget()
                if not isinstance(refusal, Unavailable) or (pause := patience.pause()) is None:
                    raise refusal from reply
                time.sleep(pause)
            reply = self._exchange([call.packed()])[0]
        return call.decode(reply)
