"""The line between a worker and a process that is forked for it: whole messages over a socket.

Plain data only, in the format of payloads: neither end can make the other run anything by what it says.
"""

from __future__ import annotations

import socket
import struct
import threading
from typing import Any

from ardiq.core.extensions import pack, unpack

_LENGTH = struct.Struct("!I")
CHUNK = 65_536

Message = list[Any]


def framed(message: tuple[Any, ...]) -> bytes:
    body = pack(list(message))
    return _LENGTH.pack(len(body)) + body


class Frames:
    """Puts messages together again from whatever pieces they arrive in."""

    def __init__(self) -> None:
        self._bytes = bytearray()

    def feed(self, data: bytes) -> list[Message]:
        """The messages that are complete with this piece."""
        self._bytes += data
        found: list[Message] = []
        start = 0
        while len(self._bytes) - start >= _LENGTH.size:
            end = start + _LENGTH.size + _LENGTH.unpack_from(self._bytes, start)[0]
            if len(self._bytes) < end:
                break
            message: Any = unpack(bytes(self._bytes[start + _LENGTH.size : end]))
            found.append(message)
            start = end
        del self._bytes[:start]
        return found


class Line:
    """The child's end. It blocks; ``send`` may be called from any thread, ``receive`` from one."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._sending = threading.Lock()
        self._frames, self._ready = Frames(), list[Message]()

    def send(self, *message: Any) -> None:
        """Raises OSError when nobody is at the other end, TypeError or ValueError for no plain data."""
        data = framed(message)
        with self._sending:
            self._sock.sendall(data)

    def receive(self) -> Message | None:
        """The next message; None when there will be none."""
        while not self._ready:
            try:
                data = self._sock.recv(CHUNK)
            except OSError:
                return None
            if not data:
                return None
            self._ready = self._frames.feed(data)
        return self._ready.pop(0)

    def close(self) -> None:
        self._sock.close()
