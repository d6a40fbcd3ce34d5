"""A job as it lies in Redis: the fixed head that scripts rewrite, and the texts behind it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ardiq.core.job import (
    ENDED,
    HEAD,
    LETTER_OF,
    LETTERS,
    LIVE,
    NOBODY,
    JobRecord,
    JobStatus,
    check_id,
)

ENQUEUED = b"%011x" % 1_700_000_000_123
RECORD = JobRecord(
    id="sync:7",
    status=JobStatus.RUNNING,
    flags=5,
    attempts=2,
    crashes=1,
    enqueued=1_700_000_000_123,
    at=1_700_000_000_456,
    worker="0123abcd",
    lane="high",
    name="shop.tasks.sync",
    unique="f" * 32,
    call=b"\x00call\n\xff",
    history=b"\nhistory",
    outcome=b"outcome\n",
)


def raw(record: JobRecord) -> bytes:
    where = b"%011x" % record.at + record.worker.encode()
    return record.head(record.status) + where + record.tail(None, record.outcome)


def test_a_record_survives_the_trip() -> None:
    """E4: what was written is read, whatever bytes the signed parts hold."""
    assert JobRecord.parse(RECORD.id, raw(RECORD)) == RECORD


@pytest.mark.parametrize(
    "change",
    [
        {"unique": ""},
        {"call": b""},
        {"history": b""},
        {"outcome": b""},
        {"attempts": 0xFFF, "crashes": 0xFF, "flags": 0xF},
        {"attempts": 0, "crashes": 0, "flags": 0, "at": 0},
        {"call": b"x" * 0xFFFFFF},
        {"enqueued": 0xFFFFFFFFFFF},
        {"worker": NOBODY.decode()},
        *({"status": status} for status in LETTERS.values()),
    ],
    ids=lambda change: next(iter(change)),
)
def test_the_edges_of_every_field(change: dict[str, object]) -> None:
    """E4: the widest and the emptiest value of each field."""
    record = replace(RECORD, **change)  # type: ignore[arg-type]
    assert JobRecord.parse(record.id, raw(record)) == record


def test_the_head_stays_where_scripts_look_for_it() -> None:
    """R2: offsets are part of the format; a script rewrites the head with one SETRANGE."""
    text = raw(RECORD)
    assert text[:HEAD] == b"R5" + b"002" + b"01" + ENQUEUED + b"%011x" % RECORD.at + b"0123abcd"
    assert text[HEAD:].startswith(b"high\nshop.tasks.sync\n" + b"f" * 32 + b"\n000007000008")


def test_the_head_of_what_follows() -> None:
    """B6: the next status, with attempts and crashes kept unless given anew."""
    assert RECORD.head(JobStatus.SUCCEEDED) == b"S500201" + ENQUEUED
    assert RECORD.head(JobStatus.SCHEDULED, attempts=3, crashes=0) == b"D500300" + ENQUEUED
    assert len(RECORD.head(JobStatus.QUEUED)) == 18


def test_the_tail_of_what_follows() -> None:
    """F1: history and outcome may change, the call never does."""
    assert JobRecord.parse("x", raw(RECORD)[:HEAD] + RECORD.tail()) == replace(RECORD, id="x", outcome=b"")
    changed = raw(RECORD)[:HEAD] + RECORD.tail(b"new", b"end")
    parsed = JobRecord.parse("x", changed)
    assert (parsed.call, parsed.history, parsed.outcome) == (RECORD.call, b"new", b"end")


@pytest.mark.parametrize(
    "bad", [b"", b"Z" + b"0" * 60, b"Q", b"Q" + b"0" * 36, b"Q" + b"0" * 36 + b"high\nname"]
)
def test_bytes_that_are_no_record(bad: bytes) -> None:
    """E2: refused with a ValueError, never misread."""
    with pytest.raises(ValueError, match=r"."):
        JobRecord.parse("x", bad)


def test_an_unknown_status_hints_at_a_newer_version() -> None:
    """E3: a rolling deploy may meet records that this version does not know."""
    with pytest.raises(ValueError, match=r"job x: unknown status letter b'Z'.*newer"):
        JobRecord.parse("x", b"Z" + raw(RECORD)[1:])


def test_statuses_are_texts_and_know_whether_they_are_final() -> None:
    """E3: a StrEnum; finished is what cannot run any more."""
    assert [str(status) for status in JobStatus] == [
        "scheduled", "queued", "running", "succeeded", "failed", "aborted", "expired", "not_found",
    ]  # fmt: skip
    assert {status for status in JobStatus if status.finished} == set(ENDED)
    assert set(LIVE) | set(ENDED) == set(LETTERS.values()) == set(LETTER_OF)
    assert not JobStatus.NOT_FOUND.finished and JobStatus.FAILED == "failed"


@pytest.mark.parametrize("good", ["a", "sync:7", "x" * 200, "é" * 100, "a b"])
def test_ids_that_are_allowed(good: str) -> None:
    """C3: printable text of 1 to 200 bytes."""
    assert check_id(good) is good


@pytest.mark.parametrize("bad", ["", "x" * 201, "é" * 101, "a{b", "a}b", "a\nb", "a\x00b", "\x1b[31m"])
def test_ids_that_are_refused(bad: str) -> None:
    """C3: the message names the option, the rule and the way out."""
    with pytest.raises(ValueError, match=r"task_id=.*1 to 200 bytes.*hash"):
        check_id(bad)


@pytest.mark.parametrize("bad", [5, None, b"x", 1.5])
def test_ids_that_are_no_text(bad: object) -> None:
    """C3: TypeError with the value."""
    with pytest.raises(TypeError, match="task_id="):
        check_id(bad)
