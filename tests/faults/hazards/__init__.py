"""An app of dangerous tasks, for processes that may live in a world of their own, told by the environment:

``ARDIQ_TEST_CLOCK``    seconds by which the wall clock is wrong; ``a,b,s``: by a, and after s seconds by b
``ARDIQ_TEST_BEAT``     a recurring task ``beat`` every second
``ARDIQ_TEST_THREADS``  most threads for tasks; further ones do not start, as under a limit of the system
"""

from __future__ import annotations

import os
import threading
import time
from typing import Any


def _wrong_clock(text: str) -> None:
    words = [float(word) for word in text.split(",")]
    first, then, after = words if len(words) == 3 else (words[0], words[0], 0.0)
    begin, right = time.monotonic(), time.time

    def wrong() -> float:
        return right() + (first if time.monotonic() - begin < after else then)

    time.time = wrong
    time.time_ns = lambda: int(wrong() * 1e9)


def _few_threads(most: int) -> None:
    start, living = threading.Thread.start, 0

    def limited(self: Any) -> None:
        nonlocal living
        if self.name == "ardiq-task":
            if living >= most:
                raise RuntimeError("can't start new thread")
            living += 1
        start(self)

    threading.Thread.start = limited  # type: ignore[method-assign]


if clock := os.environ.get("ARDIQ_TEST_CLOCK"):
    _wrong_clock(clock)
if threads := os.environ.get("ARDIQ_TEST_THREADS"):
    _few_threads(int(threads))
