"""Sentinel promotes a replica, a Cluster moves a slot or loses a node, under workers and producers."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import redis
from redis.crc import key_slot

from ardiq import Ardiq, BrokerError, JobStatus
from tests import topologies
from tests.faults.field import Field
from tests.faults.report import Report
from tests.faults.trial import Trial
from tests.topologies import Node, raw
from tests.workers import until

LAG = 1.0  # seconds before a death whose writes may not have reached the replica, on a loaded machine


class Producer(threading.Thread):
    """Enqueues a job every 20 ms, and remembers when each was acknowledged."""

    def __init__(self, field: Field) -> None:
        super().__init__(daemon=True)
        self._field = field
        self._ending = threading.Event()
        self.acknowledged: dict[str, float] = {}
        self.refused = 0

    def run(self) -> None:
        job = self._field.app.ref("nap")
        while not self._ending.wait(0.02):
            try:
                self.acknowledged[job.enqueue_sync(0.02).id] = time.monotonic()
            except BrokerError:
                self.refused += 1

    def between(self, begin: float, end: float) -> int:
        return sum(begin <= at <= end for at in self.acknowledged.values())

    def __enter__(self) -> Producer:
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ending.set()
        self.join(10)


class Group:
    """Two workers and a producer on a group of servers."""

    def __init__(self, nodes: list[Node], watchers: list[Node], field: Field, report: Report) -> None:
        self.nodes, self.watchers = nodes, watchers
        self.field, self.report = field, report
        # Nothing of it needs the server that other trials have.
        self.trial = Trial(None, field, report)  # type: ignore[arg-type]

    def node(self, port: int) -> Node:
        return next(node for node in self.nodes if node.port == port)

    def end(self, producer: Producer, *, lost: int, twice: int) -> None:
        """All that is there ends, nobody has ended, and no more than that is lost or has started twice."""
        ids = list(producer.acknowledged)
        self.field.ids += ids
        there = [id for id, status in self.field.statuses().items() if status is not JobStatus.NOT_FOUND]
        self.field.wait_done(there)
        self.trial.alive()
        self.field.count(self.report)
        self.report.note += f", {len(ids)} acknowledged, {producer.refused} refused"
        assert self.report.stuck == 0
        assert self.report.lost is not None and self.report.lost <= lost
        assert self.report.twice is not None and self.report.twice <= twice, self.trial.repeated()
        for process in self.trial.processes:
            process.signal()
        for process in self.trial.processes:
            assert process.ends() == 0, process.text


def kill(node: Node) -> float:
    """kill -9. Answers when."""
    with node.client() as client:
        pid = int(client.info("server")["process_id"])
    os.kill(pid, signal.SIGKILL)
    return time.monotonic()


# -- 29 -------------------------------------------------------------------------------------------


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[tuple[list[Node], list[Node]]]:
    with topologies.sentinel(tmp_path / "group", down_ms=1_500) as made:
        yield made


@pytest.fixture
def behind_sentinel(
    watched: tuple[list[Node], list[Node]], fields: Callable[..., Field], report: Report
) -> Group:
    nodes, watchers = watched
    return Group(nodes, watchers, fields(topologies.sentinel_url(watchers)), report)


def promoted(group: Group, replica: Node) -> float:
    """Wait until Sentinel names the replica, and it is a primary. Answers when."""

    def done() -> bool:
        with group.watchers[0].client() as client, replica.client() as chosen:
            found: Any = client.sentinel_get_master_addr_by_name(topologies.PRIMARY)
            return bool(found and found[1] == replica.port and chosen.info("replication")["role"] == "master")

    until(done, 60, "a replica that Sentinel has promoted")
    return time.monotonic()


@pytest.mark.soak
@pytest.mark.fault("29", "Sentinel: the primary is killed")
def test_the_primary_is_killed(behind_sentinel: Group) -> None:
    """Workers and producers follow by themselves; only what had not reached the replica may be lost."""
    here = behind_sentinel
    here.trial.begin(80)
    with Producer(here.field) as producer:
        time.sleep(1)
        with here.trial.away():
            death = kill(here.nodes[0])
            back = promoted(here, here.nodes[1])
        here.trial.works_again(back)
        time.sleep(0.5)
    here.report.note += f", failover {back - death:.1f} s"
    fresh = producer.between(death - LAG, death)
    here.end(producer, lost=fresh, twice=fresh + 2 * 8)


@pytest.mark.soak
@pytest.mark.fault("29", "Sentinel: failover by command")
def test_failover_by_command(behind_sentinel: Group) -> None:
    """The old primary lives on, and acknowledges what nobody else will ever be told: it is left at once."""
    here = behind_sentinel
    here.trial.begin(80)
    with Producer(here.field) as producer:
        time.sleep(1)
        begin = time.monotonic()
        with here.trial.away(), here.watchers[0].client() as client:
            raw(client, "SENTINEL FAILOVER", topologies.PRIMARY)
            back = promoted(here, here.nodes[1])
        here.trial.works_again(back)
        with here.nodes[0].client() as old:
            until(lambda: old.info("replication")["role"] == "slave", 30, "a primary that is demoted")
        time.sleep(0.5)
    here.report.note += f", failover {back - begin:.1f} s"
    # Sentinel demotes it after ten seconds, but it is left as soon as another one is named.
    lag = producer.between(begin - LAG, back + LAG)
    here.end(producer, lost=lag, twice=lag + 2 * 8)


# -- 30 -------------------------------------------------------------------------------------------


def on_cluster(nodes: list[Node], fields: Callable[..., Field], report: Report) -> Group:
    return Group(nodes, [], fields(topologies.cluster_url(nodes)), report)


@pytest.fixture
def masters(tmp_path: Path) -> Iterator[list[Node]]:
    with topologies.cluster(tmp_path / "group") as nodes:
        yield nodes


@pytest.fixture
def replicated(tmp_path: Path) -> Iterator[list[Node]]:
    with topologies.cluster(tmp_path / "group", replicas=1, timeout_ms=2_000) as nodes:
        yield nodes


def owner(group: Group) -> Node:
    """The master of the queue, by what the nodes that answer say."""
    return group.node(group.field.client.place(group.field.keys.wake)[1])


def move(group: Group, source: Node, target: Node, pause: float) -> None:
    """Move the slot of the queue as ``redis-cli --cluster reshard`` does, with a pause in mid-move."""
    slot = key_slot(group.field.keys.wake.encode())
    with source.client() as here, target.client() as there:
        ids = {node.port: raw_id(node) for node in group.nodes}
        raw(there, "CLUSTER SETSLOT", slot, "IMPORTING", ids[source.port])
        raw(here, "CLUSTER SETSLOT", slot, "MIGRATING", ids[target.port])
        moved = 0
        while keys := keys_in(here, slot):
            raw(here, "MIGRATE", topologies.HOST, target.port, "", 0, 5_000, "KEYS", *keys)
            moved += len(keys)
            if moved == len(keys):
                time.sleep(pause)
        for node in (target, source, *group.nodes):
            with node.client() as client:
                raw(client, "CLUSTER SETSLOT", slot, "NODE", ids[target.port])


def raw_id(node: Node) -> bytes:
    with node.client() as client:
        return raw(client, "CLUSTER MYID")


def keys_in(client: redis.Redis, slot: int) -> list[bytes]:
    found: Any = raw(client, "CLUSTER GETKEYSINSLOT", slot, 20)
    return list(found)


@pytest.mark.soak
@pytest.mark.fault("30", "Cluster: the slot is moved there and back, under load")
def test_the_slot_is_moved(masters: list[Node], fields: Callable[..., Field], report: Report) -> None:
    """While half of its keys are here and half are there, a queue stands still, and loses nothing."""
    here = on_cluster(masters, fields, report)
    here.trial.begin(200)
    source = owner(here)
    target = next(node for node in masters if node is not source)
    with Producer(here.field) as producer:
        for one, other in ((source, target), (target, source)):
            time.sleep(0.5)
            with here.trial.away():
                move(here, one, other, 1.5)
                back = time.monotonic()
            assert owner(here) is other
            here.trial.works_again(back)
    here.end(producer, lost=0, twice=0)


@pytest.mark.soak
@pytest.mark.fault("30", "Cluster: the node of the queue is killed")
def test_the_node_is_killed(replicated: list[Node], fields: Callable[..., Field], report: Report) -> None:
    """Its replica takes over; workers and producers find it through the nodes that are left."""
    here = on_cluster(replicated, fields, report)
    here.trial.begin(80)
    victim = owner(here)
    with Producer(here.field) as producer:
        time.sleep(1)
        with here.trial.away():
            death = kill(victim)
            until(partial(_has_another, here, victim), 60, "a replica that has taken over")
            back = time.monotonic()
        here.trial.works_again(back)
        time.sleep(0.5)
    here.report.note += f", failover {back - death:.1f} s"
    fresh = producer.between(death - LAG, death)
    here.end(producer, lost=fresh, twice=fresh + 2 * 8)


def _has_another(group: Group, victim: Node) -> bool:
    found = owner(group)
    if found is victim:
        return False
    with found.client() as client:
        return b"cluster_state:ok" in raw(client, "CLUSTER INFO")


# -- 61 -------------------------------------------------------------------------------------------


@pytest.mark.fault("61", "fork after connect, as a preloading web server does")
def test_fork_after_connect(field: Field, report: Report) -> None:
    """Children and parent go on side by side, each on connections of its own, also while they wait."""
    field.start()
    app = field.app
    assert app.send_sync("add", 1, 1).result_sync(timeout=20).value == 2  # type: ignore[union-attr]
    children = [fork(partial(add_up, app, child * 100)) for child in range(1, 4)]
    add_up(app, 1)
    assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [0, 0, 0]
    report.lost, report.twice, report.stuck = 0, 0, 0


def add_up(app: Ardiq, base: int) -> None:
    for n in range(20):
        found = app.send_sync("add", base, n).result_sync(timeout=20)
        assert found is not None and found.value == base + n


def fork(body: Callable[[], None]) -> int:
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        body()
        code = 0
    finally:
        os._exit(code)
