"""What happens to jobs, told to whoever listens: logs, signals, metrics, hooks.

The code that works contains no log text. A listener that raises is logged and changes nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

ENQUEUED = "enqueued"
STARTED = "started"
SUCCEEDED = "succeeded"
RETRIED = "retried"
FAILED = "failed"
ABORTED = "aborted"
EXPIRED = "expired"
PARKED = "parked"
REFUSED = "refused"
CRASHED = "crashed"
LOST = "lost"

KINDS = (ENQUEUED, STARTED, SUCCEEDED, RETRIED, FAILED, ABORTED, EXPIRED, PARKED, REFUSED, CRASHED, LOST)

log = logging.getLogger("ardiq")


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened. Times in epoch ms, durations in ms. ``discreet``: the task has sensitive
    arguments, and what its errors say is for the admin only."""

    kind: str
    id: str
    name: str
    queue: str
    lane: str
    worker: str = ""
    attempt: int = 0
    duration_ms: float = 0.0
    delay_ms: int = 0
    error: BaseException | None = None
    discreet: bool = False


Listener = Callable[[Event], None]
Wanted = Callable[[str], bool]


class Events:
    """Listeners in the order in which they subscribed."""

    def __init__(self) -> None:
        self._listeners: list[Listener] = []
        self._wanted: list[Wanted] = []
        self.wanted: frozenset[str] = frozenset()

    def subscribe(self, listener: Listener, wanted: Wanted = lambda kind: True) -> Listener:
        """``wanted(kind)`` says whether the listener would do anything with such an event just now."""
        if listener not in self._listeners:
            self._listeners.append(listener)
            self._wanted.append(wanted)
            self.look()
        return listener

    def look(self) -> None:
        """Ask anew which kinds anybody wants; to be called now and then, not for each job."""
        # All are asked, whatever the first says: one may make ready for what it will hear.
        each = [{kind for kind in KINDS if wanted(kind)} for wanted in self._wanted]
        self.wanted = frozenset[str]().union(*each)

    def unsubscribe(self, listener: Listener) -> None:
        if listener in self._listeners:
            at = self._listeners.index(listener)
            del self._listeners[at], self._wanted[at]
            self.look()

    def emit(self, event: Event) -> None:
        for listener in tuple(self._listeners):
            try:
                listener(event)
            except Exception:
                log.exception("A listener of ardiq events raised; the job is not affected.")
