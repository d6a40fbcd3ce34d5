"""The lease of a worker as its child processes see it, and what they do when it ends (R4).

A worker that stands still cannot stop its children, and somebody else may run their jobs by now. So the end
of the lease lies in memory that they share with it: the thread that renews writes one number, and no message
can be late or stand in a queue. It is in monotonic seconds, the same for all processes of a machine.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable
from ctypes import c_double
from functools import cached_property

from ardiq.core.retry import Outcome
from ardiq.worker.held import Held, Stop, interrupt_of
from ardiq.worker.lease import Lease
from ardiq.worker.threads import Seat

LOOK = 0.25  # seconds between looks past the end
LINGER = 5.0  # seconds that a job gets to end in once it was told to stop

_context = multiprocessing.get_context("forkserver")


class Board:
    """The worker's side: where the end of its lease is written for its children."""

    @cached_property
    def end(self) -> c_double:
        """OSError where there is no room for it. Most workers never have a child."""
        end: c_double = _context.RawValue(c_double, 0.0)
        return end

    def show(self, lease: Lease) -> None:
        """From now on this is the lease that they go by."""
        if self.end not in lease.shown:
            lease.shown = (*lease.shown, self.end)
            self.end.value = lease.end


class Believer(threading.Thread):
    """A child's side: past the end of the lease it stops the job at hand as a worker would, and one that does
    not end is ended with its process. ``tell`` is called in this thread, with a job that is stopped."""

    def __init__(self, end: c_double, tell: Callable[[Held], None]) -> None:
        super().__init__(name="ardiq-lease", daemon=True)
        self._end, self._tell = end, tell
        self._held: Held | None = None
        self._told = self._thrown = 0.0
        self._seat = Seat()

    @property
    def believes(self) -> bool:
        return time.monotonic() < self._end.value

    def sync(self, held: Held, perform: Callable[[Held], Outcome]) -> Outcome:
        """Run a job in this thread, where it can be interrupted."""
        self._seat.ident = threading.get_ident()
        self.watch(held)
        return self._seat.run(held, perform)

    def watch(self, held: Held) -> None:
        """This is the job at hand from now on, until its verdict is made."""
        self._told, self._thrown, self._held = 0.0, 0.0, held

    def run(self) -> None:
        while True:
            rest = self._end.value - time.monotonic()
            if rest <= 0 and (held := self._held) is not None and not held.over:
                self._stop(held)
            time.sleep(max(rest, LOOK))

    def _stop(self, held: Held) -> None:
        now = time.monotonic()
        if not self._told:
            self._told, held.stop = now, Stop.LOST
        if held.context is not None and not self._thrown:  # else it reads its call, and sees the reason then
            self._thrown, held.context.lease_lost = now, True
            self._tell(held)
            if held.task is None:
                self._seat.throw(held, interrupt_of(Stop.LOST))
            else:
                held.task.get_loop().call_soon_threadsafe(_cancel, held)
        if now - self._told > LINGER:
            end_of_process()


def _cancel(held: Held) -> None:
    if held.task is not None and not held.over:
        held.task.cancel()


def end_of_process() -> None:
    """At once, and with the programs that its tasks have started where it has a group of its own."""
    if os.getpgid(0) == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)
