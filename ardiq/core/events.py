"""What happens to jobs, told to whoever listens: logs, signals, metrics, hooks.

The code that works contains no log text. A listener that raises is logged and changes nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

ENQUEUED = "enqueued"
STARTED = "started"
SUCCEEDED = "succeeded"
RETRIED = "retried"
FAILED = "failed"
ABORTED = "aborted"
EXPIRED = "expired"
PARKED = "parked"
REFUSED = "refused"

log = logging.getLogger("ardiq")


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened. Times in epoch ms, durations in ms."""

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
    details: dict[str, Any] = field(default_factory=dict)


Listener = Callable[[Event], None]
Wanted = Callable[[str], bool]


class Events:
    """Listeners in the order in which they subscribed."""

    def __init__(self) -> None:
        self._listeners: list[Listener] = []
        self._wanted: list[Wanted] = []

    def subscribe(self, listener: Listener, wanted: Wanted = lambda kind: True) -> Listener:
        """``wanted(kind)`` says, cheaply and each time, whether the listener would do anything with it."""
        if listener not in self._listeners:
            self._listeners.append(listener)
            self._wanted.append(wanted)
        return listener

    def wanted(self, kind: str) -> bool:
        """Whether an event of this kind is worth making: most jobs end without anybody listening."""
        return any(wanted(kind) for wanted in self._wanted)

    def unsubscribe(self, listener: Listener) -> None:
        if listener in self._listeners:
            at = self._listeners.index(listener)
            del self._listeners[at], self._wanted[at]

    def emit(self, event: Event) -> None:
        for listener in tuple(self._listeners):
            try:
                listener(event)
            except Exception:
                log.exception("A listener of ardiq events raised; the job is not affected.")
