"""The lease of a worker, and the thread that renews it.

One lease covers all that a worker holds. It is renewed from a thread with a connection of its own, so
that a blocked event loop does not lose it; but a loop that hangs for good must lose it (R5, R6).
"""

from __future__ import annotations

import faulthandler
import logging
import os
import secrets
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from ctypes import c_double
from typing import Any

from ardiq.core.errors import BrokerError
from ardiq.store import verbs
from ardiq.store.client import Store
from ardiq.store.keys import Keys
from ardiq.worker import faults
from ardiq.worker.outage import Outage

log = logging.getLogger("ardiq.worker")


class Lease:
    """A name of 128 random bits that never comes back, and how long this worker may believe in it."""

    __slots__ = ("answered", "end", "lapsed", "length_ms", "lost", "shown", "token")

    def __init__(self, length_ms: int) -> None:
        self.token = secrets.token_hex(16)
        self.length_ms = length_ms
        self.lost = False
        self.end = 0.0
        self.answered = 0.0
        self.lapsed = 0.0  # when it was renewed the last time after its end
        self.shown: tuple[c_double, ...] = ()  # where child processes read the end, if there are any

    def renewed(self, sent: float) -> None:
        """A renewal sent at ``sent`` (monotonic seconds) was answered: reckoned from then, never later."""
        if self.end and (now := time.monotonic()) >= self.end:
            self.lapsed = now
        self.answered = max(self.answered, sent)
        self.end = self.answered + self.length_ms / 1000
        if not self.lost:
            for end in self.shown:
                end.value = self.end

    @property
    def believed(self) -> bool:
        return not self.lost and time.monotonic() < self.end

    def believed_since(self, moment: float) -> bool:
        """Whether it has been in force all the while. A child process ends itself when it is not, and may
        be found dead only when the worker, which was stopped as well, has renewed its lease again."""
        return self.believed and self.lapsed <= moment


class Renewal(threading.Thread):
    """Renews every third of a lease, and passes on what the answer says."""

    def __init__(
        self,
        store: Store,
        keys: Keys,
        lease_ms: int,
        lease: Callable[[], Lease],
        doing: Callable[[], dict[str, Any]],
        ticked: Callable[[], float],
        told: Callable[[Lease, verbs.Renewed], None],
        outage: Outage,
    ) -> None:
        super().__init__(name="ardiq-renewal", daemon=True)
        self._store, self._keys = store, keys
        self._lease_ms = lease_ms
        self._lease, self._doing, self._ticked, self._told = lease, doing, ticked, told
        self._outage = outage
        self._ending = threading.Event()
        self._stalled_since: float | None = None
        self._warned = False
        self._woke = time.monotonic()

    def run(self) -> None:
        period = self._lease_ms / 3000
        while not self._ending.wait(period):
            if self._stalled():
                continue
            # After a beat that failed the next one must come well before the lease ends.
            period = self._lease_ms / 3000 if self._renew() else min(1.0, self._lease_ms / 30_000)
        self._store.close()

    def _renew(self) -> bool:
        lease = self._lease()
        if faults.armed:
            faults.hit("before_renew")
        sent = time.monotonic()
        try:
            answer = self._store.run(verbs.renew(self._keys, lease.token, lease.length_ms, self._doing()))
        except BrokerError as error:
            self._outage.noticed(error)
            return False
        except Exception:
            # A credential provider, a resolver: whatever it is, this thread must not end (R14).
            log.exception("The lease could not be renewed.")
            self._store.close()
            return False
        if faults.armed:
            faults.hit("after_renew")
        if not answer.lost:
            lease.renewed(sent)
        self._told(lease, answer)
        return True

    def _stalled(self) -> bool:
        """A loop that has not ticked for two leases is let go: its jobs belong to somebody who runs them."""
        now = time.monotonic()
        frozen, self._woke = now - self._woke > self._lease_ms / 1000, now
        # This thread itself was not running: the whole process was stopped, and the loop is not to blame.
        behind = 0.0 if frozen else now - self._ticked()
        if behind < 2 * self._lease_ms / 1000:
            self._stalled_since = None
            self._warn(behind)
            return False
        if self._stalled_since is None:
            self._stalled_since = now
            log.error("The event loop is blocked; its lease is no longer renewed. Stacks follow on stderr.")
            show_stacks()
        elif now - self._stalled_since > self._lease_ms / 1000:
            log.critical("The event loop is still blocked after one more lease: exit 70.")
            os._exit(70)
        return True

    def _warn(self, behind: float) -> None:
        """Say once where a loop hangs that is given another lease to come back in."""
        if behind < self._lease_ms / 1000:
            self._warned = False
        elif not self._warned:
            self._warned = True
            log.warning("The event loop has been blocked for %.1f s. Stacks follow on stderr.", behind)
            show_stacks()

    def stop(self) -> None:
        self._ending.set()


def show_stacks() -> None:
    with suppress(Exception):  # stderr may be closed, and those who show stacks have more to do
        faulthandler.dump_traceback(file=sys.__stderr__ or sys.stderr)
