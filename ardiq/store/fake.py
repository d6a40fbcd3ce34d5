"""fake:// - a server inside this process, for tests: fakeredis behind a unix socket of its own.

Behind a socket, so that every client of this package (sync, async, worker) talks to it as to any other
server: the real scripts run, messages are pushed, blocking calls block. Another process has nothing of it.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import shutil
import socket
import tempfile
import threading
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import redis.exceptions as errors

from ardiq.core.address import FAKE
from ardiq.core.errors import BrokerError

_CODES: dict[type[Exception], str] = {
    errors.NoScriptError: "NOSCRIPT",
    errors.NoPermissionError: "NOPERM",
    errors.OutOfMemoryError: "OOM",
    errors.ReadOnlyError: "READONLY",
}
_MOST = 65_536  # bytes read at once


def encoded(value: Any) -> bytes:
    """A reply in the protocol of Redis (RESP 2)."""
    if value is None:
        return b"$-1\r\n"
    if isinstance(value, Exception):
        text = str(value).replace("\r", " ").replace("\n", " ")
        code = _CODES.get(type(value)) or ("" if text.partition(" ")[0].isupper() else "ERR")
        return f"-{code}{' ' if code else ''}{text}\r\n".encode("utf-8", "backslashreplace")
    if isinstance(value, int):
        return b":%d\r\n" % value
    if isinstance(value, (list, tuple)):
        return b"*%d\r\n" % len(value) + b"".join(map(encoded, value))
    data = value if isinstance(value, bytes) else str(value).encode()
    return b"$%d\r\n%s\r\n" % (len(data), data)


class _Guest:
    """One connection: commands are carried out by the thread that reads them. Once it has subscribed, what is
    pushed to it comes from a thread of its own."""

    def __init__(self, inside: Any, outside: socket.socket) -> None:
        self._inside, self._outside = inside, outside
        self._pushing = False

    def serve(self) -> None:
        with contextlib.suppress(OSError, errors.ConnectionError), self._outside:
            self._inside.connect()
            while data := self._outside.recv(_MOST):
                self._inside.send_packed_command([data], check_health=False)
                while not self._pushing and self._inside.can_read(0):
                    self._pass_on()
        self._inside.disconnect()

    def _pass_on(self) -> None:
        try:
            reply = self._inside.read_response(disable_decoding=True)
        except errors.ResponseError as error:
            reply = error
        self._outside.sendall(encoded(reply))
        if not self._pushing and isinstance(reply, list) and reply[:1] == [b"subscribe"]:
            self._pushing = True
            threading.Thread(target=self._push, name="ardiq-fake-push", daemon=True).start()

    def _push(self) -> None:
        with contextlib.suppress(Exception):  # closed by the other side, in whichever way it shows
            while self._outside.fileno() >= 0:
                if self._inside.can_read(0.05):
                    self._pass_on()


class FakeServer:
    """One server of this process. ``path`` is that of its socket."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._made = _fakeredis().FakeServer()
        directory = tempfile.mkdtemp(prefix="ardiq-fake-")
        self.path = str(Path(directory) / "s")
        self._door = socket.socket(socket.AF_UNIX)
        self._door.bind(self.path)
        self._door.listen(64)
        threading.Thread(target=self._welcome, name="ardiq-fake", daemon=True).start()

    def client(self) -> Any:
        """A client of redis-py, for whoever looks after this server."""
        return _fakeredis().FakeRedis(server=self._made, protocol=2)

    def _welcome(self) -> None:
        while True:
            try:
                outside, _ = self._door.accept()
            except OSError:
                return
            # Each from a pool of its own: a pool counts what it has made, and would refuse the hundredth.
            guest = _Guest(self.client().connection_pool.make_connection(), outside)
            threading.Thread(target=guest.serve, name="ardiq-fake-guest", daemon=True).start()

    def clear(self) -> None:
        """Forget everything."""
        self.client().flushall()

    def age(self, ms: int) -> None:
        """Bring the end of all that expires so much nearer; negative: move it away."""
        client = self.client()
        for key in client.scan_iter(count=1000):
            left = client.pttl(key)
            if left >= 0:
                client.pexpire(key, max(left - ms, 0))

    def close(self) -> None:
        """Forget everything, and answer nobody any more."""
        self._door.close()
        shutil.rmtree(Path(self.path).parent, ignore_errors=True)
        self._made.connected = False


def _fakeredis() -> Any:
    if find_spec("fakeredis") is None or find_spec("lupa") is None:  # without Lua it knows no scripts
        raise BrokerError('fake:// needs fakeredis with Lua: pip install "django-ardiq[test]".')
    return import_module("fakeredis")


_servers: dict[str, FakeServer] = {}
_lock = threading.Lock()


def server(url: str) -> FakeServer:
    """The server of this URL, started when it is asked for the first time. Raises BrokerError without the
    extra."""
    name = url.removeprefix(FAKE).strip("/")
    with _lock:
        found = _servers.get(name)
        if found is None:
            found = _servers[name] = FakeServer(name)
        return found


def servers() -> list[FakeServer]:
    """All that run in this process."""
    return list(_servers.values())


def close(url: str) -> None:
    """End the server of this URL, if there is one."""
    found = _servers.pop(url.removeprefix(FAKE).strip("/"), None)
    if found is not None:
        found.close()


def _after_fork() -> None:
    # A child has none of the threads that serve, and must not delete what belongs to its parent.
    global _lock
    _lock = threading.Lock()
    _servers.clear()


def _leave() -> None:
    for one in servers():
        one.close()


atexit.register(_leave)
os.register_at_fork(after_in_child=_after_fork)
