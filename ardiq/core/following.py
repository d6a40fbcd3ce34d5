"""Who follows jobs from where they are enqueued to where they run: tracing and error reporting.

Nobody by default, and then nothing is done. A follower that raises is logged and changes nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from ardiq.core.context import JobContext

log = logging.getLogger("ardiq")

Sent = Callable[[int], None]
"""To be called with the size of the encoded call, in bytes."""
Ended = Callable[[BaseException | None], None]
"""To be called with what the run raised, if anything."""


@dataclass(frozen=True, slots=True)
class Sending:
    """A job that is being enqueued. ``delayed``: not before some later time."""

    id: str
    name: str
    queue: str
    lane: str
    delayed: bool


@dataclass(frozen=True, slots=True)
class Run:
    """An attempt that begins. Times in epoch ms by the clock of the server; ``ready_at`` is since when the
    job could have run; ``size`` of its call in bytes. ``discreet``: the task has sensitive arguments."""

    job: JobContext
    worker: str
    enqueued_at: int
    ready_at: int
    started_at: int
    size: int
    delayed: bool
    discreet: bool


class Follower(Protocol):
    """What is told of jobs. Both are called in the context of the job's caller, or of the job."""

    def send(self, sending: Sending) -> tuple[Mapping[str, str], Sent]:
        """The headers that the job is to carry beside those of its caller; whom to tell when it is made."""

    def run(self, run: Run) -> Ended:
        """The body is about to begin; whom to tell when it has ended, in the same context."""


followers: list[Follower] = []


def _guarded(told: Callable[..., None]) -> Callable[..., None]:
    def tell(*what: Any) -> None:
        try:
            told(*what)
        except Exception:
            log.exception("A follower of jobs raised; the job is not affected.")

    return tell


def send(sending: Sending) -> tuple[dict[str, str], Sent]:
    """Tell all of them of a job that is being enqueued."""
    headers: dict[str, str] = {}
    all_sent: list[Callable[..., None]] = []
    for follower in followers:
        try:
            more, told = follower.send(sending)
        except Exception:
            log.exception("A follower of jobs raised; the job is not affected.")
        else:
            headers.update(more)
            all_sent.append(_guarded(told))

    def sent(size: int) -> None:
        for one in all_sent:
            one(size)

    return headers, sent


def run(run: Run) -> Ended:
    """Tell all of them of an attempt that begins."""
    all_ended: list[Callable[..., None]] = []
    for follower in followers:
        try:
            all_ended.append(_guarded(follower.run(run)))
        except Exception:
            log.exception("A follower of jobs raised; the job is not affected.")

    def ended(error: BaseException | None) -> None:
        # The last one first: what it has put in force lies on what those before it have.
        for one in reversed(all_ended):
            one(error)

    return ended
