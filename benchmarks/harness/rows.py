"""The rows of the table: what each measures, for one side, in one sample."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from harness.server import Server
from harness.sides import Side, SideError, Worker

RUN_SECONDS = 180


@dataclass(frozen=True)
class Bench:
    """What a row needs: server, folder for logs and marks, and the scale of all sizes (1 = as published)."""

    server: Server
    folder: Path
    scale: float

    def size(self, jobs: int) -> int:
        return max(200, int(jobs * self.scale))


@dataclass(frozen=True)
class Metric:
    """One figure of a row. ``mark`` bounds the ratio ours : peer, or ours itself when ``absolute``."""

    name: str
    unit: str
    more_is_better: bool = True
    mark: float | None = None
    absolute: bool = False

    def met(self, ours: float, ratio: float | None) -> bool | None:
        value = ours if self.absolute else ratio
        if self.mark is None or value is None:
            return None
        return value >= self.mark if self.more_is_better else value <= self.mark


Sample = dict[str, float]


@dataclass(frozen=True)
class Row:
    name: str
    metrics: tuple[Metric, ...]
    measure: Callable[[Bench, Side], Sample]


def _enqueue(side: Side, bench: Bench, action: str, **params: object) -> Sample:
    found = side.client(bench.server.url, action, **params)
    if found["queued"] != found["expected"]:
        raise SideError(f"{side.name}: {found['queued']} jobs are queued, not {found['expected']}")
    return {"rate": found["rate"]}


def _one_by_one(bench: Bench, side: Side, action: str) -> Sample:
    """With the floor beside it: what waits for one reply at a time can be no faster than its round trips."""
    floor = side.client(bench.server.url, "round_trips", count=bench.size(3_000))["rate"]
    return {**_enqueue(side, bench, action, count=bench.size(5_000)), "floor": floor}


def enqueue_one_async(bench: Bench, side: Side) -> Sample:
    return _one_by_one(bench, side, "one_by_one")


def enqueue_one_sync(bench: Bench, side: Side) -> Sample:
    # The peer has no sync API: beside ours stands its one-by-one rate.
    action = "one_by_one_sync" if side.name == "ours" else "one_by_one"
    return _one_by_one(bench, side, action)


def enqueue_100_way(bench: Bench, side: Side) -> Sample:
    return _enqueue(side, bench, "many_ways", count=bench.size(20_000), ways=100)


def enqueue_bulk(bench: Bench, side: Side) -> Sample:
    return _enqueue(side, bench, "bulk", count=bench.size(20_000), repeat=3)


def _run(bench: Bench, side: Side, task: str, jobs: int, concurrency: int) -> Sample:
    """Enqueue, start a worker, wait for the last job and then for the last result; check some of them."""
    ids = side.client(bench.server.url, "fill", task=task, count=jobs)["ids"]
    with Worker(side, bench.server.url, concurrency, bench.folder, last=jobs) as worker:
        marks = worker.wait_marks(RUN_SECONDS)
        stored = _wait_stored(bench.server, worker, jobs)
        bad = side.client(bench.server.url, "check", ids=ids)["bad"]
    if bad:
        raise SideError(f"{side.name}: {bad} of {len(ids)} results looked at are not successes")
    return {
        "rate": jobs / (marks["last"] - marks["first"]),
        "stored": jobs / (stored - marks["first"]),
        "worker_us": marks["cpu"] / jobs * 1e6,
    }


def _wait_stored(server: Server, worker: Worker, jobs: int) -> float:
    """When the last result was stored: on both sides that is when a key of the job gets a time to live."""
    deadline = time.monotonic() + 30
    while server.keys()[1] < jobs:
        worker.check()
        if time.monotonic() > deadline:
            raise SideError(f"{worker.side.name}: {server.keys()[1]} of {jobs} results are stored")
        time.sleep(0.002)
    return time.monotonic()


def dispatch(task: str, concurrency: int) -> Callable[[Bench, Side], Sample]:
    def measure(bench: Bench, side: Side) -> Sample:
        return _run(bench, side, task, bench.size(20_000), concurrency)

    return measure


def io_c100(bench: Bench, side: Side) -> Sample:
    return _run(bench, side, "nap", bench.size(1_000), 100)


def cpu_1(bench: Bench, side: Side) -> Sample:
    jobs = bench.size(500)
    alone = side.client(bench.server.url, "ceiling", count=jobs)["rate"]
    return {**_run(bench, side, "hash_blocks", jobs, 10), "ceiling": alone}


def latency(bench: Bench, side: Side) -> Sample:
    with Worker(side, bench.server.url, 10, bench.folder) as worker:
        worker.wait_idle()
        return side.client(bench.server.url, "latency", count=bench.size(300))


def memory(bench: Bench, side: Side) -> Sample:
    alone = side.idle_memory()
    with Worker(side, bench.server.url, 16, bench.folder, last=2_000) as worker:
        worker.wait_idle()
        idle = worker.rss_mb()
        side.client(bench.server.url, "fill", task="noop_async", count=2_000)
        worker.wait_marks(RUN_SECONDS)
        _wait_stored(bench.server, worker, 2_000)
        worker.wait_idle()
        return {"idle": idle, "alone": alone, "beyond": idle - alone, "after": worker.rss_mb()}


def redis_per_job(bench: Bench, side: Side) -> Sample:
    server, jobs = bench.server, bench.size(20_000)
    # What is there once (scripts, the first keys) is no cost per job.
    side.client(server.url, "fill", task="noop_async", count=1_000)
    size, cpu, calls = server.data_bytes(), server.cpu_seconds(), server.commands()
    side.client(server.url, "fill", task="noop_async", count=jobs)
    queued = server.data_bytes() - size
    put_cpu, put_calls = server.cpu_seconds() - cpu, server.commands() - calls
    jobs_run = jobs + 1_000
    cpu, calls = server.cpu_seconds(), server.commands()
    with Worker(side, server.url, 10, bench.folder, last=jobs_run) as worker:
        worker.wait_marks(RUN_SECONDS)
        _wait_stored(server, worker, jobs_run)
        run_cpu, run_calls = server.cpu_seconds() - cpu, server.commands() - calls
    return {
        "bytes": queued / jobs,
        "put_us": put_cpu / jobs * 1e6,
        "put_commands": put_calls / jobs,
        "run_us": run_cpu / jobs_run * 1e6,
        "run_commands": run_calls / jobs_run,
    }


def _ran(mark: float | None = None) -> tuple[Metric, ...]:
    return (
        Metric("rate", "tasks/s", mark=mark),
        Metric("stored", "results stored/s"),
        Metric("worker_us", "worker CPU us/task", more_is_better=False),
    )


def _less(name: str, unit: str, mark: float | None = None, absolute: bool = False) -> Metric:
    return Metric(name, unit, more_is_better=False, mark=mark, absolute=absolute)


_LATENCIES = (
    _less("start_p50", "ms to start, p50", mark=0.8),
    _less("start_p99", "ms to start, p99"),
    _less("result_p50", "ms to result, p50"),
    _less("result_p99", "ms to result, p99"),
)
_MEMORY = (
    _less("idle", "MB idle"),
    _less("alone", "MB of its libraries alone"),
    _less("beyond", "MB beyond its libraries", mark=12, absolute=True),
    _less("after", "MB after 2,000 no-ops"),
)
_REDIS = (
    _less("run_us", "server CPU us/job, claim to result"),
    _less("run_commands", "commands/job, claim to result"),
    _less("put_us", "server CPU us/job, bulk enqueue"),
    _less("put_commands", "commands/job, bulk enqueue"),
    _less("bytes", "bytes/queued job"),
)


def _put(mark: float | None = None) -> tuple[Metric, ...]:
    return (Metric("rate", "jobs/s", mark=mark),)


_FLOOR = Metric("floor", "bare round trips/s")

ROWS = {
    row.name: row
    for row in (
        Row("enqueue_one_async", (*_put(2), _FLOOR), enqueue_one_async),
        Row("enqueue_one_sync", (*_put(3), _FLOOR), enqueue_one_sync),
        Row("enqueue_100_way", _put(), enqueue_100_way),
        Row("enqueue_bulk", _put(3), enqueue_bulk),
        Row("dispatch_async_c10", _ran(5), dispatch("noop_async", 10)),
        Row("dispatch_async_c100", _ran(4), dispatch("noop_async", 100)),
        Row("dispatch_sync_c10", _ran(6), dispatch("noop_sync", 10)),
        Row("io_c100", _ran(), io_c100),
        Row("cpu_1", (*_ran(), Metric("ceiling", "bodies/s without a queue")), cpu_1),
        Row("latency", _LATENCIES, latency),
        Row("memory", _MEMORY, memory),
        Row("redis_per_job", _REDIS, redis_per_job),
    )
}
