"""The command line: fields of several sizes side by side, one sample of each verb in each in turn."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from harness.machine import facts
from harness.server import Server, find_binary
from harness.sides import OURS_SIDE

from growth import jobs, payloads, report, storm, workers

PARTS: dict[str, Callable[[argparse.Namespace, jobs.Start], dict[str, Any]]] = {
    "jobs": jobs.measure,
    "instructions": jobs.count,
    "workers": workers.measure,
    "storm": storm.measure,
    "payloads": payloads.measure,
}


def numbers(text: str) -> list[int]:
    return [int(word.replace("_", "")) for word in text.split(",")]


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="benchmarks/growth/run", description=__doc__)
    made.add_argument("--parts", default=",".join(PARTS), metavar="A,B", help=f"of {', '.join(PARTS)}")
    made.add_argument("--jobs", type=numbers, default=[1_000, 100_000, 1_000_000], metavar="N,N")
    made.add_argument("--large", action="store_true", help="five million jobs as well (about 5 GB)")
    made.add_argument("--workers", type=numbers, default=[1, 10, 100, 1_000], metavar="N,N")
    made.add_argument("--due", type=int, default=1_000_000, metavar="N", help="jobs due at the same ms")
    made.add_argument("--rounds", type=int, default=15, metavar="N", help="samples of each verb")
    made.add_argument("--verbs", default="", metavar="TEXT", help="only verbs with this in their names")
    made.add_argument("--json", type=Path, metavar="FILE", help="write facts, medians and marks here")
    made.add_argument("--server", metavar="PATH", help="redis-server or valkey-server to start")
    return made


def main() -> int:
    """Returns 0 when the cost of every verb is flat, else 1."""
    args = parser().parse_args()
    if args.large:
        args.jobs = [*args.jobs, 5_000_000]
    binary = args.server or find_binary()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ardiq-growth-")))

        def start(kind: type[Server] = Server, place: Path | None = None) -> Server:
            place = place or folder / f"server-{len(list(folder.iterdir()))}"
            place.mkdir(exist_ok=True)
            return stack.enter_context(kind(binary, place))

        result: dict[str, Any] = {"facts": facts(start(), [OURS_SIDE]), "rounds": args.rounds, "parts": {}}
        for name in args.parts.split(","):
            print(f"-- {name}", file=sys.stderr)
            result["parts"][name] = PARTS[name](args, start)
    if args.json:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        args.json.write_text(json.dumps(result, indent=1) + "\n")
    print(report.text(result))
    return 1 if report.missed(result) else 0


if __name__ == "__main__":
    sys.exit(main())
