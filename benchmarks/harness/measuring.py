"""How each row is measured: one sample of one side, on an empty server, in a bounded time.

A side that is slow is not waited for: it enqueues for at most FILL_SECONDS, runs for at most RUN_SECONDS,
and its rate is that of the jobs that have ended by then.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from harness.server import Server
from harness.sides import Side, SideError, Worker

START_SECONDS = 45  # until the first job has started: on a busy machine a hundred processes take long
FILL_SECONDS = 8
RUN_SECONDS = 10
STORE_SECONDS = 5  # from the end of the last job to its stored result
PROBE_SECONDS = 10

Sample = dict[str, float]


@dataclass(frozen=True)
class Bench:
    """What a row needs: server, folder for logs and marks, and the scale of all sizes (1 = as published)."""

    server: Server
    folder: Path
    scale: float

    def size(self, jobs: int) -> int:
        return max(200, int(jobs * self.scale))


def _enqueue(bench: Bench, side: Side, action: str, **params: object) -> Sample:
    found = side.client(bench.server.url, action, **params)
    if found["queued"] != found["expected"]:
        raise SideError(f"{side.name}: {found['queued']} jobs are queued, not {found['expected']}")
    return {"rate": found["rate"]}


def _one_by_one(bench: Bench, side: Side, action: str) -> Sample:
    """With the floor beside it: what waits for one reply at a time can be no faster than its round trips."""
    floor = side.client(bench.server.url, "round_trips", count=bench.size(3_000))["rate"]
    bench.server.reset()
    return {**_enqueue(bench, side, action, count=bench.size(5_000)), "floor": floor}


def enqueue_one_async(bench: Bench, side: Side) -> Sample:
    side.needs("async")
    return _one_by_one(bench, side, "one_by_one")


def enqueue_one_sync(bench: Bench, side: Side) -> Sample:
    side.needs("sync")
    return _one_by_one(bench, side, "one_by_one_sync")


def enqueue_100_way(bench: Bench, side: Side) -> Sample:
    side.needs("async")
    return _enqueue(bench, side, "many_ways", count=bench.size(20_000), ways=100)


def enqueue_bulk(bench: Bench, side: Side) -> Sample:
    side.needs("bulk")
    return _enqueue(bench, side, "bulk", count=bench.size(20_000), repeat=3)


def _fill(bench: Bench, side: Side, task: str, jobs: int, first: int = 0) -> tuple[int, dict[int, str]]:
    found = side.client(bench.server.url, "fill", task=task, count=jobs, first=first, seconds=FILL_SECONDS)
    return found["count"], dict(found["ids"])


def _run(bench: Bench, side: Side, task: str, jobs: int, concurrency: int, processes: int = 1) -> Sample:
    """Enqueue, start a worker, wait for the last job and then for the last result; check some of them."""
    jobs, ids = _fill(bench, side, task, jobs)
    with Worker(side, bench.server.url, concurrency, bench.folder, jobs, processes) as worker:
        run = worker.watch(START_SECONDS, RUN_SECONDS)
        stored = stored_results(bench.server, worker, run.ended, jobs)
        found = {
            "rate": run.ended / (run.last - run.first),
            "worker_us": worker.cpu_of_run() / run.ended * 1e6,
        }
        if stored is not None:
            found["stored"] = stored / (time.monotonic() - run.first)
            ended = [id for number, id in ids.items() if run.ended == jobs and worker.ended(number)]
            if bad := side.client(bench.server.url, "check", ids=ended)["bad"]:
                raise SideError(f"{side.name}: results are not successes: {', '.join(bad)}")
    return found


def stored_results(server: Server, worker: Worker, ended: int, jobs: int) -> int | None:
    """Wait until so many results are stored, and return how many are. None when the side stores none."""
    if worker.side.stored is None:
        return None
    deadline = time.monotonic() + STORE_SECONDS
    while (stored := count_stored(server, worker.side.stored, jobs)) < ended:
        worker.check()
        if time.monotonic() > deadline:
            break
        time.sleep(0.002)
    if not stored:
        raise SideError(f"{worker.side.name}: {ended} jobs ended, and no result is stored")
    return min(stored, jobs)


def count_stored(server: Server, how: list[str], jobs: int) -> int:
    """``expires``: keys with a time to live; ``+ COMMAND``: its reply; ``- COMMAND``: jobs less its reply."""
    if how == ["expires"]:
        return server.keys()[1]
    reply = int(server.command(*how[1:]))
    return reply if how[0] == "+" else jobs - reply


def dispatch(task: str, concurrency: int) -> Callable[[Bench, Side], Sample]:
    def measure(bench: Bench, side: Side) -> Sample:
        side.needs("async_bodies" if task == "noop_async" else "sync_bodies")
        return _run(bench, side, task, bench.size(20_000), concurrency)

    return measure


def dispatch_two(bench: Bench, side: Side) -> Sample:
    task, jobs = "noop_sync" if "async_bodies" in side.lacks else "noop_async", bench.size(40_000)
    one = _run(bench, side, task, jobs, _slots(side))["rate"]
    bench.server.reset()
    return {**_run(bench, side, task, jobs, _slots(side), processes=2), "one": one}


def io_c100(bench: Bench, side: Side) -> Sample:
    task = "doze" if "async_bodies" in side.lacks else "nap"
    return _run(bench, side, task, bench.size(1_000), 100)


def cpu_1(bench: Bench, side: Side) -> Sample:
    jobs = bench.size(500)
    alone = side.client(bench.server.url, "ceiling", count=jobs)["rate"]
    return {**_run(bench, side, "hash_blocks", jobs, _slots(side)), "ceiling": alone}


def cpu_2(bench: Bench, side: Side) -> Sample:
    jobs = bench.size(1_000)
    alone = side.client(bench.server.url, "ceiling", count=jobs // 2, processes=2)["rate"]
    return {**_run(bench, side, "hash_blocks", jobs, _slots(side), processes=2), "ceiling": alone}


def _slots(side: Side) -> int:
    """Where a slot is a process of its own, one process is one slot."""
    return 1 if "threads" in side.lacks else 10


def latency(bench: Bench, side: Side) -> Sample:
    return _probe(bench, side, bench.size(300))


def _probe(bench: Bench, side: Side, probes: int, load: float = 0) -> Sample:
    with Worker(side, bench.server.url, 10, bench.folder, last=probes + 20) as worker:
        worker.wait_idle()
        if load:
            busy = side.start(bench.server.url, "load", rate=load, seconds=3 * PROBE_SECONDS)
            time.sleep(2)
        try:
            return side.client(
                bench.server.url, "latency", marks=worker.marks, count=probes, seconds=PROBE_SECONDS
            )
        finally:
            if load:
                busy.kill()
                busy.wait()


def latency_loaded(bench: Bench, side: Side) -> Sample:
    """Half of what this very worker can do is measured first, then kept up beside the probes."""
    most = _run(bench, side, "hash_blocks", bench.size(500), 10)["rate"]
    bench.server.reset()
    return {**_probe(bench, side, bench.size(300), most / 2), "load": most / 2}


def memory(bench: Bench, side: Side) -> Sample:
    alone = side.idle_memory()
    task = "noop_sync" if "async_bodies" in side.lacks else "noop_async"
    with Worker(side, bench.server.url, 16, bench.folder, last=2_000) as worker:
        worker.wait_idle()
        found = {"idle": worker.rss_mb(), "idle_pss": worker.pss_mb()}
        if alone is not None:
            found |= {"alone": alone, "beyond": found["idle"] - alone}
        _fill(bench, side, task, 2_000)
        run = worker.watch(START_SECONDS, 2 * RUN_SECONDS)
        stored_results(bench.server, worker, run.ended, 2_000)
        if run.ended == 2_000:
            worker.wait_idle()
        return {**found, "after": worker.rss_mb()}


def redis_per_job(bench: Bench, side: Side) -> Sample:
    server, task = bench.server, "noop_sync" if "async_bodies" in side.lacks else "noop_async"
    # What is there once (scripts, the first keys) is no cost per job.
    before, _ = _fill(bench, side, task, 1_000)
    size, cpu, calls = server.data_bytes(), server.cpu_seconds(), server.commands()
    jobs, _ = _fill(bench, side, task, bench.size(20_000), first=before)
    found = {
        "bytes": (server.data_bytes() - size) / jobs,
        "put_us": (server.cpu_seconds() - cpu) / jobs * 1e6,
        "put_commands": (server.commands() - calls) / jobs,
    }
    cpu, calls = server.cpu_seconds(), server.commands()
    with Worker(side, server.url, 10, bench.folder, last=before + jobs) as worker:
        run = worker.watch(START_SECONDS, RUN_SECONDS)
        stored_results(server, worker, run.ended, before + jobs)
        found["run_us"] = (server.cpu_seconds() - cpu) / run.ended * 1e6
        found["run_commands"] = (server.commands() - calls) / run.ended
    return found
