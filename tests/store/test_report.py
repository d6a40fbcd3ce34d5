"""report: what a job tells counts only from whoever holds it, and belongs to one life of it."""

from __future__ import annotations

import pytest

from ardiq.core.job import JobStatus
from ardiq.core.reports import LOGS_MOST, Progress, line_text, progress_text, read_logs, read_progress
from ardiq.store import reports
from tests.store.bench import Bench, ended

ME, OTHER = "worker-1", "worker-2"
TOLD = progress_text(1, 2, "half")
LINE = line_text(5, "INFO", "shop", "hello") + "\n"


def told(bench: Bench, id: str = "a") -> Progress | None:
    return read_progress(bench.redis.get(bench.keys.progress(id)), bench.record(id))


def lines(bench: Bench, id: str = "a") -> list[str]:
    return [line.message for line in read_logs(bench.redis.get(bench.keys.logs(id)), bench.record(id))]


@pytest.fixture(autouse=True)
def job(bench: Bench) -> None:
    """One job, held by ME under claim 1."""
    bench.register(ME, OTHER)
    bench.enqueue("a")
    bench.take(ME)


@pytest.mark.parametrize(("worker", "id", "claim"), [(OTHER, "a", 1), (ME, "a", 2), (ME, "nobody's", 1)])
def test_only_whoever_holds_a_job_reports_of_it(bench: Bench, worker: str, id: str, claim: int) -> None:
    """E4: another worker, another claim, another job: nothing is kept, and it is said (R3)."""
    call = reports.report(bench.keys, worker, [(id, claim, 1_000, TOLD, LINE), ("a", 1, 1_000, "", "")])
    assert id in bench.run(call)
    assert not bench.redis.exists(bench.keys.progress(id), bench.keys.logs(id))


def test_reports_of_a_job_that_has_ended_are_refused(bench: Bench) -> None:
    """E4: the fence is left with the verdict."""
    bench.settle(ME, ended(bench.record("a"), ME, JobStatus.FAILED))
    assert bench.run(reports.report(bench.keys, ME, [("a", 1, 1_000, TOLD, LINE)])) == ["a"]


def test_what_is_kept(bench: Bench) -> None:
    """E4: the latest progress and all lines, each with its TTL; a report of nothing new lengthens both."""
    for n in range(3):
        row = ("a", 1, 9_000, progress_text(n, None, "x"), LINE)
        assert bench.run(reports.report(bench.keys, ME, [row])) == []
    shown = told(bench)
    assert shown is not None and (shown.done, shown.total, shown.message) == (2, None, "x")
    assert shown.at >= bench.record("a").at
    assert lines(bench) == ["hello"] * 3
    keys = (bench.keys.progress("a"), bench.keys.logs("a"))
    assert all(8_000 < bench.redis.pttl(key) <= 9_000 for key in keys)
    bench.run(reports.report(bench.keys, ME, [("a", 1, 99_000, "", "")]))
    assert all(98_000 < bench.redis.pttl(key) <= 99_000 for key in keys)
    bench.run(reports.report(bench.keys, ME, [("a", 1, 0, TOLD, LINE)]))
    assert not bench.redis.exists(*keys)


def test_lines_are_capped(bench: Bench) -> None:
    """H8: the latest whole lines of at most so many bytes, however they come."""
    for n in range(200):
        text = line_text(n, "INFO", "shop", f"{n} " + "ü" * 500) + "\n"
        bench.run(reports.report(bench.keys, ME, [("a", 1, 9_000, "", text)]))
        assert bench.redis.strlen(bench.keys.logs("a")) <= LOGS_MOST
    numbers = [int(line.split()[0]) for line in lines(bench)]
    assert numbers == list(range(numbers[0], 200)) and len(numbers) > 40
    assert 8_000 < bench.redis.pttl(bench.keys.logs("a")) <= 9_000


@pytest.mark.parametrize(
    "raw",
    [b"", b"0" * 40, b"%b", b"%bzzz", b"%b00000000001", b"%b00000000001[1]", b'%b00000000001["1",2,"x"]',
     b"%b00000000001[1,2,3]", b"%b00000000001[NaN,2,null]", b"%b00000000001" + b"[" * 50_000],
    ids=range(10),
)  # fmt: skip
def test_what_somebody_else_has_written_is_no_progress(bench: Bench, raw: bytes) -> None:
    """S1: it is read as none, and never raises."""
    record = bench.record("a")
    raw = raw.replace(b"%b", record.raw[7:18])
    assert read_progress(raw, record) is None
    assert read_logs(raw + b"\n[1]\n{}\nx\n", record) == []


def test_reports_go_with_a_dead_letter_that_is_trimmed(bench: Bench) -> None:
    """F1: FAILED_MAX holds for what is kept of failures, however long they may stay."""
    bench.enqueue("b")
    bench.take(ME)
    bench.run(reports.report(bench.keys, ME, [("a", 1, 90_000, TOLD, LINE)]))
    bench.settle(ME, ended(bench.record("a"), ME, JobStatus.FAILED, ttl_ms=-1))
    assert bench.redis.exists(bench.keys.progress("a"), bench.keys.logs("a")) == 2
    bench.settle(ME, ended(bench.record("b"), ME, JobStatus.FAILED), failed_most=1)
    assert not bench.redis.exists(bench.keys.job("a"), bench.keys.progress("a"), bench.keys.logs("a"))
