"""The end of a worker (R16): hand back what has not started, let the rest end, commit, sign off."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

from ardiq.core.errors import BrokerError
from ardiq.store import verbs
from ardiq.store.async_client import AsyncStore
from ardiq.worker import faults
from ardiq.worker.held import Held, Stop
from ardiq.worker.pump import Pump
from ardiq.worker.settler import Settler
from ardiq.worker.slots import LEAKS, Slots

HANDED_OVER = 1.5  # seconds that cancelled jobs get to end in; a second signal allows 2 s in all (H3)
FLUSH = 5.0  # seconds to commit the last verdicts
LAST = 0.4  # seconds for that, once it is known that there is a hurry

log = logging.getLogger("ardiq.worker")


class Drain:
    """``give_back`` hands one job back. The settler runs meanwhile; ``stuck`` jobs did not stop. It is
    ``complete`` when Redis has heard of everything."""

    def __init__(
        self,
        slots: Slots,
        pump: Pump,
        settler: Settler,
        commit: AsyncStore,
        give_back: Callable[[Held], None],
    ) -> None:
        self._slots, self._pump, self._settler, self._commit = slots, pump, settler, commit
        self._give_back = give_back
        self.stuck = 0
        self.complete = False

    async def run(self, grace: float, hurry: asyncio.Event) -> None:
        """Give running jobs ``grace`` seconds, or until told to hurry."""
        if faults.armed:
            faults.hit("before_give_back")
        for held in reversed(self._slots.withdraw()):
            self._give_back(held)
        if self._slots.processes is not None:
            self._slots.processes.dismiss()
        for held in list(self._pump.held.values()):
            if held.alone and not held.began:
                self._slots.tell_to_stop(held, Stop.HAND_BACK)  # its process is not there yet
        await self._quiet(grace, hurry)
        if self._slots.busy:
            for held in list(self._pump.held.values()):
                self._slots.tell_to_stop(held, Stop.HAND_BACK)
            await self._quiet(HANDED_OVER, asyncio.Event())
        self.stuck = max(1, self._slots.running) if self._slots.busy else 0
        if self.stuck:
            log.warning("Jobs that did not stop: %d. Their lease will run out.", self.stuck)
        await self._sign_off(hurry)
        if len(self._settler):
            log.warning("Jobs whose end did not reach Redis: %d. They run again.", len(self._settler))

    async def _sign_off(self, hurry: asyncio.Event) -> None:
        """Leave nothing behind in Redis. Whoever is in a hurry does not wait for one that is away."""
        last_words, hurried = asyncio.ensure_future(self._last_words()), asyncio.ensure_future(hurry.wait())
        try:
            await asyncio.wait((last_words, hurried), return_when=asyncio.FIRST_COMPLETED)
            done, _ = await asyncio.wait((last_words,), timeout=LAST)
            self.complete = bool(done) and last_words.result()
        finally:
            last_words.cancel()
            hurried.cancel()

    async def _last_words(self) -> bool:
        """Whether Redis has heard all."""
        if not await self._settler.flush(FLUSH):
            return False
        if self._pump.reconcile:
            # A claim whose reply was lost just before the stop: its jobs go back uncharged. Not before the
            # flush, which has waited for a server that was away.
            await self._pump.reconciled()
        return await self._unregister()

    async def _quiet(self, seconds: float, hurry: asyncio.Event) -> None:
        """Wait until nothing runs, at most ``seconds``, or until told to hurry."""
        end = time.monotonic() + seconds
        while self._slots.busy and time.monotonic() < end and not hurry.is_set():
            if self._slots.told and self._slots.leaked(LEAKS) >= self._slots.running:
                return  # only those that do not stop are left
            await asyncio.sleep(0.02)

    async def _unregister(self) -> bool:
        if faults.armed:
            faults.hit("before_unregister")
        try:
            await self._commit.run(verbs.unregister(self._pump.keys, self._pump.lease.token))
        except BrokerError as error:
            log.warning("The worker could not sign off; its lease will run out: %s", error)
            return False
        return True
