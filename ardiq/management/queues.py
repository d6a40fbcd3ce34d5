"""Queues, and how they stand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ardiq.alerts import paused
from ardiq.connection import broker
from ardiq.core.job import JobStatus
from ardiq.core.options import Options
from ardiq.management.tables import NOTHING, Block, Cell, Column, Table, span
from ardiq.store import controls, inspector
from ardiq.store.controls import Pause
from ardiq.store.inspector import Counts, Heads


@dataclass(frozen=True, slots=True)
class Seen:
    """A queue at one moment, without its workers and schedules one by one."""

    options: Options
    heads: Heads
    counts: Counts
    pauses: list[Pause]


def seen(options: Options) -> Seen:
    """Look at a queue, in one round trip. Raises BrokerError when Redis cannot be reached."""
    own = broker(options)
    found: list[Any] = own.store.run_many(
        [
            inspector.heads(own.keys, options.priorities),
            inspector.counts(own.keys, options.priorities),
            controls.pauses(own.keys),
        ]
    )
    return Seen(options, *found)


def page(found: Sequence[Seen]) -> list[Block]:
    """A table of queues, and below it what is paused."""
    columns = [
        Column("queue", cut="end"), Column("waiting", right=True), Column("oldest wait", right=True),
        Column("scheduled", right=True, drop=2), Column("running", right=True),
        Column("failed", right=True, drop=1), Column("workers", right=True), Column("state"),
    ]  # fmt: skip
    rows = []
    for one in found:
        counts = one.counts.statuses
        since = one.heads.oldest
        rows.append([
            Cell.of(one.options.queue), Cell.of(counts[JobStatus.QUEUED]),
            Cell(span(one.heads.now - since)) if since else NOTHING,
            Cell.of(counts[JobStatus.SCHEDULED]), Cell.of(counts[JobStatus.RUNNING]),
            Cell.of(counts[JobStatus.FAILED]), Cell.of(one.counts.workers), state(one.pauses),
        ])  # fmt: skip
    blocks: list[Block] = [Table("Queues", columns, rows)]
    for one in found:
        blocks += [
            [Cell("! ", "warn"), Cell.of(f"{one.options.queue}: {paused(pause, one.heads.now)}", "warn")]
            for pause in one.pauses
        ]
    return blocks


def state(pauses: Sequence[Pause]) -> Cell:
    if any(not one.lane for one in pauses):
        return Cell("paused", "warn")
    return Cell(f"paused: {', '.join(one.lane for one in pauses)}", "warn") if pauses else Cell("ok", "good")


def data(one: Seen) -> dict[str, Any]:
    lanes = [
        {"lane": lane, "waiting": one.counts.lanes[lane], "oldest": one.heads.lanes[lane] or None}
        for lane in reversed(one.options.priorities)
    ]
    return {
        "queue": one.options.queue, "at": one.heads.now, "workers": one.counts.workers, "lanes": lanes,
        "jobs": {status.value: count for status, count in one.counts.statuses.items()},
        "next_due": one.heads.next_due or None, "paused": paused_data(one.pauses),
    }  # fmt: skip


def paused_data(pauses: Sequence[Pause]) -> list[dict[str, Any]]:
    return [
        {"lane": one.lane or None, "at": one.at, "by": one.by or None, "reason": one.reason or None}
        for one in pauses
    ]
