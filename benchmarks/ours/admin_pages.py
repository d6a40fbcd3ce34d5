"""Ask for pages of the admin as a superuser would; print time and Redis round trips of each, and what the
server saw of it.

The list is reached by its address and its filters by the links it renders, so nothing here knows how it
is made. A round trip is counted at the sockets: something sent after something received. What the server saw
is looked at after everything was timed, for looking slows it.
"""

from __future__ import annotations

import json
import os
import re
import socket
import sys
from collections.abc import Callable
from html import unescape
from statistics import median
from time import perf_counter
from typing import Any
from urllib.parse import parse_qsl

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "settings")
django.setup()

from django.contrib.auth import get_user_model  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.test import Client  # noqa: E402
from harness.examined import MOST_MS, Watch  # noqa: E402
from side import app  # noqa: E402

from ardiq.adminui import snapshot  # noqa: E402

LIST = "/admin/ardiq/job/"
STATUSES = ("scheduled", "queued", "running", "succeeded", "failed", "aborted", "expired")
TASKS = ("bench.noop_async", "bench.fail")
REPEAT = 9


class Wire:
    """Counts round trips over all sockets of this process, and the seconds spent on them."""

    def __init__(self) -> None:
        self.trips, self.seconds = 0, 0.0
        self._sent_last: set[socket.socket] = set()
        for name in ("send", "sendall"):
            setattr(socket.socket, name, self._watch(getattr(socket.socket, name), True))
        for name in ("recv", "recv_into"):
            setattr(socket.socket, name, self._watch(getattr(socket.socket, name), False))

    def _watch(self, method: Callable[..., Any], sends: bool) -> Callable[..., Any]:
        def watched(sock: socket.socket, *args: Any) -> Any:
            if sends and sock not in self._sent_last:
                self.trips += 1
                self._sent_last.add(sock)
            elif not sends:
                self._sent_last.discard(sock)
            start = perf_counter()
            try:
                return method(sock, *args)
            finally:
                self.seconds += perf_counter() - start

        return watched


def measure(client: Client, wire: Wire, name: str, address: str, kind: str) -> dict[str, Any]:
    """One page, asked for several times after a first time that does not count."""
    response = client.get(address)
    times, waits, trips = [], [], 0
    for _ in range(REPEAT):
        wire.trips, wire.seconds = 0, 0.0
        start = perf_counter()
        response = client.get(address)
        times.append((perf_counter() - start) * 1000)
        waits.append(wire.seconds * 1000)
        trips = max(trips, wire.trips)
    text = response.content.decode()
    return {
        "page": name,
        "address": address,
        "kind": kind,
        "status": response.status_code,
        "rows": text.count('name="_selected_action"'),
        "ms": median(times),
        "ms_max": max(times),
        "redis_ms": median(waits),
        "round_trips": trips,
    }


def links(text: str) -> dict[str, str]:
    """Filter value -> query string, from the links and options that the list page offers."""
    found: dict[str, str] = {}
    for query in re.findall(r'(?:href|value)="\?([^"]+)"', text):
        pairs = [pair for pair in parse_qsl(unescape(query)) if pair[0] not in ("o", "p", "q", "e")]
        if len(pairs) == 1:
            found.setdefault(pairs[0][1], unescape(query))
    return found


def examine(client: Client, watch: Watch, page: dict[str, Any]) -> None:
    """A worker holds the running jobs meanwhile."""
    found = watch.best(lambda: client.get(page["address"]))
    page["commands"], page["calls"] = found.commands, dict(sorted(found.calls.items()))
    page["slowest_ms"], page["slowest"] = found.slowest
    late = [f"{found.slowest[1]} took {found.slowest[0]:.1f} ms, {MOST_MS} at most"]
    page["complaints"] = found.complaints + (late if found.slowest[0] > MOST_MS else [])


def pages(client: Client) -> list[tuple[str, str, str]]:
    """Name, address, and by which marks it is judged (admin_million.py)."""
    text = client.get(LIST).content.decode()
    offered = links(text)
    ids = re.findall(r'name="_selected_action" value="([^"]+)"', text)
    out = [("all", ""), *((f"all, page {number}", f"p={number}") for number in (2, 10, 100, 200))]
    out += [(status, offered.get(status, f"status={status}")) for status in STATUSES]
    succeeded = offered.get("succeeded", "status=succeeded")
    out += [(f"succeeded, page {number:,}", f"{succeeded}&p={number}") for number in (2, 100, 1_000, 4_000)]
    out += [(f"task {task}", offered.get(task, f"task={task}")) for task in TASKS]
    out += [("queue default", offered.get("default", "queue=default"))]
    out += [("search by id", f"q={ids[0]}"), ("search for an unknown id", f"q={'0' * 32}")]
    out += [("last hour", "when=1h"), ("failed, last hour", "state=failed&when=1h")]
    lists = [(name, f"{LIST}?{query}" if query else LIST, "list") for name, query in out]
    # Of the newest 10,000 jobs it reads the calls, and not only the names.
    lists += [("search for an argument", f"{LIST}?q=args.0%3D77", "search")]
    workers = client.get("/admin/ardiq/worker/").content.decode()
    worker = re.findall(r'name="_selected_action" value="([^"]+)"', workers)[0]
    others = [
        ("job page", f"{LIST}{ids[0]}/change/"),
        ("dashboard", "/admin/ardiq/dashboard/"),
        ("dashboard, 72 hours", "/admin/ardiq/dashboard/?minutes=4320"),
        ("queues", "/admin/ardiq/queue/"), ("queue", "/admin/ardiq/queue/default/change/"),
        ("workers", "/admin/ardiq/worker/"), ("worker", f"/admin/ardiq/worker/{worker}/change/"),
        ("schedules", "/admin/ardiq/schedule/"),
        ("schedule", "/admin/ardiq/schedule/default:bench.yearly/change/"),
        ("bulk operations", f"{LIST}_bulk/"),
    ]  # fmt: skip
    marks = {"dashboard": "dashboard", "dashboard, 72 hours": "three days"}
    return [*lists, *((name, address, marks.get(name, "list")) for name, address in others)]


async def _yearly() -> None:
    """So that there is a recurring task to show; no worker knows it."""


def main() -> None:
    snapshot.KEPT = -1.0  # or all but the first look would cost nothing
    call_command("migrate", verbosity=0)
    users = get_user_model()._default_manager
    user = users.create_superuser("benchmark", "benchmark@example.com", "benchmark")
    client = Client()
    client.force_login(user)
    wire = Wire()
    app.cron("0 0 1 1 *", name="bench.yearly")(_yearly)
    found = [measure(client, wire, *page) for page in pages(client)]
    watch = Watch(os.environ["BENCH_URL"])
    for page in found:
        examine(client, watch, page)
    json.dump({"pages": found}, sys.stdout)
    print()


if __name__ == "__main__":
    main()
