"""Log lines about a server that cannot be reached: one when it begins, one now and then, one at its end."""

from __future__ import annotations

import logging
import time

REMIND = 10.0  # seconds between two lines about the same outage

log = logging.getLogger("ardiq.worker")


class Outage:
    """Shared by all parts of a worker, which notice the same outage each in its own way."""

    def __init__(self) -> None:
        self._since: float | None = None
        self._told = 0.0

    def noticed(self, error: BaseException) -> None:
        now = time.monotonic()
        if self._since is None:
            self._since = now
            log.warning("Waiting for Redis; what is done is kept and committed later. %s", error)
        elif now - self._told > REMIND:
            log.warning("Still waiting for Redis, %.0f s by now. %s", now - self._since, error)
        else:
            return
        self._told = now

    def over(self) -> None:
        """A call was answered."""
        if self._since is not None:
            log.info("Redis is back after %.1f s.", time.monotonic() - self._since)
            self._since = None
