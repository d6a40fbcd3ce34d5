"""What follows from how a run ended. Pure: no clock, no Redis, the dice come in as an argument."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any, Literal

from ardiq.core.errors import Interrupt, JobAborted, JobHandedBack, Retry

Backoff = int | Literal["exponential"] | Callable[[int, BaseException], int]

TEN_YEARS_MS = 10 * 366 * 86_400_000
MOST_DELAY_MS = TEN_YEARS_MS
SPREAD = 0.25  # jitter adds up to this part of a delay, so that a delay is never shorter than asked for


class Ending(Enum):
    """How a run ended, as the runner saw it."""

    RETURNED = "returned"
    RAISED = "raised"
    TIMED_OUT = "timed out"
    ABORTED = "aborted"
    HANDED_BACK = "handed back"
    EXPIRED = "expired"
    UNKNOWN = "unknown task"
    PUT_OFF = "put off for want of a process"
    CRASHED = "crashed its workers"
    REFUSED = "refused before it ran"
    MISSING = "missing a row that it was passed"


class Action(Enum):
    SUCCEED = "succeed"
    RETRY = "retry"
    FAIL = "fail"
    ABORT = "abort"
    EXPIRE = "expire"
    GIVE_BACK = "give back"
    PARK = "park"


@dataclass(frozen=True, slots=True)
class Policy:
    """How often and when a task runs again. ``max_retries=N`` means N + 1 attempts."""

    max_retries: int = 3
    backoff_ms: Backoff = 0
    max_backoff_ms: int = 3_600_000
    jitter: bool = True
    retry_on: tuple[type[BaseException], ...] = (Exception,)
    dont_retry_on: tuple[type[BaseException], ...] = ()
    on_missing: str = "fail"


@dataclass(slots=True)
class Outcome:
    """What a run left behind: a value, or the exception that ended it."""

    ending: Ending
    value: Any = None
    error: BaseException | None = None

    @classmethod
    def interrupted(cls, error: Interrupt, timeout: float) -> Outcome:
        """The run was interrupted in its thread; what was thrown says why. ``timeout`` in seconds."""
        if isinstance(error, JobAborted):
            return cls(Ending.ABORTED)
        if isinstance(error, JobHandedBack):
            return cls(Ending.HANDED_BACK)
        return cls(Ending.TIMED_OUT, error=TimeoutError(f"timed out after {timeout:g}s"))


@dataclass(frozen=True, slots=True)
class Verdict:
    """What to do with the job. ``charged``: whether this run counts as one of its attempts."""

    action: Action
    delay_ms: int = 0
    charged: bool = True


SUCCEED = Verdict(Action.SUCCEED)
_FIXED = {
    Ending.RETURNED: SUCCEED,
    Ending.ABORTED: Verdict(Action.ABORT),
    Ending.HANDED_BACK: Verdict(Action.GIVE_BACK, charged=False),
    Ending.EXPIRED: Verdict(Action.EXPIRE, charged=False),
    Ending.CRASHED: Verdict(Action.FAIL, charged=False),
    Ending.REFUSED: Verdict(Action.FAIL, charged=False),
}

PUT_OFF_MOST_MS = 60_000
PARK_FIRST_MS, PARK_MOST_MS, PARK_UNTIL_MS = 1_000, 600_000, 86_400_000


def judge(
    outcome: Outcome,
    attempts: int,
    policy: Policy,
    waited_ms: int = 0,
    dice: Callable[[], float] = random.random,
) -> Verdict:
    """The verdict on a run that followed ``attempts`` charged ones; ``waited_ms`` since it was enqueued, or
    of one that is parked since it was parked first."""
    fixed = _FIXED.get(outcome.ending)
    if fixed is not None:
        return fixed
    if outcome.ending is Ending.PUT_OFF:
        # The fault of the system, which may mend; no age of the job makes it the fault of the job.
        return Verdict(Action.PARK, min(max(PARK_FIRST_MS, waited_ms // 10), PUT_OFF_MOST_MS), charged=False)
    if outcome.ending is Ending.UNKNOWN:
        # A tenth of the time so far: seconds at first for a rolling deploy, minutes later.
        if waited_ms >= PARK_UNTIL_MS:
            return Verdict(Action.FAIL, charged=False)
        delay = min(max(PARK_FIRST_MS, waited_ms // 10), PARK_MOST_MS)
        return Verdict(Action.PARK, delay, charged=False)
    if outcome.ending is Ending.MISSING and policy.on_missing != "retry":
        return Verdict(Action.ABORT if policy.on_missing == "skip" else Action.FAIL)
    error = outcome.error
    if attempts >= policy.max_retries or not _may_retry(outcome.ending, error, policy):
        return Verdict(Action.FAIL)
    return Verdict(Action.RETRY, delay_ms(attempts + 1, error, policy, dice))


def _may_retry(ending: Ending, error: BaseException | None, policy: Policy) -> bool:
    if isinstance(error, Retry) or ending is Ending.MISSING:
        return True
    if error is None or isinstance(error, policy.dont_retry_on):
        return False
    if ending is Ending.TIMED_OUT and Exception in policy.retry_on:
        return True
    return isinstance(error, policy.retry_on)


def delay_ms(
    attempt: int, error: BaseException | None, policy: Policy, dice: Callable[[], float] = random.random
) -> int:
    """Milliseconds until the attempt after ``attempt`` (from 1): quadratic unless told otherwise."""
    if isinstance(error, Retry) and error.delay_ms is not None:
        return min(error.delay_ms, MOST_DELAY_MS)
    backoff = policy.backoff_ms
    if callable(backoff):
        return max(0, min(int(backoff(attempt, error or Exception())), policy.max_backoff_ms))
    if backoff == "exponential":
        delay = 1_000 * 2 ** min(attempt - 1, 30)
    else:
        delay = backoff or attempt * attempt * 1_000
    delay = min(delay, policy.max_backoff_ms)
    return int(delay * (1 + SPREAD * dice())) if policy.jitter else delay
