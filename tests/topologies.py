"""Servers for the whole suite, by ARDIQ_TEST_SERVER: plain, acl, sentinel, cluster, each also with tls.

Whatever it is, the URL holds all that the code under test needs to connect. With ``acl`` that code is the
user that docs/how-to/deploy.md tells operators to make, with the very line of that page, and nothing more.
"""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import redis

from tests import certificates, server
from tests.admin_client import TESTER, TESTER_PASSWORD

ROOT = Path(__file__).resolve().parents[1]
WORDS = {"plain", "acl", "tls", "sentinel", "cluster"}
PRIMARY = "primary"  # its name for the sentinels
HOST = "127.0.0.1"


def mode() -> frozenset[str]:
    """The words of ARDIQ_TEST_SERVER."""
    words = frozenset(os.environ.get("ARDIQ_TEST_SERVER", "plain").split("+"))
    if words - WORDS or len(words & {"plain", "sentinel", "cluster"}) > 1:
        pytest.fail(
            f"ARDIQ_TEST_SERVER must be one of {', '.join(sorted(WORDS))}, perhaps with tls, as in tls+acl",
            pytrace=False,
        )
    return words


def acl_lines() -> dict[str, str]:
    """The commands of deploy.md that make users, by the name of the user."""
    page = (ROOT / "docs" / "how-to" / "deploy.md").read_text().replace("\\\n", " ")
    lines = [" ".join(line.split()) for line in re.findall(r"^ACL SETUSER .*$", page, re.M)]
    return {line.split()[2]: line for line in lines}


class Node:
    """One server. ``options`` are lines of its configuration."""

    def __init__(
        self, directory: Path, *options: str, sentinel: bool = False, tls: certificates.Tls | None = None
    ) -> None:
        self.port = server.free_port()
        directory.mkdir(parents=True, exist_ok=True)
        self.directory, self.tls = directory, tls
        self._binary = tls.binary if tls else server.need_binary()
        lines = [*(tls.options(self.port) if tls else [f"port {self.port}"]), f"bind {HOST}"]
        lines += [f'dir "{directory}"', *options]
        if not sentinel:
            lines += ['save ""'] + ([] if any("appendonly" in one for one in options) else ["appendonly no"])
        self.config = directory / f"node-{self.port}.conf"
        self.config.write_text("".join(f"{line}\n" for line in lines))
        self._more = ["--sentinel"] if sentinel else []
        self.bus = 0  # the port that nodes of a Cluster talk to each other on
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def place(self) -> str:
        return f"{HOST}:{self.port}"

    def client(self) -> redis.Redis:
        more: Any = self.tls.client if self.tls else {}
        return redis.Redis(host=HOST, port=self.port, socket_timeout=5, **more)

    def start(self) -> Node:
        self.process = server.start_process(
            [self._binary, str(self.config), *self._more], self.directory, self.port
        )
        return self

    def answers(self, userinfo: str = "") -> str:
        """Its URL, once it answers."""
        scheme, query = ("rediss", self.tls.query) if self.tls else ("redis", "")
        url = f"{scheme}://{userinfo}{self.place}/0{query}"
        if not server.answers(url, 10):
            pytest.fail(f"the server does not start; its log is in {self.directory}", pytrace=False)
        return url

    def stop(self) -> None:
        if self.process is not None:
            server.stop_server(self.process)
            self.process = None


@contextmanager
def running(directory: Path) -> Iterator[str]:
    """Url of a server, or a group of servers, as ARDIQ_TEST_SERVER asks for."""
    words = mode()
    tls = certificates.make(directory) if "tls" in words else None
    with ExitStack() as stack:
        if "cluster" in words:
            yield cluster_url(stack.enter_context(cluster(directory, tls=tls)))
        elif "sentinel" in words:
            _, watchers = stack.enter_context(sentinel(directory, sentinels=1, tls=tls))
            yield sentinel_url(watchers)
        else:
            yield stack.enter_context(single(directory, tls, "acl" in words))


@contextmanager
def single(directory: Path, tls: certificates.Tls | None = None, acl: bool = False) -> Iterator[str]:
    """One server, behind TLS or with users, or both."""
    options = list[str]()
    if acl:
        options += [f"user {TESTER} on >{TESTER_PASSWORD} ~* &* +@all", "user default off"]
        options += [
            line.removeprefix("ACL SETUSER").replace(" ", "user ", 1) for line in acl_lines().values()
        ]
    node = Node(directory, *options, tls=tls).start()
    try:
        url = node.answers("ardiq:a-long-password@" if acl else "")
        yield url
        if acl:
            _denied_nothing(url)
    finally:
        node.stop()


def _denied_nothing(url: str) -> None:
    """The line of the page grants all that was asked for in the whole run."""
    with server.admin(url) as client:
        log = [{key: str(value) for key, value in entry.items()} for entry in client.acl_log(count=128)]
    # redis-py tells its name and version, and ardiq_check asks more than it needs: both go on without.
    denied = {
        f"{entry['reason']} {entry['object']} in {entry['context']}"
        for entry in log
        if entry["username"] == "ardiq" and not entry["object"].startswith(("client|", "config|", "acl|"))
    }
    assert not denied, f"the ACL line of deploy.md lacks {sorted(denied)}"


# -- Sentinel -------------------------------------------------------------------------------------


@contextmanager
def sentinel(
    directory: Path,
    *,
    replicas: int = 1,
    sentinels: int = 3,
    down_ms: int = 30_000,
    tls: certificates.Tls | None = None,
) -> Iterator[tuple[list[Node], list[Node]]]:
    """(the primary and its replicas, the sentinels). ``down_ms``: silence after which a primary is down."""
    options = ["repl-diskless-sync-delay 0", "repl-ping-replica-period 1"]
    nodes = [Node(directory / f"node{n}", *options, tls=tls) for n in range(1 + replicas)]
    primary = nodes[0]
    watchers = [
        Node(
            directory / f"sentinel{n}",
            f"sentinel monitor {PRIMARY} {HOST} {primary.port} {sentinels // 2 + 1}",
            f"sentinel down-after-milliseconds {PRIMARY} {down_ms}",
            f"sentinel failover-timeout {PRIMARY} 6000",
            sentinel=True,
            tls=tls,
        )
        for n in range(sentinels)
    ]
    try:
        for node in nodes:
            node.start().answers()
        for node in nodes[1:]:
            with node.client() as client:
                client.replicaof(HOST, primary.port)
                soon(partial(_in_sync, client), "a replica in sync")
        for watcher in watchers:
            watcher.start().answers()
        for watcher in watchers:
            with watcher.client() as client:
                soon(partial(_sees, client, replicas, sentinels), "sentinels that know each other")
        yield nodes, watchers
    finally:
        for node in (*watchers, *nodes):
            node.stop()


def _in_sync(replica: redis.Redis) -> bool:
    return replica.info("replication").get("master_link_status") == "up"


def _sees(client: redis.Redis, replicas: int, sentinels: int) -> bool:
    found = client.sentinel_master(PRIMARY)
    return found["num-slaves"] == replicas and found["num-other-sentinels"] == sentinels - 1


def sentinel_url(watchers: list[Node]) -> str:
    return _group("sentinel", watchers, f"/{PRIMARY}/0")


# -- Cluster --------------------------------------------------------------------------------------


@contextmanager
def cluster(
    directory: Path, *, replicas: int = 0, timeout_ms: int = 15_000, tls: certificates.Tls | None = None
) -> Iterator[list[Node]]:
    """Three masters, then ``replicas`` of each. ``timeout_ms``: silence after which a node is down."""
    nodes = []
    for n in range(3 * (1 + replicas)):
        bus = server.free_port()
        options = [
            "cluster-enabled yes", f"cluster-port {bus}", f"cluster-node-timeout {timeout_ms}",
            f"cluster-announce-ip {HOST}", "cluster-replica-validity-factor 0", "repl-diskless-sync-delay 0",
        ]  # fmt: skip
        if tls:
            options.append("tls-cluster yes")
        nodes.append(Node(directory / f"node{n}", *options, tls=tls))
        nodes[-1].bus = bus
    try:
        for node in nodes:
            node.start().answers()
        _join(nodes)
        yield nodes
    finally:
        for node in nodes:
            node.stop()


def _join(nodes: list[Node]) -> None:
    clients = [node.client() for node in nodes]
    for n, client in enumerate(clients[:3]):
        raw(client, "CLUSTER ADDSLOTSRANGE", n * 5462, min(n * 5462 + 5461, 16_383))
        raw(client, "CLUSTER SET-CONFIG-EPOCH", n + 1)
    for node in nodes[1:]:
        raw(clients[0], "CLUSTER MEET", HOST, node.port, node.bus)
    ids = [raw(client, "CLUSTER MYID") for client in clients]
    for client in clients:
        soon(partial(_knows, client, ids), "nodes that know each other")
    for n, client in enumerate(clients[3:]):
        raw(client, "CLUSTER REPLICATE", ids[n % 3])
    for client in clients:
        soon(partial(_works, client), "a cluster that works")
    for client in clients[3:]:
        soon(partial(_in_sync, client), "a replica in sync")
    for client in clients:
        client.close()


def raw(client: redis.Redis, command: str, *arguments: object) -> bytes:
    """The reply as the server sends it; redis-py has an idea of its own of most replies about clusters."""
    with client.client() as one:
        connection = one.connection
        assert connection is not None
        connection.send_command(*command.split(), *arguments)
        reply: bytes = connection.read_response(disable_decoding=True)
        return reply


def _knows(client: redis.Redis, ids: list[bytes]) -> bool:
    known = raw(client, "CLUSTER NODES")
    return all(id in known for id in ids)


def _works(client: redis.Redis) -> bool:
    return b"cluster_state:ok" in raw(client, "CLUSTER INFO")


def cluster_url(nodes: list[Node]) -> str:
    return _group("cluster", nodes, "")


def _group(kind: str, nodes: list[Node], path: str) -> str:
    tls = nodes[0].tls
    places = ",".join(node.place for node in nodes)
    return f"{'rediss' if tls else 'redis'}+{kind}://{places}{path}{tls.query if tls else ''}"


def soon(condition: Callable[[], bool], what: str, seconds: float = 30) -> None:
    """Wait until the condition holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.02)
