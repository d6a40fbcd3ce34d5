"""Calls of Django tasks: which lane, when, and what travels with them."""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from datetime import timedelta
from typing import Any

from ardiq.backend.origin import Task
from ardiq.backend.policy import Policy
from ardiq.backend.reading import MARK
from ardiq.connection import Answer, Broker
from ardiq.core.reference import Reference
from ardiq.core.registry import Definition
from ardiq.core.retry import TEN_YEARS_MS
from ardiq.enqueuing import Enqueuable
from ardiq.overrides import LATEST_MS, CallOptions
from ardiq.owners import Owner
from ardiq.transactions import localised

HIGHEST = 100  # and -100 is the lowest priority


def lane_of(priority: int, lanes: tuple[str, ...]) -> str:
    """Priorities are spread evenly over the lanes, lowest first; 0 is the middle one, rounded up."""
    return lanes[min(len(lanes) - 1, (int(priority) + HIGHEST) * len(lanes) // (2 * HIGHEST))]


class TaskCall(Enqueuable[..., Any]):
    """A Django task as something that can be enqueued. ``mark``: in what it differs from its module's."""

    def __init__(
        self, hall: Owner, task: Task, definition: Definition, policy: Policy, mark: dict[str, Any]
    ) -> None:
        delay, schedule = when(task.run_after)
        options = CallOptions(
            delay_ms=delay, schedule_ms=schedule, expire_ms=policy.expire_ms, on_commit=policy.on_commit,
            using=policy.using,
        )  # fmt: skip
        super().__init__(hall, definition.name, definition, options)
        self._mark = mark
        if self.same is None and not mark and options == CallOptions():
            self.plain = True  # the most frequent call is the fastest, at this door as well

    @property
    def priority(self) -> str:
        """The lane of its jobs."""
        return self.lane_in(self.app.broker)

    def meta_in(self, broker: Broker, subject: Reference | None) -> dict[str, Any]:
        meta = super().meta_in(broker, subject)
        return {**meta, MARK: self._mark} if self._mark else meta

    def telling(self, told: Callable[[Answer], None]) -> TaskCall:
        """The same for one call, of which ``told`` hears what came of it."""
        one = copy(self)
        one.told = told
        return one


def when(run_after: Any) -> tuple[int, int]:
    """(delay, time) in ms, 0 for none. Raises ValueError for what is further away than any job may be."""
    if run_after is None:
        return 0, 0
    if isinstance(run_after, timedelta):
        delay = max(0, run_after // timedelta(milliseconds=1))
        if delay > TEN_YEARS_MS:
            raise ValueError(
                f"run_after={run_after!r}: give a timedelta of at most {TEN_YEARS_MS // 86_400_000:,} days."
            )
        return delay, 0
    schedule = max(0, int(localised(run_after).timestamp() * 1000))
    if schedule > LATEST_MS:
        raise ValueError(f"run_after={run_after!r}: give a time before the year 2248.")
    return 0, schedule
