"""A job as it lies in Redis: the fixed head that scripts rewrite, and the texts behind it."""

from __future__ import annotations

from typing import Any

import pytest

from ardiq.core.job import BYTES_OF, ENDED, HEAD, LETTERS, LIVE, NOBODY, JobRecord, JobStatus, check_id

FIELDS: dict[str, Any] = {
    "status": JobStatus.RUNNING,
    "flags": 5,
    "attempts": 2,
    "crashes": 1,
    "enqueued": 1_700_000_000_123,
    "at": 1_700_000_000_456,
    "worker": "0123abcd",
    "lane": "high",
    "name": "shop.tasks.sync",
    "unique": "f" * 32,
    "call": b"\x00call\n\xff",
    "history": b"\nhistory",
    "outcome": b"outcome\n",
}


def raw(**changed: Any) -> bytes:
    """A record as scripts and verbs write it."""
    f = FIELDS | changed
    letter = next(letter for letter, status in LETTERS.items() if status is f["status"])
    numbers = f["flags"], f["attempts"], f["crashes"], f["enqueued"], f["at"]
    head = letter.encode() + b"%x%03x%02x%011x%011x" % numbers + f["worker"].encode()
    texts = f"{f['lane']}\n{f['name']}\n{f['unique']}\n".encode()
    lengths = b"%06x%06x" % (len(f["call"]), len(f["history"]))
    whole: bytes = head + texts + lengths + f["call"] + f["history"] + f["outcome"]
    return whole


def fields(record: JobRecord) -> dict[str, Any]:
    return {name: getattr(record, name) for name in FIELDS}


@pytest.mark.parametrize(
    "changed",
    [
        {},
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
    ids=lambda changed: "+".join(changed) or "plain",
)
def test_a_record_is_read_as_it_was_written(changed: dict[str, Any]) -> None:
    """E4: the widest and the emptiest value of each field, whatever bytes the signed parts hold."""
    record = JobRecord("sync:7", raw(**changed))
    assert (record.id, fields(record)) == ("sync:7", FIELDS | changed)


def test_the_head_stays_where_scripts_look_for_it() -> None:
    """R2: offsets are part of the format; a script rewrites the head with one SETRANGE."""
    text = raw()
    assert (text[0:1], text[1:2], text[2:5], text[5:7]) == (b"R", b"5", b"002", b"01")
    assert (int(text[7:18], 16), int(text[18:29], 16)) == (FIELDS["enqueued"], FIELDS["at"])
    assert (text[29:HEAD], HEAD) == (b"0123abcd", 37)


def test_the_head_of_what_follows() -> None:
    """B6: the next status and attempts; flags as they are now, crashes and enqueue time as they were."""
    record = JobRecord("x", raw())
    assert record.head(JobStatus.SUCCEEDED) == b"S5" + raw()[2:18]
    assert record.head(JobStatus.SCHEDULED, attempts=3) == b"D5003" + raw()[5:18]
    record.flags = 1
    assert record.head(JobStatus.QUEUED)[:2] == b"Q1"


@pytest.mark.parametrize("history", [None, b"", b"a longer history than before"])
@pytest.mark.parametrize("outcome", [b"", b"end"])
def test_the_tail_of_what_follows(history: bytes | None, outcome: bytes) -> None:
    """F1: history and outcome may change, the call and the texts never do."""
    after = JobRecord("x", raw()[:HEAD] + JobRecord("x", raw()).tail(history, outcome))
    expected = FIELDS | {"outcome": outcome}
    if history is not None:
        expected["history"] = history
    assert fields(after) == expected


@pytest.mark.parametrize(
    "bad", [b"", b"Z" + b"0" * 60, b"Q", b"Q" + b"0" * 36, b"Q" + b"0" * 36 + b"high\nname"]
)
def test_bytes_that_are_no_record(bad: bytes) -> None:
    """E2: refused with a ValueError, never misread."""
    with pytest.raises(ValueError, match=r"."):
        JobRecord("x", bad)


def test_an_unknown_status_hints_at_a_newer_version() -> None:
    """E3: a rolling deploy may meet records that this version does not know."""
    with pytest.raises(ValueError, match=r"job x: unknown status letter b'Z'.*newer"):
        JobRecord("x", b"Z" + raw()[1:])


def test_statuses_are_texts_and_know_whether_they_are_final() -> None:
    """E3: a StrEnum; finished is what cannot run any more."""
    assert [str(status) for status in JobStatus] == [
        "scheduled", "queued", "running", "succeeded", "failed", "aborted", "expired", "not_found",
    ]  # fmt: skip
    assert {status for status in JobStatus if status.finished} == set(ENDED)
    assert set(LIVE) | set(ENDED) == set(LETTERS.values()) == set(BYTES_OF)
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
