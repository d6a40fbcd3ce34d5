"""A proxy in front of the server that loses replies, or goes silent, when a test tells it to."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable
from urllib.parse import urlsplit


class Proxy:
    """Passes bytes on. ``lose`` replies are swallowed, each with its connection; ``silent`` swallows all."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._server = (parts.hostname or "127.0.0.1", parts.port or 6379)
        self._listening = socket.create_server(("127.0.0.1", 0))
        userinfo, at, _ = parts.netloc.rpartition("@")
        self.url = f"redis://{userinfo}{at}127.0.0.1:{self._listening.getsockname()[1]}{parts.path}"
        self.lose = 0
        self.lost = 0
        self.silent = False
        self.only_if: Callable[[bytes], bool] = lambda request: True
        self._open: list[socket.socket] = [self._listening]
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """Cut every connection; new ones are taken."""
        self._shut(self._open[1:])

    def close(self) -> None:
        self._shut(self._open)

    def _shut(self, sockets: list[socket.socket]) -> None:
        for one in sockets:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                server = socket.create_connection(self._server)
                self._open += [client, server]
                _Pair(self, client, server)


class _Pair:
    """One connection and its two directions."""

    def __init__(self, proxy: Proxy, client: socket.socket, server: socket.socket) -> None:
        self._proxy, self._client, self._server = proxy, client, server
        self._request = b""
        threading.Thread(target=self._ask, daemon=True).start()
        threading.Thread(target=self._answer, daemon=True).start()

    def _ask(self) -> None:
        with contextlib.suppress(OSError):
            while data := self._client.recv(65_536):
                self._request = data
                self._server.sendall(data)
        self._end()

    def _answer(self) -> None:
        proxy = self._proxy
        with contextlib.suppress(OSError):
            while data := self._server.recv(65_536):
                if proxy.lose > 0 and proxy.only_if(self._request):
                    proxy.lose -= 1
                    proxy.lost += 1
                    break
                if not proxy.silent:
                    self._client.sendall(data)
        self._end()

    def _end(self) -> None:
        for one in (self._client, self._server):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
