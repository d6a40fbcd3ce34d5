"""What an error reply means: worth another try on another connection, or not; and how many tries."""

from __future__ import annotations

import random
import re
import time

import redis.exceptions as errors

from ardiq.core.errors import BrokerError, QueueFull

PATIENCE = 2.0  # seconds; what a call waits for in all stays near the bound for callers (C13)
MOST_HOPS = 5  # redirects of one call; more of them mean that the nodes disagree

# The server is there but cannot serve: drop the connection and look for the right one (R14). Each of them
# is said before anything is written, so that the call may be sent again. ASK is among them on purpose: it
# says that the slot is being moved, and a script that followed it would see, and write, half of a queue.
_PASSING = (
    "READONLY",
    "LOADING",
    "MASTERDOWN",
    "CLUSTERDOWN",
    "TRYAGAIN",
    "BUSY",
    "UNBLOCKED",
    "NOAUTH",
    "ASK",
    "MOVED",
    "NOREPLICAS",
)
_PASSING_ERRORS = (
    errors.ClusterDownError,
    errors.MasterDownError,
    errors.TryAgainError,
    errors.AskError,
    errors.BusyLoadingError,
    errors.ReadOnlyError,
    errors.AuthenticationError,
)
# Before Redis 7, what a command of a script is refused with comes inside another error.
# What a command of a script was denied with begins with "ERR ACL failure in script".
_WITHIN = re.compile(r"^(?:ERR )?Error running script .*?: -?([A-Z]{4,})\b")


# So a script is told what its user has no right to; Redis 7.0 says it in other words than its successors.
_DENIED = re.compile(r"ACL failure in|The user executing the script can't")


class Unavailable(BrokerError):
    """Redis is there but cannot serve just now; it is worth trying again."""


# redis-py leaves its code, OOM, out of the text, and before Redis 7 it comes inside another error.
_OUT_OF_MEMORY = "command not allowed when used memory"


class Refused(BrokerError):
    """Redis has answered, and what it was asked for will not do."""


class Denied(Refused):
    """The user may not do this, and waiting will not change that."""


RIGHTS = (
    "Give its user the rights in docs/how-to/deploy.md, under Users; manage.py ardiq_check names those that "
    "are missing."
)


def _full(message: str) -> QueueFull:
    if not message.startswith("QUEUEFULL"):
        return QueueFull(
            "Redis has no memory left, so nothing was stored. Let workers catch up, lower RESULT_TTL_MS, or "
            f"raise maxmemory of the server. It said: {message}"
        )
    queue, waiting, new, most = message.split(" ")[1:5]
    return QueueFull(
        f"The queue {queue!r} is full, so nothing was stored: {int(waiting):,} jobs wait, {int(new):,} more "
        f"would be over MAX_QUEUED, which is {int(most):,}. Let workers catch up, start more of them, or "
        "raise MAX_QUEUED.",
        max(0, int(most) - int(waiting)),
    )


def refused(message: str, error: Exception | None = None, command: str = "the command") -> BrokerError:
    """What to raise for an error reply to ``command``."""
    within = _WITHIN.match(message)
    code = within[1] if within else message.split(" ", 1)[0]
    # redis-py tells some of them by the class of the error, and leaves the code out of its text.
    if code in _PASSING or isinstance(error, _PASSING_ERRORS):
        if code == "NOAUTH" or isinstance(error, errors.AuthenticationError):
            return Unavailable(
                f"Redis cannot serve just now: {message.rstrip('.')}. Name user and password in REDIS_URL or "
                "REDIS_OPTIONS."
            )
        return Unavailable(f"Redis cannot serve just now: {message}")
    if code == "NOPERM" or isinstance(error, errors.NoPermissionError) or _DENIED.search(message):
        return Denied(f"Redis does not allow {command}: {message.rstrip('.')}. {RIGHTS}")
    if code == "QUEUEFULL" or _OUT_OF_MEMORY in message:
        return _full(message)
    return Refused(f"Redis refused {command}: {message}")


def unknown_user(error: BrokerError) -> bool:
    """Whether the server does not take the user or the password of the settings, or wants one."""
    said = error.__cause__
    return isinstance(said, errors.AuthenticationError) or (
        said is not None and isinstance(said.__cause__, errors.AuthenticationError)
    )


class Patience:
    """How often one call is tried again: once at once, then with growing pauses until the time is up."""

    def __init__(self, seconds: float | None = None) -> None:
        self._end = time.monotonic() + (PATIENCE if seconds is None else seconds)
        self._pause = 0.0
        self._hops = 0

    def pause(self) -> float | None:
        """Seconds to wait before the next try; None when there is to be none."""
        pause, self._pause = self._pause, min(max(self._pause * 2, 0.05), 0.4)
        if not pause:
            return 0.0
        return random.uniform(pause / 2, pause) if time.monotonic() < self._end else None  # noqa: S311

    def for_another(self) -> Patience:
        """The same, for the next call of a batch."""
        self._hops = 0
        return self

    def hop(self) -> bool:
        """Whether a redirect may be followed."""
        self._hops += 1
        return self._hops <= MOST_HOPS
