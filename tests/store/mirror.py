"""The model and Redis, held against each other."""

from __future__ import annotations

from ardiq.core.job import JobRecord, JobStatus
from tests.store.bench import Bench
from tests.store.model import FINISHED, LANES, SLOTS, WINDOWS, Known, Model


def compare(bench: Bench, model: Model) -> None:
    """One round trip, and everything in it is what the model says."""
    keys = bench.keys
    ids, owners = sorted(model.jobs), [*model.workers, *model.dead]
    with bench.redis.pipeline(transaction=False) as pipe:
        pipe.mget([keys.job(id) for id in [*ids, "none"]])
        pipe.keys(keys.job("*"))
        pipe.zrange(keys.scheduled, 0, -1, withscores=True)
        pipe.zrange(keys.workers, 0, -1)
        pipe.zrange(keys.aborts, 0, -1)
        pipe.hgetall(keys.waiters)
        pipe.mget([keys.unique(unique) for unique in SLOTS])
        pipe.mget([f"{keys.prefix}throttle:{window}" for window in WINDOWS])
        for lane in LANES:
            pipe.lrange(keys.lane(lane), 0, -1)
        for status in FINISHED:
            pipe.zrange(keys.ended(JobStatus(status)), 0, -1)
        for owner in owners:
            pipe.hgetall(keys.held(owner))
        raws, there, scheduled, workers, marked, waiters, slots, windows, *rest = pipe.execute()
    assert len(there) == len(ids)
    for id, raw in zip(ids, raws, strict=False):
        compare_job(id, JobRecord(id, raw), model.jobs[id])
    with_status: dict[str, set[bytes]] = {status: set() for status in JobStatus}
    for id, job in model.jobs.items():
        with_status[job.status].add(id.encode())
    due = {id.encode(): JobRecord(id, raw).at for id, raw in zip(ids, raws, strict=False)}
    assert dict(scheduled) == {id: due[id] for id in with_status["scheduled"]}
    assert {name.decode() for name in workers} == set(model.workers)
    assert {id.decode() for id in marked} == {id for id, job in model.jobs.items() if job.marked}
    assert {id.decode(): set(names.decode().split()) for id, names in waiters.items()} == model.waited
    found = {slot: id.decode() for slot, id in zip(SLOTS, slots, strict=True) if id}
    assert found == model.slots
    firsts = {window: id.decode() for window, id in zip(WINDOWS, windows, strict=True) if id}
    assert firsts == model.windows
    for lane, queued in zip(LANES, rest, strict=False):
        assert sorted(queued) == sorted(id.encode() for id in model.waiting(lane))
    for status, listed in zip(FINISHED, rest[len(LANES) :], strict=False):
        assert set(listed) == {id for id in with_status[status] if model.jobs[id.decode()].listed}
    for owner, held in zip(owners, rest[len(LANES) + len(FINISHED) :], strict=True):
        claims = {id.encode(): b"%d" % job.claim for id, job in model.held(owner).items()}
        assert held == claims, f"what {owner} holds"


def compare_job(id: str, record: JobRecord, job: Known) -> None:
    assert (record.lane, record.status, record.attempts, record.crashes, record.unique) == (
        job.lane, job.status, job.attempts, job.crashes, job.unique,
    ), id  # fmt: skip
    assert (record.call, record.history, record.outcome) == (job.call, job.history, job.outcome), id
