"""Ten thousand broken payloads: only BadPayload and BadSignature come of them, and a worker lives on."""

from __future__ import annotations

import random
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import msgpack
import pytest

from ardiq import Ardiq, JobStatus
from ardiq.core.codec import Codec
from ardiq.core.errors import BadPayload, BadSignature, EncodeError
from ardiq.core.job import NOBODY, JobRecord, tail, tail_start
from ardiq.core.outcome import read_call, read_history, read_result
from tests.faults.report import Report
from tests.security.conftest import Intruder
from tests.workers import Workers, until

pytestmark = pytest.mark.slow

MUTATIONS = 10_000
SEED = 20_261_124
GROWTH = 64 * 1_048_576  # bytes that a worker may grow by in all of it
VALUES: list[Any] = [
    [[], {}],
    [[1, -5, 2**63, 2**200, 1.5, True, None, "text", "ü" * 50, b"bytes"], {}],
    [[(1, (2, 3)), {1, 2}, frozenset({"a", (1, 2)})], {"set": {frozenset({1}), frozenset({2})}}],
    [[datetime(2026, 11, 24, 14, 0, tzinfo=UTC), date(2026, 2, 28), timedelta(days=-1)], {"at": None}],
    [[Decimal("1E+6000"), Decimal("-0.00"), UUID(int=7)], {"deep": [[[[{"a": [1]}]]]]}],
    [[{1: {2: {3: "x"}}, (1, 2): "tuple key"}], {"expire_ms": 5}, {"delay_ms": 1}],
]


def bomb(dice: random.Random) -> bytes:
    """Small bytes that claim, or are, a great deal."""
    deep = dice.choice([10, 900, 1_022, 1_025, 5_000, 50_000])
    return dice.choice(
        [
            b"\x91" * deep,
            b"\x91" * deep + b"\xc0",
            b"\x81\xa1a" * deep + b"\xc0",
            b"\x92\xc7\x00\x01" * deep + b"\xc0",
            b"\x92\xc7\x00\x03" * deep + b"\xc0",
            b"\xdd\xff\xff\xff\xff",
            b"\xdf\xff\xff\xff\xff",
            b"\xc6\xff\xff\xff\xff",
            b"\xdb\x7f\xff\xff\xff",
            b"\xc9\x7f\xff\xff\xff\x04",
            b"\xdc\xff\xff" + b"\xdc\xff\xff" * 50,
            b"\xdc\xff\xff" + b"\x80" * 65_535,
            msgpack.packb([msgpack.ExtType(4, bytes(60_000))]),
            msgpack.packb([msgpack.ExtType(5, b"1E" + b"9" * dice.randint(1, 400))]),
            msgpack.packb([msgpack.ExtType(5, b"9" * dice.randint(1, 9_000))]),
            msgpack.packb({n * 2**32: 1 for n in range(2_000)}),
        ]
    )


def mutated(dice: random.Random, blob: bytes) -> bytes:
    """The blob with one thing wrong, or with another in its place."""
    kind, data = dice.randrange(9), bytearray(blob)
    at = dice.randrange(len(data) + 1)
    if kind == 0 and data:
        data[at % len(data)] ^= 1 << dice.randrange(8)
    elif kind == 1:
        del data[at:]
    elif kind == 2:
        data[at:at] = dice.randbytes(dice.randint(1, 8))
    elif kind == 3 and data:
        for _ in range(dice.randint(2, 12)):
            data[dice.randrange(len(data))] = dice.randrange(256)
    elif kind == 4:
        data[at:at] = bomb(dice)
    elif kind == 5:
        ext = msgpack.ExtType(dice.randrange(128), dice.randbytes(dice.choice([0, 1, 4, 8, 11, 12, 16, 40])))
        data[at:at] = msgpack.packb(ext)
    elif kind == 6:
        return dice.randbytes(dice.choice([0, 1, 15, 16, 17, 100, 2_000]))
    elif kind == 7:
        return bytes(blob[:16]) + bomb(dice)
    else:
        del data[at : at + dice.randint(1, 5)]
    return bytes(data)


@pytest.mark.parametrize("keys", [(), (b"secret",)], ids=["unsigned", "signed"])
def test_the_codec(keys: tuple[bytes, ...]) -> None:
    """S2: whatever the bytes are, a value that can be encoded, or BadPayload. Signed: BadSignature alone,
    but for those that are what they were."""
    codec, dice = Codec("fuzz", keys, largest={"call": 1_048_576}), random.Random(SEED)
    blobs = [codec.encode("call", b"id|task", value) for value in VALUES]
    refused = 0
    for _ in range(MUTATIONS):
        original = dice.choice(blobs)
        blob = mutated(dice, original)
        try:
            value = codec.decode("call", b"id|task", blob)
        except BadPayload as error:
            assert isinstance(error, BadSignature) is (bool(keys) and len(blob) <= 1_048_576)
            refused += 1
        else:
            assert blob == original or not keys
            with suppress(EncodeError):  # deeper than what may be sent, and harmless
                codec.encode("call", b"", value)
    assert refused > MUTATIONS / 3


def whole(dice: random.Random, codec: Codec, id: str) -> bytes:
    """A record in good form, as a ground for mutations."""
    call = codec.encode("call", f"{id}|add".encode(), dice.choice(VALUES))
    return b"Q0" + b"0" * 27 + NOBODY + tail(tail_start("default", "add"), call)


def test_records() -> None:
    """Matrix 38: a record reads, or is a ValueError; what it holds reads, or says why not."""
    codec, dice = Codec("fuzz"), random.Random(SEED + 1)
    for n in range(MUTATIONS):
        raw = mutated(dice, whole(dice, codec, "id"))
        if n % 2:
            raw = dice.choice(b"QSFARDX?").to_bytes() + raw[1:]
        try:
            record = JobRecord("id", raw)
        except (ValueError, IndexError):
            continue
        assert (record.crashes, record.enqueued, record.at) >= (0, 0, 0) and isinstance(record.worker, str)
        args, kwargs, meta, problem = read_call(codec, record)
        assert (type(args), type(kwargs), type(meta), type(problem)) == (list, dict, dict, str)
        read_history(codec, record)
        if record.status.finished:
            read_result(codec, record)


def resident(pid: int) -> int:
    """Bytes of memory that a process has."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4_096


PLANTED = 300


@pytest.mark.fault("38", "corrupt bytes")
@pytest.mark.parametrize("signing", [True, False], ids=["signed", "unsigned"])
def test_a_worker(
    workers: Workers, app: Ardiq, intruder: Intruder, report: Report, queue_name: str, signing: bool
) -> None:
    """Matrix 38: hundreds of broken records under a running worker. Each ends as failed, or is skipped and
    left to ``ardiq_check``; the worker lives, has not grown, and runs what comes after them."""
    dice, own = random.Random(SEED + 2), Ardiq(queue_name, ["low", "default", "high"], workers.url)
    codec = own.broker.codec if signing else Codec(queue_name)
    process = workers.start(**({} if signing else {"SIGNING": False}), CONCURRENCY=4, LEASE_MS=3_000)
    good = Ardiq(queue_name, ["low", "default", "high"], workers.url, signing=signing).ref("add")
    assert good.enqueue_sync(1, 2).result_sync(timeout=30).value == 3  # type: ignore[union-attr]
    before = resident(process.popen.pid)
    planted: dict[str | bytes, bytes] = {}
    for n in range(PLANTED):
        id = f"planted-{n}" if n % 10 else b"planted-\xff" + bytes([n % 256])
        raw = whole(dice, codec, str(id))
        while (record := mutated(dice, raw)) == raw or (b"default\nadd" not in record and n % 3):
            continue
        planted[id] = record
        intruder.push(id, record)
    key = intruder.keys.job("").encode()
    intruder.redis.rpush(key + b"planted-list", "wrong type")
    intruder.redis.rpush(intruder.keys.lane("default"), "planted-list", "planted-nothing")
    after = good.enqueue_sync(20, 22)
    assert after.result_sync(timeout=60).value == 42  # type: ignore[union-attr]

    names = {id if isinstance(id, bytes) else id.encode() for id in planted}

    def quiet() -> bool:
        waits = set(intruder.redis.lrange(intruder.keys.lane("default"), 0, -1))
        holds = {
            id for held in intruder.redis.keys(intruder.keys.held("*")) for id in intruder.redis.hkeys(held)
        }
        return not names & (waits | holds)

    until(quiet, 60, "no broken record waits or is held")
    statuses = {name: intruder.redis.getrange(key + name, 0, 0) for name in names}
    failed = {name for name, letter in statuses.items() if letter == b"F"}
    listed = set(intruder.redis.zrange(intruder.keys.ended(JobStatus.FAILED), 0, -1))
    assert failed <= listed and len(failed) > PLANTED / 3
    assert process.popen.poll() is None, process.text
    growth = resident(process.popen.pid) - before
    assert growth < GROWTH, f"grown by {growth:,} bytes"
    assert good.enqueue_sync(1, 1).result_sync(timeout=30).value == 2  # type: ignore[union-attr]
    report.lost, report.stuck = 0, 0
    report.note = (
        f"{len(failed)} of {PLANTED} failed, the rest skipped; the worker grew by {growth >> 20} MiB"
    )
    assert process.stop() == 0
    for name in names:
        intruder.redis.delete(key + name)
        intruder.redis.zrem(intruder.keys.scheduled, name)
        for status in JobStatus:
            intruder.redis.zrem(intruder.keys.ended(status), name)
    prefix = intruder.keys.prefix
    groups = [name for kind in ("letters:*", "group:*") for name in intruder.redis.keys(prefix + kind)]
    intruder.redis.delete(key + b"planted-list", prefix + "fingerprints", prefix + "groups", *groups)
