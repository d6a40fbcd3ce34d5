"""Restart the worker when code changes: Django's watcher here, an ordinary worker as a child.

The watcher and the worker are two processes so that the worker keeps its main thread, and with it its
signals and its graceful stop: a reload hands back what has not started, like any other stop.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from typing import Any

from django.utils import autoreload

from ardiq.worker import signals
from ardiq.worker.children import Child

CHILD = "ARDIQ_RELOAD_CHILD"
PATIENCE = 5.0  # seconds that a worker gets to end its jobs before a reload hurries it
LOOK = 0.1  # seconds between looks at the child
PACE = 1.0  # seconds between looks at the files

Say = Callable[[str], None]


class Watcher(autoreload.StatReloader):
    """Django's watcher of files, which tells of a change instead of ending the process."""

    SLEEP_TIME = 0  # the wait for the child sets the pace
    changed: object = None

    def notify_file_changed(self, path: str | os.PathLike[str]) -> None:
        self.changed = path


class Parent:
    """Keeps one worker alive across changes. Signals are passed on to it."""

    def __init__(self, say: Say) -> None:
        self._say = say
        self._heard: list[int] = []
        self._child: Child

    def run(self) -> int:
        """Until the worker is told to stop or ends by itself. Returns its exit code."""
        self._heard = signals.collect()
        watcher = Watcher()
        ticks = watcher.tick()
        # What files look like before the worker reads them: a change while it starts must not go unseen.
        next(ticks)
        while not self._heard:
            watcher.changed = None
            self._child = Child(autoreload.get_child_arguments(), {**os.environ, CHILD: "1"})
            code = self._watch(watcher, ticks)
            if code is None:
                self._say(f"{watcher.changed} has changed; the worker is restarted.")
                self._end()
            elif code == 0 or self._heard:
                return signals.AT_ONCE if len(self._heard) > 2 else code
            else:
                self._say(f"The worker ended with exit code {code}; waiting for a change.")
                self._wait_for_change(watcher, ticks)
        return 0

    def _watch(self, watcher: Watcher, ticks: Any) -> int | None:
        """The exit code of the worker; None when files have changed before it ended."""
        while True:
            code = self._wait(PACE)
            if code is not None:
                return code
            if not self._heard:
                next(ticks)
                if watcher.changed is not None:
                    return None

    def _wait(self, seconds: float) -> int | None:
        end = time.monotonic() + seconds
        while True:
            self._child.pass_on(self._heard)
            code = self._child.wait(LOOK)
            if code is not None or time.monotonic() > end:
                return code

    def _wait_for_change(self, watcher: Watcher, ticks: Any) -> None:
        while watcher.changed is None and not self._heard:
            time.sleep(PACE / 2)
            next(ticks)

    def _end(self) -> None:
        for told in (1, 2):
            self._child.pass_on([signal.SIGTERM] * told)
            if self._wait(PATIENCE) is not None:
                return
        self._child.kill()
        self._child.wait(60)
