"""``admin(url)``: the looks and tricks of the tests themselves, with all rights, on the right server.

What the code under test may do, and which road it takes to its server, is not for the referee.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
import redis
from redis.backoff import NoBackoff
from redis.crc import key_slot
from redis.exceptions import MovedError
from redis.retry import Retry
from redis.sentinel import Sentinel

from ardiq.core.address import Address, parse

TESTER, TESTER_PASSWORD = "tester", "of-the-tests-alone"

# What is meant for every server of a Cluster; answers are added up or the last one is taken.
_ALL = {"SCRIPT FLUSH", "CLIENT KILL", "CONFIG SET", "CLIENT PAUSE", "ACL SETUSER", "ACL DELUSER"}


def admin(url: str, **options: Any) -> Any:
    """A redis.Redis, or what can be used like one, on the server of the queue. Use it with ``with``."""
    address = parse(url)
    plain = address.url
    if "//ardiq:" in plain:
        # Made by tests/topologies.py, which also makes a user for this.
        plain = f"{plain.partition('//')[0]}//{TESTER}:{TESTER_PASSWORD}@{plain.rpartition('@')[2]}"
    if address.cluster:
        return Everywhere(address, options)
    if address.service:
        db = int(urlsplit(plain).path.strip("/") or 0)
        return _watchers(address).master_for(address.service, db=db, **_tls(address), **options)
    return redis.Redis.from_url(plain, **options)


def _tls(address: Address) -> dict[str, Any]:
    authority = dict(parse_qsl(urlsplit(address.url).query)).get("ssl_ca_certs")
    return {"ssl": True, "ssl_ca_certs": authority} if address.tls else {}


def _watchers(address: Address) -> Watchers:
    patience = {"socket_timeout": 2, "socket_connect_timeout": 2}
    return Watchers(address.places, sentinel_kwargs=patience | _tls(address))


def direct(url: str, queue: str) -> str:
    """Url of the one server that holds the queue now, for a proxy to stand in front of."""
    address = parse(url)
    if address.tls:
        pytest.skip("a proxy cannot tell requests apart that are encrypted")
    if address.cluster:
        with Everywhere(address, {}) as client:
            host, port = client.place("{" + queue + "}")
    elif address.service:
        host, port = _watchers(address).discover_master(address.service)
    else:
        return url
    before, _, path = address.url.partition("://")[2].partition("/")
    return f"redis://{before.rpartition('@')[0]}{'@' if '@' in before else ''}{host}:{port}/{path}"


def other_database(url: str, number: int) -> str:
    """The url with another database; a Cluster has but one."""
    address, parts = parse(url), urlsplit(url)
    if address.cluster:
        return url
    return parts._replace(path=f"/{address.service}/{number}" if address.service else f"/{number}").geturl()


class Watchers(Sentinel):
    """Believes whom the sentinels name, also just after a failover, when they doubt it themselves."""

    def discover_master(self, service_name: str) -> tuple[str, int]:
        for watcher in self.sentinels:
            with contextlib.suppress(redis.ConnectionError, redis.TimeoutError):
                if found := watcher.sentinel_get_master_addr_by_name(service_name):
                    host, port = found
                    return (host.decode() if isinstance(host, bytes) else host), int(port)
        raise redis.ConnectionError(f"no sentinel knows {service_name!r}")


class Everywhere(redis.Redis):
    """All masters of a Cluster: each command goes where its first key lies, some go to all of them."""

    def __init__(self, address: Address, options: dict[str, Any]) -> None:
        super().__init__()
        self._options = _tls(address) | options
        self._nodes: dict[tuple[str, int], redis.Redis] = {}
        self._places = list(address.places)
        self._first = self._places[0]
        self._slots: list[tuple[int, int, tuple[str, int]]] = []
        self._look()

    def _node(self, place: tuple[str, int]) -> redis.Redis:
        if place not in self._nodes:
            # Without retries: a node that was killed is passed over at once.
            self._nodes[place] = redis.Redis(
                host=place[0], port=place[1], retry=Retry(NoBackoff(), 0), **self._options
            )
        return self._nodes[place]

    def _look(self) -> None:
        """Ask the nodes, the last one that answered first, who holds what."""
        self._places.sort(key=lambda place: place != self._first)
        for place in self._places:
            with contextlib.suppress(redis.ConnectionError), self._node(place).client() as one:
                assert one.connection is not None
                one.connection.send_command("CLUSTER SLOTS")
                found: Any = one.connection.read_response(disable_decoding=True)
                self._first = place
                self._slots = [(low, high, (first[0].decode(), first[1])) for low, high, first, *_ in found]
                return
        raise redis.ConnectionError("no node of the cluster answers")

    def place(self, key: str | bytes) -> tuple[str, int]:
        """Address of the master of a key, asked anew."""
        self._look()
        return self._holder(key)

    def _holder(self, key: str | bytes) -> tuple[str, int]:
        slot = key_slot(key if isinstance(key, bytes) else key.encode())
        return next(place for low, high, place in self._slots if low <= slot <= high)

    def _masters(self) -> list[redis.Redis]:
        self._look()
        return [self._node(place) for place in sorted({place for _, _, place in self._slots})]

    def execute_command(self, *args: Any, **options: Any) -> Any:
        key = next((arg for arg in args[1:] if isinstance(arg, (str, bytes)) and "{" in str(arg)), None)
        if key is not None:
            try:
                return self._node(self._holder(key)).execute_command(*args, **options)
            except (redis.ConnectionError, MovedError):
                return self._node(self.place(key)).execute_command(*args, **options)
        words = " ".join(str(arg) for arg in args[:2]).upper()
        if any(words.startswith(name) for name in _ALL):
            answers = [node.execute_command(*args, **options) for node in self._masters()]
            return sum(answers) if type(answers[-1]) is int else answers[-1]
        return self._node(self._first).execute_command(*args, **options)

    def scan_iter(self, *args: Any, **options: Any) -> Iterator[Any]:
        for node in self._masters():
            yield from node.scan_iter(*args, **options)

    def pubsub(self, **options: Any) -> Any:
        return self._node(self._first).pubsub(**options)

    def pipeline(self, *args: Any, **options: Any) -> Any:
        return _Pipeline(self)

    def close(self) -> None:
        for node in self._nodes.values():
            node.close()


class _Pipeline:
    """The commands one by one."""

    def __init__(self, client: Everywhere) -> None:
        self._client = client
        self._calls: list[Any] = []

    def __getattr__(self, name: str) -> Any:
        return lambda *args, **options: self._calls.append((name, args, options))

    def __enter__(self) -> _Pipeline:
        return self

    def __exit__(self, *error: object) -> None:
        self._calls.clear()

    def execute(self) -> list[Any]:
        calls, self._calls = self._calls, []
        return [getattr(self._client, name)(*args, **options) for name, args, options in calls]
