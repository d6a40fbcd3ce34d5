"""What a worker counts of the jobs that it settles, and sends about once a second.

The loop over settled jobs is on the hot path: what is the same for all jobs of a batch is looked up once, and
from large claims some jobs are measured and stand for the rest.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Iterable, Mapping, Sequence

from ardiq.core import statistics as codes
from ardiq.core.errors import BrokerError, QueueFull
from ardiq.core.statistics import OTHER, RUN, RUN_BUCKETS, WAIT, WAIT_BUCKETS, Cell, bucket
from ardiq.store import statistics
from ardiq.store.async_client import AsyncStore
from ardiq.store.keys import Keys
from ardiq.store.refusals import Refused
from ardiq.store.statistics import Cells
from ardiq.store.verbs import Settlement
from ardiq.worker.held import Clock, Held

PERIOD = 1.0  # seconds between sends
LAST = 0.4  # seconds for the last one
MEASURED = 8  # jobs of one claim that are measured; each stands for as many as there are
PAIRS = 500  # of lane and task that wait to be sent, at most

log = logging.getLogger("ardiq.worker")


def choose(jobs: Sequence[tuple[str, bytes]], held: Mapping[str, Held]) -> None:
    """Say which jobs of a claim are measured. Of many, one of each stretch at random: not every n-th, which
    could be always the same task."""
    size, begin = len(jobs), 0
    stretches = min(size, MEASURED)
    for number in range(1, stretches + 1):
        end = number * size // stretches
        id, _ = jobs[begin + int(random.random() * (end - begin))]  # noqa: S311 - no secret
        held[id].measured = end - begin
        begin = end


class Statistics:
    """Counts what the settler has committed, and sends it."""

    def __init__(self, store: AsyncStore, keys: Keys, clock: Clock, lanes: Sequence[str]) -> None:
        self._store, self._keys, self._clock, self._lanes = store, keys, clock, lanes
        self._cells: Cells = {}
        self._minute = 0
        self._refused = False

    # -- counting ---------------------------------------------------------------------------------

    def settled(
        self, batch: Sequence[tuple[Held, Settlement]], refused: Mapping[str, str], lost: bool
    ) -> None:
        """Count a batch that has left, but for what somebody else runs by now."""
        if refused and not lost:
            batch = [one for one in batch if refused.get(one[0].record.id) != "stale"]
        if not lost:
            self.count(batch)

    def count(self, settled: Iterable[tuple[Held, Settlement]]) -> None:
        """These verdicts have reached Redis."""
        definition: object = self  # of no job
        lane, done, cell = "", 0, Cell()
        for held, settlement in settled:
            if held.definition is not definition or held.record.lane != lane:
                if done:
                    cell[codes.SUCCEEDED] = cell.get(codes.SUCCEEDED, 0) + done
                    done = 0
                # Of jobs without one each has a name of its own.
                definition, lane = held.definition or self, held.record.lane
                cell = self._cell(lane, held.record.name)
            if settlement[2] == b"S":
                done += 1
            else:
                _not_succeeded(cell, held, settlement)
        if done:
            cell[codes.SUCCEEDED] = cell.get(codes.SUCCEEDED, 0) + done

    def measure(self, held: Held) -> None:
        """This run has just ended."""
        if not held.began:
            return
        record, weight = held.record, held.measured
        cell = self._cell(record.lane, record.name)
        run = int(((held.ended or time.monotonic()) - held.began) * 1_000_000)
        wait = max(held.started - record.at, 0) * 1_000
        for total, buckets, us in ((RUN, RUN_BUCKETS, run), (WAIT, WAIT_BUCKETS, wait)):
            name = buckets[bucket(us // 1_000)]
            cell[name] = cell.get(name, 0) + weight
            cell[total] = cell.get(total, 0) + us * weight

    def _cell(self, lane: str, task: str) -> Cell:
        cell = self._cells.get((lane, task))
        if cell is None:
            pair = (lane, task) if len(self._cells) < PAIRS else (lane, OTHER)
            cell = self._cells.setdefault(pair, {})
        return cell

    # -- sending ----------------------------------------------------------------------------------

    async def run(self) -> None:
        """Send for ever."""
        while True:
            await asyncio.sleep(PERIOD * random.uniform(0.8, 1.2))  # noqa: S311 - workers not in step
            await self.send()

    async def leave(self, hurry: asyncio.Event) -> None:
        """Send the last of it, unless Redis is away or there is a hurry."""
        if hurry.is_set():
            return
        try:
            async with asyncio.timeout(LAST):
                await self.send()
        except TimeoutError:
            return

    async def send(self) -> None:
        """Send what was counted, if anything; and in each minute at least once, for the sake of the sample.
        Never raises."""
        minute = self._clock.now() // statistics.MINUTE
        if not self._cells and minute == self._minute:
            return
        self._minute = minute
        cells, self._cells = self._cells, {}
        rows = list(cells.items())
        for begin in range(0, max(len(rows), 1), statistics.MOST):
            await self._send_some(rows[begin : begin + statistics.MOST])

    async def _send_some(self, cells: Sequence[tuple[tuple[str, str], Cell]]) -> None:
        try:
            await self._store.run(statistics.count(self._keys, self._lanes, cells))
        except (Refused, QueueFull) as error:
            # A full server, or a user without the rights: nobody else is to suffer.
            if not self._refused:
                log.warning("Statistics are not kept. %s", error)
            self._refused = True
        except BrokerError:
            # Perhaps only the reply is lost, and these count twice. Dropping them would be the other error.
            for (lane, task), cell in cells:
                _add(self._cell(lane, task), cell)
        else:
            self._refused = False


def _add(cell: Cell, more: Cell) -> None:
    for code, number in more.items():
        cell[code] = cell.get(code, 0) + number


def _not_succeeded(cell: Cell, held: Held, settlement: Settlement) -> None:
    verb, head = settlement[2], settlement[3]
    code = ""
    if verb == b"D":
        # One that was parked, or put off, is charged nothing.
        code = codes.RETRIED if head[2:5] != held.record.raw[2:5] else ""
    elif verb != b"Q":
        code = verb.decode()
    if code:
        cell[code] = cell.get(code, 0) + 1
    if held.crashed:
        cell[codes.CRASHED] = cell.get(codes.CRASHED, 0) + 1
