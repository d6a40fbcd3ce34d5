"""The cells that were measured: a JSON file that several runs may add to, and one table for people."""

from __future__ import annotations

import fcntl
import json
from pathlib import Path
from typing import Any

from faults.peers import PEERS
from faults.scenarios import SCENARIOS

Results = dict[str, Any]  # "facts", "method", "versions" by system, "cells" by scenario and system


def empty() -> Results:
    return {"facts": {}, "method": {}, "versions": {}, "cells": {}}


def load(path: Path) -> Results:
    return {**empty(), **json.loads(path.read_text())} if path.exists() and path.stat().st_size else empty()


def add(path: Path, other: Results) -> Results:
    """Put what another run has found over what the file holds. Safe beside other runs."""
    with path.open("a+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        merged = merge(load(path), other)
        path.write_text(json.dumps(merged, indent=1, ensure_ascii=False) + "\n")
    return merged


def merge(old: Results, new: Results) -> Results:
    cells = {name: {**old["cells"].get(name, {}), **new["cells"].get(name, {})} for name in SCENARIOS}
    return {
        "facts": {**old["facts"], **new["facts"]},
        "method": {**old["method"], **new["method"]},
        "versions": {**old["versions"], **new["versions"]},
        "cells": {name: found for name, found in cells.items() if found},
    }


HEAD = (
    "| fault | system | jobs | lost or stuck | ended again | started again | worker exits | "
    "work goes on, s | held jobs back, s | note |\n|---|---|--:|--:|--:|--:|--:|--:|--:|---|"
)


def table(results: Results, peers: list[str], scenarios: list[str]) -> str:
    lines = [HEAD]
    for scenario in scenarios:
        for peer in peers:
            cell = results["cells"].get(scenario, {}).get(peer)
            shown = _shown(cell) if cell and "error" not in cell else ["not run", *[""] * 7]
            if cell and "error" in cell:
                shown[-1] = cell["error"].splitlines()[0][:120]
            lines.append("| " + " | ".join([SCENARIOS[scenario][0], peer, *shown]) + " |")
    return "\n".join(lines)


def _shown(cell: dict[str, Any]) -> list[str]:
    figures = [cell[name] for name in ("jobs", "lost_or_stuck", "ended_again", "started_again", "exits")]
    times = [cell.get(name) for name in ("goes_on_s", "held_back_s")]
    return [*map(str, figures), *("–" if time is None else str(time) for time in times), _note(cell)]


def _note(cell: dict[str, Any]) -> str:
    parts = [f"{count} {state}" for state, count in cell["states"].items()]
    if done := cell["lost_or_stuck"] - cell["never_ended"]:
        parts.append(f"the bodies of {done} had run to the end")
    if "accepted" in cell:
        jobs = cell["jobs"]
        parts.append(
            f"late finishes accepted {cell['accepted']}/{jobs}, overwritten {cell['overwritten']}/{jobs}"
        )
    if "poison_starts" in cell:
        parts.append(f"poison started {cell['poison_starts']}×, then {cell['poison_state']}")
    if cell.get("blows", 0) < cell.get("wanted_blows", 0):
        parts.append(f"struck {cell['blows']}× only")
    if cell.get("slowest_stop_s") is not None:
        parts.append(f"stopped within {cell['slowest_stop_s']} s")
    if cell["exit_codes"]:
        parts.append(f"exit codes {', '.join(map(str, cell['exit_codes']))}")
    return "; ".join(parts)


def document(results: Results) -> str:
    """What stands in results.md: the machine, the versions, the method, the table."""
    lines = ["# The same faults, five systems", ""]
    lines += [f"* {name}: {text}" for name, text in results["facts"].items()]
    lines += [f"* {name}: {results['versions'][name]}" for name in PEERS if name in results["versions"]]
    lines += [f"* {name}: {text}" for name, text in results["method"].items()]
    return "\n".join([*lines, "", table(results, list(PEERS), list(SCENARIOS)), ""])
