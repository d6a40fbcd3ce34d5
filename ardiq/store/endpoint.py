"""Where a queue lives: turns a URL and redis-py options into connections, anew at each connect.

Addresses are looked up when a connection is made, never kept beyond it: after a failover Sentinel
names the new primary, and a Cluster node that answers MOVED says where the slot has gone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import redis
import redis.asyncio as redis_async
from redis.asyncio.connection import parse_url as parse_url_async
from redis.backoff import NoBackoff
from redis.connection import parse_url
from redis.retry import Retry

from ardiq.core.errors import BrokerError, OptionError
from ardiq.core.redact import safe_url

CONNECT_TIMEOUT = 1.5  # seconds; with one silent retry a caller still hears within 3 s (C13)
REPLY_TIMEOUT = 5.0  # seconds without a byte while replies are due

_OWN = ("sentinels", "service_name", "sentinel_kwargs", "cluster")
# redis-py's own retries would repeat a command whose reply was lost; the rules for that are ours (R14).
_FIXED = {"protocol": 2, "decode_responses": False}


class Endpoint:
    """The server (or the group of servers) of a queue."""

    def __init__(self, url: str, options: Mapping[str, Any] | None = None) -> None:
        if url.startswith("fake:"):
            raise OptionError(
                "fake:// belongs to the testing kit, which this release does not have; use embedded://."
            )
        given = dict(options or {})
        self.url = url.replace("valkey", "redis", 1) if url.startswith("valkey") else url
        self.sentinels = given.get("sentinels")
        self.service = str(given.get("service_name") or "")
        self.sentinel_kwargs = given.get("sentinel_kwargs") or {}
        if self.sentinels and not self.service:
            raise OptionError(
                "REDIS_OPTIONS names sentinels but no service_name; add the name of the primary."
            )
        self.options = {key: value for key, value in given.items() if key not in _OWN}
        self._moved: tuple[str, int] | None = None

    def _kwargs(self, parse: Any) -> dict[str, Any]:
        url = self.url
        if url.startswith("embedded://"):
            from ardiq.store import embedded

            url = embedded.ensure(Path(url.removeprefix("embedded://")))
        try:
            kwargs: dict[str, Any] = {"socket_connect_timeout": CONNECT_TIMEOUT, **parse(url)}
        except ValueError as error:
            raise OptionError(f"REDIS_URL cannot be read: {error}") from error
        if "path" not in kwargs:
            # A dead peer must be noticed; a unix socket has none, and redis-py refuses the option for it.
            kwargs["socket_keepalive"] = True
        kwargs |= self.options | _FIXED
        if self._moved:
            kwargs["host"], kwargs["port"] = self._moved
        return kwargs

    def connection(self, reply_timeout: float = REPLY_TIMEOUT) -> redis.Connection:
        """A new, unconnected sync connection."""
        kwargs = {"socket_timeout": reply_timeout, **self._kwargs(parse_url)}
        if self.sentinels:
            kwargs["host"], kwargs["port"] = redis.sentinel.Sentinel(
                self.sentinels, **({"socket_timeout": CONNECT_TIMEOUT} | self.sentinel_kwargs)
            ).discover_master(self.service)
        made = kwargs.pop("connection_class", redis.Connection)
        connection: redis.Connection = made(**kwargs, retry=Retry(NoBackoff(), 0))
        return connection

    async def async_connection(self) -> redis_async.Connection:
        """A new, unconnected async connection; its timeouts are kept by whoever uses it."""
        embedded = self.url.startswith("embedded://")
        kwargs = (
            await asyncio.to_thread(self._kwargs, parse_url_async)
            if embedded
            else self._kwargs(parse_url_async)
        )
        if self.sentinels:
            kwargs["host"], kwargs["port"] = await redis_async.sentinel.Sentinel(
                self.sentinels, **({"socket_timeout": CONNECT_TIMEOUT} | self.sentinel_kwargs)
            ).discover_master(self.service)
        made = kwargs.pop("connection_class", redis_async.Connection)
        connection: redis_async.Connection = made(
            **kwargs | {"socket_timeout": None}, retry=Retry(NoBackoff(), 0)
        )
        return connection

    def moved(self, message: str) -> None:
        """Follow ``MOVED <slot> <host>:<port>`` at the next connect; an unknown host keeps the old one."""
        host, _, port = message.split()[2].rpartition(":")
        if host:
            self._moved = (host, int(port))

    def forget(self) -> None:
        """After a failed connect: back to the address of the settings."""
        self._moved = None

    def unreachable(self, error: BaseException) -> BrokerError:
        place = self.service or safe_url(self.url).rpartition("@")[2].removeprefix("redis://")
        return BrokerError(
            f"Redis at {place} cannot be reached: {str(error)[:200].rstrip('.') or type(error).__name__}. "
            "Check REDIS_URL and that the server is running."
        )
