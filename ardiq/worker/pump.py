"""The pump: asks Redis for jobs, as many as can start soon, and hands them to the slots."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress

from ardiq.core.errors import BadPayload, BrokerError
from ardiq.core.job import HEAD, JobRecord
from ardiq.core.options import Options
from ardiq.store import verbs
from ardiq.store.async_client import AsyncStore
from ardiq.store.keys import Keys
from ardiq.worker import faults, lanes
from ardiq.worker.brakes import Brakes
from ardiq.worker.held import Clock, Held, Stop
from ardiq.worker.lease import Lease
from ardiq.worker.limits import Limits
from ardiq.worker.log import one_line
from ardiq.worker.outage import Outage
from ardiq.worker.pace import Pace
from ardiq.worker.settler import Settler
from ardiq.worker.slots import Slots
from ardiq.worker.statistics import choose

REMEMBERED = 1_000  # aborts of jobs that are not here, after which the old ones are dropped
REMEMBER = 2.0  # seconds that an abort is kept for a job whose claim may be on its way
IDLE = 1.0  # seconds that an idle worker waits for a wake-up before it looks by itself (R2)
BURST_LOOK = 0.02  # seconds between looks of a worker that is to end when nothing is left
LIMITED_LOOK = 0.05  # seconds between looks while a lane, or the processes, may be at their limit here
SHORTEST_BLOCK = 0.005  # seconds; Redis reads shorter ones as "for ever" or not at all

log = logging.getLogger("ardiq.worker")


class Pump:
    """Holds what the worker has claimed, under one lease at a time; ``register`` gets a new one."""

    def __init__(
        self,
        *,
        options: Options,
        keys: Keys,
        commit: AsyncStore,
        wake: AsyncStore,
        clock: Clock,
        pace: Pace,
        register: Callable[[], Awaitable[Lease | None]],
        lease: Lease,
        outage: Outage,
        burst: bool,
        limits: Limits,
    ) -> None:
        self.held: dict[str, Held] = {}
        self.lease, self.reconcile, self.stopping = lease, False, False
        self.brakes, self.outage = Brakes(), outage
        self._aborts_heard: dict[str, float] = {}
        self._options, self.keys = options, keys
        self._commit, self._wake = commit, wake
        self._clock, self._pace, self._register = clock, pace, register
        self.burst_look, self._limits = BURST_LOOK if burst else 0.0, limits
        limits.holds(self.held)
        self._claims, self._waits, self._woken = 0, False, False
        self._room = asyncio.Event()
        self._slots: Slots
        self._settler: Settler

    def join(self, slots: Slots, settler: Settler) -> None:
        self._slots, self._settler = slots, settler

    def stop(self) -> None:
        """Claim no more. A claim under way is let come back: its jobs are held (R16)."""
        self.stopping = True
        self._room.set()
        self._wake.close()

    def put_back(self) -> None:
        """Hand back all that has not started, to the head of its lane."""
        for held in reversed(self._slots.withdraw()):
            self.give_back(held)

    def give_back(self, held: Held) -> None:
        held.over = True
        self._settler.add(held, verbs.given_back(held.record, held.claim))

    def freed(self) -> None:
        """A slot is free. The pump is woken when there is room for a batch worth a round trip."""
        if self._waits and self._want() >= max(1, self._pace.extra // 2):
            self._waits = False
            self._room.set()

    def hear_abort(self, id: str) -> Held | None:
        """The job to abort, if it is held here. One whose claim is still on its way is remembered."""
        held = self.held.get(id)
        if held is None:
            now = time.monotonic()
            if len(self._aborts_heard) >= REMEMBERED:
                self._aborts_heard = {
                    one: at for one, at in self._aborts_heard.items() if now - at < REMEMBER
                }
            self._aborts_heard[id] = now
        return held

    def settled(self, batch: list[Held]) -> None:
        mine = self.held
        for held in batch:
            # Under another lease the same job may have been claimed again meanwhile.
            if mine.get(held.record.id) is held:
                del mine[held.record.id]
        self.freed()

    # -- the loop ---------------------------------------------------------------------------------

    async def run(self) -> None:
        """Until stopped; in burst mode until nothing is due and nothing runs."""
        empty = 0
        while not self.stopping:
            if self.reconcile and not await self.reconciled():
                continue  # not only before a claim: a worker that is quiet makes none
            self._pace.measure()
            want = self._want()
            if want <= 0:
                if self.brakes.quiet and self.burst_look and not self.held:
                    return
                await self._wait_for_room()
                continue
            claimed = await self._claim(want)
            if claimed is None:
                continue
            if not claimed.jobs:
                empty += 1
                if self.burst_look and empty > 1 and not self.held:
                    return
                if claimed.elsewhere:  # its wake-up token is for workers that have a place for it
                    await self._wait_for_room(LIMITED_LOOK)
                else:
                    await self._idle(claimed.next_due)
                continue
            empty = 0
            while claimed is not None and claimed.more and self._may_overlap():
                # The next claim is on its way while this batch runs: server and worker work at once.
                flight = asyncio.ensure_future(self._claim(self._pace.extra))
                await asyncio.sleep(0)
                self._slots.fill()
                claimed = await flight
                self._pace.measure()
            self._slots.fill()

    def _may_overlap(self) -> bool:
        ahead = self._slots.load - self._pace.hold
        return (
            not (self.stopping or self.reconcile)
            and not self.brakes.quiet
            and not self._settler.full
            and self._pace.extra > self._options.concurrency
            and ahead < self._pace.extra
            and self._limits.jobs is None
        )

    def _want(self) -> int:
        if self._settler.full or self.brakes.quiet:
            return 0
        return self._limits.left(self._pace.hold - self._slots.load)

    async def _wait_for_room(self, seconds: float = IDLE) -> None:
        self._room.clear()
        self._waits = True
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._room.wait()

    async def _idle(self, next_due: int) -> None:
        """Sleep until a wake-up token comes, a job falls due, or it is time for a look of one's own."""
        nothing = not self.held
        seconds = (self.burst_look or IDLE) * random.uniform(0.9, 1.0)  # noqa: S311 - not in step
        if self._options.lane_limits and self.held:
            # A lane that is full opens when one of its jobs ends, and no token tells of that.
            seconds = min(seconds, LIMITED_LOOK)
        if next_due:
            seconds = min(seconds, (next_due - self._clock.now()) / 1000)
        if seconds < SHORTEST_BLOCK:
            await asyncio.sleep(max(seconds, 0.001))
        elif not self.stopping:
            try:
                self._woken = await self._wake.run(verbs.listen(self.keys, round(seconds, 3)))
            except BrokerError:
                if not self.stopping:
                    # What took this connection took the other one, too; finding that out would take as long.
                    self._commit.close()
                await self.pause()
        if nothing:
            self._pace.rest()

    async def pause(self) -> None:
        """After a failure: 0.1 to 1 s at random, so that workers do not come back in step."""
        if not self.stopping:
            await asyncio.sleep(random.uniform(0.1, 1.0))  # noqa: S311

    # -- claiming ---------------------------------------------------------------------------------

    async def _claim(self, want: int) -> verbs.Claimed | None:
        """Claim up to ``want`` jobs and queue them; None when Redis did not answer or the lease is lost."""
        if faults.armed:
            faults.hit("before_claim")
        self._claims += 1
        number, lease, sent = self._claims, self.lease, time.monotonic()
        most = min(want, verbs.CHUNK)
        order, scarce = lanes.drained(self._options, self.held.values(), most), self._slots.scarce(most)
        call = verbs.claim(self.keys, lease.token, number, lease.length_ms, most, order, scarce)
        # Woken: somebody has just enqueued a job; there is nothing to do until it is here, and they may wait.
        run, self._woken = self._commit.run_awake if self._woken else self._commit.run, False
        try:
            claimed: verbs.Claimed = await run(call)
        except BrokerError as error:
            # The reply may be lost while its jobs are held: they go back before the next claim (R5).
            self.outage.noticed(error)
            self.reconcile = True
            self._wake.close()
            await self.pause()
            return None
        if claimed.lost:
            await self.lose_lease(lease)
            return None
        self.outage.over()
        lease.renewed(sent)
        self._clock.set(claimed.now)
        if faults.armed and claimed.jobs:
            faults.hit("after_claim")
        self._accept(claimed, number, lease, sent)
        choose(claimed.jobs, self.held)
        if claimed.jobs and self.brakes.caught(sent):
            self.put_back()
        if claimed.paused is not self.brakes.paused:
            await self.brakes.notice(claimed.paused, self._commit, self.keys)
        return claimed

    def _accept(self, claimed: verbs.Claimed, number: int, lease: Lease, sent: float) -> None:
        # Only what was heard after this claim was sent: earlier marks came with its reply, and what is older
        # belongs perhaps to an earlier life of the id.
        marked = claimed.aborted.union(id for id, at in self._aborts_heard.items() if at >= sent)
        for id, raw in claimed.jobs:
            try:
                record = JobRecord(id, raw)
            except (ValueError, IndexError) as error:
                self._refuse(id, raw, number, lease, sent, error)
            else:
                held = self.held[id] = Held(record, number, lease, sent, id in marked)
                self._slots.waiting.append(held)

    def _refuse(self, id: str, raw: bytes, number: int, lease: Lease, sent: float, error: Exception) -> None:
        """End a job whose record cannot be read: in its lane, every claim would meet it again."""
        log.error("Job %s cannot be read; it fails: %s", one_line(id), one_line(str(error)))
        lane = raw[HEAD:].partition(b"\n")[0].decode()  # one of ours: it was claimed from there
        held = self.held[id] = Held(JobRecord.unreadable(id, raw, lane), number, lease, sent, False)
        self._slots.refuse(held, BadPayload(f"The record of this job cannot be read: {error}"))

    async def reconciled(self) -> bool:
        """Make this worker and Redis agree on what it holds, after a reply may have been lost."""
        if faults.armed:
            faults.hit("before_reconcile")
        call = verbs.reconcile(self.keys, self.lease.token, list(self.held), self._claims)
        try:
            back, gone = await self._commit.run(call)
        except BrokerError as error:
            self.outage.noticed(error)
            await self.pause()
            return False
        if faults.armed:
            faults.hit("after_reconcile")
        if back == -1:
            await self.lose_lease(self.lease)
            return False
        if back:
            log.info("Jobs whose claim was not heard of went back to the queue: %d.", back)
        self.reconcile = back >= verbs.CHUNK
        for id in gone:
            held = self.held.get(id)
            if held is not None and not held.over:
                self._slots.tell_to_stop(held, Stop.LOST)
        return True

    async def lose_lease(self, lease: Lease) -> None:
        """What was held under it is somebody else's by now: let go of all, and take a new name."""
        if lease is not self.lease or lease.lost:
            # The other one who found out is taking a new lease just now.
            await asyncio.sleep(0.05)
            return
        log.warning("The lease is lost; a new one is taken. Held jobs that are let go: %d.", len(self.held))
        lease.lost = True
        for held in list(self.held.values()):
            self._slots.tell_to_stop(held, Stop.LOST)
        fresh = await self._register()
        if fresh is not None:
            self.lease = fresh
            self.reconcile = False
