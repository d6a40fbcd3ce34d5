"""Leaving at commit: the one place that asks Django whether a transaction is open here."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime
from typing import Any, cast
from weakref import WeakKeyDictionary

from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.utils import timezone

from ardiq.core.errors import BrokerError, QueueFull

log = logging.getLogger("ardiq")


def is_open(using: str | None = None) -> bool:
    """Whether a transaction is open in this thread on the database ``using`` (default: the default one).

    The transaction that a TestCase wraps around a test never commits, so it does not count (D2).
    """
    # Not connections[alias]: that would make a connection where there is none, and none is open then.
    here = cast("Any", connections)._connections
    connection: Any = getattr(here, using or DEFAULT_DB_ALIAS, None)
    if connection is None or not connection.in_atomic_block:
        return False
    return not all(getattr(block, "_from_testcase", False) for block in connection.atomic_blocks)


class _Push:
    """What leaves at a commit. Called by Django, which drops those behind one that raises."""

    def __init__(self, push: Callable[[], object], what: str, waiting: _Waiting) -> None:
        self._push, self._what, self._waiting = push, what, waiting
        waiting[self] = None

    def __call__(self) -> None:
        self._waiting.pop(self, None)
        try:
            self._push()
        except BrokerError as error:
            self._complain(error)
            if isinstance(error, QueueFull):
                return
            # Those that a savepoint has rolled back are gone from here, since nothing else refers to them.
            for dropped in list(self._waiting):
                dropped._complain("It was to leave after a job that could not.")
            self._waiting.clear()
            raise

    def _complain(self, why: object) -> None:
        log.error("%s was not enqueued, although its transaction has committed. %s", self._what, why)


_Waiting = WeakKeyDictionary[_Push, None]

_waiting: WeakKeyDictionary[BaseDatabaseWrapper, _Waiting] = WeakKeyDictionary()
"""connection -> what its commit pushes, in order."""


def at_commit(push: Callable[[], object], what: str, using: str | None = None) -> None:
    """Run ``push`` when the open transaction commits, and never when it is rolled back.

    Should Redis fail just then, the data is committed all the same and ``what`` is not enqueued, nor is what
    was to leave after it. Each is logged with its name, and the error raised out of the ``atomic()`` block,
    so that nobody takes them for done; Django then drops the hooks that were registered later. A queue that
    is full is only logged: the data is stored, and a request that has done its part goes on.
    """
    connection = connections[using or DEFAULT_DB_ALIAS]
    connection.on_commit(_Push(push, what, _waiting.setdefault(connection, WeakKeyDictionary())))


def check_alias(using: object) -> None:
    """Raise ValueError for a database that settings do not have."""
    if not isinstance(using, str):
        raise TypeError(f"using={using!r}: give the alias of a database, for example 'default'.")
    here = cast("Any", connections)._connections
    if settings.configured and using not in list(connections) and not hasattr(here, using):
        known = ", ".join(connections)
        raise ValueError(f"using={using!r}: there is no such database; DATABASES has {known}.")


def localised(moment: datetime) -> datetime:
    """An aware datetime. Raises ValueError for a naive one under USE_TZ, TypeError for anything else."""
    if not isinstance(moment, datetime):
        raise TypeError(f"schedule={moment!r}: give a datetime, or schedule_ms in epoch milliseconds.")
    if moment.tzinfo is not None:
        return moment
    if not settings.configured or settings.USE_TZ:
        raise ValueError(
            f"schedule={moment!r} is naive; give an aware datetime, "
            "for example timezone.now() + timedelta(hours=1)."
        )
    return timezone.make_aware(moment)
