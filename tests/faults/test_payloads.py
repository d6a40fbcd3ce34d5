"""Bytes in Redis that nobody here has written. Row 38."""

from __future__ import annotations

import random

import pytest

from ardiq import JobStatus
from tests.faults.field import Field
from tests.faults.report import Report
from tests.workers import until


def tampered(raw: bytes, how: str, dice: random.Random) -> bytes:
    """A record whose signed part, the call at its end, is not what was signed."""
    if how == "signature":
        return raw[:-1] + bytes([raw[-1] ^ 1])
    if how == "cut":
        return raw[: len(raw) - 7]
    if how == "zeros":
        return raw[:-12] + bytes(12)
    at = dice.randrange(len(raw) - 20, len(raw))
    return raw[:at] + bytes([dice.randrange(256)]) + raw[at:]


@pytest.mark.fault("38", "corrupt bytes and wrong signatures among good jobs")
def test_corrupt_calls(field: Field, report: Report) -> None:
    """They fail without running, and are not tried again; the worker is unharmed."""
    dice, bad = random.Random(38), []
    for how in ("signature", "cut", "zeros", "inserted"):
        for id in field.enqueue(5, "who", 0.0):
            key = field.keys.job(id)
            field.client.set(key, tampered(field.client.get(key), how, dice))
            bad.append(id)
    good = field.enqueue(10)
    worker = field.start()
    field.wait_done()
    field.count(report, good)
    assert (report.lost, report.twice, report.stuck) == (0, 0, 0)
    assert field.succeeded(good)
    assert set(field.starts()) == set(good)
    assert set(field.statuses(bad).values()) == {JobStatus.FAILED}
    assert worker.stop() == 0, worker.text


@pytest.mark.fault("38", "a job copied to another name or id")
def test_cut_and_paste(field: Field, report: Report) -> None:
    """S3: what was signed for one id does not run under another."""
    donor, victim = field.enqueue(2, "who", 0.0)
    raw = field.client.get(field.keys.job(donor))
    field.client.set(field.keys.job(victim), raw)
    worker = field.start()
    field.wait_done()
    assert field.statuses() == {donor: JobStatus.SUCCEEDED, victim: JobStatus.FAILED}
    assert set(field.starts()) == {donor}
    assert worker.stop() == 0, worker.text


@pytest.mark.fault("38", "a key of the wrong type in place of a job")
def test_the_wrong_type_at_a_job(field: Field, report: Report) -> None:
    """It is left alone, the others of its batch run, and the worker goes on."""
    broken = field.enqueue(2, "who", 0.0)
    good = field.enqueue(10)
    for id in broken:
        field.client.delete(field.keys.job(id))
        field.client.rpush(field.keys.job(id), "not", "a", "job")
    worker = field.start()
    field.wait_done(good)
    more = field.enqueue(5)
    field.wait_done(more)
    field.count(report, good + more)
    assert (report.lost, report.twice, report.stuck) == (0, 0, 0)
    assert field.succeeded(good + more)
    for id in broken:
        field.client.delete(field.keys.job(id))
    assert worker.stop() == 0, worker.text


@pytest.mark.fault("38", "a lane of the wrong type")
def test_the_wrong_type_at_a_lane(field: Field, report: Report) -> None:
    """The worker says so, does not spin, and goes on as soon as somebody has put it right."""
    field.client.set(field.keys.lane("low"), "nonsense")
    worker = field.start()
    good = field.enqueue(5, priority="high")
    until(lambda: "WRONGTYPE" in worker.text or field.succeeded(good), what="work or a word")
    lines = worker.text.count("WRONGTYPE")
    report.note = f"said {lines} times" if lines else "worked on"
    assert worker.popen.poll() is None, worker.text
    field.client.delete(field.keys.lane("low"))
    field.wait_done(good, 20)
    field.count(report, good)
    assert (report.lost, report.twice, report.stuck) == (0, 0, 0)
    assert worker.stop() == 0, worker.text
