"""Many workers, many waiters. Rows 48 and 58."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ardiq import JobStatus
from ardiq.store import verbs
from ardiq.store.client import Store
from ardiq.store.endpoint import Endpoint
from ardiq.store.keys import Keys
from tests.faults.field import Field, Watch
from tests.faults.report import Report
from tests.server import own_server
from tests.workers import until

LEASE = 30_000
WORKERS = 2_000


@pytest.fixture
def own_url(tmp_path: Path) -> Iterator[str]:
    """A server whose statistics are those of the test alone."""
    with own_server(tmp_path) as url:
        yield url


class Crowd:
    """Workers that are nothing but names with a lease."""

    def __init__(self, url: str, queue: str) -> None:
        self.store, self.keys = Store(Endpoint(url)), Keys(queue)
        self.names: list[str] = []

    def grow(self, count: int) -> None:
        more = [f"{number:032x}" for number in range(len(self.names), count)]
        for name in more:
            self.store.run(verbs.register(self.keys, name, LEASE, {"name": name}))
        self.names += more

    def cost(self, client: Any, call: Callable[[str], Any], most: int = 300) -> float:
        """Microseconds of server time for one call, each by another worker."""
        names = self.names[:: max(1, len(self.names) // most)]
        client.config_resetstat()
        for name in names:
            self.store.run(call(name))
        stats = client.info("commandstats")
        spent = sum(one["usec"] for name, one in stats.items() if name in ("cmdstat_evalsha", "cmdstat_eval"))
        return spent / len(names)


@pytest.mark.soak
@pytest.mark.fault("48", "2,000 workers")
def test_two_thousand_workers(own_url: str, fields: Callable[..., Field], report: Report) -> None:
    """A beat and an idle claim cost the server the same among 2,000 as among 20, whoever is dead."""
    field = fields(own_url)
    crowd = Crowd(own_url, field.queue)
    keys = crowd.keys
    calls: dict[str, Callable[[str], Any]] = {
        "beat": lambda name: verbs.renew(keys, name, LEASE, {"running": 0}),
        "claim": lambda name: verbs.claim(keys, name, 1, LEASE, 4, [("high", 4), ("default", 4), ("low", 4)]),
    }
    found: dict[str, list[float]] = {kind: [] for kind in calls}
    for count in (20, WORKERS):
        crowd.grow(count)
        for kind, call in calls.items():
            crowd.cost(field.client, call)
            found[kind].append(crowd.cost(field.client, call))
    report.note = "us each among 20 and 2,000: " + ", ".join(
        f"{kind} {few:.0f}, {many:.0f}" for kind, (few, many) in found.items()
    )
    for kind, (few, many) in found.items():
        # log(n) of a sorted set and the noise of a busy machine, not a hundred times.
        assert many < 3 * few + 20, kind
    # Each beats every ten seconds, and an idle one looks for work and sleeps once a second.
    per_second = 200 * found["beat"][1] + 2 * WORKERS * found["claim"][1]
    report.note += f"; {per_second / 1e6:.0%} of a core while all idle"
    assert per_second < 1e6
    # They all die: whoever is left reaps one with each claim.
    field.client.zadd(keys.workers, dict.fromkeys(crowd.names, 1))
    watch = Watch()
    worker = field.start(LEASE_MS=LEASE)
    ids = field.enqueue(200)
    field.wait_done(ids)
    until(lambda: field.client.zcard(keys.workers) < WORKERS, what="the dead are buried")
    report.recovery = watch.seconds
    for name in crowd.names:
        field.client.zrem(keys.workers, name)
        field.client.delete(keys.worker(name))
    assert worker.stop() == 0, worker.text


@pytest.mark.soak
@pytest.mark.fault("48", "what one idle worker asks for")
def test_an_idle_worker(own_url: str, fields: Callable[..., Field], report: Report) -> None:
    """Fewer than 3 commands a second."""
    field = fields(own_url)
    worker = field.start(LEASE_MS=LEASE)
    time.sleep(1.5)
    field.client.config_resetstat()
    watch = Watch()
    time.sleep(5)
    stats = field.client.info("commandstats")
    outer = ("cmdstat_evalsha", "cmdstat_eval", "cmdstat_blpop", "cmdstat_ping", "cmdstat_subscribe")
    calls = sum(one["calls"] for name, one in stats.items() if name in outer)
    report.note = f"{calls / watch.seconds:.1f} commands a second"
    assert calls / watch.seconds < 3
    assert worker.stop() == 0, worker.text


@pytest.mark.soak
@pytest.mark.fault("58", "10,000 coroutines wait for 10,000 jobs")
def test_ten_thousand_waiters(own_url: str, fields: Callable[..., Field], report: Report) -> None:
    """On one connection; afterwards nothing is left of them on the server."""
    field = fields(own_url)
    ids = field.enqueue(10_000, "add", 1, 2)
    clients: list[int] = []

    async def wait() -> list[Any]:
        waits = [asyncio.ensure_future(field.app.job(id).result(timeout=120)) for id in ids]
        await asyncio.sleep(0)
        while field.client.hlen(field.keys.waiters) < len(ids):
            await asyncio.sleep(0.1)
        clients.append(len(field.client.client_list()))
        await asyncio.to_thread(field.start, CONCURRENCY=16, PREFETCH=100)
        return await asyncio.gather(*waits)

    watch = Watch()
    results = asyncio.run(wait())
    report.recovery, report.note = watch.seconds, f"{clients[0]} connections"
    assert all(result.value == 3 for result in results)
    assert clients[0] < 10
    assert field.client.hlen(field.keys.waiters) == 0
    channels = field.keys.done("*").replace("{", "[{]").replace("}", "[}]")
    until(lambda: field.client.pubsub_channels(channels) == [], what="nobody listens any more")


@pytest.mark.fault("58", "waiters that give up, are cancelled, or lose their process")
def test_waiters_that_leave(field: Field, report: Report) -> None:
    """What was noted for them goes with the end of the job, however that ends."""
    ids = field.enqueue(30, "nap", 0.1)

    async def leave() -> None:
        waits = [asyncio.ensure_future(field.app.job(id).result(timeout=60)) for id in ids]
        late = [asyncio.ensure_future(field.app.job(id).result(timeout=0.3)) for id in ids]
        await asyncio.gather(*late, return_exceptions=True)
        for wait in waits:
            wait.cancel()
        await asyncio.gather(*waits, return_exceptions=True)

    asyncio.run(leave())
    # What nobody ever told the server of: clients that died. Their channels have no listener.
    for id in ids[:10]:
        field.app.broker.store.run(verbs.wait(field.keys, id, "0123456789abcdef"))
    assert field.client.hlen(field.keys.waiters) == 30
    for id in ids[:5]:
        assert field.app.job(id).abort_sync()
    assert field.app.job(ids[0]).delete_sync()
    worker = field.start()
    field.wait_done(ids[1:])
    assert field.client.hlen(field.keys.waiters) == 0
    assert {field.app.job(id).status_sync() for id in ids[5:]} == {JobStatus.SUCCEEDED}
    assert worker.stop() == 0, worker.text
