"""The port where probes ask for the health of a worker: small, bounded, silent about what it runs (S10)."""

from __future__ import annotations

import contextlib
import json
import logging
import socket
import socketserver
import sys
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, cast

from ardiq.worker.health import Look

MOST = 8  # requests that are answered at once; one more is hung up on
QUIET = 2.0  # seconds without a byte
BREATH = 0.1  # seconds to the next look when no connection can be accepted
STOPS = 0.2  # seconds that a stop of this server takes at most
LONGEST = 4.0  # seconds for a request as a whole, however it trickles in

log = logging.getLogger("ardiq.worker")


Accept = Callable[[], tuple[socket.socket, Any]]


def breathing(accept: Accept) -> Accept:
    """``get_request`` of a server that takes a breath when no file is left for a connection: it stays in the
    backlog, where the next look would find it at once."""

    def accept_or_breathe() -> tuple[socket.socket, Any]:
        try:
            return accept()
        except OSError:
            time.sleep(BREATH)
            raise

    return accept_or_breathe


class Handler(BaseHTTPRequestHandler):
    """GET and HEAD of /health (loop and Redis) and /live (only what a restart would mend)."""

    timeout = QUIET
    error_message_format, error_content_type = "", "text/plain"  # the default repeats what was sent

    def do_GET(self) -> None:
        state = cast(Probe, self.server).look()
        path = self.path.partition("?")[0]
        if path == "/health":
            self._answer(state.well, loop=state.loop, redis=state.redis, workers=state.workers,
                         healthy=state.healthy)  # fmt: skip
        elif path == "/live":
            self._answer(state.live)
        else:
            self._send(404, {"status": "not found"})

    do_HEAD = do_GET

    def version_string(self) -> str:
        return "ardiq"  # and not the version of Python

    def _answer(self, well: bool, **more: object) -> None:
        self._send(200 if well else 503, {"status": "ok" if well else "failing", **more})

    def _send(self, code: int, told: dict[str, object]) -> None:
        body = json.dumps(told).encode() + b"\n"
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Probes come every few seconds for ever; what they send is not worth a line, nor safe in one."""


class Probe(ThreadingHTTPServer):
    """Listens from ``__init__`` on, answers from ``start`` to ``stop``."""

    daemon_threads = True
    request_queue_size = 4 * MOST  # whoever finds no room is hung up on at once, and does not wait to connect

    def __init__(self, host: str, port: int, look: Look) -> None:
        """Raises OSError when the address cannot be had."""
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.look = look
        self._room = threading.BoundedSemaphore(MOST)
        super().__init__((host, port), Handler)

    def server_bind(self) -> None:
        # Not HTTPServer's, which asks the DNS for the name of the host.
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = "", 0

    def get_request(self) -> tuple[socket.socket, Any]:
        return breathing(super().get_request)()

    def start(self) -> None:
        threading.Thread(target=self.serve_forever, args=(STOPS,), name="ardiq-probe", daemon=True).start()

    def stop(self) -> None:
        self.shutdown()
        self.server_close()

    def process_request(self, request: Any, client_address: Any) -> None:
        if not self._room.acquire(blocking=False):
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except BaseException:
            self._room.release()
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        deadline = threading.Timer(LONGEST, _hang_up, (request,))
        deadline.daemon = True
        try:
            deadline.start()
            super().process_request_thread(request, client_address)
        finally:
            deadline.cancel()
            self._room.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        log.debug("A probe was not answered: %s", sys.exc_info()[1])


def _hang_up(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
