"""Whether a worker does its work: its loop turns and Redis answers, not that its process exists (S10).

Looked at from threads of its own, so that a blocked loop is told of and not waited for.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

TURN = 0.25  # seconds between two turns of the loop that are noted
STILL = 5.0  # seconds after which a loop that has not turned counts as blocked
PERIOD = 1.0  # seconds between two looks that are written down
LEAST = 2.0  # seconds for which an answer of Redis counts at least, however short the lease

log = logging.getLogger("ardiq.worker")


def patience(lease_ms: int) -> float:
    """Seconds for which an answer of Redis counts: half a lease, which is renewed every third of it."""
    return max(LEAST, lease_ms / 2000)


@dataclass(frozen=True, slots=True)
class State:
    """One worker process, or the ``workers`` of a supervisor taken together. ``live``: starting it anew
    would not help; ``loop`` and ``redis``: all their loops turn, Redis answers them all."""

    live: bool
    loop: bool
    redis: bool
    workers: int = 1
    healthy: int = 0

    @property
    def well(self) -> bool:
        return self.loop and self.redis

    @classmethod
    def of(cls, loop: bool, redis: bool) -> State:
        return cls(loop, loop, redis, 1, int(loop and redis))

    @classmethod
    def together(cls, live: bool, states: Sequence[State]) -> State:
        """Without any workers nothing is well."""
        loop, redis = (all(which) and bool(states) for which in _columns(states))
        return cls(live, loop, redis, len(states), sum(one.healthy for one in states))


def _columns(states: Iterable[State]) -> tuple[list[bool], list[bool]]:
    pairs = [(one.loop, one.redis) for one in states]
    return [loop for loop, _ in pairs], [redis for _, redis in pairs]


DOWN = State(False, False, False)  # a worker that is not there, or has not said anything yet

Look = Callable[[], State]
Sink = Callable[[State], None]


class Answering(Protocol):
    """A worker, as seen from here."""

    @property
    def answered(self) -> float:
        """Monotonic seconds; 0 for never."""


class Health:
    """Of the workers of this process, which share one loop; each with its lease in ms."""

    def __init__(self, workers: Sequence[tuple[Answering, int]]) -> None:
        self._workers = workers
        self._turned = time.monotonic()

    async def turn(self) -> None:
        """Runs on the loop for as long as that is to be watched."""
        while True:
            self._turned = time.monotonic()
            await asyncio.sleep(TURN)

    def look(self) -> State:
        """From any thread."""
        now = time.monotonic()
        redis = all(now - worker.answered < patience(lease) for worker, lease in self._workers)
        return State.of(now - self._turned < STILL, redis)


class Reporter(threading.Thread):
    """Looks once a second and passes on what it sees."""

    def __init__(self, look: Look, sinks: Iterable[Sink]) -> None:
        super().__init__(name="ardiq-health", daemon=True)
        self._look, self._sinks = look, list(sinks)
        self._ending = threading.Event()

    def run(self) -> None:
        while not self._ending.is_set():
            state = self._look()
            for sink in self._sinks:
                sink(state)
            self._ending.wait(PERIOD)

    def stop(self) -> None:
        self._ending.set()
        self.join(2 * PERIOD)


class HealthFile:
    """A file that is fresh only while all is well. One path for each worker."""

    def __init__(self, path: Path) -> None:
        """Raises OSError where no file can be written, or none there can be replaced."""
        self._path = path
        self._told = False
        path.unlink(missing_ok=True)  # that of an earlier life says nothing about this one
        self._write()
        self.remove()

    def update(self, state: State) -> None:
        if not state.well:
            return
        try:
            self._write()
        except OSError as error:
            # Whoever reads the file takes this worker for ill; its jobs must not pay for that.
            if not self._told:
                log.warning("The health file cannot be written: %s", error)
            self._told = True
        else:
            self._told = False

    def _write(self) -> None:
        # Written elsewhere and moved: readers never see half of it, and a link that somebody has put in its
        # place is replaced and not followed.
        handle, name = tempfile.mkstemp(prefix=f".{self._path.name}.", dir=self._path.parent)
        try:
            with os.fdopen(handle, "w") as stream:
                stream.write(f"{os.getpid()}\n")
            os.replace(name, self._path)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(name)
            raise

    def remove(self) -> None:
        with contextlib.suppress(OSError):
            self._path.unlink()
