"""Jobs whose worker died while it held them: each runs alone, in a process of its own (R7).

Whoever was killed took its neighbours with it, and nobody knows who did it. So none of them shares a
process again: the guilty one kills only itself, its death is known at once, and the innocent are done.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable

from ardiq.core.options import Options
from ardiq.core.retry import Ending, Outcome
from ardiq.store import verbs
from ardiq.store.async_client import AsyncStore
from ardiq.store.keys import Keys
from ardiq.worker.apart import BEGIN, LEAVE, Apart
from ardiq.worker.forked import Forked, Main, how
from ardiq.worker.held import Clock, Held, Stop
from ardiq.worker.isolation import BEGAN, NAME, REPORT, UNKNOWN, Errand
from ardiq.worker.judge import Judge
from ardiq.worker.runner import Runner

PER_PROCESSOR = 8  # children at once for each processor of the machine

log = logging.getLogger("ardiq.worker")


class Suspects(Apart):
    """``main`` ends in isolation.work. ``run_here`` takes back a job whose task the child does not find,
    because it was not defined in a module."""

    def __init__(
        self,
        main: Main,
        nursery: Callable[[], str],
        store: AsyncStore,
        keys: Keys,
        name: str,
        options: Options,
        clock: Clock,
        runner: Runner,
        judge: Judge,
        tell_to_stop: Callable[[Held, Stop], None],
        run_here: Callable[[Held], None],
    ) -> None:
        super().__init__(PER_PROCESSOR, main, nursery, name, options, clock, runner, judge, tell_to_stop)
        self._store, self._keys = store, keys
        self._run_here = run_here
        self._unknown: set[str] = set()

    def wants(self, held: Held) -> bool:
        """Whether this job must not share a process."""
        return held.record.raw[5:7] != b"00" and not held.shares

    async def _elsewhere(self, held: Held) -> Outcome | None:
        if not await self._store.run(verbs.alone(self._keys, held.lease.token, held.record.id, held.claim)):
            return Outcome(Ending.HANDED_BACK)  # somebody else's by now; the fence will say so
        if held.record.name in self._unknown:
            self._share(held)
            return None
        return await self._isolate(held)

    async def _isolate(self, held: Held) -> Outcome | None:
        record = held.record
        errand = Errand(
            self._options.queue, self._name, record.id, record.raw, held.claim, held.lease.token, self._clock
        )
        child = Forked(self._main, NAME, (errand, self._board.end))
        child.take()
        held.handed = time.monotonic()
        starting = asyncio.ensure_future(child.start(self._nursery()))
        try:
            await asyncio.shield(starting)
            return await self._follow(held, child)
        finally:
            if held.timer is not None:
                held.timer.cancel()
            # Shielded: whatever ends this coroutine, and when, the child must not outlive it.
            await asyncio.shield(_end(child, starting, held.over))

    async def _follow(self, held: Held, child: Forked) -> Outcome | None:
        try:
            message = await self._first_word(held, child)
        except TimeoutError:
            return self._not_begun(held, f"said nothing within {BEGIN:g} s")
        while message is not None:
            if message[0] == BEGAN:
                self._begin(held, message)
            elif message[0] == REPORT:
                self._report(held, message)
            elif message[0] == UNKNOWN:
                self._take_back(held)
                return None
            else:
                self._settle(held, message)
                return None
            message = await child.receive()
        died = how(await child.end(LEAVE))
        return self._crashed(held, died) if held.began else self._not_begun(held, died)

    def _take_back(self, held: Held) -> None:
        name = held.record.name
        self._unknown.add(name)
        log.warning(
            "Task %s is not found by a process of its own, because no module defines it at its top; its jobs "
            "go on sharing this process, although one of them may have killed the last.", name
        )  # fmt: skip
        self._share(held)

    def _share(self, held: Held) -> None:
        """It is marked as running alone all the same: should it kill this process, that counts."""
        held.shares = True
        self._run_here(held)


async def _end(child: Forked, starting: asyncio.Future[None], done: bool) -> None:
    """Wait for a child whose job is done, kill any other one, also one that is only just starting."""
    with contextlib.suppress(Exception):
        await starting
    await child.end(LEAVE if done else 0)
