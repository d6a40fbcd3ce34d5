"""What running jobs report: progress and log lines on their way to Redis, and read again for people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ardiq.core.reports import LOGS_MOST
from ardiq.store.keys import Keys
from ardiq.store.scripts import Call, Part, id_text, script

MOST = 20  # jobs in one script: lines of so many are cut in less than 2 ms of the server (R9)

# id, number of the claim, ms that the reports live on (0: they go), progress or '', lines or ''
Report = tuple[str, int, int, str, str]


def report(keys: Keys, worker: str, reports: Sequence[Report]) -> Call:
    """Keep reports of at most MOST jobs. Answers the ids of those that the worker does not hold."""
    argv: list[Part] = [worker, LOGS_MOST]
    for one in reports:
        argv += one
    return script("report").call(keys.prefix, argv, lambda reply: [id_text(id) for id in reply])


def _same(reply: Any) -> Any:
    return reply


def with_progress(keys: Keys, id: str) -> Call:
    """[record or None, progress or None] of a job, of one moment."""
    return Call(("MGET", keys.job(id), keys.progress(id)), _same)


def with_logs(keys: Keys, id: str) -> Call:
    """[record or None, kept lines or None] of a job, of one moment."""
    return Call(("MGET", keys.job(id), keys.logs(id)), _same)


def with_all(keys: Keys, id: str) -> Call:
    """[record, progress, kept lines, jobs made of it] of a job, of one moment; None for what is not there."""
    return Call(("MGET", keys.job(id), keys.progress(id), keys.logs(id), keys.again(id)), _same)
