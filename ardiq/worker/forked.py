"""A process that is forked for a worker, as its worker sees it: started, written to, listened to, ended.

Nothing here blocks the event loop, whatever the process does: its messages are put together as they come,
and its death is told by the nursery, because what it has forked itself may hold its end of the line open.
"""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import os
import signal
import socket
import time
from collections import deque
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from typing import Any

from ardiq.worker.children import signal_name
from ardiq.worker.isolation import REPORT
from ardiq.worker.line import Frames, Message, framed
from ardiq.worker.reserve import Reserve

LOOK = 1.0  # seconds between looks whether a child lives whose nursery has died
LAST_WORDS = 0.2  # seconds after the death of a child in which the last that it has sent is read
FORSAKEN = 255  # how multiprocessing says that a child has ended whose fork server has died
UNREAD = 100  # reports of a job that may wait to be read; a child sends ten a second
DEAD = 2.0  # seconds in which a killed process has gone, unless the kernel holds it

# Not ``fork``: a worker has threads, connections and a loop, and none of them survives it in order.
# The nursery has none, and has set the project up: a child of it costs milliseconds, not a second.
_context = multiprocessing.get_context("forkserver")

_starts = Reserve("ardiq-start", 8)

Main = Callable[..., None]


class Forked(asyncio.Protocol):
    """``main(socket, *args)`` runs in the process. ``gone`` is called once nothing will come from it."""

    def __init__(
        self, main: Main, name: str, args: tuple[Any, ...], gone: Callable[[Forked], None] = lambda one: None
    ) -> None:
        self._ours, self._theirs = socket.socketpair()
        self._process = _context.Process(target=main, args=(self._theirs, *args), daemon=True, name=name)
        self._frames, self._messages = Frames(), deque[Message]()
        self._news = asyncio.Event()
        self._gone = gone
        self._transport: asyncio.WriteTransport | None = None
        self._sentinel = -1
        self.over = False
        self.served, self.busy = 0, False  # jobs; whether it has one
        self._reports = 0  # of those messages

    @property
    def pid(self) -> int:
        return self._process.pid or 0

    async def start(self, nursery: str) -> None:
        """Fork it. The first one of a worker waits for the nursery, which sets the project up. OSError and
        its like when there is no process to be had."""
        _context.set_forkserver_preload([nursery])
        try:
            await _starts.run(self._process.start)
        except BaseException:
            self._ours.close()
            raise
        finally:
            self._theirs.close()
        loop = self._loop = asyncio.get_running_loop()
        transport, _ = await loop.create_unix_connection(lambda: self, sock=self._ours)
        self._transport = transport
        if not self.over:
            self._sentinel = self._process.sentinel
            loop.add_reader(self._sentinel, self._ended)

    # -- what it says -----------------------------------------------------------------------------

    def send(self, *message: Any) -> None:
        """What it does not hear any more is lost; ``receive`` tells of its end."""
        if self._transport is not None and not self.over:
            self._transport.write(framed(message))

    async def receive(self) -> Message | None:
        """Its next message; None when there will be none."""
        while not self._messages:
            if self.over:
                return None
            self._news.clear()
            await self._news.wait()
        message = self._messages.popleft()
        self._reports -= message[0] == REPORT
        return message

    def take(self) -> None:
        """It has a job from now on."""
        self.served, self.busy = self.served + 1, True

    def put_down(self) -> None:
        """It has none any more: what a thread that is left of one tells concerns nobody."""
        self.busy, self._reports = False, 0
        self._messages.clear()

    def data_received(self, data: bytes) -> None:
        try:
            for message in self._frames.feed(data):
                report = message[0] == REPORT
                if self.busy and not (report and self._reports >= UNREAD):
                    self._messages.append(message)
                    self._reports += report
        except Exception:
            self.kill()  # a task has written to the line; nothing that comes can be told apart
            self._close()
        self._news.set()

    def connection_lost(self, error: Exception | None) -> None:
        self._close()

    def _ended(self) -> None:
        self._forget_sentinel()
        if self.lives:
            self._loop.call_later(LOOK, self._look)
        else:
            self._loop.call_later(LAST_WORDS, self._close)

    def _look(self) -> None:
        if not self.over and self.lives:
            self._loop.call_later(LOOK, self._look)
        else:
            self._close()

    def _forget_sentinel(self) -> None:
        if self._sentinel >= 0:
            self._loop.remove_reader(self._sentinel)
            self._sentinel = -1

    def _close(self) -> None:
        if self.over:
            return
        self.over = True
        self._forget_sentinel()
        if self._transport is not None:
            self._transport.abort()
        self._news.set()
        self._gone(self)

    # -- its end ----------------------------------------------------------------------------------

    @property
    def lives(self) -> bool:
        return lives(self._process)

    def dismiss(self) -> None:
        """Tell it that no job will follow."""
        if self._transport is not None and not self.over:
            self._transport.write_eof()

    def kill(self) -> None:
        """End it at once, and the programs that it has started where it has a group of its own."""
        if self.pid and not self._has_code:
            with contextlib.suppress(OSError):
                os.kill(self.pid, signal.SIGKILL)
        self.kill_group()

    def kill_group(self) -> None:
        if self.pid:
            with contextlib.suppress(OSError):
                os.killpg(self.pid, signal.SIGKILL)

    @property
    def _has_code(self) -> bool:
        return self._process.exitcode not in (None, FORSAKEN)

    async def end(self, patience: float = 0.0) -> int | None:
        """Let it end within so many seconds, or kill it. Answers its exit code; negative for a signal, None
        when it is not known."""
        if not self.pid:
            return None
        if not (patience and await self._has_ended(patience)):
            self.kill()
            await self._has_ended(DEAD)
        self._close()
        return self._process.exitcode

    async def _has_ended(self, seconds: float) -> bool:
        pause, until = 0.001, time.monotonic() + seconds
        while self.lives:
            if time.monotonic() > until:
                return False
            await asyncio.sleep(pause)
            pause = min(2 * pause, 0.02)
        return True


def lives(process: BaseProcess) -> bool:
    """Should the fork server die, all its children seem to have ended, and go on."""
    if process.is_alive() or process.pid is None:
        return process.pid is not None
    if process.exitcode != FORSAKEN:
        return False
    try:
        os.kill(process.pid, 0)
    except OSError:
        return False
    return True


def how(code: int | None) -> str:
    """The end of a process in words."""
    if code is None:
        return "did not end"
    if code < 0:
        return f"was killed by {signal_name(-code)}"
    return f"ended with exit code {code}"
