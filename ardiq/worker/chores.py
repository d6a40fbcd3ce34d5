"""Small side tasks of a worker, one coroutine each, and the watch over them.

None of them may end while the worker lives: one that does takes the worker with it, loudly, because a
worker that looks healthy and does nothing is the worst of all faults (R14).
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from ardiq.core.errors import BrokerError
from ardiq.store.endpoint import Endpoint
from ardiq.store.keys import Keys
from ardiq.store.refusals import Refused
from ardiq.store.waiting import Subscription

TICK = 0.25  # seconds
DENIED = 10.0  # seconds until it is tried again to listen where that is not allowed

log = logging.getLogger("ardiq.worker")


async def watched(main: Coroutine[Any, Any, None], *chores: Coroutine[Any, Any, None]) -> None:
    """Run ``main`` to its end, with chores beside it. Raises what ended a chore, should one end."""
    tasks = [asyncio.ensure_future(one) for one in (main, *chores)]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
        if tasks[0] not in done:
            raise RuntimeError("A chore of the worker ended by itself.")
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class Alarm:
    """For parts of a worker that are no chores: ``ring`` it on the loop, and the chore ``ringing`` raises."""

    def __init__(self) -> None:
        self._rung = asyncio.Event()
        self._error: BaseException | None = None

    def ring(self, error: BaseException) -> None:
        self._error = self._error or error
        self._rung.set()

    def guard(self, task: asyncio.Task[None]) -> None:
        """Ring should this task fail."""
        task.add_done_callback(lambda task: None if task.cancelled() else self._look(task.exception()))

    def _look(self, error: BaseException | None) -> None:
        if error is not None:
            self.ring(error)

    async def ringing(self) -> None:
        await self._rung.wait()
        assert self._error is not None
        raise self._error


async def tick(ticked: Callable[[], None]) -> None:
    """Show that the loop turns, four times a second."""
    while True:
        ticked()
        await asyncio.sleep(TICK)


async def listen_for_aborts(
    endpoint: Endpoint, keys: Keys, heard: Callable[[str], None], ask: Callable[[], Awaitable[None]]
) -> None:
    """Pass on ids of running jobs that somebody aborts, and orders (orders.py); ``ask`` for what was said
    before anybody listened.

    A lost message comes with the next renewal.
    """
    told = False
    while True:
        subscription = Subscription(endpoint, keys.control)
        try:
            await subscription.open()
            await ask()
            async for id in subscription:
                heard(id)
        except Refused as error:
            # Nothing that waiting will mend, but the job of this worker can be done without it.
            if not told:
                log.warning("Aborts and orders reach this worker with the next renewal only. %s", error)
            told = True
            await asyncio.sleep(DENIED)
        except BrokerError as error:
            log.debug("Not listening for aborts: %s", error)
        finally:
            subscription.close()
        await asyncio.sleep(random.uniform(0.1, 1.0))  # noqa: S311 - spreads reconnects
