"""What keeps a worker with room from taking jobs: it was told to be quiet, or its queue is paused."""

from __future__ import annotations

import logging
import time

from ardiq.core.errors import BrokerError
from ardiq.store import controls
from ardiq.store.async_client import AsyncStore
from ardiq.store.keys import Keys
from ardiq.worker.log import one_line

log = logging.getLogger("ardiq.worker")


class Brakes:
    """``quiet`` is this worker's own; of a pause the server is the judge, and this is what is known of it."""

    def __init__(self) -> None:
        self.quiet = False
        self.paused = False
        self._heard = 0.0

    def hear_pause(self) -> None:
        self._heard = time.monotonic()

    def caught(self, sent: float) -> bool:
        """Whether a claim sent then (monotonic seconds) brought what is not to be started any more: the
        reply was on its way when this worker was told."""
        return self.quiet or self._heard >= sent

    async def notice(self, paused: bool, store: AsyncStore, keys: Keys) -> None:
        """Log what has changed since the last claim."""
        self.paused = paused
        if not paused:
            log.info("Nothing of queue %s is paused any more.", keys.queue)
            return
        try:
            found: list[controls.Pause] = await store.run(controls.pauses(keys))
        except BrokerError:
            return
        for one in found:
            what = f"Lane {one_line(one.lane)} of queue {keys.queue}" if one.lane else f"Queue {keys.queue}"
            by = f" by {one_line(one.by)}" if one.by else ""
            why = f": {one_line(one.reason)}" if one.reason else ""
            log.info("%s is paused%s%s. What runs goes on.", what, by, why)
