"""Single jobs that leave at the commit of a transaction: together, as far as they follow each other."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, Protocol

from ardiq import transactions
from ardiq.connection import Answer, Broker, is_new
from ardiq.core.errors import BrokerError
from ardiq.overrides import CallOptions
from ardiq.signals import job_enqueued
from ardiq.store.newjobs import NewJob


class Target(Protocol):
    """What is enqueued: a task with its options."""

    name: str
    call_options: CallOptions

    told: Callable[[Answer], None] | None
    """Hears what came of the one call that this is made for; must not raise."""

    def announce(self, broker: Broker, ids: Iterable[str]) -> None: ...


def at_commit(target: Target, broker: Broker, job: NewJob) -> None:
    """Let a job leave when the transaction commits that is open here."""
    leaving = transactions.Leaving(
        (target, job), partial(_store, broker), f"{target.name} {job[0]}", (job[0],), broker
    )
    transactions.at_commit(leaving, target.call_options.using)


def here(broker: Broker, jobs: Sequence[tuple[Any, NewJob]]) -> list[Answer]:
    """At the commit of a transaction that is open in this thread, otherwise now: for async callers. All jobs
    name the same database. Answers for each job; True for all while they are on their way."""
    if not transactions.is_open(jobs[0][0].call_options.using):
        return now(broker, jobs)
    for target, job in jobs:
        at_commit(target, broker, job)
    return [True] * len(jobs)


def now(broker: Broker, jobs: Sequence[tuple[Any, NewJob]]) -> list[Answer]:
    """Store jobs, all or with an error."""
    answers, error = _tried(broker, jobs)
    if error is not None:
        raise error
    return answers


def _store(broker: Broker, jobs: list[tuple[Any, NewJob]]) -> tuple[int, BrokerError | None]:
    answers, error = _tried(broker, jobs)
    return len(answers), error


def _tried(broker: Broker, jobs: Sequence[tuple[Any, NewJob]]) -> tuple[list[Answer], BrokerError | None]:
    answers, error = broker.submit_in_order([job for _, job in jobs])
    announces = bool(job_enqueued.receivers)
    for (target, job), answer in zip(jobs, answers, strict=False):
        if announces and is_new(answer):
            target.announce(broker, [job[0]])
        if target.told is not None:
            target.told(answer)
    return answers, error
