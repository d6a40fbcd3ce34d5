"""Takes the samples of a plan, one after the other; none of them can stop or hold up the rest."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Sequence

from harness.bounded import TooLong, within
from harness.measuring import Bench
from harness.plan import Turn
from harness.rows import ROWS
from harness.samples import Samples
from harness.server import ServerError
from harness.sides import SIDES, Lacks, SideError

SAMPLE_SECONDS = 180


def take(bench: Bench, samples: Samples, plan: Sequence[Turn]) -> None:
    left = samples.left(plan)
    for place, turn in enumerate(left, 1):
        number, row, side = turn
        if samples.hopeless(row, side):
            continue
        start = time.monotonic()
        what = sample(bench, row, side)
        samples.add(turn, **what)
        text = str(what)
        if "figures" in what:
            text = ", ".join(f"{name} {value:,.4g}" for name, value in what["figures"].items())
        seconds = time.monotonic() - start
        print(
            f"{place}/{len(left)} round {number + 1} {row} {side} ({seconds:.0f} s): {text}", file=sys.stderr
        )


def sample(bench: Bench, row: str, side: str) -> dict[str, object]:
    # A sample that was cut off may have left half a reply on the wire.
    bench.server.reconnect()
    bench.server.reset()
    try:
        with within(SAMPLE_SECONDS):
            return {"figures": ROWS[row].measure(bench, SIDES[side])}
    except Lacks as reason:
        return {"lacks": str(reason)}
    except (SideError, ServerError, TooLong, OSError, subprocess.TimeoutExpired, ZeroDivisionError) as error:
        # The first line goes into tables and documents, the log stays with the samples.
        what, _, log = (str(error) or repr(error)).partition("\n")
        return {"failed": what, "log": log}
