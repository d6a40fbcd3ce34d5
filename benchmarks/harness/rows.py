"""The rows of the table: what each is called, which figures it has, and what they ought to be."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from harness import measuring as how
from harness.measuring import Bench, Sample
from harness.metrics import Mark, Metric, less, more, told
from harness.sides import Side


@dataclass(frozen=True)
class Row:
    name: str
    title: str
    metrics: tuple[Metric, ...]
    measure: Callable[[Bench, Side], Sample]


_FLOOR = told("floor", "bare round trips/s")


def _put(mark: Mark | None = None) -> tuple[Metric, ...]:
    return (more("rate", "jobs/s", mark),)


def _ran(mark: Mark | None = None) -> tuple[Metric, ...]:
    return (
        more("rate", "tasks/s", mark),
        more("stored", "results stored/s"),
        less("worker_us", "worker CPU µs/task"),
    )


_TWO = (
    more("rate", "tasks/s, two processes", Mark(1.3, ".one")),
    told("one", "tasks/s, one process in the same minute"),
    told("worker_us", "CPU µs/task of both workers"),
)
_LATENCIES = (
    less("start_p50", "ms to start, p50", Mark(0.6)),
    less("start_p99", "ms to start, p99", Mark(2, ".start_p50")),
    less("result_p50", "ms to result, p50", Mark(0.65)),
    less("result_p99", "ms to result, p99", Mark(2, ".result_p50")),
)
_LOADED = (
    less("start_p50", "ms to start, p50"),
    less("start_p99", "ms to start, p99"),
    less("result_p50", "ms to result, p50"),
    less("result_p99", "ms to result, p99"),
    told("load", "jobs of 1 ms/s beside it"),
)
_MEMORY = (
    less("idle", "MB idle"),
    less("idle_pss", "MB idle, shared pages once"),
    told("alone", "MB of its libraries alone"),
    less("beyond", "MB beyond its libraries", Mark(8, "")),
    less("after", "MB after 2,000 no-ops"),
)
_REDIS = (
    less("run_us", "server CPU µs/job, claim to result", Mark(0.22)),
    less("run_commands", "commands/job, claim to result"),
    less("put_us", "server CPU µs/job, enqueue"),
    less("put_commands", "commands/job, enqueue"),
    less("bytes", "bytes/queued job", Mark(1.3)),
)


def _cpu(mark: float) -> tuple[Metric, ...]:
    ceiling = told("ceiling", "bodies/s without a queue")
    return (*_ran(Mark(mark, ".ceiling")), ceiling)


ROWS = {
    row.name: row
    for row in (
        Row("enqueue_one_async", "enqueue, one by one, async", (*_put(Mark(2.4)), _FLOOR),
            how.enqueue_one_async),
        Row("enqueue_one_sync", "enqueue, one by one, sync", (*_put(Mark(2.5, "huey")), _FLOOR),
            how.enqueue_one_sync),
        Row("enqueue_100_way", "enqueue, 100 coroutines", _put(Mark(4.5)), how.enqueue_100_way),
        Row("enqueue_bulk", "enqueue, bulk of 20,000", _put(Mark(4.5)), how.enqueue_bulk),
        Row("dispatch_async_c10", "run async no-ops, concurrency 10", _ran(Mark(8, first=True)),
            how.dispatch("noop_async", 10)),
        Row("dispatch_async_c100", "run async no-ops, concurrency 100", _ran(Mark(6.5, first=True)),
            how.dispatch("noop_async", 100)),
        Row("dispatch_sync_c10", "run sync no-ops, concurrency 10", _ran(Mark(12)),
            how.dispatch("noop_sync", 10)),
        Row("dispatch_sync_c100", "run sync no-ops, concurrency 100", _ran(), how.dispatch("noop_sync", 100)),
        Row("dispatch_two", "run no-ops, two processes of concurrency 10", _TWO, how.dispatch_two),
        Row("io_c100", "wait 100 ms, concurrency 100", _ran(Mark(980, "")), how.io_c100),
        Row("cpu_1", "compute 1 ms, one process", _cpu(0.93), how.cpu_1),
        Row("cpu_2", "compute 1 ms, two processes", _cpu(0.83), how.cpu_2),
        Row("latency", "latency, idle worker", _LATENCIES, how.latency),
        Row("latency_loaded", "latency, half-busy worker", _LOADED, how.latency_loaded),
        Row("memory", "memory of a worker", _MEMORY, how.memory),
        Row("redis_per_job", "what a job costs the server", _REDIS, how.redis_per_job),
    )
}  # fmt: skip
