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
    pack_history,
    pack_outcome,
    read_history,
    read_result,
    shown,
)

CODEC = Codec("default", [b"secret"])


def record(outcome: bytes = b"", status: JobStatus = JobStatus.SUCCEEDED, history: bytes = b"") -> JobRecord:
    head = b"%b0003%02x%011x%011x0123abcd" % (BYTES_OF[status], 0, 1_000, 2_500)
    return JobRecord("id", head + tail(tail_start("default", "add"), b"", history, outcome))


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
    result = read_result(CODEC, record(pack_outcome(CODEC, "id", {"n": (1, 2)}, 2_000, "host-1")))
    assert result == TaskResult(
        True, {"n": (1, 2)}, 3, 1_000, 2_000, 2_500, JobStatus.SUCCEEDED, "host-1", None
    )
    assert (result.duration_ms, result.aborted, result.raise_for_error()) == (500, False, result)


def test_a_failed_result_raises_its_error_as_text() -> None:
    """E2: raise_for_error tells type, message and traceback without importing anything."""
    failure = Failure("shop.Broken", "no", "Traceback...")
    packed = pack_outcome(CODEC, "id", "Broken('no')", 2_000, "host-1", failure)
    result = read_result(CODEC, record(packed, JobStatus.FAILED))
    assert (result.success, result.value, result.error) == (False, "Broken('no')", failure)
    with pytest.raises(TaskError, match=r"shop\.Broken: no") as caught:
        result.raise_for_error()
    assert (caught.value.type, caught.value.message, caught.value.traceback) == (
        "shop.Broken", "no", "Traceback...",
    )  # fmt: skip


def test_a_job_that_never_started_took_no_time() -> None:
    """E2: duration_ms of an aborted or expired job is 0."""
    packed = pack_outcome(CODEC, "id", "aborted", 0, "")
    result = read_result(CODEC, record(packed, JobStatus.ABORTED))
    assert (result.duration_ms, result.aborted, result.success) == (0, True, False)


@pytest.mark.parametrize(
    "outcome",
    [
        b"",
        b"rubbish",
        Codec("default", [b"other key"]).encode("outcome", b"id", [1, 2, "w"]),
        Codec("default", [b"secret"]).encode("outcome", b"other id", [1, 2, "w"]),
        Codec("default", [b"secret"]).encode("call", b"id", [1, 2, "w"]),
        CODEC.encode("outcome", b"id", 5),
        CODEC.encode("outcome", b"id", [1]),
        CODEC.encode("outcome", b"id", [1, 2, "w", ["only a type"]]),
        CODEC.encode("outcome", b"id", [1, 2, "w", 5]),
    ],
    ids=[
        "empty",
        "rubbish",
        "other key",
        "other id",
        "other kind",
        "no list",
        "short",
        "half error",
        "no error",
    ],
)
def test_bytes_that_are_no_outcome_are_a_failure_that_says_so(outcome: bytes) -> None:
    """E6: reading never raises, and tampered bytes are never a success."""
    result = read_result(CODEC, record(outcome))
    assert not result.success and result.error is not None and isinstance(result.value, str)
    with pytest.raises(TaskError):
        result.raise_for_error()


def test_a_value_that_cannot_be_encoded() -> None:
    """E6: the writer hears of it."""
    with pytest.raises(EncodeError):
        pack_outcome(CODEC, "id", object(), 0, "w")


def attempt(number: int, traceback: str = "tb") -> Attempt:
    return Attempt(
        number, 10 * number, 10 * number + 5, "host-1", Failure("ValueError", f"no {number}", traceback)
    )


def test_history_survives_the_trip() -> None:
    """F1: every attempt with its number, times, worker and error."""
    attempts = [attempt(1), attempt(2)]
    packed = pack_history(CODEC, "id", attempts)
    assert read_history(CODEC, record(history=packed)) == attempts
    assert attempts[0].duration_ms == 5


def test_history_is_bounded() -> None:
    """F1: the latest attempts, and only the last with its whole traceback, its end in any case."""
    attempts = [attempt(number, "x" * 30_000 + "end") for number in range(1, 60)]
    packed = pack_history(CODEC, "id", attempts)
    kept = read_history(CODEC, record(history=packed))
    assert [one.number for one in kept] == list(range(60 - HISTORY_MOST, 60))
    assert all(one.error.traceback.endswith("end") for one in kept)
    assert len(kept[-1].error.traceback) == TRACEBACK_MOST
    assert len(packed) < TRACEBACK_MOST + HISTORY_MOST * 2_200


@pytest.mark.parametrize("history", [b"", b"rubbish", CODEC.encode("history", b"id", [[1, 2]])])
def test_history_that_cannot_be_read_is_empty(history: bytes) -> None:
    """E4: reading for people never raises."""
    assert read_history(CODEC, record(history=history)) == []
