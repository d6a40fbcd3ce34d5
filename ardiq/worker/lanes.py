"""In which order a worker drains the lanes of its queue, and how much of each it may take."""

from __future__ import annotations

import random
from collections.abc import Iterable

from ardiq.core.options import Options
from ardiq.worker.held import Held


def drained(options: Options, held: Iterable[Held], most: int) -> list[tuple[str, int]]:
    """Lanes in the order in which to drain them, each with how many may be taken of it."""
    lanes = list(reversed(options.priorities))
    weights, limits = options.lane_weights, options.lane_limits
    if weights:
        # Each lane comes first in proportion to its weight (Efraimidis and Spirakis, 2006).
        lanes.sort(key=lambda lane: random.random() ** (1 / weights.get(lane, 1)), reverse=True)  # noqa: S311
    if not limits:
        return [(lane, most) for lane in lanes]
    taken: dict[str, int] = {}
    for one in held:
        taken[one.record.lane] = taken.get(one.record.lane, 0) + 1
    return [(lane, max(0, min(most, limits.get(lane, most) - taken.get(lane, 0)))) for lane in lanes]
