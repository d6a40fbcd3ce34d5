"""Worker processes as children of another process, and the line between the two.

A parent tells its child to stop through a pipe. A signal would count twice where it reaches the whole group
as well (Ctrl-C in a terminal, a process manager that signals every process), and the second one means hurry.
The pipe also ends with the parent, however that ends: no child works on for long without one.
"""

from __future__ import annotations

import contextlib
import os
import signal
import stat
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence

SIGNALS = (signal.SIGTERM, signal.SIGINT)
LINE = "ARDIQ_PARENT_LINE"  # environment variable: the file descriptor of the child's end
AT_ONCE = 1.0  # seconds that a child gets to answer the third signal before it is killed


def signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # most real-time signals have no name
        return f"signal {number}"


class Child:
    """A process that listens to its parent (``listen``). OSError when it cannot be started."""

    def __init__(self, command: list[str], environment: Mapping[str, str]) -> None:
        theirs, self._line = os.pipe()
        # The child inherits this: before it answers signals, none of them kills it. They wait.
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        try:
            self._process = subprocess.Popen(
                command, env={**environment, LINE: str(theirs)}, pass_fds=[theirs]
            )
        except BaseException:
            os.close(self._line)
            raise
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            os.close(theirs)
        self._told = 0

    @property
    def pid(self) -> int:
        return self._process.pid

    def pass_on(self, heard: Sequence[int]) -> None:
        """Tell it those signals of the list that it has not been told yet. Who does not answer the third is
        killed."""
        for number in heard[self._told :]:
            self._told += 1
            with contextlib.suppress(OSError):  # it has just ended
                os.write(self._line, bytes([number]))
            if self._told == 3:
                timer = threading.Timer(AT_ONCE, self._process.kill)
                timer.daemon = True
                timer.start()

    def wait(self, seconds: float = 0) -> int | None:
        """Its exit code once it has ended, negative for a signal; None while it runs."""
        try:
            code = self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None
        if self._line >= 0:
            os.close(self._line)
            self._line = -1
        return code

    def kill(self) -> None:
        self._process.kill()


def listen(hear: Callable[[int | None], None]) -> None:
    """In a child: ``hear`` each signal that the parent passes on, and None when there is no parent any more.

    It is called in a thread, so that it hears while the event loop is blocked. Call this once the process
    answers its own signals. Does nothing elsewhere.
    """
    line = int(os.environ.pop(LINE, "-1"))
    # What a process inherits besides may carry the variable without the pipe.
    if line < 0 or not _is_pipe(line):
        return
    os.set_inheritable(line, False)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)

    def attend() -> None:
        while numbers := os.read(line, 1):
            hear(numbers[0])
        hear(None)

    threading.Thread(target=attend, name="ardiq-parent", daemon=True).start()


def _is_pipe(descriptor: int) -> bool:
    try:
        return stat.S_ISFIFO(os.fstat(descriptor).st_mode)
    except OSError:
        return False
