"""The command line: which sides and rows, one sample after the other, what comes of them."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import tempfile
from hashlib import sha256
from pathlib import Path
from typing import Any

from harness import docs
from harness.environments import BENCHMARKS, PROJECT
from harness.machine import facts
from harness.measuring import Bench
from harness.plan import turns
from harness.processes import reap
from harness.report import field_table, missed, pair_table, summary
from harness.rows import ROWS
from harness.samples import Samples, place
from harness.server import Server, find_binary
from harness.sides import FIELD, OURS_SIDE, PEER_SIDE, SIDES, Side
from harness.taking import take

# What a sample depends on; how the rest is ordered, added up and shown it does not.
MEASURING = (
    "bodies.py",
    "client.py",
    "launch.py",
    "ours",
    "peers",
    *(f"harness/{name}.py" for name in ("environments", "measuring", "processes", "server", "sides")),
)


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="benchmarks/run",
        description="Measure ardiq (ours) beside ardiq 1.2.0 of PyPI, or beside the whole field, one worker "
        "each, results stored, on a server that this run starts for itself. A run that was stopped goes on "
        "where it was when it is started again. Rows: " + ", ".join(ROWS) + ". Sides: " + ", ".join(SIDES),
        epilog="PYTHON names the interpreter to measure on (default: a CPython 3.13 from PATH or pyenv).",
    )
    add = made.add_argument
    add("--field", action="store_true", help="all of: " + ", ".join(side.name for side in FIELD))
    add("--sides", metavar="A,B", help="these sides (default ours,ardiq)")
    add("--rows", default=",".join(ROWS), metavar="A,B", help="only these rows")
    add("--rounds", type=int, default=5, metavar="N", help="samples per row and side (default 5)")
    add("--scale", type=float, default=1.0, help="shrink all sizes; below 1 only to try it out")
    add("--cpus", type=int, metavar="N", help="keep the server and everything else on N CPUs")
    add("--fresh", action="store_true", help="make the virtual environments anew")
    add("--fresh-samples", action="store_true", help="start again, whatever a stopped run has left")
    add("--json", type=Path, metavar="FILE", help="write facts, medians and samples here")
    add("--docs", action="store_true", help="write the figures into docs/explanation/speed.md, with charts")
    add("--docs-root", type=Path, default=PROJECT / "docs", metavar="DIR", help=argparse.SUPPRESS)
    add("--from", type=Path, dest="given", metavar="FILE", help="measure nothing, report what --json wrote")
    add("--server", metavar="PATH", help="redis-server or valkey-server to start")
    return made


def chosen(names: str, known: dict[str, Any], what: str) -> list[Any]:
    picked = [name.strip() for name in names.split(",") if name.strip()]
    unknown = [name for name in picked if name not in known]
    if unknown or not picked:
        raise SystemExit(f"unknown {what} {', '.join(unknown) or names!r}; there are: {', '.join(known)}")
    return [known[name] for name in dict.fromkeys(picked)]


def main() -> int:
    """Returns 0 when nothing failed and no mark was missed, else 1."""
    args = parser().parse_args()
    if args.rounds < 1 or not 0 < args.scale <= 1:
        raise SystemExit("--rounds must be 1 or more, --scale above 0 and at most 1")
    # Without this a stopped run would leave its workers and its server behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    result = json.loads(args.given.read_text()) if args.given else measured(args)
    if args.json:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        args.json.write_text(json.dumps(result, indent=1) + "\n")
    if args.docs:
        docs.write(result, args.docs_root)
    show(result)
    return 1 if result["failed"] or (missed(result["rows"]) and not result["trial"]) else 0


def measured(args: argparse.Namespace) -> dict[str, Any]:
    rows = [row.name for row in chosen(args.rows, ROWS, "row")]
    sides: list[Side] = [OURS_SIDE, PEER_SIDE]
    if args.sides or args.field:
        sides = chosen(args.sides, SIDES, "side") if args.sides else list(FIELD)
    for side in sides:
        side.environment.ensure(args.fresh)
    if args.cpus:
        # Inherited by the server, the workers and the clients.
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-args.cpus :])
    names = [side.name for side in sides]
    reap()
    with (
        tempfile.TemporaryDirectory(prefix="ardiq-bench-") as folder,
        Server(args.server or find_binary(), Path(folder)) as server,
    ):
        about = facts(server, sides)
        basis = {name: about[name] for name in ("cpu", "memory", "system", "server", *names)}
        basis |= {"rows": rows, "scale": args.scale, "code": code()}
        samples = Samples(place(BENCHMARKS / "results", basis))
        plan = list(turns(rows, names, args.rounds))
        if args.fresh_samples or not samples.left(plan):
            samples.start_again()
        elif samples.entries:
            print(f"goes on after {len(samples.entries)} samples in {samples.path}", file=sys.stderr)
        take(Bench(server, Path(folder), args.scale), samples, plan)
    return {
        "facts": about,
        "sides": names,
        "rounds": args.rounds,
        "trial": args.scale < 1,
        "rows": {row: collected(samples, row, names) for row in rows},
        "lacks": samples.reasons("lacks"),
        "failed": samples.reasons("failed"),
    }


def collected(samples: Samples, row: str, sides: list[str]) -> dict[str, Any]:
    taken = {side: found for side in sides if (found := samples.figures(row, side))}
    return summary(ROWS[row].title, ROWS[row].metrics, taken)


def code() -> str:
    """What is measured and what measures it, as one word: samples of different code never meet."""
    digest = sha256()
    for root in (PROJECT / "ardiq", *(BENCHMARKS / name for name in MEASURING)):
        files = sorted(root.rglob("*")) if root.is_dir() else [root]
        for path in files:
            if path.suffix in (".py", ".lua"):
                digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def show(result: dict[str, Any]) -> None:
    print()
    for name, text in result["facts"].items():
        print(f"{name:>8}: {text}")
    print(f"\nMedians of {result['rounds']} rounds, interleaved.\n")
    print(pair_table(result["rows"]))
    if set(result["sides"]) - {"ours", "ardiq"}:
        print("\n" + field_table(result["rows"], result["sides"], result["failed"]))
    for what in ("lacks", "failed"):
        for row, reasons in result[what].items():
            for side, reason in reasons.items():
                print(f"{what}: {row}, {side}: {reason.splitlines()[0]}")
