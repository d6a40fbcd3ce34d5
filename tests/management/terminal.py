"""A terminal for tests: a command under a pseudo terminal of a given size, and all that it writes there."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable

from tests.workers import ROOT

_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def _hear_ctrl_c() -> None:
    # Where the tests run in the background of a script, they have inherited that it is ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)


class Terminal:
    """``manage.py`` with these arguments in a terminal of so many columns."""

    def __init__(
        self,
        environment: dict[str, str],
        *arguments: str,
        columns: int = 80,
        lines: int = 100,
        **variables: str,
    ) -> None:
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        dropped = {"NO_COLOR", "COLUMNS", "LINES", "FORCE_COLOR"}
        inherited = {key: value for key, value in environment.items() if key not in dropped}
        self.process = subprocess.Popen(
            [sys.executable, str(ROOT / "tests" / "manage.py"), *arguments], cwd=ROOT,
            env=inherited | {"TERM": "xterm-256color", **variables},
            stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True, preexec_fn=_hear_ctrl_c,
        )  # fmt: skip
        os.close(theirs)
        self._line = ours
        self.raw = ""

    def read(self, until: Callable[[str], object], seconds: float = 60) -> str:
        """All that it has written, once that is so or it has ended."""
        deadline = time.monotonic() + seconds
        while not until(self.raw):
            assert time.monotonic() < deadline, f"not within {seconds} s:\n{self.raw}"
            if not select.select([self._line], [], [], 0.1)[0]:
                continue
            try:
                data = os.read(self._line, 65_536)
            except OSError:  # the other end is closed
                break
            if not data:
                break
            self.raw += data.decode("utf-8", "replace").replace("\r\n", "\n")
        return self.raw

    def ends(self, seconds: float = 20) -> int:
        self.read(lambda raw: False, seconds)
        return self.process.wait(seconds)

    @property
    def shown(self) -> str:
        """Without what paints and moves."""
        return _CONTROL.sub("", self.raw)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        with contextlib.suppress(OSError):
            os.close(self._line)
