"""Django signals of what happens to jobs. Each is sent with ``sender``, the task (None for one that this
process does not know), and ``event``, an ardiq.core.events.Event.

``job_enqueued`` is sent where a job is enqueued, and for occurrences, like the others, in a worker: by a
thread of its own, one after the other, so that a receiver may use the ORM and holds up no job. A receiver
that raises is logged and changes nothing; without receivers nothing is done.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable
from queue import SimpleQueue

from django.db import close_old_connections, connections, reset_queries
from django.dispatch import Signal

from ardiq import owners
from ardiq.core import events
from ardiq.core.events import Event

__all__ = [
    "admin_action", "job_aborted", "job_crashed", "job_enqueued", "job_expired", "job_failed", "job_parked",
    "job_retried", "job_started", "job_succeeded",
]  # fmt: skip

MOST = 10_000  # events that may wait for slow receivers; those beyond are dropped and counted
AGAIN = 1.0  # seconds until a thread is asked for again when there was none to be had

log = logging.getLogger("ardiq")

job_enqueued = Signal()
job_started = Signal()
job_succeeded = Signal()
job_retried = Signal()
job_failed = Signal()
job_aborted = Signal()
job_expired = Signal()
job_parked = Signal()
job_crashed = Signal()
admin_action = Signal()

_SIGNALS = {
    events.ENQUEUED: job_enqueued,
    events.STARTED: job_started,
    events.SUCCEEDED: job_succeeded,
    events.RETRIED: job_retried,
    events.FAILED: job_failed,
    events.ABORTED: job_aborted,
    events.EXPIRED: job_expired,
    events.PARKED: job_parked,
    events.CRASHED: job_crashed,
}

SenderOf = Callable[[str, str], object | None]
"""(queue, name of a task) -> the task."""


def announce(queue: str, made: Iterable[tuple[str, str, str]]) -> None:
    """Send ``job_enqueued`` of jobs that are new in Redis, here and now: (id, name, lane) of each."""
    for id, name, lane in made:
        event = Event(events.ENQUEUED, id, name, queue, lane)
        job_enqueued.send_robust(sender=owners.task_of(queue, name), event=event)


def send(event: Event, sender_of: SenderOf = owners.task_of) -> None:
    """Send the signal of an event of a worker, here and now, if there is one."""
    if signal := _SIGNALS.get(event.kind):
        signal.send_robust(sender=sender_of(event.queue, event.name), event=event)


class _Thread(threading.Thread):
    """Sends what it is handed, in order."""

    def __init__(self, sender_of: SenderOf) -> None:
        super().__init__(name="ardiq-signals", daemon=True)
        # Not Queue: putting must be one step, since an exception may be thrown into the thread of a job.
        self.waiting: SimpleQueue[Event | threading.Event | Callable[[], None]] = SimpleQueue()
        self.dropped = 0
        self._sender_of = sender_of

    def run(self) -> None:
        while True:
            item = self.waiting.get()
            if isinstance(item, threading.Event):
                connections.close_all()
                item.set()
                continue
            _tidy()
            try:
                self._send(item)
            except BaseException:
                # Even an exit: the receivers of the next event must hear of it all the same.
                kind = item.kind if isinstance(item, Event) else "the end of a job"
                log.exception("A receiver of %s raised; the job is not affected.", kind)
            _tidy()

    def _send(self, item: Event | Callable[[], None]) -> None:
        if isinstance(item, Event):
            send(item, self._sender_of)
        else:
            item()


def _tidy() -> None:
    if any(True for _ in connections.all(initialized_only=True)):
        try:
            reset_queries()
            close_old_connections()
        except Exception:
            # The thread lives on: what waits must be sent, and whoever needs the database will say so.
            log.exception("Database connections of the thread that sends signals could not be looked after.")


class Courier:
    """A listener of the events of workers (core/events.py) that sends signals."""

    def __init__(self, sender_of: SenderOf) -> None:
        self._sender_of = sender_of
        self._thread: _Thread | None = None
        self._again = 0.0

    def wanted(self, kind: str) -> bool:
        """Whether anybody receives such a signal. Called on the loop, again and again."""
        signal = _SIGNALS.get(kind)
        if signal is None or not signal.receivers:
            return False
        return self._here() is not None

    def _here(self) -> _Thread | None:
        """The thread that sends; None while the system has none to give."""
        if self._thread is None or not self._thread.is_alive():
            if time.monotonic() < self._again:
                return None
            fresh = _Thread(self._sender_of)
            try:
                fresh.start()
            except RuntimeError as error:
                self._again = time.monotonic() + AGAIN
                log.error("Signals of jobs are left out: %s.", error)
                return None
            self._thread = fresh
        return self._thread

    def hear(self, event: Event) -> None:
        """Called in any thread."""
        thread, signal = self._thread, _SIGNALS.get(event.kind)
        if thread is None or signal is None or not signal.receivers:
            return
        self._put(thread, event)

    def post(self, sending: Callable[[], None]) -> None:
        """Have the thread send what has a sender and receivers of its own. Called on the loop."""
        if (thread := self._here()) is not None:
            self._put(thread, sending)

    def _put(self, thread: _Thread, item: Event | Callable[[], None]) -> None:
        if thread.waiting.qsize() < MOST:
            thread.waiting.put(item)
            return
        thread.dropped += 1
        if thread.dropped & (thread.dropped - 1) == 0:
            log.warning("Receivers of job signals are too slow; %d were left out so far.", thread.dropped)

    @property
    def busy(self) -> bool:
        """Whether anything was ever heard that may not have been sent."""
        return self._thread is not None and self._thread.is_alive()

    def last(self) -> threading.Event:
        """It is set once what was heard so far has been sent."""
        done = threading.Event()
        if self._thread is None:
            done.set()
        else:
            self._thread.waiting.put(done)
        return done
