"""A thousand jobs, a hundred thousand, a million: what each verb costs beside so many."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from harness.server import Server

from growth.actions import ACTIONS
from growth.counted import Counted
from growth.field import Field
from growth.sampling import rows

Start = Callable[..., Server]


def measure(args: argparse.Namespace, start: Start) -> dict[str, Any]:
    fields = filled(args.jobs, start)
    megabytes = {size: field.server.data_bytes() / 1e6 for size, field in fields.items()}
    chosen = [action for action in ACTIONS if args.verbs in action.name]
    return {"rows": rows(fields, chosen, args.rounds), "megabytes": megabytes}


def count(args: argparse.Namespace, start: Start) -> dict[str, Any]:
    """The same in instructions."""
    fields = filled(args.jobs, start)
    for size, field in fields.items():
        since = time.monotonic()
        field.redis.save()
        folder: Path = field.server.folder
        field.server.__exit__(None, None, None)
        field.serve(start(Counted, folder))
        print(f"{size:,} loaded in {time.monotonic() - since:.0f} s", file=sys.stderr)
    chosen = [action for action in ACTIONS if args.verbs in action.name]
    return {"rows": rows(fields, chosen, 1)}


def filled(sizes: list[int], start: Start) -> dict[int, Field]:
    fields = {size: Field(start(), size) for size in sizes}
    for size, field in fields.items():
        since = time.monotonic()
        field.fill()
        took, bytes = time.monotonic() - since, field.server.data_bytes()
        print(f"{size:,} of each kind, {bytes / 1e6:,.0f} MB, filled in {took:.0f} s", file=sys.stderr)
    return fields
