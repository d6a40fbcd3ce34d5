"""One worker, ten, a hundred, a thousand: each has a lease, holds jobs, sleeps on the wake-up token of the
queue and listens for aborts and orders, as real ones do. What does each verb cost beside so many?"""

from __future__ import annotations

import argparse
import select
import socket
from collections.abc import Callable
from typing import Any

from harness.server import Server

from ardiq.store import verbs
from ardiq.store.scripts import pack, script
from growth import actions
from growth.actions import Act, Action
from growth.field import FILLED, OUTCOME, Field, id_of
from growth.sampling import rows

JOBS = 100_000
HELD = 20  # jobs that each of them holds


class Crowd(Field):
    """A field of JOBS with so many workers in it."""

    def __init__(self, server: Server, workers: int) -> None:
        super().__init__(server, JOBS)
        self.names = [id_of("crowd", number) for number in range(workers)]

    def fill(self) -> None:
        super().fill()
        for name in self.names:
            self.run(self.register(name))
            self.run(self.claim(HELD, name, (FILLED,)))
        self.refill(HELD * len(self.names))
        self.redis.delete(self.keys.wake)
        self.sleepers = [self._connect("BLPOP", self.keys.wake, 0) for _ in self.names]
        self.listeners = [self._connect("SUBSCRIBE", self.keys.control) for _ in self.names]
        for one in self.listeners:
            one.recv(4096)
        self._poll = select.poll()
        self._by_number = {one.fileno(): one for one in self.sleepers}
        for number in self._by_number:
            self._poll.register(number, select.POLLIN)

    def _connect(self, *command: str | int) -> socket.socket:
        made = socket.create_connection(("127.0.0.1", self.server.port))
        made.sendall(pack(*command))
        return made

    def sleep_again(self) -> None:
        """Whoever was woken has looked, found nothing, and sleeps again."""
        for number, _ in self._poll.poll(1_000):
            one = self._by_number[number]
            one.recv(4096)
            one.sendall(pack("BLPOP", self.keys.wake, 0))

    def quiet(self) -> None:
        """What the listeners have heard is read."""
        for one in self.listeners:
            one.recv(1 << 20)


def enqueue_and_wake(crowd: Any) -> Act:
    """One enqueue wakes one sleeper, whatever their number."""
    yield [crowd.plain(crowd.new("q", 1))]
    crowd.sleep_again()
    actions.shorten(crowd, 1)


def abort_running(crowd: Any) -> Act:
    """It is published, and every worker hears of it."""
    held = crowd.redis.hkeys(crowd.keys.held(crowd.names[0]))
    ids = [id.decode() for id in held[:20]]
    yield [verbs.abort(crowd.keys, id, 86_400_000, OUTCOME) for id in ids]
    crowd.redis.delete(crowd.keys.aborts)
    crowd.quiet()


def count(crowd: Any) -> Act:
    """What a worker sends once a second: its figures. The first of a minute looks how much waits."""
    argv = [
        10,
        verbs.MOST_WORKERS,
        " ".join(("high", FILLED, "low")),
        FILLED,
        "bench.noop_async",
        "S 100 r4 90 ",
    ]
    yield [script("count").call(crowd.keys.prefix, argv, int)] * 50


OWN = [
    Action("enqueue, and wake a worker", "job", 1, enqueue_and_wake),
    Action("abort a running job", "job", 20, abort_running),
    Action("send figures", "call", 50, count),
]
SHARED = (
    "claim, 100", "claim of one", "claim that", "settle a success", "take back", "promote", "renew", "counts",
)  # fmt: skip


def measure(args: argparse.Namespace, start: Callable[[], Server]) -> dict[str, Any]:
    crowds: dict[int, Field] = {}
    for workers in args.workers:
        crowds[workers] = Crowd(start(), workers)
        crowds[workers].fill()
    chosen = [one for one in (*actions.ACTIONS, *OWN) if one in OWN or one.name.startswith(SHARED)]
    found = rows(crowds, [one for one in chosen if args.verbs in one.name], args.rounds)
    cost = {row["verb"]: row["server_us"] for row in found}
    notes = []
    if {"claim that finds nothing", "renew a lease"} <= set(cost):
        # An idle worker looks about once a second and renews its lease every third of 30 s.
        most = max(crowds)
        busy = most * (cost["claim that finds nothing"][most] + cost["renew a lease"][most] / 10) / 1e6
        notes = [f"{most:,} idle workers take {busy:.1%} of the server: a look a second, a beat every ten."]
    return {"rows": found, "notes": notes}
