"""A server that keeps what it acknowledged across a restart: AOF, everysec. Gone at the end."""

from __future__ import annotations

import contextlib
import time

from harness.server import Server, ServerError


class DurableServer(Server):
    PERSISTENCE = {"save": "", "appendonly": "yes", "appendfsync": "everysec"}

    def restart(self, down: float) -> None:
        """Stop it as an init system does, leave it down for so many seconds, start it on the same files."""
        self._socket.close()
        self.__exit__(None, None, None)
        time.sleep(down)
        self.__enter__()

    def drop_clients(self) -> None:
        """CLIENT KILL of every connection but the harness's own."""
        for kind in ("normal", "pubsub"):
            # Valkey and Redis differ in what they answer when there is none of a kind.
            with contextlib.suppress(ServerError):
                self.command("CLIENT", "KILL", "TYPE", kind, "SKIPME", "yes")
