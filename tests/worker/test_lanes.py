"""Who gets his turn: strict lanes starve the lower ones, weights do not, and limits hold at every moment."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from ardiq import Ardiq
from ardiq.store.keys import Keys
from tests.server import admin
from tests.workers import Workers, Working, until

Make = Callable[..., Working]

LOAD = 400  # jobs of the high lane, which is never empty meanwhile
WEIGHTS = {"low": 1, "default": 3, "high": 9}
DRAWS = 520
SIGMAS = 5  # one run in a million is farther off


def order_under_load(app: Ardiq, working: Make, **options: Any) -> list[str]:
    """Lanes in the order in which their jobs ran: five low jobs, and a high lane that is kept full."""
    order: list[str] = []

    @app.task(name="more")
    async def more() -> None:
        order.append("high")
        if len(order) < LOAD:
            await more.options(priority="high").enqueue()

    @app.task(name="patient", priority="low")
    async def patient() -> None:
        order.append("low")

    for _ in range(5):
        patient.enqueue_sync()
    for _ in range(4):  # more than run at once, so that one is ready whenever a worker looks
        more.options(priority="high").enqueue_sync()
    with working(concurrency=2, prefetch=0, **options):
        until(lambda: order.count("low") == 5 and len(order) >= LOAD, 60)
    return order


def test_strict_lanes_starve_the_lower_ones(app: Ardiq, working: Make) -> None:
    """C12: by design: while a higher lane has jobs, none of a lower lane starts; then they all do."""
    order = order_under_load(app, working)
    assert order.index("low") >= LOAD - 1
    assert order.count("low") == 5


def test_weights_do_not(app: Ardiq, working: Make) -> None:
    """C12: under the same load, five jobs of a lane with a tenth of the odds run long before it ends."""
    order = order_under_load(app, working, lane_weights={"low": 1, "high": 9})
    assert order.index("low") < LOAD / 2
    assert "high" in order[[at for at, lane in enumerate(order) if lane == "low"][-1] :]


@pytest.fixture
def nap(app: Ardiq) -> Any:
    return app.ref("nap")


def test_shares_follow_the_weights(app: Ardiq, workers: Workers, nap: Any) -> None:
    """C12: over many jobs of lanes that never run empty, as far as chance goes."""
    lane_of: dict[str, str] = {}
    for lane in WEIGHTS:
        jobs = app.enqueue_many_sync(nap.options(priority=lane).prepare(0) for _ in range(DRAWS))
        lane_of |= {job.id: lane for job in jobs}
    worker = workers.start("--concurrency", "1", LANE_WEIGHTS=WEIGHTS, PREFETCH=0)
    until(lambda: len(workers.notes("start")) >= DRAWS, 60)
    worker.kill()
    drawn = Counter(lane_of[note[1]] for note in workers.notes("start")[:DRAWS])
    for lane, weight in WEIGHTS.items():
        odds = weight / sum(WEIGHTS.values())
        sigma = (DRAWS * odds * (1 - odds)) ** 0.5
        assert abs(drawn[lane] - DRAWS * odds) < SIGMAS * sigma, (lane, drawn)


def test_lane_limits_hold_at_every_moment(
    app: Ardiq, workers: Workers, nap: Any, redis_url: str, queue_name: str
) -> None:
    """C12: of each worker process, in what it runs and in what it holds; the other lanes use what is left."""
    limits = {"low": 2, "default": 1}
    lane_of: dict[str, str] = {}
    for lane, count in (("low", 16), ("default", 8), ("high", 24)):
        jobs = app.enqueue_many_sync(nap.options(priority=lane).prepare(0.05) for _ in range(count))
        lane_of |= {job.id: lane for job in jobs}
    for _ in range(2):
        workers.start("--concurrency", "5", LANE_LIMITS=limits)
    keys, most_held = Keys(queue_name), Counter[str]()
    with admin(redis_url) as client:

        def done() -> bool:
            for worker in client.zrange(keys.workers, 0, -1):
                held = Counter(lane_of[id.decode()] for id in client.hkeys(keys.held(worker.decode())))
                most_held.update({lane: max(0, held[lane] - most_held[lane]) for lane in held})
            return len(workers.notes("end")) == len(lane_of)

        until(done, 60)
    running, most_run = Counter[tuple[str, str]](), Counter[str]()
    at: dict[str, tuple[str, str]] = {}
    for what, id, *rest in workers.notes():
        if what == "start":
            at[id] = (rest[1], lane_of[id])
            running[at[id]] += 1
            most_run[lane_of[id]] = max(most_run[lane_of[id]], running[at[id]])
        elif what == "end":
            running[at[id]] -= 1
    for lane, limit in limits.items():
        assert most_run[lane] == limit, (lane, most_run)
        assert most_held[lane] <= limit, (lane, most_held)
    assert most_run["high"] > max(limits.values()), most_run
