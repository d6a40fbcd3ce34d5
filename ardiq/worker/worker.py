"""The life of a worker of one queue: claim -> slots -> drain. Each part of its work has a file of its own."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Iterable, Mapping
from contextlib import suppress
from typing import Any

from ardiq.core.codec import Codec
from ardiq.core.events import REFUSED, Event, Events
from ardiq.core.options import Options
from ardiq.core.registry import Find
from ardiq.store import controls, verbs
from ardiq.store.async_client import AsyncStore
from ardiq.store.client import Store
from ardiq.store.endpoint import Endpoint
from ardiq.store.keys import Keys
from ardiq.worker.admission import Entrance
from ardiq.worker.around import Around
from ardiq.worker.chores import Alarm, listen_for_aborts, tick, watched
from ardiq.worker.drain import Drain
from ardiq.worker.held import Clock, Stop
from ardiq.worker.judge import ErrorHook, Judge
from ardiq.worker.lease import Lease, Renewal
from ardiq.worker.limits import Limits, resident_mb
from ardiq.worker.orders import Orders
from ardiq.worker.outage import Outage
from ardiq.worker.outside import Isolation, outside
from ardiq.worker.pace import Pace
from ardiq.worker.pump import IDLE, Pump
from ardiq.worker.reports import WorkerReports
from ardiq.worker.runner import Runner
from ardiq.worker.schedule import Schedule, Timetables
from ardiq.worker.settler import Batch, Follow, Settler
from ardiq.worker.slots import LEAKS, Slots
from ardiq.worker.statistics import Statistics

# Seconds without a byte while a reply is due: what has died unseen must be found out and made anew within
# the 5 s in which a worker works again (R14).
SILENCE = 2.5

log = logging.getLogger("ardiq.worker")


class Worker:
    """Runs the jobs of one queue until it is stopped, or, in burst mode, until nothing is due.

    ``find`` names the definition of the task of a job, ``hooks`` the error hooks, ``around`` what surrounds
    user code, ``about`` what people may want to know of this process, ``isolation`` what runs in child
    processes (without it all jobs share this process), ``follow`` hears of each batch that was settled.
    """

    def __init__(
        self,
        *,
        name: str,
        options: Options,
        codec: Codec,
        endpoint: Endpoint,
        find: Find,
        hooks: Callable[[], Iterable[ErrorHook]] = tuple,
        around: Around | None = None,
        events: Events | None = None,
        about: Mapping[str, str] | None = None,
        burst: bool = False,
        listed_ms: Callable[[], int] | None = None,
        isolation: Isolation | None = None,
        timetables: Timetables | None = None,
        limits: Limits | None = None,
        follow: Follow | None = None,
    ) -> None:
        self.name = name
        self.options = options
        self.keys = Keys(options.queue)
        self.events = events or Events()
        self.processed = self.exit_code = 0
        self.stuck = 0  # jobs that had not stopped when this worker did
        self._codec, self._endpoint = codec, endpoint
        self._find, self._hooks, self._around, self._follow = find, hooks, around, follow
        self._about = {"name": name, "concurrency": str(options.concurrency), **(about or {})}
        self._burst, self._isolation = burst, isolation
        self._timetables = None if burst else timetables  # a burst does what is due, and makes nothing due
        self._schedule: Schedule | None = None
        self._limits = limits or Limits()
        self._listed_ms = listed_ms or (lambda: max(options.result_ttl_ms, 0))
        self._outage = Outage()
        self._hurry = asyncio.Event()
        self._stopped = False
        self._mismatches = 0
        self._ticked = time.monotonic()
        self._pump: Pump | None = None
        self._entrance: Entrance | None = None
        self._alarm = Alarm()

    # -- life -------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Work. Returns after a clean stop; raises what ended a part of the worker that must not end."""
        self._loop = asyncio.get_running_loop()
        self._clock = Clock()
        verbs.load_for_worker()
        self._commit = AsyncStore(self._endpoint, limit=SILENCE, retry=False)
        self._wake = AsyncStore(self._endpoint, limit=IDLE + SILENCE, retry=False)
        self._entrance = entrance = Entrance(
            self._commit, self.keys, self.options.lease_ms, self._about, self._clock, self._outage,
            lambda: self._stopped, insists=not self._burst,
        )  # fmt: skip
        try:
            lease = await entrance.register()
            if lease is not None:
                await self._work(lease, entrance)
        finally:
            self._commit.close()
            self._wake.close()

    async def _work(self, lease: Lease, entrance: Entrance) -> None:
        self._build(lease, entrance)
        renewal = self._renewal = Renewal(
            Store(self._endpoint), self.keys, self.options.lease_ms, lambda: self._held_by.lease, self._doing,
            lambda: self._ticked, self._renewed, self._outage,
        )  # fmt: skip
        renewal.start()
        try:
            await watched(
                self._held_by.run(),
                *self._chores(),
                listen_for_aborts(self._endpoint, self.keys, self._heard, self._renew_now),
                *([self._schedule.run()] if self._schedule is not None else ()),
            )
            drain = Drain(self._slots, self._held_by, self._settler, self._commit, self._held_by.give_back)
            # The loop must go on to be seen to tick: a long drain is no stall.
            await watched(drain.run(self.options.grace_ms / 1000, self._hurry), *self._chores())
            await self._statistics.leave(self._hurry)
            self.stuck = drain.stuck
            if not drain.complete:
                self.exit_code = self.exit_code or 75
        finally:
            renewal.stop()
            await self._slots.close(self._hurry)

    def _chores(self) -> tuple[Coroutine[Any, Any, None], ...]:
        sending = self._settler.run(), self._reports.run(), self._statistics.run()
        return *sending, tick(self._tick), self._alarm.ringing()

    def _build(self, lease: Lease, entrance: Entrance) -> None:
        options = self.options
        pace = self._pace = Pace(options.concurrency, options.prefetch)
        pump = self._pump = self._held_by = Pump(
            options=options, keys=self.keys, commit=self._commit, wake=self._wake, clock=self._clock,
            pace=pace, register=entrance.register, lease=lease, outage=self._outage, burst=self._burst,
            limits=self._limits,
        )  # fmt: skip
        self._reports = WorkerReports(self._commit, self.keys, options.failed_ttl_ms)
        self._statistics = Statistics(self._commit, self.keys, self._clock, options.priorities)
        self._settler = Settler(
            self._commit, self.keys, options, self._listed_ms, self._settled, self._outage, self._reports,
            self._statistics,
        )  # fmt: skip
        judge = Judge(self.name, options, self._codec, self._clock, self._settler, self._hooks, self.events)
        if self._timetables is not None:
            self._schedule = Schedule(self._commit, self.keys, self._clock, self._timetables, self.events)
        runner = Runner(options, self._codec, self._clock, self._around, judge, self._reports)
        thread_ends = self._around.thread_ends if self._around else lambda: None
        apart = outside(
            self._isolation, self.name, options, self._clock, runner, judge, self._limits,
            self._commit, self.keys,
        )  # fmt: skip
        self._slots = Slots(options, runner, judge, pace, self._find, thread_ends, pump.freed, apart)
        pump.join(self._slots, self._settler)
        self._orders = Orders(pump, self._limits, self._renew_now)
        if self._stopped:
            pump.stop()

    def stop(self, hurry: bool = False) -> None:
        """Claim no more, hand back what has not started, give running jobs the grace period, or with
        ``hurry`` next to none, then hand them back, too. Call it on the loop; may be called again."""
        self._stopped = True
        if self._pump is not None:
            self._pump.stop()
            self._slots.closed = True
        if hurry:
            self._hurry.set()

    @property
    def running(self) -> int:
        """Jobs that run just now."""
        return self._slots.running if self._pump is not None else 0

    def recycle(self, why: str, clean: bool = False) -> None:
        """Drain like a stop, so that a new process can take over from this one: it exits with 75 unless
        that is ``clean``, the planned end of a life."""
        if not self._stopped:
            log.warning("Draining for a restart: %s.", why)
            self.exit_code = 0 if clean else 75
            self._limits.reached = why  # the other workers of this process drain as well
            self.stop()

    @property
    def answered(self) -> float:
        """When Redis last answered for the lease, in monotonic seconds; 0 for never. From any thread."""
        lease = self._entrance and self._entrance.lease
        return lease.answered if lease else 0.0

    # -- what the parts tell ----------------------------------------------------------------------

    def abort(self, id: str) -> None:
        """Stop a job that somebody aborts, if this worker holds it."""
        held = self._held_by.hear_abort(id)
        if held is not None:
            self._slots.tell_to_stop(held, Stop.ABORT)

    def _heard(self, text: str) -> None:
        what, worker = controls.heard(text)
        if what:
            self._orders.hear(what, worker)
        else:
            self.abort(text)

    async def _renew_now(self) -> None:
        lease = self._held_by.lease
        call = verbs.renew(self.keys, lease.token, lease.length_ms, self._doing())
        self._hear(lease, await self._commit.run(call))

    def _settled(self, settled: Batch, refused: dict[str, str], lost: bool) -> None:
        batch = [held for held, _ in settled]
        self._held_by.settled(batch)
        if self._schedule is not None:
            self._schedule.settled(settled)
        self.processed += len(batch)
        self._limits.count(batch)
        if self._follow is not None and not lost:
            self._follow(settled, refused, self._clock.now())
        if not refused and not lost:
            return
        for held in batch:
            record = held.record
            if lost or refused.get(record.id) == "stale":
                self.events.emit(
                    Event(REFUSED, record.id, record.name, self.options.queue, record.lane, self.name)
                )

    def _tick(self) -> None:
        self._ticked = time.monotonic()
        if not self._renewal.is_alive():
            raise RuntimeError("The thread that renews the lease has ended.")
        self.events.look()
        if not self._held_by.lease.believed:
            # By now somebody else may run them. The worker believes its lease, not its luck (R4); a renewal
            # that still comes in time keeps what has not started.
            for held in list(self._held_by.held.values()):
                if held.context is not None or held.alone:
                    self._slots.tell_to_stop(held, Stop.LOST)
        if self._slots.told and not self._stopped:
            leaked = self._slots.leaked(LEAKS)
            if 2 * leaked > self.options.concurrency:
                self.recycle(f"jobs that were told to stop and do not: {leaked}")
        if self._limits.told and not self._stopped:
            self.stop()
        if why := self._limits.check():
            self.recycle(why, clean=True)
        if self._pace.adapts and self._slots.stale():
            self._pace.slow_down()  # slow tasks came behind fast ones: others may have them (DESIGN 7.3)
            self._held_by.put_back()
        else:
            self._slots.withdraw_unplaced(self._held_by.give_back)
            self._slots.fill()

    def _doing(self) -> dict[str, Any]:
        """For people, with every renewal; ``behind``: how long ago the loop last turned, ms."""
        behind = int((time.monotonic() - self._ticked) * 1000)
        return {
            "running": self._slots.running, "held": len(self._held_by.held), "processed": self.processed,
            "behind": behind, "rss": resident_mb(), "state": self._orders.state,
        }  # fmt: skip

    def _renewed(self, lease: Lease, answer: verbs.Renewed) -> None:
        """Called in the renewal thread."""
        with suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(self._hear, lease, answer)

    def _hear(self, lease: Lease, answer: verbs.Renewed) -> None:
        pump = self._held_by
        if lease is not pump.lease:
            return
        if answer.lost:
            # The next claim finds out by itself; a pump that claims nothing must be told.
            self._losing = asyncio.ensure_future(pump.lose_lease(lease))
            self._alarm.guard(self._losing)
            return
        for id in answer.aborted:
            self.abort(id)
        self._orders.obey(answer.order)
        # Claims and settles under way make single beats differ; two in a row mean a lost reply (R5).
        self._mismatches = self._mismatches + 1 if answer.held != len(pump.held) else 0
        if self._mismatches >= 2:
            pump.reconcile = True
            self._mismatches = 0
