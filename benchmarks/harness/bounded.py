"""A bound on the time of one sample, whatever it waits for."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class TooLong(Exception):
    """The time was up."""


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Raise TooLong in the main thread when the block has not ended by then."""

    def ring(number: int, frame: FrameType | None) -> None:
        raise TooLong(f"not done within {seconds:.0f} s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
