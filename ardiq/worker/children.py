"""Worker processes as children of another process, and the lines between the two.

A parent tells its child to stop through a pipe. A signal would count twice where it reaches the whole group
as well (Ctrl-C in a terminal, a process manager that signals every process), and the second one means hurry.
The pipe also ends with the parent, however that ends: no child works on for long without one. Through a
second pipe the child tells that it has been set up, and why it does not start, so that its parent can say
that once for all; and whether it is healthy, where its parent wants to know.
"""

from __future__ import annotations

import contextlib
import os
import signal
import stat
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence

from ardiq.worker.health import DOWN, STILL, State

SIGNALS = (signal.SIGTERM, signal.SIGINT)
LINE = "ARDIQ_PARENT_LINE"  # environment variable: the file descriptor of the child's end
EAR = "ARDIQ_PARENT_EAR"  # environment variable: the file descriptor that it may tell its parent through
REFUSED = 78  # exit code of a child that has told why it does not start (EX_CONFIG)
SET_UP = b"+"
PULSES = bytes(range(0x10, 0x14))  # one byte each: 1 is added when the loop turns, 2 when Redis answers
REASON_MOST = 4_000  # bytes of a reason: they fit into a pipe that nobody reads yet
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
        try:
            self._ear, mouth = os.pipe()
        except OSError:
            os.close(theirs)
            os.close(self._line)
            raise
        self.said = b""  # all that it has told but for its health, once it has ended
        self._state, self._told_at = DOWN, 0.0
        # The child inherits this: before it answers signals, none of them kills it. They wait.
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        try:
            self._process = subprocess.Popen(
                command,
                env={**environment, LINE: str(theirs), EAR: str(mouth)},
                pass_fds=[theirs, mouth],
            )
        except BaseException:
            os.close(self._line)
            os.close(self._ear)
            raise
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            os.close(theirs)
            os.close(mouth)
        os.set_blocking(self._ear, False)  # what it has forked may hold the other end open
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
            self.hear()
            os.close(self._ear)
        return code

    def hear(self) -> None:
        """Take in what it has told, while it runs."""
        told = b""
        with contextlib.suppress(BlockingIOError):
            told = os.read(self._ear, 2 * REASON_MOST)
        self.said = (self.said + told.translate(None, PULSES))[: 2 * REASON_MOST]
        if pulses := [byte for byte in told if byte in PULSES]:
            self._state = State.of(bool(pulses[-1] & 1), bool(pulses[-1] & 2))
            self._told_at = time.monotonic()

    @property
    def state(self) -> State:
        """What it has told last of its health; one that has gone silent is down. From any thread."""
        return self._state if time.monotonic() - self._told_at < STILL else DOWN

    @property
    def set_up(self) -> bool:
        """Whether it had read the project and its command line when it ended."""
        return self.said.startswith(SET_UP)

    @property
    def reason(self) -> str:
        """Why it refused to start; '' when it did not say."""
        return self.said.removeprefix(SET_UP).decode("utf-8", "replace")

    def kill(self) -> None:
        self._process.kill()


class Mouth:
    """In a child: what it tells its parent. Elsewhere it tells nobody."""

    def __init__(self) -> None:
        """To be made once: what the process starts itself does not inherit it."""
        number = int(os.environ.pop(EAR, "-1"))
        self._number = number if number >= 0 and _is_pipe(number) else -1
        if self._number >= 0:
            os.set_inheritable(number, False)
            os.set_blocking(number, False)  # a parent that stands still must not stop its child
            self._tell(SET_UP)

    def refuse(self, reason: str) -> bool:
        """Whether somebody was told why this process does not start. It has to end with REFUSED then."""
        return self._number >= 0 and self._tell(reason.encode("utf-8", "replace")[:REASON_MOST])

    def pulse(self, state: State) -> None:
        """Tell how this process does."""
        self._tell(PULSES[state.loop | state.redis << 1 :][:1])

    def _tell(self, words: bytes) -> bool:
        try:
            os.write(self._number, words)
        except OSError:  # nobody listens any more, or for the moment
            return False
        return True


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
