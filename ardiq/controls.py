"""Running a queue: pause it, empty or move what waits in it, and tell its workers what to do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ardiq.core.names import did_you_mean
from ardiq.recurring import Recurring
from ardiq.store import controls, inspector, letters, moving
from ardiq.store.controls import Order, Pause
from ardiq.store.inspector import WorkerView
from ardiq.store.scripts import Call

__all__ = ["Controls", "Pause"]


class Controls(Recurring):
    """The part of an ``Ardiq`` for whoever operates it. Each async method has a twin for sync code."""

    # -- pausing ----------------------------------------------------------------------------------

    async def pause_queue(self, reason: str = "", *, lane: str | None = None, by: str = "") -> bool:
        """Hand out no more jobs of this queue, or of one ``lane``, until ``resume_queue``.

        What runs goes on, and jobs are still enqueued and scheduled. ``reason`` (300 characters are kept) and
        ``by``, who it was, are shown wherever the queue is. Answers whether it was running; of a queue that
        is paused they are replaced. Raises ValueError for a lane that there is not.
        """
        return bool(await self.broker.here().store.run(self._pause(reason, lane, by)))

    def pause_queue_sync(self, reason: str = "", *, lane: str | None = None, by: str = "") -> bool:
        """``pause_queue`` for sync code."""
        return bool(self.broker.store.run(self._pause(reason, lane, by)))

    async def resume_queue(self, *, lane: str | None = None) -> bool:
        """Hand out jobs again. A lane that was paused by itself is resumed by itself. Answers whether it was
        paused."""
        return bool(await self.broker.here().store.run(self._resume(lane)))

    def resume_queue_sync(self, *, lane: str | None = None) -> bool:
        """``resume_queue`` for sync code."""
        return bool(self.broker.store.run(self._resume(lane)))

    async def pauses(self) -> list[Pause]:
        """What is paused: the whole queue (``lane`` is empty) or lanes of it; since when, by whom and why."""
        return list(await self.broker.here().store.run(controls.pauses(self.broker.keys)))

    def pauses_sync(self) -> list[Pause]:
        """``pauses`` for sync code."""
        return list(self.broker.store.run(controls.pauses(self.broker.keys)))

    def _pause(self, reason: str, lane: str | None, by: str) -> Call:
        return controls.pause(self.broker.keys, self._lane(lane), reason, by)

    def _resume(self, lane: str | None) -> Call:
        # Also of a lane that settings have no more: it may have been paused while they had it.
        return controls.resume(self.broker.keys, lane or "")

    def _lane(self, lane: str | None) -> str:
        return "" if lane is None else self.options.check_lane(lane)

    # -- what waits -------------------------------------------------------------------------------

    async def purge_waiting(self, lane: str | None = None) -> int:
        """Delete all jobs that are ready and wait, of one lane or of all; what is scheduled stays. They never
        run. Answers how many. 200 in one round trip, and what comes meanwhile stays."""
        return await letters.drive_async(self.broker.here().store, self._purge(lane))

    def purge_waiting_sync(self, lane: str | None = None) -> int:
        """``purge_waiting`` for sync code."""
        return letters.drive(self.broker.store, self._purge(lane))

    def _purge(self, lane: str | None) -> letters.Steps[int]:
        lanes = self.options.priorities if lane is None else [self._lane(lane)]
        return letters.purge(self.broker.keys, [f"lane:{one}" for one in lanes])

    async def move_waiting(self, lane: str, to: str) -> int:
        """Move all jobs that wait in a lane to the end of another one, in their order. Answers how many. 200
        in one round trip, each of them once; what comes meanwhile stays."""
        return await letters.drive_async(self.broker.here().store, self._shift(lane, to))

    def move_waiting_sync(self, lane: str, to: str) -> int:
        """``move_waiting`` for sync code."""
        return letters.drive(self.broker.store, self._shift(lane, to))

    def _shift(self, lane: str, to: str) -> letters.Steps[int]:
        if self.options.check_lane(lane) == self.options.check_lane(to):
            raise ValueError(f"to={to!r}: they are in this lane already; name another one.")
        return moving.shift(self.broker.keys, lane, to)

    # -- workers ----------------------------------------------------------------------------------

    async def workers(self) -> list[WorkerView]:
        """The workers that are registered, also those whose lease has run out; 200 at most."""
        store = self.broker.here().store
        leases = await store.run(inspector.workers(self.broker.keys))
        return list(await store.run_many(self._closer(leases)))

    def workers_sync(self) -> list[WorkerView]:
        """``workers`` for sync code."""
        store = self.broker.store
        return list(store.run_many(self._closer(store.run(inspector.workers(self.broker.keys)))))

    def _closer(self, leases: Sequence[tuple[str, int]]) -> list[Call]:
        return [inspector.worker(self.broker.keys, id, end) for id, end in leases]

    async def tell_worker(self, worker: str, order: Order, *, by: str = "") -> bool:
        """Tell a worker to be ``quiet`` (what runs may end, no more is taken), to ``work`` again, or to
        ``stop`` like one that gets SIGTERM: with the whole process, also its workers of other queues.

        ``worker`` is an id or a name as ``workers`` has them. It does so at once, or, should it not hear,
        with its next renewal, within a third of LEASE_MS. Answers whether there is such a worker. Raises
        ValueError for an unknown order, LookupError for a name that several workers have.
        """
        known = {worker: worker} if _is_id(worker) else _by_name(await self.workers())
        call = self._order(known, worker, order, by)
        return call is not None and bool(await self.broker.here().store.run(call))

    def tell_worker_sync(self, worker: str, order: Order, *, by: str = "") -> bool:
        """``tell_worker`` for sync code."""
        known = {worker: worker} if _is_id(worker) else _by_name(self.workers_sync())
        call = self._order(known, worker, order, by)
        return call is not None and bool(self.broker.store.run(call))

    def _order(self, known: dict[str, str], worker: str, order: Order, by: str) -> Call | None:
        if order not in controls.ORDERS:
            raise ValueError(f"order={order!r}: {did_you_mean(order, controls.ORDERS)}")
        id = known.get(worker, "")
        if id == SEVERAL:
            raise LookupError(
                f"Several workers are named {worker!r}; give the id of one, as workers() has it."
            )
        return controls.order(self.broker.keys, id, order, by) if id else None


SEVERAL = "*"


def _is_id(worker: str) -> bool:
    return len(worker) == 32 and all(digit in "0123456789abcdef" for digit in worker)


def _by_name(workers: list[WorkerView]) -> dict[str, str]:
    known: dict[str, Any] = {}
    for one in workers:
        name = one.about.get("name", "")
        known[name] = SEVERAL if name in known else one.id
    return known
