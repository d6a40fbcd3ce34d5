"""How a job ended, as text: exceptions described whatever they do, results read whatever lies there."""

from __future__ import annotations

import pytest

from ardiq.core.codec import Codec
from ardiq.core.errors import EncodeError, TaskError
from ardiq.core.job import BYTES_OF, JobRecord, JobStatus, tail, tail_start
from ardiq.core.outcome import (
    HISTORY_MOST,
    MESSAGE_MOST,
    TRACEBACK_MOST,
    Attempt,
    Failure,
    TaskResult,
    history_subject,
    outcome_subject,
    pack_abort,
    pack_history,
    pack_outcome,
    pack_parked,
    parked_since,
    read_history,
    read_result,
    shown,
)

CODEC = Codec("default", [b"secret"])
OK = JobStatus.SUCCEEDED
OWN = outcome_subject("id", "add", OK)


def record(outcome: bytes = b"", status: JobStatus = JobStatus.SUCCEEDED, history: bytes = b"") -> JobRecord:
    head = b"%b0003%02x%011x%011x0123abcd" % (BYTES_OF[status], 0, 1_000, 2_500)
    return JobRecord("id", head + tail(tail_start("default", "add"), b"", history, outcome))


def test_a_mark_tells_since_when_a_job_is_parked() -> None:
    """F3: it is no attempt, goes with the next one, and takes nobody's traceback."""
    assert parked_since(CODEC, record()) is None
    first = Attempt(1, 10, 20, "w", Failure("ValueError", "bad", "t" * 9_000))
    tried = record(history=pack_history(CODEC, record(), [first]))
    assert parked_since(CODEC, tried) is None
    parked = record(history=pack_parked(CODEC, tried, 500, 500, "w", Failure("E", "unknown")))
    again = record(history=pack_parked(CODEC, parked, 500, 900, "w", Failure("E", "unknown")))
    for one in (parked, again):
        assert parked_since(CODEC, one) == 500
        assert read_history(CODEC, one) == [first]
    later = record(
        history=pack_history(CODEC, again, [*read_history(CODEC, again), Attempt(2, 950, 960, "w", None)])
    )
    assert parked_since(CODEC, later) is None
    full = [Attempt(n, n, n, "w", None) for n in range(1, HISTORY_MOST + 5)]
    long = record(history=pack_history(CODEC, record(), full))
    assert parked_since(CODEC, record(history=pack_parked(CODEC, long, 7, 8, "w", Failure("E", "x")))) == 7


class Hostile(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")

    __repr__ = __str__


class Worse(Exception):
    def __repr__(self) -> str:
        raise RuntimeError("no text")


def raised(error: BaseException) -> BaseException:
    try:
        raise error
    except BaseException as caught:
        return caught


def test_a_failure_is_text() -> None:
    """E2: dotted type, message and traceback."""
    failure = Failure.of(raised(ValueError("bad")))
    assert (failure.type, failure.message) == ("ValueError", "bad")
    assert (
        failure.traceback.endswith("ValueError: bad\n") and __name__.rpartition(".")[2] in failure.traceback
    )
    assert Failure.of(Worse("x")).type == f"{__name__}.Worse"
    assert Failure.of(raised(ValueError("bad")), with_traceback=False).traceback == ""


@pytest.mark.parametrize(
    "error",
    [
        Hostile("x"),
        Worse("x"),
        ValueError("\ud800"),
        KeyboardInterrupt(),
        SystemExit(3),
        ValueError("x" * 10**6),
    ],
    ids=lambda error: type(error).__name__,
)
def test_no_exception_defeats_its_description(error: BaseException) -> None:
    """R18: whatever __str__ and __repr__ do, and never more than the limits; always valid UTF-8."""
    failure = Failure.of(raised(error))
    assert len(failure.message) <= MESSAGE_MOST and len(failure.traceback) <= TRACEBACK_MOST
    text = shown(error)
    assert 0 < len(text) <= MESSAGE_MOST + 100
    (failure.message + failure.traceback + text).encode()


def test_the_end_of_a_long_traceback_is_kept() -> None:
    """F1: the error stands at the end."""

    def deep(n: int) -> None:
        if n:
            deep(n - 1)
        raise ValueError("y" * 20_000 + "the end")

    try:
        deep(300)
    except ValueError as error:
        failure = Failure.of(error)
    assert failure.traceback.endswith("the end\n") and len(failure.traceback) == TRACEBACK_MOST


def test_a_result_survives_the_trip() -> None:
    """E2: success, value, tries and times in epoch ms."""
    result = read_result(CODEC, record(pack_outcome(CODEC, record(), OK, {"n": (1, 2)}, 2_000, "host-1")))
    assert result == TaskResult(
        True, {"n": (1, 2)}, 3, 1_000, 2_000, 2_500, JobStatus.SUCCEEDED, "host-1", None
    )
    assert (result.duration_ms, result.aborted, result.raise_for_error()) == (500, False, result)


def test_a_failed_result_raises_its_error_as_text() -> None:
    """E2: raise_for_error tells type, message and traceback without importing anything."""
    failure = Failure("shop.Broken", "no", "Traceback...")
    packed = pack_outcome(CODEC, record(), JobStatus.FAILED, "Broken('no')", 2_000, "host-1", failure)
    result = read_result(CODEC, record(packed, JobStatus.FAILED))
    assert (result.success, result.value, result.error) == (False, "Broken('no')", failure)
    with pytest.raises(TaskError, match=r"shop\.Broken: no") as caught:
        result.raise_for_error()
    assert (caught.value.type, caught.value.message, caught.value.traceback) == (
        "shop.Broken", "no", "Traceback...",
    )  # fmt: skip


def test_a_job_that_never_started_took_no_time() -> None:
    """E2: duration_ms of an aborted or expired job is 0."""
    packed = pack_abort(CODEC, "id")
    result = read_result(CODEC, record(packed, JobStatus.ABORTED))
    assert (result.duration_ms, result.aborted, result.success) == (0, True, False)


FORGED = {
    "empty": b"",
    "rubbish": b"rubbish",
    "other key": Codec("default", [b"other key"]).encode("outcome", OWN, [1, 2, "w"]),
    "other queue": Codec("other", [b"secret"]).encode("outcome", OWN, [1, 2, "w"]),
    "other id": CODEC.encode("outcome", outcome_subject("other", "add", OK), [1, 2, "w"]),
    "other task": CODEC.encode("outcome", outcome_subject("id", "sub", OK), [1, 2, "w"]),
    "other status": CODEC.encode("outcome", outcome_subject("id", "add", JobStatus.FAILED), [1, 2, "w"]),
    "a call": CODEC.encode("call", OWN, [1, 2, "w"]),
    "an abort": pack_abort(CODEC, "id"),
    "no list": CODEC.encode("outcome", OWN, 5),
    "short": CODEC.encode("outcome", OWN, [1]),
    "no times": CODEC.encode("outcome", OWN, [1, "2", 3]),
    "half error": CODEC.encode("outcome", OWN, [1, 2, "w", ["only a type"]]),
    "no error": CODEC.encode("outcome", OWN, [1, 2, "w", 5]),
    "error of numbers": CODEC.encode("outcome", OWN, [1, 2, "w", [1, 2, 3]]),
}


@pytest.mark.parametrize("outcome", FORGED.values(), ids=FORGED)
def test_bytes_that_are_no_outcome_are_a_failure_that_says_so(outcome: bytes) -> None:
    """E6: reading never raises, and tampered bytes are never a success."""
    result = read_result(CODEC, record(outcome))
    assert not result.success and result.error is not None and isinstance(result.value, str)
    with pytest.raises(TaskError):
        result.raise_for_error()


def test_a_value_that_cannot_be_encoded() -> None:
    """E6: the writer hears of it."""
    with pytest.raises(EncodeError):
        pack_outcome(CODEC, record(), OK, object(), 0, "w")


def attempt(number: int, traceback: str = "tb") -> Attempt:
    return Attempt(
        number, 10 * number, 10 * number + 5, "host-1", Failure("ValueError", f"no {number}", traceback)
    )


def test_history_survives_the_trip() -> None:
    """F1: every attempt with its number, times, worker and error."""
    attempts = [attempt(1), attempt(2)]
    packed = pack_history(CODEC, record(), attempts)
    assert read_history(CODEC, record(history=packed)) == attempts
    assert attempts[0].duration_ms == 5


def test_history_is_bounded() -> None:
    """F1: the latest attempts, and only the last with its whole traceback, its end in any case."""
    attempts = [attempt(number, "x" * 30_000 + "end") for number in range(1, 60)]
    packed = pack_history(CODEC, record(), attempts)
    kept = read_history(CODEC, record(history=packed))
    assert [one.number for one in kept] == list(range(60 - HISTORY_MOST, 60))
    assert all(one.error.traceback.endswith("end") for one in kept)
    assert len(kept[-1].error.traceback) == TRACEBACK_MOST
    assert len(packed) < TRACEBACK_MOST + HISTORY_MOST * 2_200


HISTORY = history_subject("id", "add")
ROW = [1, 10, 15, "host-1", ["ValueError", "no", ""]]


@pytest.mark.parametrize(
    "history",
    [
        b"",
        b"rubbish",
        CODEC.encode("history", HISTORY, [[1, 2]]),
        CODEC.encode("history", HISTORY, [["1", *ROW[1:]]]),
        CODEC.encode("history", HISTORY, [[*ROW[:4], [1, 2, 3]]]),
        CODEC.encode("history", history_subject("id", "sub"), [ROW]),
        CODEC.encode("history", history_subject("other", "add"), [ROW]),
        CODEC.encode("outcome", OWN, [ROW]),
    ],
)
def test_history_that_cannot_be_read_is_empty(history: bytes) -> None:
    """E4: reading for people never raises, and believes only what was signed for this job."""
    assert read_history(CODEC, record(history=history)) == []


def test_no_two_jobs_spell_the_same_subject() -> None:
    """S3: whatever an id looks like, its outcome is not that of another job."""
    made = [("a", "b", OK), ("a\nb", "", OK), ("", "a\nb", OK), ("a\nb\nS", "", OK), ("a", "b\nS", OK)]
    parsed = [one for one in made if "\n" not in one[1]]  # what a record can hold
    assert len({outcome_subject(*one) for one in parsed}) == len(parsed)


def test_an_error_that_0_1_0_has_signed_is_no_success() -> None:
    """S3: what is bound to the id alone does not say how the job has ended; an error says it itself."""
    error = CODEC.encode("outcome", b"id", ["ValueError()", 1, "w", ["ValueError", "", ""]])
    assert not read_result(CODEC, record(error)).success
    value = CODEC.encode("outcome", b"id", [42, 1, "w"])
    assert read_result(CODEC, record(value)).value == 42
