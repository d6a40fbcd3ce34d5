"""``travel``: time moves for the scripts of this process alone, and with it all due times and leases."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

from ardiq.store import fake, scripts
from ardiq.testing.decorating import Block
from ardiq.transactions import localised

Moment = float | timedelta | datetime


def moved(moment: Moment) -> int:
    """Milliseconds from now on: of seconds, a timedelta, or a datetime (aware under USE_TZ)."""
    if isinstance(moment, datetime):
        return int(localised(moment).timestamp() * 1000) - int(time.time() * 1000) - scripts.ahead()
    if isinstance(moment, timedelta):
        return moment // timedelta(milliseconds=1)
    if isinstance(moment, bool) or not isinstance(moment, (int, float)):
        raise TypeError(f"{moment!r}: give a number of seconds, a timedelta or a datetime.")
    return int(moment * 1000)


def _to(ahead: int) -> None:
    step = ahead - scripts.ahead()
    scripts.shift(ahead)
    for server in fake.servers():
        server.age(step)


@contextmanager
def travelled() -> Iterator[Callable[[int], None]]:
    """Gives what sets how far the clock is ahead, ms; afterwards it is where it was."""
    before = scripts.ahead()
    try:
        yield _to
    finally:
        _to(before)


class travel(Block["travel"]):
    """Meanwhile it is so many seconds (or a timedelta) later, or this datetime, for every queue.

    For what this process asks of the server: a job is due, a lease has run out. Blocks may be nested, and add
    up. On ``fake://`` what expires, such as results and windows, ages as well. The clock of Python does not
    move: ``timezone.now()`` is what it was.
    """

    def __init__(self, moment: Moment) -> None:
        super().__init__(moment)
        self._moment = moment

    def __enter__(self) -> travel:
        self._before = scripts.ahead()
        _to(self._before + moved(self._moment))
        return self

    def __exit__(self, *error: object) -> None:
        _to(self._before)

    def forward(self, moment: Moment) -> None:
        """Go on by so much, or to a datetime."""
        _to(scripts.ahead() + moved(moment))
