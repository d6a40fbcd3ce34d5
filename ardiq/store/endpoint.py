"""Where a queue lives: turns a URL and redis-py options into connections, anew at each connect.

Addresses are looked up when a connection is made, never kept beyond it: after a failover Sentinel
names the new primary, and a Cluster node that answers MOVED says where the slot has gone.
"""

from __future__ import annotations

import random
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import redis
import redis.asyncio as redis_async
from redis.asyncio.connection import parse_url as parse_url_async
from redis.backoff import NoBackoff
from redis.connection import parse_url
from redis.retry import Retry

from ardiq.core.address import EMBEDDED, FAKE, Address, Place, parse
from ardiq.core.errors import ArdiqError, BrokerError, OptionError
from ardiq.core.redact import safe_url
from ardiq.store.aside import aside
from ardiq.store.refusals import Patience, refused
from ardiq.store.sentinels import Sentinels
from ardiq.store.switches import Cuttable, switches

CONNECT_TIMEOUT = 1.5  # seconds; with one silent retry a caller still hears within 3 s (C13)
FAKE_TIMEOUT = 15.0  # the same where a busy process has to answer itself
REPLY_TIMEOUT = 5.0  # seconds without a byte while replies are due
MOST_NODES = 32  # addresses of a Cluster that are remembered

LOST = (redis.ConnectionError, redis.TimeoutError, OSError)

_OWN = ("sentinels", "service_name", "sentinel_kwargs", "cluster")
# redis-py's own retries would repeat a command whose reply was lost; the rules for that are ours (R14).
_FIXED = {"protocol": 2, "decode_responses": False}


class Endpoint:
    """The server (or the group of servers) of a queue."""

    def __init__(self, url: str, options: Mapping[str, Any] | None = None) -> None:
        given = dict(options or {})
        try:
            address = parse(url)
        except ValueError as error:
            raise OptionError(f"REDIS_URL cannot be read: {error}.") from error
        self.url = address.url
        self.options = {key: value for key, value in given.items() if key not in _OWN}
        self._sentinels = self._with_sentinel(address, given)
        # In an order of this process's own, which spreads load; then in turn, so that none is asked twice
        # while there is one that was not. None is the server that the URL names.
        self._nodes: list[Place | None] = (
            [*random.sample(address.places, len(address.places))] if address.cluster else [None]
        )
        self._turn = 0
        self._grows = address.cluster or bool(given.get("cluster"))
        self._at: Place | None = None
        self._place = ", ".join(f"{host}:{port}" for host, port in address.places)
        self.away_since = 0.0
        """Since when sync callers of this process have found no server: seconds of the epoch, 0 while they
        have one. What other processes have found before is not known."""

    def _with_sentinel(self, address: Address, given: Mapping[str, Any]) -> Sentinels | None:
        theirs = dict(given.get("sentinel_kwargs") or {})
        if address.service:
            if address.tls:
                tls = {key: value for key, value in self._read(parse_url).items() if key.startswith("ssl_")}
                theirs = {"ssl": True, **tls, **theirs}
            query = self._parsed(parse_url, f"redis://?{urlencode(address.sentinel)}")
            return Sentinels(address.places, address.service, query | theirs)
        if not given.get("sentinels"):
            return None
        if not given.get("service_name"):
            raise OptionError(
                "REDIS_OPTIONS names sentinels but no service_name; add the name of the primary."
            )
        return Sentinels(given["sentinels"], str(given["service_name"]), theirs)

    @property
    def is_cluster(self) -> bool:
        """Whether two queues may lie on two nodes."""
        return self._grows

    @property
    def is_embedded(self) -> bool:
        """Whether this project starts the server."""
        return self.url.startswith(EMBEDDED)

    @property
    def is_fake(self) -> bool:
        """Whether the server is part of this process: it has no limits, and there is no other place."""
        return self.url.startswith(FAKE)

    @property
    def connect_timeout(self) -> float:
        """Seconds until a new connection counts as refused."""
        return FAKE_TIMEOUT if self.is_fake else CONNECT_TIMEOUT

    def patience(self) -> Patience:
        """For a call whose connection was lost: one more try; a few where another server may take over."""
        return Patience() if self._grows or self._sentinels is not None else Patience(0)

    def _read(self, parse: Any) -> dict[str, Any]:
        url = self.url
        if self.is_embedded:
            from ardiq.store import embedded

            url = embedded.ensure(Path(url.removeprefix(EMBEDDED)))
        elif self.is_fake:
            from ardiq.store import fake

            url = f"unix://{fake.server(url).path}"
        return {"socket_connect_timeout": self.connect_timeout, **self._parsed(parse, url), **self.options}

    def _parsed(self, parse: Any, url: str) -> dict[str, Any]:
        try:
            found: dict[str, Any] = parse(url)
        except ValueError as error:
            raise OptionError(f"REDIS_URL cannot be read: {error}") from error
        return found

    def _kwargs(self, parse: Any) -> dict[str, Any]:
        kwargs = self._read(parse)
        if "path" not in kwargs:
            # A dead peer must be noticed; a unix socket has none, and redis-py refuses the option for it.
            kwargs.setdefault("socket_keepalive", True)
        kwargs |= _FIXED
        at = self._sentinels.find() if self._sentinels else self._at
        if at is None and not self._sentinels:
            at = self._nodes[self._turn % len(self._nodes)]
            self._turn += 1
        if at is not None:
            kwargs["host"], kwargs["port"] = at
        return kwargs

    def connection(self, reply_timeout: float = REPLY_TIMEOUT) -> redis.Connection:
        """A new, unconnected sync connection."""
        kwargs = {"socket_timeout": reply_timeout, **self._kwargs(parse_url)}
        made = kwargs.pop("connection_class", redis.Connection)
        connection: redis.Connection = _made(made, kwargs)
        return connection

    def connected(self, reply_timeout: float) -> redis.Connection:
        """A new, open sync connection. Raises what tells of a lost one (LOST), or BrokerError."""
        try:
            connection = self.connection(reply_timeout)
            try:
                connection.connect()
            except BaseException:
                connection.disconnect()
                raise
        except (*LOST, ArdiqError):
            self.miss()
            raise
        except Exception as error:
            self.miss()
            # Code of the project runs in here, such as a credential provider: whatever it raises (R14).
            raise self.unreachable(error) from error
        self.away_since = 0.0
        if self._sentinels is not None:
            connection.cuttable = cuttable = Cuttable(connection)  # type: ignore[attr-defined]
            self.watch(cuttable)
        return connection

    def watch(self, one: Any) -> None:
        """Have an open connection dropped (``place``, ``drop``) when Sentinel names another primary."""
        if self._sentinels is not None:
            switches(self._sentinels).watch(one)

    async def async_connection(self) -> redis_async.Connection:
        """A new, unconnected async connection; its timeouts are kept by whoever uses it."""
        blocks = self._sentinels is not None or self.is_embedded
        kwargs = await aside(self._kwargs, parse_url_async) if blocks else self._kwargs(parse_url_async)
        made = kwargs.pop("connection_class", redis_async.Connection)
        connection: redis_async.Connection = _made(made, kwargs | {"socket_timeout": None})
        return connection

    def moved(self, message: str) -> Place:
        """Follow ``MOVED <slot> <host>:<port>`` at the next connect. Answers where to."""
        host, _, port = message.split()[2].rpartition(":")
        if not host:
            # A node that does not know its own address: the one that it was reached at.
            host = self._at[0] if self._at else str(self._read(parse_url).get("host", "localhost"))
        self._at = at = (host, int(port))
        if self._grows and at not in self._nodes:
            self._nodes = [*self._nodes, at][-MOST_NODES:]
        return at

    def forget(self) -> None:
        """After a failed connect, or a server that cannot serve: back to the address of the settings."""
        self._at = None
        if self._sentinels is not None:
            self._sentinels.doubt()

    def miss(self) -> None:
        """Remember since when there is no server."""
        self.away_since = self.away_since or time.time()

    def unreachable(self, error: BaseException) -> BrokerError:
        """What to raise when there is no connection to be had, or it was lost."""
        said = error.__cause__ if type(error) is ConnectionError and error.__cause__ else error
        if isinstance(said, redis.AuthenticationError):
            return BrokerError(
                f"Redis at {self._shown()} does not take the user or the password: "
                f"{str(said)[:200].rstrip('.')}. Correct them in REDIS_URL or REDIS_OPTIONS."
            )
        if isinstance(said, redis.exceptions.NoPermissionError):
            return refused(str(said), said, "a connection to be set up")
        return BrokerError(
            f"Redis at {self._shown()} cannot be reached: "
            f"{str(error)[:200].rstrip('.') or type(error).__name__}. "
            "Check REDIS_URL (or ARDIQ_REDIS_URL in the environment) and that the server is running."
        )

    def _shown(self) -> str:
        if self._sentinels is not None:
            return f"primary {self._sentinels.service!r} of Sentinel"
        shown = safe_url(self.url).partition("?")[0]
        return self._place or shown.rpartition("@")[2].removeprefix("redis://").removeprefix("rediss://")


def _made(kind: Any, kwargs: dict[str, Any]) -> Any:
    try:
        return kind(**kwargs, retry=Retry(NoBackoff(), 0))
    except TypeError as error:
        # Not for another try: redis-py knows no such option, or knows it only for its pool or client.
        raise OptionError(f"REDIS_OPTIONS or the query of REDIS_URL cannot be used: {error}") from error
