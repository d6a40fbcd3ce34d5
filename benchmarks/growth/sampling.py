"""A sample of each action in each field in turn, so that a busy minute of the machine is one of them all."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from growth.actions import Action
from growth.field import Field
from growth.meter import Reading

FLAT = 1.15  # the most that a verb may cost at the largest size, by what it costs at the smallest

# What is told of a verb: its cost in each field, in microseconds for each job.
Row = dict[str, Any]


def sample(field: Field, action: Action) -> Reading:
    steps = action.act(field)
    reading, replies = field.meter.take(next(steps))
    try:
        steps.send(replies)
    except StopIteration:
        return Reading(reading.server / action.of, reading.wall / action.of)
    raise AssertionError(f"{action.name} yields twice")


def rows(fields: Mapping[int, Field], actions: Sequence[Action], rounds: int) -> list[Row]:
    """What all rounds tell. The first sample of each pays for its script and is not counted."""
    found: dict[str, dict[int, list[Reading]]] = {one.name: {size: [] for size in fields} for one in actions}
    order = list(fields)
    for number in range(rounds + 1):
        for action in actions:
            order.append(order.pop(0))
            for size in order:
                reading = sample(fields[size], action)
                if number:
                    found[action.name][size].append(reading)
        print(f"round {number} of {rounds}", file=sys.stderr)
    return [row(action.name, action.per, found[action.name]) for action in actions]


def low(values: Iterable[float]) -> float:
    """The lower quartile: what else the machine does only ever adds to a sample."""
    found = sorted(values)
    return found[len(found) // 4]


def row(name: str, per: str, readings: Mapping[int, Sequence[Reading]]) -> Row:
    server = {size: low(one.server for one in taken) for size, taken in readings.items()}
    smallest, *others = server.values()
    growth = max(others) / smallest if others else 1.0
    return {
        "verb": name,
        "per": per,
        "server_us": server,
        "wall_us": {size: low(one.wall for one in taken) for size, taken in readings.items()},
        "growth": growth,
        "flat": growth <= FLAT,
    }
