"""Leaves a primary as soon as Sentinel has named another one, by a thread that listens to what it says.

Without it a client would stay with a primary that was replaced but lives: after a failover by command,
or at the end of a network that fell apart, Sentinel takes about ten seconds to demote it, and all that it
acknowledges meanwhile is lost. One thread for each group of sentinels in a process, while there are
connections to watch; a child process starts its own.
"""

from __future__ import annotations

import contextlib
import os
import random
import socket
import threading
import time
from typing import Any
from weakref import WeakSet

from ardiq.core.address import Place
from ardiq.store.sentinels import Sentinels

CHANNEL = "+switch-master"
QUIET = 5.0  # seconds of silence after which the sentinel is asked whether it is there


class Switches:
    """Cuts the connections that lead to a primary of the past. Each has ``place``, and ``drop`` cuts it."""

    def __init__(self, sentinels: Sentinels) -> None:
        self._sentinels = sentinels
        self._watched: WeakSet[Any] = WeakSet()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def watch(self, one: Any) -> None:
        """Drop it once the primary is elsewhere."""
        with self._lock:
            self._watched.add(one)
            if self._thread is None:
                thread = threading.Thread(target=self._run, name="ardiq-sentinel", daemon=True)
                # Where the system has no thread to give, the connection works without; the next asks again.
                with contextlib.suppress(RuntimeError):
                    thread.start()
                    self._thread = thread

    def _run(self) -> None:
        while True:
            for place in random.sample(self._sentinels.places, len(self._sentinels.places)):
                # Whatever it was: this thread must not end while there is something to watch.
                with contextlib.suppress(Exception), self._sentinels.connected(place) as connection:
                    if not self._listen(connection, place):
                        return
            time.sleep(random.uniform(0.2, 1.0))  # noqa: S311 - spreads reconnects

    def _listen(self, connection: Any, place: Place) -> bool:
        """Until the connection is lost, or until there is nothing to watch: then False."""
        connection.send_command("SUBSCRIBE", CHANNEL)
        connection.read_response(disable_decoding=True)
        # What was said before this thread listened.
        if now := self._sentinels.ask(place):
            self._leave(lambda where: where != now)
        while self._needed():
            if not connection.can_read(timeout=QUIET):
                connection.send_command("PING")
            message = connection.read_response(disable_decoding=True)
            if message[0] == b"message":
                self._heard(message[2].decode().split())
        return False

    def _needed(self) -> bool:
        with self._lock:
            if not self._watched:
                self._thread = None
            return bool(self._watched)

    def _heard(self, words: list[str]) -> None:
        # <name of the primary> <old host> <old port> <new host> <new port>
        if len(words) == 5 and words[0] == self._sentinels.service:
            old, new = (words[1], int(words[2])), (words[3], int(words[4]))
            self._leave(lambda where: where == old != new)

    def _leave(self, wrong: Any) -> None:
        self._sentinels.doubt()
        with self._lock:
            watched = list(self._watched)
        for one in watched:
            if wrong(one.place):
                one.drop()


class Cuttable:
    """A sync connection of redis-py that another thread may cut. Kept alive by the connection itself."""

    def __init__(self, connection: Any) -> None:
        self.place: Place = (connection.host, int(connection.port))
        self._socket: socket.socket = connection._sock

    def drop(self) -> None:
        """The thread that owns it finds it closed, and does what it does with any lost connection."""
        # Through a copy of the descriptor: shutting the object of a TLS socket down would take it apart under
        # the hands of its owner.
        with (
            contextlib.suppress(OSError, ValueError),
            socket.socket(fileno=os.dup(self._socket.fileno())) as copy,
        ):
            copy.shutdown(socket.SHUT_RDWR)


_all: dict[tuple[int, tuple[Place, ...], str], Switches] = {}


def switches(sentinels: Sentinels) -> Switches:
    """What all endpoints of this process share that have the same primary."""
    # By the process as well, for uWSGI forks without a word to Python.
    key = (os.getpid(), tuple(sentinels.places), sentinels.service)
    return _all.setdefault(key, Switches(sentinels))


# A child has none of the threads of its parent, and a lock that one of them held would stay locked.
os.register_at_fork(after_in_child=_all.clear)
