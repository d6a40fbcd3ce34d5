"""A network between workers and their server that delays, cuts, goes dark, and loses chosen replies."""

from __future__ import annotations

import asyncio
import contextlib
import random
import threading
from collections.abc import Callable
from urllib.parse import urlsplit

from ardiq.store.scripts import script

PIECE = 65_536


class Network:
    """Passes bytes between its ``url`` and a server, as badly as the test says.

    ``delay``: seconds for each way. ``cut``: the chance that a piece of bytes breaks its connection instead
    of arriving. Both may be set at any time.
    """

    def __init__(self, url: str, seed: int = 1) -> None:
        parts = urlsplit(url)
        self._server = (parts.hostname or "127.0.0.1", parts.port or 6379)
        self.delay = 0.0
        self.cut = 0.0
        self.cuts = 0
        self.lost = 0
        self._lose = 0
        self._cut_after: int | None = None
        self._hold = 0.0
        self.held = 0
        self._chosen: Callable[[bytes], bool] = lambda request: True
        self._dark = False
        self._chance = random.Random(seed)
        self._lines: set[_Line] = set()
        self._loop = asyncio.new_event_loop()
        self._light: asyncio.Event
        self._listening: asyncio.Server | None = None
        self._port = 0
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        self._do(self._listen())
        self.url = f"redis://127.0.0.1:{self._port}{parts.path}"

    # -- what a test does -------------------------------------------------------------------------

    def go_dark(self) -> None:
        """Nothing arrives any more, in neither direction, and nobody is told: no reset, no refusal."""
        self._do(self._darken())

    def heal(self, late: float = 0.0, forget: bool = False) -> None:
        """Bytes arrive again. Those of the dark time arrive up to ``late`` seconds after it, each connection
        at its own moment; with ``forget`` connections of that time stay silent for ever, as behind a
        firewall that has lost its state."""
        self._do(self._lighten(late, forget))

    def refuse(self) -> None:
        """Break all connections, and refuse new ones until ``accept``."""
        self._do(self._close())
        self.break_all()

    def accept(self) -> None:
        self._do(self._listen())

    def break_all(self) -> None:
        """Break every connection, with what is under way on it."""
        self._do(self._break())

    def lose_replies(self, verb: str, times: int) -> None:
        """Let the server do what the next calls of this script ask for, and break the connection
        before the reply."""
        self._choose(verb)
        self._lose = times

    def cut_requests(self, verb: str, after: int) -> None:
        """Let only ``after`` bytes of the next call of this script through, then break its connection."""
        self._choose(verb)
        self._cut_after = after

    def hold_request(self, verb: str, seconds: float) -> None:
        """Deliver the next call of this script so much later, whoever may have given up on it by then."""
        self._choose(verb)
        self._hold = seconds

    def close(self) -> None:
        self._do(self._close())
        self._do(self._break())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)

    # -- how it is done ---------------------------------------------------------------------------

    def _choose(self, verb: str) -> None:
        sha, text = script(verb).sha.encode(), script(verb).text
        self._chosen = lambda request: sha in request or text in request

    def _do(self, work: object) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(5)  # type: ignore[arg-type]

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self._loop.run_until_complete(asyncio.sleep(0))
        self._loop.close()

    async def _listen(self) -> None:
        if not hasattr(self, "_light"):
            self._light = asyncio.Event()
            self._light.set()
        self._listening = await asyncio.start_server(self._accepted, "127.0.0.1", self._port)
        self._port = self._listening.sockets[0].getsockname()[1]

    async def _close(self) -> None:
        if self._listening is not None:
            self._listening.close()
            self._listening = None

    async def _break(self) -> None:
        for line in list(self._lines):
            line.abort()

    async def _darken(self) -> None:
        self._dark = True
        self._light.clear()

    async def _lighten(self, late: float, forget: bool) -> None:
        for line in self._lines:
            line.forgotten = forget
            line.opens = self._loop.time() + self._chance.uniform(0, late)
        self._dark = False
        self._light.set()

    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._light.wait()
        try:
            there = await asyncio.open_connection(*self._server)
        except OSError:
            writer.transport.abort()
            return
        line = _Line(self, (reader, writer), there)
        self._lines.add(line)
        # The streams complain about a connection whose task is cancelled, as those are that are still open
        # when the network is closed.
        with contextlib.suppress(asyncio.CancelledError):
            await line.run()
        self._lines.discard(line)

    async def _passage(self, line: _Line) -> None:
        """What a piece of bytes goes through on its way."""
        if self.delay:
            await asyncio.sleep(self.delay)
        while self._dark and not line.forgotten:
            await self._light.wait()
        if (closed := line.opens - self._loop.time()) > 0:
            await asyncio.sleep(closed)
        if line.forgotten:
            await asyncio.Event().wait()
        if self.cut and self._chance.random() < self.cut:
            self.cuts += 1
            raise ConnectionAbortedError


class _Line:
    """One connection through the network."""

    def __init__(
        self,
        network: Network,
        client: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        server: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    ) -> None:
        self._network, self._client, self._server = network, client, server
        self._request = b""
        self.forgotten = False
        self.opens = 0.0  # by the clock of the loop

    async def run(self) -> None:
        ways = [asyncio.ensure_future(self._ask()), asyncio.ensure_future(self._answer())]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            self.abort()

    def abort(self) -> None:
        for _, writer in (self._client, self._server):
            writer.transport.abort()

    async def _ask(self) -> None:
        network = self._network
        with contextlib.suppress(OSError):
            while data := await self._client[0].read(PIECE):
                await network._passage(self)
                self._request = data
                if network._hold and network._chosen(data):
                    seconds, network._hold = network._hold, 0.0
                    await asyncio.sleep(seconds)
                    network.held += 1
                after = network._cut_after
                if after is not None and network._chosen(data):
                    network._cut_after = None
                    network.cuts += 1
                    self._server[1].write(data[:after])
                    await self._server[1].drain()
                    return
                self._server[1].write(data)
                await self._server[1].drain()

    async def _answer(self) -> None:
        network = self._network
        with contextlib.suppress(OSError):
            while data := await self._server[0].read(PIECE):
                if network._lose > 0 and network._chosen(self._request):
                    network._lose -= 1
                    network.lost += 1
                    return
                await network._passage(self)
                self._client[1].write(data)
                await self._client[1].drain()
