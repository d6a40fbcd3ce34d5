"""Bytes that nobody with the key has written are never run, and never believed."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import msgpack
import pytest
from pytest_django.fixtures import Settings

from ardiq import Ardiq, JobStatus
from ardiq.core.codec import Codec, register_extension
from ardiq.core.job import BYTES_OF, JobRecord, tail, tail_start
from ardiq.core.outcome import call_subject, pack_abort, pack_superseded
from ardiq.core.rules import RULES
from tests.security.conftest import Intruder
from tests.workers import Working, until

Make = Callable[..., Working]
CALL: list[Any] = [["forged"], {}]


class Traces:
    """A task that tells what it was run with."""

    def __init__(self, app: Ardiq) -> None:
        self.seen: list[Any] = []

        @app.task(name="pay", max_retries=1)
        def pay(what: Any) -> str:
            self.seen.append(what)
            return f"paid {what}"

        @app.task(name="look")
        def look(what: Any) -> str:
            return f"saw {what}"

        self.pay, self.look = pay, look


@pytest.fixture
def traces(app: Ardiq) -> Traces:
    return Traces(app)


def failed(app: Ardiq, id: str) -> str:
    """The type of the error with which the job has failed."""
    job = app.job(id)
    until(lambda: job.status_sync().finished, 20)
    result = job.result_sync()
    assert result is not None and result.status is JobStatus.FAILED and result.error is not None
    return result.error.type.rpartition(".")[2]


def test_signing_is_on_by_default(app: Ardiq, traces: Traces, intruder: Intruder) -> None:
    """S3: nothing in settings speaks of it, and what is stored carries a signature."""
    record = intruder.record(traces.pay.enqueue_sync("coffee").id)
    assert record.call[16:] == msgpack.packb([["coffee"], {}])
    assert app.broker.codec.decode("call", call_subject(record.id, "pay"), record.call) == [["coffee"], {}]


def test_forged_calls(
    app: Ardiq, traces: Traces, working: Make, intruder: Intruder, caplog: pytest.LogCaptureFixture
) -> None:
    """S3: unsigned, signed with another key, of another queue, job, task or kind, changed, truncated: each
    is a failure called BadSignature and told in the log; none of them runs; others go on."""
    body, own = msgpack.packb(CALL), app.broker.codec
    genuine = intruder.record(traces.pay.options(delay_ms=600_000).enqueue_sync("forged").id).call
    looked = intruder.record(traces.look.options(delay_ms=600_000).enqueue_sync("forged").id).call
    subject = call_subject("own", "pay")
    forged = {
        "unsigned": body,
        "zeros": bytes(16) + body,
        "another key": Codec(app.queue_name, [b"guess"]).encode("call", subject, CALL),
        "another queue": Codec("other", [b"only-for-tests"]).encode("call", subject, CALL),
        "another job": genuine,
        "another task": looked,
        "an outcome": own.encode("outcome", subject, CALL),
        "a history": own.encode("history", subject, CALL),
        "an abort": pack_abort(own, "own"),
        "empty": b"",
        "a bit": bytes([genuine[0] ^ 1]) + genuine[1:],
        "one byte less": genuine[:-1],
        "one byte more": genuine + b"\xc0",
        "only a signature": genuine[:16],
    }
    with working(), caplog.at_level(logging.WARNING, "ardiq"):
        for name, call in forged.items():
            intruder.plant(name, "pay", call)
        assert {name: failed(app, name) for name in forged} == dict.fromkeys(forged, "BadSignature")
        good = traces.pay.enqueue_sync("good")
        assert good.result_sync(timeout=20).value == "paid good"  # type: ignore[union-attr]
    assert traces.seen == ["good"]
    for name in forged:
        told = [record for record in caplog.records if getattr(record, "job_id", "") == name]
        assert any(record.levelno >= logging.WARNING for record in told), name
    for job in (app.job(id.decode()) for id in intruder.redis.zrange(intruder.keys.scheduled, 0, -1)):
        job.delete_sync()


def test_a_job_under_another_name(app: Ardiq, traces: Traces, working: Make, intruder: Intruder) -> None:
    """S3: the record of a job says which task it is of, and the signature says so, too."""
    record = intruder.record(traces.look.options(delay_ms=1).enqueue_sync("secret").id)
    intruder.plant(record.id, "pay", record.call)
    intruder.redis.zrem(intruder.keys.scheduled, record.id)
    with working():
        assert failed(app, record.id) == "BadSignature"
    assert traces.seen == []


def test_unverified_bytes_are_not_decoded(
    app: Ardiq, traces: Traces, working: Make, intruder: Intruder
) -> None:
    """S3: the signature comes first. What decodes never sees a byte of it."""
    opened: list[bytes] = []
    register_extension(119, lambda value: False, lambda value: b"", lambda data: opened.append(data) or data)
    intruder.plant("bomb", "pay", bytes(16) + msgpack.packb([[msgpack.ExtType(119, b"x")], {}]))
    with working():
        assert failed(app, "bomb") == "BadSignature"
    assert opened == [] and traces.seen == []


def test_forged_outcomes(app: Ardiq, traces: Traces, working: Make, intruder: Intruder) -> None:
    """S3: a result that was changed, taken from another job, or turned from a failure into a success, is a
    failure called BadSignature."""
    with working():
        one, two = traces.pay.enqueue_sync(1), traces.pay.enqueue_sync(2)
        for job in (one, two):
            job.result_sync(timeout=20)
    first, second = intruder.record(one.id), intruder.record(two.id)
    assert first.outcome != second.outcome

    def store(outcome: bytes, status: JobStatus = JobStatus.SUCCEEDED, history: bytes = b"") -> str:
        raw = BYTES_OF[status] + first.raw[1:37]
        intruder.redis.set(
            intruder.keys.job(one.id),
            raw + tail(tail_start(first.lane, first.name), first.call, history, outcome),
        )
        result = one.result_sync()
        assert result is not None
        if result.success:
            return str(result.value)
        assert result.error is not None
        return result.error.type.rpartition(".")[2]

    assert store(first.outcome) == "paid 1"
    assert store(second.outcome) == "BadSignature"
    assert store(first.outcome[:-1] + b"2") == "BadSignature"
    assert store(first.outcome, JobStatus.FAILED) == "BadSignature"
    assert store(first.outcome, JobStatus.ABORTED) == "BadSignature"
    assert store(first.call) == "BadSignature"
    assert store(pack_abort(app.broker.codec, one.id)) == "BadSignature"
    # A genuine one, of jobs of this task under some other key.
    superseded = pack_superseded(app.broker.codec, "later", "pay", "0" * 32)
    assert store(superseded, JobStatus.ABORTED) == "BadSignature"
    assert store(b"") == "BadSignature"
    assert store(first.outcome, history=first.outcome) == "paid 1"
    info = one.info_sync()
    assert info is not None and len(info.attempts) == 1, "a history that does not verify is none"
    intruder.redis.zrem(intruder.keys.ended(JobStatus.SUCCEEDED), one.id)
    intruder.redis.delete(intruder.keys.job(one.id))


def test_what_a_signature_does_not_stop(
    app: Ardiq, traces: Traces, working: Make, intruder: Intruder
) -> None:
    """S3: whoever writes to Redis can repeat a whole job that somebody has sent. An ended job whose id alone
    is pushed again stays ended."""
    with working():
        job = traces.pay.enqueue_sync("once")
        stored = intruder.record(job.id)  # as long as it lies there
        job.result_sync(timeout=20)
        ended = intruder.record(job.id)
        intruder.redis.rpush(intruder.keys.lane("default"), job.id)
        marker = traces.pay.enqueue_sync("after")
        marker.result_sync(timeout=20)
        assert traces.seen == ["once", "after"], "an id alone starts nothing"
        repeated = b"Q0" + b"0" * 27 + b"0" * 8 + tail(tail_start(ended.lane, ended.name), stored.call)
        intruder.redis.zrem(intruder.keys.ended(JobStatus.SUCCEEDED), job.id)
        intruder.push(job.id, repeated)
        until(lambda: len(traces.seen) == 3, 20)
        assert traces.seen == ["once", "after", "once"], "a whole record does"
        until(lambda: job.status_sync().finished, 20)


def test_heads_and_lanes_are_not_signed(
    app: Ardiq, traces: Traces, working: Make, intruder: Intruder
) -> None:
    """S3: jobs can be made to vanish, to wait, to change places and to fail; what they do stays the same."""
    gone, late, first, second, doomed = (
        traces.pay.enqueue_sync(name) for name in ("gone", "late", "first", "second", "doomed")
    )
    keys, redis, lane = intruder.keys, intruder.redis, intruder.keys.lane("default")
    redis.delete(keys.job(gone.id))
    redis.lrem(lane, 1, late.id)
    record = intruder.record(late.id).raw
    redis.set(keys.job(late.id), b"D" + record[1:])
    redis.zadd(keys.scheduled, {late.id: 1 << 42})
    redis.lrem(lane, 1, first.id)
    redis.rpush(lane, first.id)
    record = intruder.record(doomed.id).raw
    redis.set(keys.job(doomed.id), record[:5] + b"03" + record[7:])
    with working(concurrency=1):
        assert failed(app, doomed.id) == "JobCrashed"
        until(lambda: len(traces.seen) == 2, 20)
    assert traces.seen == ["second", "first"]
    assert (gone.status_sync(), late.status_sync()) == (JobStatus.NOT_FOUND, JobStatus.SCHEDULED)
    assert second.result_sync() and late.delete_sync()


def test_nothing_but_tasks_without_signing(redis_url: str, queue_name: str) -> None:
    """S3: with SIGNING off an intruder chooses among the registered tasks, and gets no code of their own."""
    app = Ardiq(queue_name, redis_url=redis_url, signing=False)
    traces, intruder = Traces(app), Intruder(app, redis_url)
    call = msgpack.packb([["chosen"], {}])
    for name in ("os.system", "builtins.eval", "subprocess.run", "tests.security.test_forged.Traces", "pay"):
        intruder.plant(f"as-{name}", name, call)
    with Working(app):
        until(lambda: app.job("as-pay").status_sync().finished, 20)
        parked = intruder.keys.scheduled
        until(lambda: intruder.redis.zcard(parked) == 4, 20)
    assert traces.seen == ["chosen"]
    for id in intruder.redis.zrange(intruder.keys.scheduled, 0, -1):
        app.job(id.decode()).delete_sync()
    intruder.redis.close()


class TestKeys:
    """S3: which keys sign, which verify."""

    @pytest.fixture
    def own(self, redis_url: str, queue_name: str, settings: Settings) -> Ardiq:
        """An app whose options come from settings, so that they follow them."""
        settings.ARDIQ = {queue_name: {"REDIS_URL": redis_url}}
        return Ardiq(queue_name)

    def status(self, own: Ardiq, id: str) -> str:
        info = own.info_sync(id)
        assert info is not None
        return info.problem.partition(":")[0] or "read"

    def test_rotation(self, own: Ardiq, settings: Settings) -> None:
        old = own.ref("pay").enqueue_sync(1).id
        settings.SECRET_KEY = "new"
        assert self.status(own, old) == "BadSignature"
        settings.SECRET_KEY_FALLBACKS = ["only-for-tests"]
        new = own.ref("pay").enqueue_sync(1).id
        assert (self.status(own, old), self.status(own, new)) == ("read", "read")
        settings.SECRET_KEY_FALLBACKS = []
        assert (self.status(own, old), self.status(own, new)) == ("BadSignature", "read")

    def test_a_key_of_its_own(self, own: Ardiq, settings: Settings, redis_url: str) -> None:
        """A producer that has the SIGNING_KEY needs no SECRET_KEY, and whoever has only that is nobody."""
        queue = own.queue_name
        before = own.ref("pay").enqueue_sync(1).id
        settings.ARDIQ = {queue: {"REDIS_URL": redis_url, "SIGNING_KEY": ["first", b"second"]}}
        outside = [Ardiq(queue, redis_url=redis_url, signing_key=key) for key in ("first", "second", "third")]
        ids = [one.ref("pay").enqueue_sync(1).id for one in outside]
        assert [self.status(own, id) for id in ids] == ["read", "read", "BadSignature"]
        assert self.status(own, before) == "BadSignature"
        settings.ARDIQ = {queue: {"REDIS_URL": redis_url, "SIGNING_KEY": ["first", settings.SECRET_KEY]}}
        assert self.status(own, before) == "read", "the way from one to the other"

    @pytest.mark.parametrize("wrong", ["", b"", [], [""], 7, ["a", None]])
    def test_what_is_no_key(self, wrong: Any) -> None:
        assert RULES["signing_key"].fault(wrong)
        with pytest.raises(ValueError) as refused:
            Ardiq("keys", signing_key=wrong if wrong != 7 else {"k": "sesame"})
        assert "sesame" not in str(refused.value)

    def test_a_key_is_never_shown(self) -> None:
        app = Ardiq("keys", signing_key="sesame")
        assert "sesame" not in repr(app.options) + repr(app.broker.codec) + str(vars(app.broker.codec))


def test_calls_that_are_too_large_are_not_decoded(redis_url: str, queue_name: str) -> None:
    """S6: a megabyte of msgpack becomes seventy of objects; more than MAX_PAYLOAD_BYTES is refused unread."""
    app = Ardiq(queue_name, redis_url=redis_url, signing=False, max_payload_bytes=1_000)
    codec = app.broker.codec
    assert codec.decode("call", b"", msgpack.packb([[1]] * 400)) == [[1]] * 400
    with pytest.raises(ValueError, match="takes 2,003 bytes; at most 1,000"):
        codec.decode("call", b"", msgpack.packb([[1]] * 1_000))
    big = JobRecord(
        "x", b"S0" + b"0" * 35 + tail(tail_start("default", "pay"), b"", b"", b"\x91" * 3_000_000)
    )
    assert app.job("x")._result([big.raw]).error.message.endswith("are decoded here.")  # type: ignore[union-attr]
