"""What an error reply means: worth another try on another connection, or not."""

from __future__ import annotations

import redis.exceptions as errors

from ardiq.core.errors import BrokerError

# The server is there but cannot serve: drop the connection and look for the right one (R14).
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
)
_PASSING_ERRORS = (errors.ClusterDownError, errors.MasterDownError, errors.TryAgainError, errors.AskError)


class Unavailable(BrokerError):
    """Redis is there but cannot serve just now; it is worth trying again."""


def refused(message: str, error: Exception | None = None) -> BrokerError:
    code = message.split(" ", 1)[0]
    # redis-py tells some of them by the class of the error, and leaves the code out of its text.
    if code in _PASSING or isinstance(error, _PASSING_ERRORS):
        return Unavailable(f"Redis cannot serve just now: {message}")
    return BrokerError(f"Redis refused the command: {message}")
