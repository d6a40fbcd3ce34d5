"""Sync tasks: worker threads on one queue, results collected in batches.

The loop is woken only when no wake-up is under way, and never for a single hand-over: 1 us a job
where ``run_in_executor`` costs 70 (docs/explanation/speed.md). Threads are added when the ones there
are do not keep up, because idle threads beyond the need cost throughput.
"""

from __future__ import annotations

import asyncio
import ctypes
import logging
import threading
from collections import deque
from collections.abc import Callable
from queue import Empty, SimpleQueue

from ardiq.core.errors import Interrupt
from ardiq.core.retry import Ending, Outcome
from ardiq.worker.held import Held

GROW_AFTER = 0.001  # seconds that a job may wait for a thread before another one is started
GROW_AGAIN = 1.0  # seconds until the next try, when the system has none to give

log = logging.getLogger("ardiq.worker")

Perform = Callable[[Held], Outcome]


class Seat:
    """A thread's place: what it runs now, and whether an exception was thrown into it."""

    __slots__ = ("held", "hit", "ident", "lock")

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.held: Held | None = None
        self.hit = False
        self.ident = 0

    def throw(self, held: Held, error: type[Interrupt]) -> bool:
        """Raise ``error`` in the thread at its next bytecode, if it still runs ``held``."""
        with self.lock:
            if self.held is not held:
                return False
            self.hit = True
            ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(self.ident), ctypes.py_object(error))
            return True

    def run(self, held: Held, perform: Perform) -> Outcome:
        """Run a job in the thread that sits here. Whatever is raised becomes an outcome."""
        try:
            self.take(held)
            outcome = perform(held)
        except Interrupt as interrupt:
            outcome = Outcome.interrupted(interrupt, held.timeout)  # between two steps of the runner
        except BaseException as error:
            # The runner answers for user code; should it fail itself, the thread must live on.
            outcome = Outcome(Ending.REFUSED, error=error)
        while True:
            try:
                self.take(None)
                return outcome
            except Interrupt:
                continue  # it arrived in the call itself, before its own guard

    def take(self, held: Held | None) -> None:
        """Begin or end a job. An exception thrown at the last one must never hit the next."""
        while True:
            try:
                with self.lock:
                    self.held = held
                    if self.hit:
                        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(self.ident), None)
                        self.hit = False
                return
            except Interrupt:
                continue


class Crew:
    """``perform`` runs in a thread and never raises; ``deliver`` runs on the loop with what has ended."""

    def __init__(
        self,
        limit: int,
        perform: Perform,
        deliver: Callable[[list[tuple[Held, Outcome]]], None],
        ending: Callable[[], None],
    ) -> None:
        self.limit = limit
        self.load = 0  # handed over and not yet delivered
        self._perform, self._deliver, self._ending = perform, deliver, ending
        self._loop = asyncio.get_running_loop()
        self._jobs: SimpleQueue[Held | None] = SimpleQueue()
        self._done: deque[tuple[Held, Outcome]] = deque()
        self._seats: list[Seat] = []
        self._waking = False
        self._growing = False

    @property
    def busy(self) -> int:
        """Threads that run a job or are about to."""
        return min(self.load, self.limit)

    def submit(self, held: Held) -> None:
        if not self._seats:
            self._add()  # first: should it fail, the job is still where it was
        self.load += 1
        self._jobs.put(held)
        if self.load > len(self._seats) and not self._growing and len(self._seats) < self.limit:
            self._growing = True
            self._loop.call_later(GROW_AFTER, self._grow)

    def _grow(self) -> None:
        self._growing = False
        if self._jobs.empty() or len(self._seats) >= self.limit:
            return
        pause = GROW_AFTER
        for _ in range(min(self.limit - len(self._seats), max(1, self._jobs.qsize()), len(self._seats))):
            try:
                self._add()
            except RuntimeError as error:
                log.error("Sync tasks have to share %d threads: %s.", len(self._seats), error)
                pause = GROW_AGAIN
                break
        self._growing = True
        self._loop.call_later(pause, self._grow)

    def _add(self) -> None:
        """Start a thread. RuntimeError when the system has none: fatal for the first one, without which
        nothing that is claimed could ever run."""
        seat = Seat()
        threading.Thread(target=self._work, args=(seat,), name="ardiq-task", daemon=True).start()
        self._seats.append(seat)

    def _work(self, seat: Seat) -> None:
        seat.ident = threading.get_ident()
        try:
            while (held := self._jobs.get()) is not None:
                self._run(seat, held)
        finally:
            self._ending()

    def _run(self, seat: Seat, held: Held) -> None:
        self._done.append((held, seat.run(held, self._perform)))
        if not self._waking:
            self._waking = True
            try:
                self._loop.call_soon_threadsafe(self._collect)
            except RuntimeError:
                return  # the loop has ended; the lease will, too

    def _collect(self) -> None:
        # Before the drain: whoever appends after it must find that no wake-up is under way.
        self._waking = False
        batch: list[tuple[Held, Outcome]] = []
        while self._done:
            batch.append(self._done.popleft())
        self.load -= len(batch)
        if batch:
            self._deliver(batch)

    def interrupt(self, held: Held, error: type[Interrupt]) -> bool:
        """Throw ``error`` into the thread that runs ``held``; False when none does."""
        return any(seat.throw(held, error) for seat in self._seats)

    def withdraw(self) -> list[Held]:
        """Take back what no thread has begun."""
        back: list[Held] = []
        while True:
            try:
                held = self._jobs.get_nowait()
            except Empty:
                self.load -= len(back)
                return back
            if held is not None:
                back.append(held)

    def take_back(self, held: Held) -> bool:
        """Take back one job, if no thread has begun it."""
        back = self.withdraw()
        for other in back:
            if other is not held:
                self.load += 1
                self._jobs.put(other)
        return held in back

    def stop(self) -> None:
        """Let threads end after what they run."""
        for _ in self._seats:
            self._jobs.put(None)
