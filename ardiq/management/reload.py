"""Restart the worker when code changes: Django's watcher here, an ordinary worker as a child.

The watcher and the worker are two processes so that the worker keeps its main thread, and with it its
signals and its graceful stop: a reload hands back what has not started, like any other stop.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

from django.utils import autoreload

CHILD = "ARDIQ_RELOAD_CHILD"
PATIENCE = 5.0  # seconds that a worker gets to end its jobs before a reload hurries it

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
        self._child: subprocess.Popen[bytes] | None = None
        self._signalled = False

    def run(self) -> int:
        """Until the worker is told to stop or ends by itself. Returns its exit code."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._pass_on)
        watcher = Watcher()
        ticks = watcher.tick()
        # What files look like before the worker reads them: a change while it starts must not go unseen.
        next(ticks)
        while True:
            watcher.changed = None
            self._child = self._start()
            while watcher.changed is None:
                code = self._wait(1.0)
                if code is not None:
                    if code == 0 or self._signalled:
                        return code
                    self._say(f"The worker ended with exit code {code}; waiting for a change.")
                    self._wait_for_change(watcher, ticks)
                    break
                next(ticks)
            if self._signalled:
                return self._child.wait()
            self._say(f"{watcher.changed} has changed; the worker is restarted.")
            self._end()

    def _start(self) -> subprocess.Popen[bytes]:
        environment = {**os.environ, CHILD: "1"}
        return subprocess.Popen(autoreload.get_child_arguments(), env=environment)

    def _wait(self, seconds: float) -> int | None:
        assert self._child is not None
        try:
            return self._child.wait(seconds)
        except subprocess.TimeoutExpired:
            return None

    def _wait_for_change(self, watcher: Watcher, ticks: Any) -> None:
        while watcher.changed is None and not self._signalled:
            time.sleep(0.5)
            next(ticks)

    def _end(self) -> None:
        assert self._child is not None
        for number, seconds in (
            (signal.SIGTERM, PATIENCE),
            (signal.SIGTERM, PATIENCE),
            (signal.SIGKILL, 60.0),
        ):
            if self._child.poll() is None:
                self._child.send_signal(number)
                self._wait(seconds)

    def _pass_on(self, number: int, frame: object) -> None:
        self._signalled = True
        child = self._child
        if child is None or child.poll() is not None:
            sys.exit(0)
        # Ctrl-C reaches the whole process group of a terminal by itself.
        if number != signal.SIGINT or not sys.stdin or not sys.stdin.isatty():
            child.send_signal(number)
