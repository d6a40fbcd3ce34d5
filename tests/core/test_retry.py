"""judge: what follows from how a run ended. A table, no clock, no server; the dice are an argument."""

from __future__ import annotations

import pytest

from ardiq.core.errors import Interrupt, JobAborted, JobHandedBack, JobTimedOut, Retry
from ardiq.core.retry import (
    PARK_FIRST_MS,
    PARK_MOST_MS,
    PARK_UNTIL_MS,
    Action,
    Ending,
    Outcome,
    Policy,
    Verdict,
    delay_ms,
    judge,
)

NOW = Policy(max_retries=2, backoff_ms=100, jitter=False)
ERROR = ValueError("no")
LATE = TimeoutError("timed out after 1s")


def verdict(
    ending: Ending, error: BaseException | None = None, attempts: int = 0, policy: Policy = NOW
) -> Verdict:
    return judge(Outcome(ending, error=error), attempts, policy)


@pytest.mark.parametrize(
    ("ending", "expected"),
    [
        (Ending.RETURNED, Verdict(Action.SUCCEED)),
        (Ending.ABORTED, Verdict(Action.ABORT)),
        (Ending.HANDED_BACK, Verdict(Action.GIVE_BACK, charged=False)),
        (Ending.EXPIRED, Verdict(Action.EXPIRE, charged=False)),
        (Ending.CRASHED, Verdict(Action.FAIL, charged=False)),
        (Ending.REFUSED, Verdict(Action.FAIL, charged=False)),
    ],
)
@pytest.mark.parametrize("attempts", [0, 2, 9])
def test_some_endings_leave_no_choice(ending: Ending, expected: Verdict, attempts: int) -> None:
    """B6: only a run that raised or timed out asks the policy; what never ran is not charged."""
    assert verdict(ending, ERROR, attempts) == expected


@pytest.mark.parametrize(
    ("attempts", "retries", "action"),
    [
        (0, 0, Action.FAIL),
        (0, 1, Action.RETRY),
        (1, 1, Action.FAIL),
        (1, 2, Action.RETRY),
        (2, 2, Action.FAIL),
        (7, 2, Action.FAIL),
    ],
)
@pytest.mark.parametrize("error", [ERROR, LATE, Retry("later")], ids=["raised", "late", "asked"])
def test_n_retries_are_n_plus_one_attempts(
    attempts: int, retries: int, action: Action, error: Exception
) -> None:
    """B6: max_retries=N means N + 1 attempts, however each of them failed (B8: a Retry spends it as well)."""
    ending = Ending.TIMED_OUT if error is LATE else Ending.RAISED
    found = verdict(ending, error, attempts, Policy(retries, 100, jitter=False))
    assert (found.action, found.charged) == (action, True)


class Mild(Exception):
    pass


@pytest.mark.parametrize(
    ("ending", "error", "policy", "action"),
    [
        (Ending.RAISED, Mild(), Policy(retry_on=(Mild,)), Action.RETRY),
        (Ending.RAISED, ERROR, Policy(retry_on=(Mild,)), Action.FAIL),
        (Ending.RAISED, Mild(), Policy(dont_retry_on=(Mild,)), Action.FAIL),
        (Ending.RAISED, Mild(), Policy(retry_on=(Mild,), dont_retry_on=(Mild,)), Action.FAIL),
        (Ending.RAISED, Retry(), Policy(retry_on=(Mild,)), Action.RETRY),
        (Ending.RAISED, Retry(), Policy(dont_retry_on=(Exception,)), Action.RETRY),
        (Ending.RAISED, SystemExit(1), Policy(), Action.FAIL),
        (Ending.RAISED, KeyboardInterrupt(), Policy(), Action.FAIL),
        (Ending.RAISED, SystemExit(1), Policy(retry_on=(SystemExit,)), Action.RETRY),
        (Ending.TIMED_OUT, LATE, Policy(), Action.RETRY),
        (Ending.TIMED_OUT, LATE, Policy(retry_on=(Mild,)), Action.FAIL),
        (Ending.TIMED_OUT, LATE, Policy(retry_on=(Mild, TimeoutError)), Action.RETRY),
        (Ending.TIMED_OUT, LATE, Policy(dont_retry_on=(TimeoutError,)), Action.FAIL),
        (Ending.RAISED, None, Policy(), Action.FAIL),
    ],
)
def test_which_errors_are_worth_another_attempt(
    ending: Ending, error: BaseException | None, policy: Policy, action: Action
) -> None:
    """B6: retry_on and dont_retry_on; the latter wins, and a requested Retry beats both (B8)."""
    assert verdict(ending, error, 0, policy).action is action


@pytest.mark.parametrize(
    ("backoff", "delays"),
    [
        (0, [1_000, 4_000, 9_000, 16_000]),
        (250, [250, 250, 250, 250]),
        ("exponential", [1_000, 2_000, 4_000, 8_000]),
        (lambda attempt, error: 7 * attempt, [7, 14, 21, 28]),
    ],
    ids=["quadratic", "fixed", "exponential", "callable"],
)
def test_how_long_to_wait(backoff: object, delays: list[int]) -> None:
    """B6: the delay after each attempt; 0 is quadratic."""
    policy = Policy(10, backoff, jitter=False)  # type: ignore[arg-type]
    assert [delay_ms(attempt, ERROR, policy) for attempt in (1, 2, 3, 4)] == delays


@pytest.mark.parametrize("backoff", [0, 100_000, "exponential", lambda attempt, error: 10**9])
def test_no_delay_is_longer_than_the_longest(backoff: object) -> None:
    """B6: MAX_BACKOFF_MS caps every way of reckoning, also after very many attempts."""
    policy = Policy(4_000, backoff, max_backoff_ms=60_000, jitter=False)  # type: ignore[arg-type]
    assert delay_ms(3_999, ERROR, policy) == 60_000


def test_a_delay_is_never_negative() -> None:
    """B6: whatever a callable says."""
    assert delay_ms(1, ERROR, Policy(backoff_ms=lambda attempt, error: -5)) == 0


@pytest.mark.parametrize(("dice", "expected"), [(0.0, 1_000), (0.5, 1_125), (1.0, 1_250)])
def test_jitter_only_adds(dice: float, expected: int) -> None:
    """B6: a delay with jitter is never shorter than asked for, and at most a quarter longer."""
    assert delay_ms(1, ERROR, Policy(backoff_ms=1_000), lambda: dice) == expected


def test_a_retry_names_its_own_delay() -> None:
    """B8: Retry(delay_ms=...) overrides the back-off, even with 0, and is not jittered."""
    policy = Policy(backoff_ms=1_000)
    assert [delay_ms(1, Retry(delay_ms=ms), policy, lambda: 1.0) for ms in (0, 5, 90_000)] == [0, 5, 90_000]
    assert delay_ms(1, Retry(), policy, lambda: 0.0) == 1_000


@pytest.mark.parametrize("bad", [-1, 1.5, True, "5"])
def test_a_retry_refuses_a_delay_that_is_none(bad: object) -> None:
    """B8: the message names the value."""
    with pytest.raises(ValueError, match=r"delay_ms=.*whole number"):
        Retry("no", delay_ms=bad)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("waited", "delay"),
    [
        (0, PARK_FIRST_MS),
        (9_999, PARK_FIRST_MS),
        (60_000, 6_000),
        (PARK_UNTIL_MS - 1, PARK_MOST_MS),
    ],
)
def test_an_unknown_task_is_parked(waited: int, delay: int) -> None:
    """F3: seconds at first, minutes later, and it costs no attempt."""
    assert judge(Outcome(Ending.UNKNOWN), 0, NOW, waited) == Verdict(Action.PARK, delay, charged=False)


def test_an_unknown_task_is_not_parked_for_ever() -> None:
    """F3: 24 hours at most, then it fails."""
    assert judge(Outcome(Ending.UNKNOWN), 0, NOW, PARK_UNTIL_MS) == Verdict(Action.FAIL, charged=False)


@pytest.mark.parametrize(("waited", "delay"), [(0, 1_000), (100_000, 10_000), (10 * PARK_UNTIL_MS, 60_000)])
def test_want_of_a_process_is_not_the_fault_of_the_job(waited: int, delay: int) -> None:
    """R7: it is put off, uncharged, however old it is."""
    assert judge(Outcome(Ending.PUT_OFF), 0, NOW, waited) == Verdict(Action.PARK, delay, charged=False)


@pytest.mark.parametrize(
    ("error", "ending"),
    [
        (JobAborted(), Ending.ABORTED),
        (JobHandedBack(), Ending.HANDED_BACK),
        (JobTimedOut(), Ending.TIMED_OUT),
    ],
)
def test_the_kind_of_an_interrupt_says_why(error: Interrupt, ending: Ending) -> None:
    """B7, E5: what a thread was interrupted for is read from what was thrown into it."""
    outcome = Outcome.interrupted(error, 0.5)
    assert outcome.ending is ending
    assert str(outcome.error) == ("timed out after 0.5s" if ending is Ending.TIMED_OUT else "None")
