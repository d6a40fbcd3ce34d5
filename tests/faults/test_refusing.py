"""The server is there and will not serve, or not yet: workers wait, and go on by themselves."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import redis

from ardiq import BrokerError
from tests.faults.servers import HurtServer
from tests.faults.trial import MakeTrial, Trial, networks, servers, trial
from tests.workers import until

__all__ = ["networks", "servers", "trial"]

SOAK = pytest.mark.soak


@contextmanager
def no_replicas(here: Trial) -> Iterator[None]:
    """A primary that takes writes only with a replica, and its replica is gone."""
    client = here.server.client
    client.config_set("min-replicas-to-write", 1)
    yield
    client.config_set("min-replicas-to-write", 0)


@contextmanager
def disk_is_full(here: Trial) -> Iterator[None]:
    """A snapshot that cannot be written stops all writes."""
    client = here.server.client
    client.config_set("dir", "/proc")
    client.config_set("save", "3600 1")
    client.config_set("stop-writes-on-bgsave-error", "yes")
    client.bgsave()
    until(lambda: client.info("persistence")["rdb_last_bgsave_status"] == "err")
    yield
    client.config_set("dir", str(here.server.directory))
    client.bgsave()
    until(lambda: client.info("persistence")["rdb_last_bgsave_status"] == "ok")


@contextmanager
def busy(here: Trial) -> Iterator[None]:
    """Somebody else's script runs and runs."""
    client = here.server.client
    client.config_set("busy-reply-threshold", 100)

    def spin() -> None:
        with redis.Redis.from_url(here.server.url, socket_timeout=60) as other:
            with pytest.raises(redis.ResponseError, match="killed by user"):
                other.eval("while true do end", 0)

    spinning = threading.Thread(target=spin)
    spinning.start()
    yield
    client.script_kill()
    spinning.join(10)


@pytest.mark.soak
@pytest.mark.parametrize("refusing", [no_replicas, disk_is_full, busy])
@pytest.mark.fault("28", "refuses all writes for 3 s")
def test_refuses(trial: MakeTrial, refusing: Callable[[Trial], Iterator[None]]) -> None:
    """NOREPLICAS, MISCONF and BUSY instead of READONLY: what was done is kept and committed later."""
    here = trial()
    here.begin(80)
    with here.away(), refusing(here):  # type: ignore[attr-defined]
        time.sleep(3)
    here.works_again(time.monotonic())
    here.end(twice=0)


@pytest.mark.soak
@pytest.mark.fault("12", "restart, and 4 s of loading (LOADING)")
def test_restart_and_a_long_loading(trial: MakeTrial) -> None:
    here = trial(aof="always")
    here.begin(60)
    here.server.client.mset({f"other:{n}": "x" * 100 for n in range(400)})
    here.server.client.bgrewriteaof()
    until(lambda: not here.server.client.info("persistence")["aof_rewrite_in_progress"])
    with here.away():
        here.server.stop()
        here.server.start("--key-load-delay", "10000", "--loading-process-events-interval-bytes", "1024")
        back = time.monotonic()
    assert here.server.was_loading
    here.works_again(back)
    here.end(twice=0)


@pytest.mark.soak
@pytest.mark.fault("12", "workers start before their server")
def test_workers_start_before_their_server(trial: MakeTrial) -> None:
    here = trial()
    here.server.stop()
    here.processes = [here.field.workers.spawn() for _ in range(2)]
    until(lambda: all("Waiting for Redis" in process.text for process in here.processes), 20)
    with here.away():
        time.sleep(1)
    here.server.start()
    back = time.monotonic()
    here.load(20)
    here.works_again(back)
    here.end(twice=0)


@pytest.mark.soak
@pytest.mark.fault("12", "told to stop while Redis is away")
@pytest.mark.parametrize("signals", [1, 2])
def test_told_to_stop_while_redis_is_away(trial: MakeTrial, signals: int) -> None:
    """It ends in time, and not as if all were well: its verdicts are lost, and their jobs run again."""
    here = trial(aof="everysec")
    here.begin(20, workers=1, LEASE_MS=4_000, GRACE_MS=1_000, PREFETCH=0)
    here.server.stop()
    until(lambda: not set(here.field.starts()) - set(here.field.ended()), what="jobs that have ended")
    ran = sum(here.field.starts().values())
    begin = time.monotonic()
    for number in range(signals):
        if number:
            until(lambda: "SIGTERM" in here.processes[0].text)
        here.processes[0].signal(signal.SIGTERM)
    code, took = here.processes[0].ends(12), time.monotonic() - begin
    assert code not in (0, 130) and took < (8, 3)[signals - 1], (code, took)
    here.server.start()
    here.processes = [here.field.start()]
    here.works_again(time.monotonic())
    here.end(twice=ran)
    here.report.note = f"exit {code} after {took:.1f} s"


@pytest.mark.soak
@pytest.mark.fault("13", "server killed while somebody enqueues")
@pytest.mark.parametrize("aof", ["everysec", "always"])
def test_what_was_acknowledged_is_there(trial: MakeTrial, aof: str) -> None:
    """Whatever ``enqueue`` returned for exists after the server was killed, to the very last one."""
    here = trial(aof=aof)
    here.begin(4, workers=1)
    nap, refused = here.field.app.ref("nap"), threading.Event()

    def produce() -> None:
        while not refused.is_set():
            try:
                here.field.ids.append(nap.enqueue_sync(0).id)
            except BrokerError:
                refused.set()

    producing = threading.Thread(target=produce)
    producing.start()
    until(lambda: len(here.field.ids) > 300)
    here.server.kill()
    until(refused.is_set)
    producing.join()
    here.server.start()
    here.works_again(time.monotonic())
    here.end(twice=0)
    here.report.note += f"; {len(here.field.ids)} jobs"


@pytest.mark.soak
@pytest.mark.fault("20", "silent for a moment, connections forgotten, workers idle")
def test_idle_workers_whose_connections_are_forgotten(trial: MakeTrial) -> None:
    """Behind a firewall that loses its state every connection is dead, and nobody says so."""
    here = trial(network=True)
    here.begin(8, seconds=0.01)
    here.field.wait_done()
    with here.away():
        here.network.go_dark()
        time.sleep(1)
        here.network.heal(forget=True)
    back = time.monotonic()
    here.load(8, 0.01)
    here.works_again(back)
    here.end(twice=0)


@pytest.mark.fault("17", "the connection that listens for aborts is cut")
def test_aborts_after_a_cut(trial: MakeTrial, servers: Callable[..., HurtServer]) -> None:
    """It is made again at once: an abort does not wait for the next beat."""
    here = trial()
    here.begin(2, workers=1, LEASE_MS=60_000)
    here.server.drop_all()
    client, keys = here.server.client, here.field.keys
    until(lambda: client.pubsub_numsub(keys.control)[0][1] == 1, 5, "a worker that listens again")
    job = here.field.app.ref("nap").enqueue_sync(30)
    until(lambda: here.field.starts()[job.id])
    begin = time.monotonic()
    assert job.abort_sync()
    until(lambda: job.status_sync().finished, 5)
    here.report.recovery = round(time.monotonic() - begin, 2)
    assert here.report.recovery < 2
    here.end(twice=0)
