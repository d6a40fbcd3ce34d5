"""How a worker comes in: whether it may start on this server is asked once (R21), then it takes its lease."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping

from ardiq.core.errors import BrokerError
from ardiq.store import server, verbs
from ardiq.store.async_client import AsyncStore
from ardiq.store.keys import Keys
from ardiq.store.refusals import Refused
from ardiq.worker import faults
from ardiq.worker.held import Clock
from ardiq.worker.lease import Lease
from ardiq.worker.outage import Outage

AGAIN = 0.5  # seconds between two tries

log = logging.getLogger("ardiq.worker")


async def admit(store: AsyncStore) -> None:
    """Raises UnsafeServer when the server throws away live jobs, BrokerError when it cannot be asked now."""
    if store.endpoint.is_fake:
        return  # a server of this process has neither a limit nor a policy
    try:
        facts = await store.run(server.info())
    except Refused:
        # A least-privilege user, or a managed service: that it cannot be asked is no reason not to work.
        facts = server.Info()
    if warning := server.admit(facts):
        log.warning("%s.", warning)


class Entrance:
    """Gives a worker its leases: the first one, and another after each that is lost. ``about`` is what people
    may want to know of the worker, ``insists`` whether it waits for Redis also before it has ever begun."""

    def __init__(
        self, commit: AsyncStore, keys: Keys, lease_ms: int, about: Mapping[str, str], clock: Clock,
        outage: Outage, stopped: Callable[[], bool], insists: bool,
    ) -> None:  # fmt: skip
        self._commit, self._keys, self._lease_ms, self._about = commit, keys, lease_ms, about
        self._clock, self._outage, self._stopped, self._insists = clock, outage, stopped, insists
        self._admitted = False
        self.lease: Lease | None = None  # the last one that was given

    async def register(self) -> Lease | None:
        """A lease in force. Waits for Redis as long as it takes; None when stopped meanwhile."""
        lease = Lease(self._lease_ms)
        while not self._stopped():
            try:
                await self._enter(lease)
            except BrokerError as error:
                if not self._insists and self.lease is None:
                    raise  # it was to do what is due and end; whoever started it must hear of this
                self._outage.noticed(error)
                await asyncio.sleep(AGAIN)
            else:
                if faults.armed:
                    faults.hit("after_register")
                self.lease = lease
                return lease
        return None

    async def _enter(self, lease: Lease) -> None:
        sent = time.monotonic()
        if not self._admitted:
            await admit(self._commit)
            self._admitted = True
        call = verbs.register(self._keys, lease.token, lease.length_ms, self._about)
        self._clock.set(await self._commit.run(call))
        lease.renewed(sent)
