"""Leaving at commit: the one place that asks Django whether a transaction is open here."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, cast

from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, connections
from django.utils import timezone


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


def at_commit(push: Callable[[], object], using: str | None = None) -> None:
    """Run ``push`` when the open transaction commits, and never when it is rolled back.

    Should it fail then, the data is committed all the same: Django logs the error, and other callbacks run.
    """
    connections[using or DEFAULT_DB_ALIAS].on_commit(push, robust=True)


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
