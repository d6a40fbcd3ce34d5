"""Asks Sentinel where the primary is. Asked at every connect, so that a failover needs nobody's help."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from ardiq.core.address import Place

ANSWER = 0.5  # seconds for one sentinel; with three of them a caller still hears in time (C13)


class Sentinels:
    """The sentinels of one primary. Raises redis.ConnectionError when none of them knows it, or TimeoutError
    where some were silent: asking them again would only double the wait of a caller (C13)."""

    def __init__(self, places: Sequence[Sequence[Any]], service: str, options: Mapping[str, Any]) -> None:
        self.places: list[Place] = [(str(host), int(port)) for host, port in places]
        self.service = service
        self._options = {"socket_timeout": ANSWER, "socket_connect_timeout": ANSWER, **options}
        self._tls = bool(self._options.pop("ssl", False))
        self._best: Place | None = None

    def doubt(self) -> None:
        """The last answer led nowhere: it may be the view of one that is cut off. Ask another one first."""
        self._best = None

    def find(self) -> Place:
        """Address of the primary, from the first sentinel that knows it."""
        problems: list[str] = []
        lost: type[redis.RedisError] = redis.ConnectionError
        order = random.sample(self.places, len(self.places))
        order.sort(key=lambda place: place != self._best)
        for place in order:
            try:
                found = self.ask(place)
            except (redis.RedisError, OSError) as error:
                if isinstance(error, redis.TimeoutError):
                    lost = redis.TimeoutError
                problems.append(f"{place[0]}:{place[1]}: {error}")
                continue
            if found is not None:
                self._best = place
                return found
            problems.append(f"{place[0]}:{place[1]} knows no primary named {self.service!r}")
        raise lost(f"no sentinel names a primary ({'; '.join(problems)})")

    def ask(self, place: Place) -> Place | None:
        """What one sentinel says: the address of the primary, None when it does not know it."""
        with self.connected(place) as connection:
            connection.send_command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self.service)
            reply: Any = connection.read_response(disable_decoding=True)
        return (reply[0].decode(), int(reply[1])) if reply else None

    @contextmanager
    def connected(self, place: Place) -> Iterator[Any]:
        """A connection to one sentinel."""
        kind = redis.SSLConnection if self._tls else redis.Connection
        connection = kind(
            **self._options, host=place[0], port=place[1], protocol=2, retry=Retry(NoBackoff(), 0)
        )
        try:
            connection.connect()
            yield connection
        finally:
            connection.disconnect()
