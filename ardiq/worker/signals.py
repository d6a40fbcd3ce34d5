"""Three signals: the first lets running jobs end, the second allows two seconds, the third none (R16)."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from ardiq.worker import children

NUMBERS = children.SIGNALS
AT_ONCE = 130  # exit code after the third

_GONE = "The parent process is gone"
AT_MOST = 2  # signals that are answered with words; the next one ends the process

log = logging.getLogger("ardiq.worker")


@contextmanager
def answered(stop: Callable[[bool], str], for_good: bool = False) -> Iterator[None]:
    """Answer SIGTERM and SIGINT on the running loop, this process's own and those that a parent passes on;
    ``stop(hurry)`` is called for the first two, and answers what that means, for the log. A signal that comes
    both ways counts once. ``for_good``: the process ends after this, and a signal that comes too late must
    not look like a death."""
    loop = asyncio.get_running_loop()
    level = own = told = 0

    def rise(to: int, who: str) -> None:
        nonlocal level
        while level < to:
            level += 1
            log.info("%s: %s", who, stop(level == AT_MOST))

    def ask(to: int, who: str) -> None:
        if to > AT_MOST:
            os._exit(AT_ONCE)
        with suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(rise, to, who)

    def answer(number: int, frame: object) -> None:
        nonlocal own
        own += 1
        ask(own, signal.Signals(number).name)

    def hear(number: int | None) -> None:
        nonlocal told
        told = max(told, 1) if number is None else told + 1
        ask(told, _GONE if number is None else signal.Signals(number).name)

    # Not the loop's own handlers: a loop that is blocked would not even hear the third.
    before = {number: signal.signal(number, answer) for number in NUMBERS}
    children.listen(hear)
    try:
        yield
    finally:
        for number, handler in before.items():
            if not for_good:
                signal.signal(number, handler or signal.SIG_DFL)


def collect() -> list[int]:
    """For a process whose children do the work: each SIGTERM and SIGINT from now on is added to the list that
    is returned, and does nothing else. One that comes from a parent as well counts once."""
    heard: list[int] = []
    own: list[int] = []
    told: list[int] = []
    # Reentrant: a signal may come while another one is being answered.
    lock = threading.RLock()

    def add(way: list[int], number: int) -> None:
        with lock:
            way.append(number)
            if len(way) > len(heard):
                heard.append(number)

    def hear(number: int | None) -> None:
        if number is not None:
            add(told, number)
        elif not told:
            log.info("%s: stopping.", _GONE)
            add(told, signal.SIGTERM)

    for number in NUMBERS:
        signal.signal(number, lambda number, frame: add(own, number))
    children.listen(hear)
    return heard
