"""What people tell a worker while it works: that its queue is paused, to be quiet, to work again, to stop.

It comes by publish; should that be lost, the last order comes again with every renewal, and the next claim
tells of a pause.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

from ardiq.core.errors import BrokerError
from ardiq.worker.limits import Limits
from ardiq.worker.log import one_line
from ardiq.worker.pump import Pump

log = logging.getLogger("ardiq.worker")


class Orders:
    """``confirm`` renews the lease now, so that people see at once what this worker has made of an order."""

    def __init__(self, pump: Pump, limits: Limits, confirm: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self._pump, self._limits, self._confirm = pump, limits, confirm
        self._obeyed = ""
        self._confirming: asyncio.Task[None] | None = None

    @property
    def state(self) -> str:
        """'stopping', 'quiet', or '' for a worker that takes jobs. From any thread."""
        if self._pump.stopping:
            return "stopping"
        return "quiet" if self._pump.brakes.quiet else ""

    def hear(self, what: str, worker: str) -> None:
        """A message that is no id: for all workers of the queue, or for the one that it names."""
        if what == "pause":
            self._pump.brakes.hear_pause()
            self._pump.put_back()  # what is not paused is claimed again
        elif worker == self._pump.lease.token:
            self.obey(what)

    def obey(self, order: str) -> bool:
        """Do what is told, once. Answers whether that was something new."""
        if order == self._obeyed or not order:
            return False
        self._obeyed = order
        if order == "quiet":
            log.info("Told to be quiet: what runs may end, and no more is taken.")
            self._pump.brakes.quiet = True
            self._pump.put_back()
        elif order == "work":
            log.info("Told to take jobs again.")
            self._pump.brakes.quiet = False
            self._pump.freed()
        elif order == "stop":
            log.info("Told to stop.")
            self._limits.told = True  # the next tick of every worker of this process sees it
        else:
            log.warning("Told to do what this release does not know: %s", one_line(order))
        # Also when it came with a renewal, which went out before this worker knew what it would be.
        self._confirming = asyncio.ensure_future(self._confirmed())
        return True

    async def _confirmed(self) -> None:
        try:
            await self._confirm()
        except BrokerError as error:
            log.debug("An order could not be confirmed: %s", error)  # the next renewal does
