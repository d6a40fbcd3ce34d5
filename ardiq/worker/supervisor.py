"""Several workers under one parent, which starts those again that end without having been told to.

The parent touches no job and no server: what it can get wrong is small, and so it outlives its children.
"""

from __future__ import annotations

import logging
import random
import signal
import time
from collections.abc import Callable

from ardiq.worker import signals
from ardiq.worker.children import REFUSED, Child, signal_name
from ardiq.worker.health import DOWN, STILL, State

STOPPED = 79  # exit code of a worker that somebody has told to stop: it is not started again
RESTART = 75  # exit code of a worker that asks for a fresh process in its place (EX_TEMPFAIL)
MEMBER = "ARDIQ_SUPERVISED"  # environment variable: this process is one of several
FIRST_WAIT = 0.5  # seconds before a crashed worker starts again, at most, doubled for each further crash
LONGEST_WAIT = 30.0
SHORTEST = 1.0  # seconds between two starts of a worker that asks for a fresh process as soon as it runs
HEALTHY = 60.0  # seconds after which earlier crashes are forgotten
LOOK = 0.1  # seconds between looks at the children

log = logging.getLogger("ardiq.worker")


class Place:
    """One of the workers, whichever process does its work now. Times are monotonic seconds."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.child: Child | None = None
        self.begun = 0.0
        self.due = 0.0
        self.crashes = 0  # in a row
        self.over = False

    def crashed(self, now: float) -> float:
        """Count a crash. Returns how many seconds to wait, at random, so that workers spread."""
        self.crashes = 1 if now - self.begun > HEALTHY else self.crashes + 1
        longest = min(LONGEST_WAIT, FIRST_WAIT * 2 ** min(self.crashes - 1, 16))
        wait = random.uniform(0, longest)  # noqa: S311
        self.due = now + wait
        return wait


class Supervisor:
    """``start`` makes the child of a place, numbered from 1. In burst mode none is started twice, unless
    it asks for that."""

    def __init__(self, start: Callable[[int], Child], count: int, *, burst: bool = False) -> None:
        self._make, self._burst = start, burst
        self._places = [Place(number) for number in range(1, count + 1)]
        self._heard: list[int] = []
        self._failed = False
        self._looked = time.monotonic()
        self.refusal = ""  # why it has ended by itself: what no restart would mend

    def run(self, ready: Callable[[], None] = lambda: None) -> int:
        """Until told to stop, until the burst is over, or until a worker refuses to start (``refusal``). The
        exit code is 0 only when all ended well."""
        self._heard = signals.collect()
        ready()
        while not all(place.over for place in self._places):
            for place in self._places:
                if not place.over:
                    self._look(place)
            self._looked = time.monotonic()
            time.sleep(LOOK)
        if len(self._heard) > 2:
            return signals.AT_ONCE
        return 1 if self._failed else 0

    def state(self) -> State:
        """Of all workers together: well when each of them is. What hangs below it is started again by itself,
        so that it is live as long as it looks. From any thread; needs children that tell of their health."""
        states = [child.state if (child := place.child) else DOWN for place in self._places if not place.over]
        return State.together(time.monotonic() - self._looked < STILL, states)

    def _look(self, place: Place) -> None:
        if place.child is None:
            if self._heard:
                place.over = True
            elif time.monotonic() >= place.due:
                self._start(place)
            return
        place.child.pass_on(self._heard)
        place.child.hear()
        code = place.child.wait()
        if code is not None:
            child, place.child = place.child, None
            if code == REFUSED or (code > 0 and not child.set_up):
                self._refused(place, code, child.reason)
            else:
                how = f"was ended by {signal_name(-code)}" if code < 0 else f"ended with exit code {code}"
                self._ended(place, how, code)

    def _start(self, place: Place) -> None:
        place.begun = time.monotonic()
        try:
            place.child = self._make(place.number)
        except OSError as error:
            wait = place.crashed(place.begun)
            log.error("Worker %d could not be started, next try in %.1f s: %s", place.number, wait, error)
            return
        else:
            log.debug("Worker %d runs as process %d.", place.number, place.child.pid)

    def _refused(self, place: Place, code: int, reason: str) -> None:
        """A worker does not start as things are. That ends all of them, unless others have worked for a
        while: then something has changed under them, a deploy perhaps, and may change again."""
        now = time.monotonic()
        untold = f"ended with exit code {code} before it was set up; what it said stands above"
        if any(other.child is not None and now - other.begun > HEALTHY for other in self._places):
            self._ended(place, f"does not start: {reason}" if reason else untold, code)
            return
        place.over = self._failed = True
        if not self._heard:
            self.refusal = reason or f"A worker {untold}."
            self._heard.append(signal.SIGTERM)

    def _ended(self, place: Place, how: str, code: int) -> None:
        well = code in (0, RESTART)
        if code == STOPPED:
            place.over = True
            log.info("Worker %d was told to stop.", place.number)
        elif self._heard or (self._burst and code != RESTART):
            place.over = True
            if not well:
                self._failed = True
                log.error("Worker %d %s.", place.number, how)
        elif well:
            place.due = place.begun + SHORTEST
            log.info("Worker %d starts anew.", place.number)
        else:
            wait = place.crashed(time.monotonic())
            log.error("Worker %d %s; it starts again in %.1f s.", place.number, how, wait)
