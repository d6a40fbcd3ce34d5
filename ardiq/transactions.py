"""Leaving at commit: the one place that asks Django whether a transaction is open here."""

from __future__ import annotations

import logging
import weakref
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from itertools import count
from typing import Any, cast

from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.utils import timezone

from ardiq.core.errors import BrokerError, NotEnqueued, QueueFull

log = logging.getLogger("ardiq")

NAMED = 20  # jobs that an error names; it has the ids of all


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


Push = Callable[[list[Any]], "tuple[int, BrokerError | None]"]
"""Stores things, in their order: how many, the first ones, and why not all."""


@dataclass(frozen=True, slots=True)
class Leaving:
    """What leaves at a commit: one job or several, that ``push`` stores."""

    thing: object
    push: Push
    what: str
    """What a log calls it; '' for what somebody else stores when ``push`` does not."""
    ids: tuple[str, ...] = ()
    group: object = None
    """What follows another of the same group leaves with it, by the ``push`` of the first; None: alone."""


class _Hook:
    """In the list that Django keeps, one for each that leaves: so it is Django that forgets what a savepoint
    has rolled back, and the hooks of the project keep their place among them. The first of those that
    follow each other stores them all."""

    def __init__(self, leaving: Leaving, connection: BaseDatabaseWrapper) -> None:
        self.leaving, self.number = leaving, next(_numbers)
        self.savepoints = frozenset(filter(None, connection.savepoint_ids))
        self.next: weakref.ref[_Hook] | None = None
        self.gone = False
        self._connection = weakref.ref(connection)
        self._waiting = _waiting.setdefault(connection, weakref.WeakKeyDictionary())
        if leaving.what:
            self._waiting[self] = None

    def __call__(self) -> None:
        if self.gone:
            return
        together = self._together()
        for hook in together:
            hook.gone = True
            self._waiting.pop(hook, None)
        try:
            stored, error = self.leaving.push([hook.leaving.thing for hook in together])
        except BaseException as surprise:
            _complain(together, surprise)
            raise
        if error is not None:
            self._fail(together[stored:], error)

    def _together(self) -> list[_Hook]:
        """This one and those that leave with it.

        Another one may have been rolled back, and still be referred to by somebody. It has not been if it
        is in no savepoint that this one is not in: that would have rolled back both.
        """
        found, last = [self], self
        while last.next is not None and (behind := last.next()) is not None:
            if behind.gone or not behind.savepoints <= self.savepoints:
                break
            found.append(behind)
            last = behind
        return found

    def _fail(self, lost: list[_Hook], error: BrokerError) -> None:
        _complain(lost, error)
        if isinstance(error, QueueFull):
            return
        # Those that a savepoint has rolled back are gone from here, since nothing else refers to them.
        # What was registered before is of an outer commit, whose hook has opened this one: that goes on.
        dropped = [hook for hook in self._waiting if hook.number > self.number]
        _complain(dropped, "It was to leave after a job that could not.")
        for hook in dropped:
            hook.gone = True
            self._waiting.pop(hook, None)
        raise _not_enqueued([*lost, *dropped], error) from error

    def __del__(self) -> None:
        # Django drops the hooks behind one that raises, and all of them at a rollback. What is rolled back is
        # dropped before the connection commits by itself again.
        connection = None if self.gone else self._connection()
        if connection is not None and connection.autocommit and not connection.in_atomic_block:
            _complain([self], "A hook that was registered for the commit before it has raised.")


def _complain(hooks: Iterable[_Hook], why: object) -> None:
    for hook in hooks:
        if hook.leaving.what:
            what = hook.leaving.what
            log.error("%s was not enqueued, although its transaction has committed. %s", what, why)


def _not_enqueued(hooks: list[_Hook], error: BrokerError) -> NotEnqueued:
    what = [hook.leaving.what for hook in hooks]
    more = f" and {len(what) - NAMED:,} more" if len(what) > NAMED else ""
    return NotEnqueued(
        f"The transaction has committed, but not enqueued: {', '.join(what[:NAMED])}{more}. {error}",
        [id for hook in hooks for id in hook.leaving.ids],
    )


_numbers = count()
_waiting: weakref.WeakKeyDictionary[BaseDatabaseWrapper, weakref.WeakKeyDictionary[_Hook, None]]
_waiting = weakref.WeakKeyDictionary()
"""connection -> what its commit pushes, in order."""


def at_commit(leaving: Leaving, using: str | None = None) -> None:
    """Push when the open transaction commits, and never when it is rolled back.

    What is enqueued one after the other leaves together, unless a hook of the project comes between; then in
    the order of registration. Should Redis fail just then, the data is committed all the same: each job is
    logged, and one NotEnqueued that names them all, also those behind, is raised out of the ``atomic()``
    block, so that nobody takes them for done; Django then drops the hooks that were registered later. A queue
    that is full is only logged: the data is stored, and a request that has done its part goes on.
    """
    connection = connections[using or DEFAULT_DB_ALIAS]
    hook = _Hook(leaving, connection)
    before = connection.run_on_commit[-1][1] if connection.run_on_commit else None
    if isinstance(before, _Hook) and leaving.group is not None and before.leaving.group == leaving.group:
        before.next = weakref.ref(hook)
    connection.on_commit(hook)


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
