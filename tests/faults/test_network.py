"""The network between workers and their server is slow, breaks, goes silent, or loses a reply."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from ardiq import Ardiq
from tests.faults.field import LANES, Field
from tests.faults.netproxy import Network
from tests.faults.report import Report
from tests.faults.servers import HurtServer
from tests.faults.trial import MakeTrial, networks, servers, trial
from tests.workers import until

__all__ = ["networks", "servers", "trial"]

SOAK = pytest.mark.soak


@pytest.mark.soak
@pytest.mark.fault("20", "silent for three leases, no reset")
@pytest.mark.parametrize("heals", ["late", "forgotten"])
def test_silent_for_three_leases(trial: MakeTrial, heals: str) -> None:
    """Nobody is told. Each side gives up by itself; what was sent meanwhile arrives late, or never."""
    here = trial(network=True)
    here.begin(80, LEASE_MS=2_000, seconds=0.3)
    with here.away():
        here.network.go_dark()
        time.sleep(6)
        here.network.heal(forget=heals == "forgotten")
    here.works_again(time.monotonic())
    here.end(twice=2 * 8)


@pytest.mark.soak
@pytest.mark.fault("20", "silent for less than a lease")
def test_silent_for_less_than_a_lease(trial: MakeTrial) -> None:
    """What arrives late must do no harm: a claim, a settle, a beat and a reconcile of a while ago."""
    here = trial(network=True)
    here.begin(160, LEASE_MS=9_000)
    for seconds in (1, 3, 4):
        with here.away():
            here.network.go_dark()
            time.sleep(seconds)
            here.network.heal(late=4)
        here.works_again(time.monotonic())
    here.end(twice=0)


@pytest.mark.soak
@pytest.mark.fault("21", "200 ms there and back, 1 % of it cut")
def test_slow_and_unreliable(trial: MakeTrial) -> None:
    here = trial(network=True)
    here.begin(10)
    here.network.delay, here.network.cut = 0.1, 0.01
    here.load(300, 0.05)
    here.works_again(time.monotonic())
    here.end(twice=0)
    here.report.note += f", {here.network.cuts} cuts"


@pytest.mark.soak
@pytest.mark.fault("21", "refused for a second")
def test_refused_for_a_while(trial: MakeTrial) -> None:
    here = trial(network=True)
    here.begin(60)
    with here.away():
        here.network.refuse()
        time.sleep(1)
        here.network.accept()
    here.works_again(time.monotonic())
    here.end(twice=0)


@pytest.mark.parametrize(
    "verb",
    [
        pytest.param("claim", marks=pytest.mark.fault("22", "reply lost: claim")),
        pytest.param("settle", marks=pytest.mark.fault("24", "reply lost: settle")),
        pytest.param("renew", marks=pytest.mark.fault("22", "reply lost: renew")),
        pytest.param("reconcile", marks=[SOAK, pytest.mark.fault("22", "replies lost: claim, reconcile")]),
    ],
)
def test_reply_lost(trial: MakeTrial, verb: str) -> None:
    """The server has done it, nobody has heard of it: no job runs twice, none waits for a lease to end,
    none is charged with a crash."""
    here = trial(network=True)
    here.begin(20, workers=1, LEASE_MS=20_000 if verb != "renew" else 1_500)
    if verb == "reconcile":
        here.network.lose_replies("claim", 1)
        until(lambda: here.network.lost == 1, what="a lost claim")
    before = here.network.lost
    here.network.lose_replies(verb, 3)
    here.load(30, 0.05)
    until(lambda: here.network.lost == before + 3, what="lost replies")
    here.works_again(time.monotonic())
    here.end(twice=0, seconds=15)
    assert here.field.crashes() == 0


@pytest.mark.soak
@pytest.mark.parametrize(
    "verb",
    [
        pytest.param("claim", marks=pytest.mark.fault("22", "arrives late: claim")),
        pytest.param(
            "reconcile", marks=pytest.mark.fault("22", "reply lost: claim; arrives late: reconcile")
        ),
        pytest.param("settle", marks=pytest.mark.fault("24", "arrives late: settle")),
    ],
)
def test_arrives_late(trial: MakeTrial, verb: str) -> None:
    """It was given up and sent again, and the other one was answered; by now the world is another one: what a
    late reconcile does not know of runs, and what a late claim takes goes back with the second beat."""
    here = trial(network=True)
    here.begin(4, workers=1, LEASE_MS=6_000, PREFETCH=0)
    if verb == "reconcile":
        here.network.lose_replies("claim", 1)
    here.load(30, 0.5)
    if verb == "reconcile":
        until(lambda: here.network.lost == 1, what="a lost claim")
    here.network.hold_request(verb, 5)
    until(lambda: here.network.held == 1, what="a late call")
    here.works_again(time.monotonic())
    here.end(twice=0, seconds=20)
    assert here.field.crashes() == 0


@pytest.mark.fault("4", "connection breaks in the middle of a settle")
@pytest.mark.parametrize("after", [pytest.param(1, marks=SOAK), 150, pytest.param(400, marks=SOAK)])
def test_settle_is_cut(trial: MakeTrial, after: int) -> None:
    """Half a command is no command; the verdicts leave again, all of them, once."""
    here = trial(network=True)
    here.begin(30, workers=1)
    here.network.cut_requests("settle", after)
    until(lambda: here.network.cuts == 1, what="a settle that is cut")
    here.works_again(time.monotonic())
    here.end(twice=0)


@pytest.mark.fault("23", "reply lost: enqueue")
def test_enqueue_reply_lost(
    servers: Callable[..., HurtServer],
    networks: Callable[[str], Network],
    fields: Callable[..., Field],
    report: Report,
) -> None:
    """The call is sent again by itself, and means the same job: ids, unique slots and delays included."""
    server = servers()
    network = networks(server.url)
    field = fields(server.url)
    app = Ardiq(field.queue, LANES, network.url)

    @app.task(name="nap", unique=True)
    def nap(seconds: float) -> None: ...

    calls = [
        nap.prepare(0.01),
        nap.options(task_id="mine").prepare(0.02),
        nap.options(delay_ms=200).prepare(0.03),
        nap.options(unique=False).prepare(0.04),
    ]
    for call in calls:
        network.lose_replies("enqueue", 1)
        field.ids.append(app.enqueue_many_sync([call])[0].id)
    network.lose_replies("enqueue", 1)
    many = [nap.options(unique=False).prepare(0.01)] * 20
    field.ids += [job.id for job in app.enqueue_many_sync(many)]
    assert network.lost == len(calls) + 1
    assert len(set(field.ids)) == len(calls) + 20
    worker = field.start()
    field.wait_done()
    field.count(report)
    assert (report.lost, report.twice, report.stuck) == (0, 0, 0)
    assert len(field.starts()) == len(field.ids), "one job for each call, and no other"
    assert worker.stop() == 0, worker.text


@pytest.mark.soak
@pytest.mark.fault("23", "replies lost: enqueue, again and again, beside working workers")
@pytest.mark.parametrize("kept", [True, False], ids=["kept", "RESULT_TTL 0"])
def test_enqueue_replies_lost_under_load(trial: MakeTrial, kept: bool) -> None:
    """A job may have run and ended before its caller sends it again; its result may be kept, or not."""
    here = trial(network=True)
    here.begin(8, **({} if kept else {"RESULT_TTL_MS": 0}))
    app, lane = Ardiq(here.field.queue, LANES, here.network.url), here.field.keys.lane("default")
    for _ in range(100):
        here.network.lose_replies("enqueue", 1)
        here.field.ids.append(app.ref("nap").enqueue_sync(0).id)
    assert here.network.lost == 100
    until(lambda: here.field.ended().total() >= len(here.field.ids) and not here.field.client.llen(lane))
    here.report.twice = here.field.starts().total() - len(here.field.ids)
    assert here.report.twice == 0, "one start for each call, and no other"
    if kept:
        here.end(twice=0)
