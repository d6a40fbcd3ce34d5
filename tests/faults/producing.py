"""What a producer does, in either release: its text is run in a shell of the one and of the other."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

# What is added up: values of every shape that travels.
ADDED: list[tuple[Any, Any]] = [
    (1, 2),
    (1 << 70, 1),
    ((1, 2), (3,)),
    (Decimal("1.5"), Decimal("2")),
    (datetime(2027, 3, 1, 12, tzinfo=UTC), timedelta(hours=3)),
    ([{"a": {1}}], [frozenset({b"x"}), None]),
]
EXPECTED = [a + b for a, b in ADDED] + ["cba", "fed", "ihg", 0, 2, 4]


def produce() -> None:
    """Enqueue in every way there is: plain, with options, by name, in bulk. Prints the ids."""
    from tests.shop.tasks import add, app, murmur

    jobs = [add.enqueue_sync(a, b) for a, b in ADDED]
    jobs.append(murmur.options(task_id="named-1", priority="high", expire_ms=60_000).enqueue_sync("abc"))
    jobs.append(murmur.options(unique=True).enqueue_sync(secret="def"))
    jobs.append(app.ref("murmur").options(delay_ms=300).enqueue_sync("ghi"))
    jobs += app.enqueue_many_sync(add.prepare(n, n) for n in range(3))
    print(json.dumps([job.id for job in jobs]))
