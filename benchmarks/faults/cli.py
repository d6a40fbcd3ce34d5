"""The command line: every cell on a server and in a folder of its own, one table and JSON at the end."""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from harness.environments import OURS
from harness.machine import facts
from harness.server import ServerError, find_binary

from faults import results, scenarios
from faults.field import NODES, Field
from faults.fleet import RESTART
from faults.peers import LEASE, PEERS, SLOTS, Peer, PeerError
from faults.scenarios import SCENARIOS
from faults.server import DurableServer

METHOD = {
    "workers": f"{NODES} nodes of {SLOTS} slots (RQ: {SLOTS} workers of one); who exits is started again "
    f"{RESTART} s later",
    "jobs": f"{scenarios.BODY} s each ({scenarios.LONG_BODY} s under kill -9), enqueued before workers start",
    "lease": f"{LEASE} s: lease, idle timeout or visibility timeout; RQ has none to set and takes over 60 s",
    "late repeats": "counted until "
    + ", ".join(f"{peer.late:.0f} s ({peer.name})" for peer in PEERS.values())
    + " after the last fault",
}


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="benchmarks/faults/run",
        description="Put ardiq (ours) and four other systems under the same faults, each cell on a server "
        "that this run starts for itself. Linux only. PYTHON names the interpreter (default: CPython 3.13).",
    )
    made.add_argument("--peer", action="append", choices=PEERS, help="only this system; repeatable")
    made.add_argument("--scenario", action="append", choices=SCENARIOS, help="only this fault; repeatable")
    made.add_argument("--jobs", type=int, default=500, metavar="N", help="jobs of a storm (default 500)")
    made.add_argument("--json", type=Path, metavar="FILE", help="add what was found to this file")
    made.add_argument(
        "--markdown", type=Path, metavar="FILE", help="write all that is in --json as a document"
    )
    made.add_argument("--note", metavar="TEXT", help="what else a reader of the results should know")
    made.add_argument("--server", metavar="PATH", help="redis-server or valkey-server to start")
    made.add_argument("--logs", type=Path, metavar="DIR", help="keep journals and logs of workers")
    made.add_argument("--fresh", action="store_true", help="make the environments anew")
    return made


def main() -> int:
    """Returns 0 when every cell was measured, else 1. What was measured is not judged here."""
    args = parser().parse_args()
    # Without this a stopped run would leave its workers and its server behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    peers = [PEERS[name] for name in args.peer or PEERS]
    names = args.scenario or list(SCENARIOS)
    if args.logs:
        args.logs = args.logs.resolve()
    for peer in peers:
        peer.environment.ensure(args.fresh)
    binary = args.server or find_binary()
    method = {**METHOD, "note": args.note} if args.note else METHOD
    found: results.Results = {**results.empty(), "method": method}
    for name in names:
        for peer in peers:
            cell, about = measure(peer, name, binary, args.jobs, args.logs)
            known = versions(peer)
            commit = about.pop("commit")
            if peer.environment is OURS:
                known += f", commit {commit}"
            one = {
                **found,
                "facts": about,
                "versions": {peer.name: known},
                "cells": {name: {peer.name: cell}},
            }
            found = results.merge(found, one)
            if args.json:
                results.add(args.json, one)
            print(f"{name} {peer.name}: {json.dumps(cell, ensure_ascii=False)}", file=sys.stderr)
    if args.json and args.markdown:
        args.markdown.write_text(results.document(results.load(args.json)))
    print(results.table(found, [peer.name for peer in peers], names))
    print("\n" + json.dumps(found, ensure_ascii=False))
    return int(any("error" in cell for row in found["cells"].values() for cell in row.values()))


def measure(
    peer: Peer, scenario: str, binary: str, jobs: int, logs: Path | None
) -> tuple[dict[str, Any], dict[str, str]]:
    """The cell, and what machine and server are. A cell that could not be measured has an error."""
    with tempfile.TemporaryDirectory(prefix="ardiq-faults-") as made:
        folder = logs / f"{scenario}-{peer.name}" if logs else Path(made)
        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.glob("worker-*.log"):
            old.unlink()
        (folder / "journal").unlink(missing_ok=True)
        with DurableServer(binary, Path(made)) as server:
            about = facts(server, [])
            about["server"] = about["server"].replace("no persistence", "AOF everysec")
            field = Field(peer, server, folder, jobs)
            try:
                cell = SCENARIOS[scenario][1](field)
            except (PeerError, ServerError, OSError, subprocess.TimeoutExpired) as error:
                cell = {"error": f"{type(error).__name__}: {error}"}
            finally:
                field.fleet.close()
    return cell, {name: about[name] for name in ("cpu", "memory", "system", "server", "commit")}


def versions(peer: Peer) -> str:
    known = peer.environment.versions()
    return ", ".join([known.pop("python"), *(f"{name} {version}" for name, version in known.items())])
