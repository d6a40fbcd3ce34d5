"""Whether a worker may start on this server: asked once, before it takes its lease (R21)."""

from __future__ import annotations

import logging

from ardiq.store import server
from ardiq.store.async_client import AsyncStore
from ardiq.store.refusals import Refused

log = logging.getLogger("ardiq.worker")


async def admit(store: AsyncStore) -> None:
    """Raises UnsafeServer when the server throws away live jobs, BrokerError when it cannot be asked now."""
    try:
        facts = await store.run(server.info())
    except Refused:
        # A least-privilege user, or a managed service: that it cannot be asked is no reason not to work.
        facts = server.Info()
    if warning := server.admit(facts):
        log.warning("%s.", warning)
