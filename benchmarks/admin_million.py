#!/usr/bin/env python3
"""Time the admin's pages over a million jobs: ``benchmarks/admin_million.py [--jobs N] [--json FILE]``.

Starts a server of its own, fills a queue with jobs of every status through the public API and a real
worker, and asks Django for the pages. The marks: MARKS below; and of each page the server's own statistics
say which commands it ran, none of which may be one whose cost grows with the jobs (harness/examined.py).
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))

from harness.machine import facts
from harness.server import Server, find_binary
from harness.sides import OURS_SIDE, SideError, Worker

# Kind of page: round trips and ms at most. A search for an argument reads the calls of 10,000 jobs; a look at
# three days reads 432 periods instead of 60. What both may take is our own mark, and not that of a page that
# is opened daily.
MARKS = {"list": (5, 150), "dashboard": (5, 100), "three days": (5, 200), "search": (15, 1000)}
RUNNING = 50  # jobs that run while the pages are asked for


def main() -> int:
    """Returns 0 when every page kept to the mark, else 1."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--jobs", type=int, default=1_000_000, help="how many jobs (default 1,000,000)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write facts and figures here")
    parser.add_argument("--server", metavar="PATH", help="redis-server or valkey-server to start")
    args = parser.parse_args()
    if args.jobs < 10_000:
        raise SystemExit("--jobs must be 10,000 or more, or some pages would have nothing to show")
    OURS_SIDE.environment.ensure()
    with (
        tempfile.TemporaryDirectory(prefix="ardiq-bench-") as folder,
        Server(args.server or find_binary(), Path(folder)) as server,
    ):
        result: dict[str, Any] = {"facts": facts(server, [OURS_SIDE])}
        finish(server, Path(folder), args.jobs)
        result |= ask(server, Path(folder), args.jobs)
    if args.json:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        args.json.write_text(json.dumps(result, indent=1) + "\n")
    show(result)
    return 0 if all(page["met"] for page in result["pages"]) else 1


def fill(server: Server, **params: object) -> None:
    print(f"filling: {params}", file=sys.stderr)
    OURS_SIDE.run(OURS_SIDE.folder / "fill.py", json.dumps(params), url=server.url, concurrency=10)


def finish(server: Server, folder: Path, jobs: int) -> None:
    """40 % of the jobs run and succeed, 5 % fail, and some expire before they could start."""
    succeeded, failed, expired = jobs * 40 // 100, jobs * 5 // 100, 500
    fill(server, task="noop_sync", count=expired, expire_ms=1)
    fill(server, task="fail", count=failed)
    fill(server, task="noop_async", count=succeeded)
    print("running them", file=sys.stderr)
    with Worker(OURS_SIDE, server.url, 100, folder, last=succeeded) as worker:
        worker.wait_marks(600)
        deadline = time.monotonic() + 60
        while server.keys()[1] < succeeded + failed + expired:
            worker.check()
            if time.monotonic() > deadline:
                raise SideError(f"only {server.keys()[1]:,} jobs have ended")
            time.sleep(0.1)


def ask(server: Server, folder: Path, jobs: int) -> dict[str, Any]:
    """With some jobs running and the rest waiting, scheduled and aborted, ask for the pages."""
    fill(server, task="hold", count=RUNNING)
    with Worker(OURS_SIDE, server.url, RUNNING, folder) as worker:
        worker.wait_idle()
        fill(server, task="noop_async", count=jobs // 10, delay_ms=86_400_000)
        fill(server, task="noop_async", count=jobs - server.keys()[0], abort=500)
        print("asking for pages", file=sys.stderr)
        found = OURS_SIDE.run(
            OURS_SIDE.folder / "admin_pages.py",
            within=900,
            url=server.url,
            concurrency=10,
            database=folder / "admin.sqlite3",
        )
        keys, size = server.keys()[0], server.data_bytes()
    for page in found["pages"]:
        trips, ms = MARKS[page["kind"]]
        fast = page["round_trips"] <= trips and page["ms"] <= ms
        page["met"] = fast and page["status"] < 400 and not page["complaints"]
    return {"keys": keys, "megabytes": size / 1e6, **found}


def show(result: dict[str, Any]) -> None:
    for name, text in result["facts"].items():
        print(f"{name:>8}: {text}")
    print(f"\n{result['keys']:,} keys, {result['megabytes']:,.0f} MB in the server\n")
    titles = "page status rows ms,_median ms,_max of_it_Redis round_trips commands longest,_ms mark"
    print(f"| {' | '.join(titles.split()).replace('_', ' ')} |")
    print("|---|--:|--:|--:|--:|--:|--:|--:|--:|---|")
    for page in result["pages"]:
        met = "met" if page["met"] else "**missed**"
        print(
            f"| {page['page']} | {page['status']} | {page['rows']} | {page['ms']:.0f} | {page['ms_max']:.0f} "
            f"| {page['redis_ms']:.1f} | {page['round_trips']} | {page['commands']:,} "
            f"| {page['slowest_ms']:.1f} | {met} |"
        )
    print("\nWhat the server ran for each page, those inside of scripts as well (INFO commandstats):\n")
    for page in result["pages"]:
        print(
            f"{page['page']:>24}: " + ", ".join(f"{name} {calls:,}" for name, calls in page["calls"].items())
        )
    for page in result["pages"]:
        for complaint in page["complaints"]:
            print(f"{page['page']:>24}: NOT ALLOWED: {complaint}")


if __name__ == "__main__":
    sys.exit(main())
