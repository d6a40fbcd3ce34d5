"""Every error that ardiq raises: one tree, and the docstring is the message unless a better one is given."""

from __future__ import annotations

from collections.abc import Sequence


class ArdiqError(RuntimeError):
    """Something went wrong in ardiq."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or (type(self).__doc__ or "").strip())


class BrokerError(ArdiqError):
    """Redis cannot be reached or refused a command; check REDIS_URL and that the server is running."""


class QueueFull(BrokerError):
    """The queue takes no more jobs, and nothing was stored: let workers catch up, then try again.

    ``room``: how many jobs would still have fitted when a call with more of them was refused.
    """

    def __init__(self, message: str | None = None, room: int = 0) -> None:
        super().__init__(message)
        self.room = room


class NotEnqueued(BrokerError):
    """Redis failed at a commit: the data is stored, these jobs were not enqueued.

    ``ids``: theirs, in the order of the calls. One whose reply was lost may be there all the same, so that
    whoever enqueues them again does it under these ids.
    """

    def __init__(self, message: str | None = None, ids: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.ids = list(ids)


class NotDurable(BrokerError):
    """The jobs are stored, but it was not confirmed in time that they are anywhere else.

    ``ids``: theirs, in the order of the calls. They run like any others, unless a failover loses them or has.
    Enqueuing them again under these ids makes no second job while they are there.
    """

    def __init__(self, message: str | None = None, ids: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.ids = list(ids)


class UnsafeServer(ArdiqError):
    """The server throws away live jobs when its memory is full; set maxmemory-policy to noeviction."""


class OptionError(ArdiqError, ValueError):
    """An option of ARDIQ is not valid."""


class UnknownTask(ArdiqError, LookupError):
    """No task of this name is registered here."""


class EncodeError(ArdiqError, TypeError):
    """A value cannot be encoded; pass plain data or a reference to it."""


class TooLarge(ArdiqError, ValueError):
    """A payload or result is larger than its limit; pass a reference to the data instead."""


class BadPayload(ArdiqError, ValueError):
    """Stored bytes cannot be decoded; they were not written by this version of ardiq."""


class BadSignature(BadPayload):
    """The signature does not match; the bytes were changed, or written under another SECRET_KEY."""


class NewerPayload(BadPayload):
    """The payload was written in a newer format, or with an extension type that is not registered here."""


class MissingRow(ArdiqError, LookupError):
    """A model instance passed as an argument is no longer in the database."""


class JobExpired(ArdiqError):
    """The job did not start within its window."""


class JobCrashed(ArdiqError):
    """The job was running whenever its worker died."""


class TaskError(ArdiqError):
    """A job ended without success; ``type``, ``message`` and ``traceback`` tell how, as text."""

    def __init__(self, type: str, message: str, traceback: str = "") -> None:
        super().__init__(f"{type}: {message}" if message else type)
        self.type = type
        self.message = message
        self.traceback = traceback


class Retry(Exception):
    """Raised by a task to be run again: ``raise Retry("not ready", delay_ms=5_000)``.

    It spends the retry budget like a failure, but is logged at INFO and calls no error hook.
    ``delay_ms`` (milliseconds) overrides the task's back-off for this once.
    """

    def __init__(self, message: str = "", delay_ms: int | None = None) -> None:
        if delay_ms is not None and (
            not isinstance(delay_ms, int) or isinstance(delay_ms, bool) or delay_ms < 0
        ):
            raise ValueError(f"Retry(delay_ms={delay_ms!r}): give a whole number of milliseconds, 0 or more.")
        super().__init__(message)
        self.message = message
        self.delay_ms = delay_ms


class Interrupt(BaseException):
    """Raised inside the thread of a sync task; no Exception, so that ``except Exception`` lets it pass."""


class JobTimedOut(Interrupt):
    """The task ran longer than its timeout."""


class JobAborted(Interrupt):
    """The job was aborted while it ran."""


class JobHandedBack(Interrupt):
    """The worker stops, or lost its lease, and the job goes back to its queue."""


# People import them from ardiq.errors; that is what tracebacks, results and dead letters call them, too.
for _error in [one for one in globals().values() if isinstance(one, type) and one.__module__ == __name__]:
    _error.__module__ = "ardiq.errors"
