"""Leaving at commit: the one place that asks Django whether a transaction is open here."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from django.conf import settings
from django.utils import timezone


def handed_over_at_commit(push: Callable[[], object], using: str | None = None) -> bool:
    """Register ``push`` to run at commit, if a transaction is open; False when there is none.

    The transaction that a TestCase wraps around a test never commits, so it does not count (D2).
    """
    if not settings.configured or not settings.DATABASES:
        return False
    from django.db import DEFAULT_DB_ALIAS, connections

    connection = connections[using or DEFAULT_DB_ALIAS]
    if not connection.in_atomic_block:
        return False
    if all(getattr(block, "_from_testcase", False) for block in connection.atomic_blocks):
        return False
    connection.on_commit(push)
    return True


def localised(moment: datetime) -> datetime:
    """An aware datetime. Raises ValueError for a naive one under USE_TZ, TypeError for anything else."""
    if not isinstance(moment, datetime):
        raise TypeError(f"schedule={moment!r}: give a datetime, or schedule_ms in epoch milliseconds.")
    if moment.tzinfo is not None:
        return moment
    if not settings.configured or settings.USE_TZ:
        raise ValueError(
            f"schedule={moment!r} is naive; give an aware datetime, for example timezone.now() + timedelta(hours=1)."
        )
    return timezone.make_aware(moment)
