"""The server goes away, comes back with less than it had, or refuses: workers go on by themselves."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from ardiq import Ardiq, JobStatus
from ardiq.core.errors import QueueFull
from tests.faults.field import LANES
from tests.faults.servers import HurtServer
from tests.faults.trial import MakeTrial, networks, servers, trial
from tests.workers import until

__all__ = ["networks", "servers", "trial"]


@pytest.mark.soak
@pytest.mark.fault("12", "restart, AOF everysec")
def test_restart(trial: MakeTrial) -> None:
    """Held leases survive in the file: nothing starts twice."""
    here = trial(aof="everysec")
    here.begin(160)
    with here.away():
        back = here.server.restart(2)
    here.works_again(back)
    here.end(twice=0)


@pytest.mark.soak
@pytest.mark.fault("13", "server killed")
@pytest.mark.parametrize("aof", ["everysec", "always"])
def test_server_killed(trial: MakeTrial, aof: str) -> None:
    """What was written reached the page cache of the machine: a killed process loses none of it."""
    here = trial(aof=aof)
    here.begin(160)
    with here.away():
        here.server.kill()
        time.sleep(1)
        here.server.start()
        back = time.monotonic()
    here.works_again(back)
    here.end(twice=0)


@pytest.mark.soak
@pytest.mark.fault("14", "power loss: the last second of the AOF is gone")
def test_power_loss(trial: MakeTrial) -> None:
    """Jobs whose outcome was cut off run again, jobs whose enqueue was cut off are gone; no others."""
    here = trial(aof="everysec")
    here.begin(120)
    until(lambda: sum(here.field.ended().values()) >= 20)
    size = here.server.journal.stat().st_size
    moment = time.monotonic()
    kept = set(here.field.ids)
    time.sleep(0.5)
    here.load(20)
    time.sleep(0.5)
    with here.away():
        here.server.kill()
        here.server.cut_journal(size + 7)
        here.server.start()
        back = time.monotonic()
    here.works_again(back)
    gone = {id for id, status in here.field.statuses().items() if status == "not_found"}
    assert len(gone) == 20 and not kept & gone, "what was acknowledged before the last second is there"
    here.field.ids = [id for id in here.field.ids if id not in gone]
    # What started or ran in the lost second may start again, as far as the file knows.
    notes = here.field.workers.notes("start")
    here.end(twice=sum(moment - 0.5 < float(words[4]) < back for words in notes))
    here.report.note += f"; {len(gone)} jobs of the lost second are gone"


@pytest.mark.fault("15", "comes back empty")
def test_comes_back_empty(trial: MakeTrial) -> None:
    """The old jobs are gone with the server's data; new ones run, and no worker was restarted for that."""
    here = trial()
    here.begin(40, workers=1)
    with here.away():
        back = here.server.restart(0.3)
    old, here.field.ids = here.field.ids, []
    here.load(10)
    here.works_again(back)
    here.end(twice=0)
    assert {str(status) for status in here.field.statuses(old).values()} == {"not_found"}


@pytest.mark.fault("16", "SCRIPT FLUSH, five times")
def test_script_flush(trial: MakeTrial) -> None:
    here = trial()
    here.begin(60, workers=1)
    for _ in range(5):
        here.server.client.script_flush()
        time.sleep(0.1)
    here.works_again(time.monotonic())
    here.end(twice=0)


@pytest.mark.fault("17", "every connection is cut, five times")
def test_every_connection_is_cut(trial: MakeTrial) -> None:
    here = trial()
    here.begin(60)
    with here.away():
        for _ in range(5):
            here.server.drop_all()
            time.sleep(0.2)
    here.works_again(time.monotonic())
    here.end(twice=0)


@pytest.mark.soak
@pytest.mark.fault("18", "CLIENT PAUSE and DEBUG SLEEP, shorter than the lease")
@pytest.mark.parametrize("how", ["pause", "sleep"])
def test_asleep_for_less_than_the_lease(trial: MakeTrial, how: str) -> None:
    """4 s: longer than a worker waits for a reply, so that connections are dropped and made again."""
    here = trial()
    here.begin(120)
    with here.away():
        if how == "pause":
            here.server.pause(4)
            time.sleep(4)
        else:
            here.server.sleep(4)
    here.works_again(time.monotonic())
    here.end(twice=0)


@pytest.mark.soak
@pytest.mark.fault("19", "DEBUG SLEEP, longer than the lease")
def test_asleep_for_longer_than_the_lease(trial: MakeTrial) -> None:
    """All leases are over at once; whoever is not reaped goes on, the rest is fenced."""
    here = trial()
    here.begin(80, LEASE_MS=3_000, seconds=0.5)
    with here.away():
        here.server.sleep(5)
    back = time.monotonic()
    here.works_again(back)
    here.end(twice=2 * 8)


@pytest.mark.soak
@pytest.mark.fault("32", "clock of Redis off by an hour")
@pytest.mark.parametrize("hours", [1, -1])
def test_clock_of_the_server(trial: MakeTrial, hours: int) -> None:
    """Leases end early, and what was taken is fenced and runs again; or they end late."""
    here = trial(own_clock=True)
    here.begin(120, LEASE_MS=3_000)
    with here.away():
        here.server.shift(hours * 3600)
        back = time.monotonic()
        time.sleep(1)
    here.works_again(back)
    here.end(twice=2 * 8)


@pytest.mark.fault("25", "memory full at an enqueue")
def test_memory_full_at_an_enqueue(trial: MakeTrial) -> None:
    """The caller hears of it, nothing is half stored, and later it works as if nothing had been."""
    here = trial()
    app, keys = Ardiq(here.field.queue, LANES, here.server.url), here.field.keys

    @app.task(name="nap", unique=True)
    def nap(seconds: float) -> None: ...

    delayed = nap.options(task_id="mine", delay_ms=60_000).prepare(0.01)
    plain = nap.options(unique=False).prepare(0.01)
    with here.server.full():
        for call in (plain, delayed):
            with pytest.raises(QueueFull):
                app.enqueue_many_sync([call])
        with pytest.raises(QueueFull):
            app.enqueue_many_sync([plain] * 700)
        assert list(here.server.client.scan_iter(match=keys.prefix + "*")) == []
    here.begin(20, workers=1)
    here.end(twice=0)


@pytest.mark.soak
@pytest.mark.fault("26", "memory full for 8 s: outcomes, retries, a death, a new worker")
def test_memory_full_at_a_settle(trial: MakeTrial) -> None:
    """What is there is worked off: every verb of a worker goes through on a server that is full."""
    here = trial()
    here.begin(160, LEASE_MS=2_000)
    here.field.enqueue(4, "sour", time.time() + 4)
    with here.server.full():
        begin = time.monotonic()
        until(lambda: sum(here.field.ended().values()) >= 40)
        here.processes.pop(0).kill()
        here.processes.append(here.field.start(LEASE_MS=2_000))
        until(lambda: len(here.field.workers.registered()) == 2, what="a dead worker that is reaped")
        time.sleep(max(0, begin + 8 - time.monotonic()))
        with pytest.raises(QueueFull):
            here.load(2)
        finished = [id for id, status in here.field.statuses().items() if status.finished]
        assert len(finished) >= 40, "outcomes were stored while the memory was full"
    # The jobs of the dead worker come first, each in a process of its own.
    here.works_again(time.monotonic(), within=20)
    here.end(twice=8)


@pytest.mark.soak
@pytest.mark.fault("28", "demoted for 5 s (READONLY)")
def test_read_only(trial: MakeTrial, servers: Callable[..., HurtServer]) -> None:
    """The primary steps down in good order and gets its place back, while workers keep its address."""
    here = trial(aof="everysec")
    replica = servers()
    replica.follow(here.server)
    here.begin(160)
    with here.away():
        here.server.hand_over_to(replica)
        time.sleep(5)
        replica.hand_over_to(here.server)
    here.works_again(time.monotonic())
    here.end(twice=2 * 8)


@pytest.mark.fault("62", "queue emptied under claims")
def test_queue_emptied_under_claims(trial: MakeTrial) -> None:
    """A worker whose jobs have vanished writes nothing about them, and goes on with new ones."""
    here = trial()
    here.begin(12, workers=1, seconds=0.8)
    # A claim that comes after the deletion would tell it of the loss, and stop what is to end.
    until(lambda: list(here.field.statuses().values()).count(JobStatus.RUNNING) == 8, what="a full worker")
    keys, client = here.field.keys, here.server.client
    old, here.field.ids = here.field.ids, []
    client.delete(*client.scan_iter(match=keys.prefix + "*", count=1_000))
    until(lambda: sum(here.field.ended().values()) >= 4)
    here.load(10)
    here.works_again(time.monotonic())
    here.end(twice=0)
    assert {str(status) for status in here.field.statuses(old).values()} == {"not_found"}
    listed = {id.decode() for id in client.zrange(keys.ended(JobStatus.SUCCEEDED), 0, -1)}
    assert listed == set(here.field.ids)
