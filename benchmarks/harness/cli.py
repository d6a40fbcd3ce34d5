"""The command line: rows interleaved, the side that goes first rotating, a table and JSON at the end."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from harness.machine import facts
from harness.report import summary, table
from harness.rows import ROWS, Bench, Row, Sample
from harness.server import Server, find_binary
from harness.sides import SIDES, Side, SideError


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="benchmarks/run",
        description="Measure ardiq (ours) beside ardiq 1.2.0 of PyPI (peer), one worker process each, "
        "results stored, on a server that this run starts for itself. Rows: " + ", ".join(ROWS),
        epilog="PYTHON names the interpreter to measure on (default: a CPython 3.13 from PATH or pyenv).",
    )
    made.add_argument(
        "--rounds", type=int, default=5, metavar="N", help="samples per row and side (default 5)"
    )
    made.add_argument("--rows", default=",".join(ROWS), metavar="A,B", help="only these rows")
    made.add_argument("--sides", default="ours,peer", metavar="A,B", help="only these sides")
    made.add_argument("--scale", type=float, default=1.0, help="shrink all sizes; below 1 only to try it out")
    made.add_argument("--cpus", type=int, metavar="N", help="keep the server and everything else on N CPUs")
    made.add_argument("--json", type=Path, metavar="FILE", help="write facts, medians and samples here")
    made.add_argument("--server", metavar="PATH", help="redis-server or valkey-server to start")
    made.add_argument("--fresh", action="store_true", help="make the virtual environments anew")
    return made


def chosen(names: str, known: dict[str, Any], what: str) -> list[Any]:
    picked = [name.strip() for name in names.split(",") if name.strip()]
    unknown = [name for name in picked if name not in known]
    if unknown or not picked:
        raise SystemExit(f"unknown {what} {', '.join(unknown) or names!r}; there are: {', '.join(known)}")
    return [known[name] for name in picked]


def main() -> int:
    """Returns 0 when every sample was taken and no mark was missed, else 1."""
    args = parser().parse_args()
    rows: list[Row] = chosen(args.rows, ROWS, "row")
    sides: list[Side] = chosen(args.sides, SIDES, "side")
    if args.rounds < 1 or not 0 < args.scale <= 1:
        raise SystemExit("--rounds must be 1 or more, --scale above 0 and at most 1")
    for side in sides:
        side.environment.ensure(args.fresh)
    if args.cpus:
        # Inherited by the server, the workers and the clients.
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-args.cpus :])
    with (
        tempfile.TemporaryDirectory(prefix="ardiq-bench-") as folder,
        Server(args.server or find_binary(), Path(folder)) as server,
    ):
        about = facts(server, sides)
        if args.scale < 1:
            about["scale"] = f"{args.scale}: a trial, no figures"
        bench = Bench(server, Path(folder), args.scale)
        found, errors = take(bench, rows, sides, args.rounds)
    result = {"facts": about, "rounds": args.rounds, "rows": summary(found), "errors": errors}
    if args.json:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        args.json.write_text(json.dumps(result, indent=1) + "\n")
    show(result)
    missed = [row for row, metrics in result["rows"].items() for m in metrics.values() if m["met"] is False]
    return 1 if errors or (missed and args.scale == 1) else 0


def take(
    bench: Bench, rows: list[Row], sides: list[Side], rounds: int
) -> tuple[dict[str, dict[str, list[Sample]]], list[str]]:
    """One sample of every row and side per round; whoever goes first in one pair goes second in the next."""
    found: dict[str, dict[str, list[Sample]]] = {row.name: {side.name: [] for side in sides} for row in rows}
    errors: list[str] = []
    for number in range(rounds):
        for place, row in enumerate(rows):
            turn = (number + place) % len(sides)
            for side in sides[turn:] + sides[:turn]:
                bench.server.reset()
                try:
                    sample = row.measure(bench, side)
                except (SideError, subprocess.TimeoutExpired) as error:
                    errors.append(f"round {number + 1}, {row.name}: {error}")
                    print(errors[-1], file=sys.stderr)
                    continue
                found[row.name][side.name].append(sample)
                figures = ", ".join(f"{name} {value:,.4g}" for name, value in sample.items())
                print(f"round {number + 1} {row.name} {side.name}: {figures}", file=sys.stderr)
    return found, errors


def show(result: dict[str, Any]) -> None:
    print()
    for name, text in result["facts"].items():
        print(f"{name:>8}: {text}")
    print(f"\nMedians of {result['rounds']} rounds, interleaved.\n")
    print(table(result["rows"]))
    if result["errors"]:
        print(f"\n{len(result['errors'])} samples failed; see above.")
