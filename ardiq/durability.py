"""``durability=``: an enqueue that returns when its jobs are somewhere else as well (store/confirming.py)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Protocol

from asgiref.sync import sync_to_async

from ardiq import leaving
from ardiq.connection import Answer, Broker
from ardiq.core.errors import ArdiqError, BrokerError, NotDurable
from ardiq.store.confirming import LONGEST_MS, REPLICA, Sent
from ardiq.store.newjobs import NewJob


class Target(leaving.Target, Protocol):
    definition: Any

    def waits_for_commit(self, broker: Broker) -> bool: ...


Jobs = Sequence[tuple[Any, NewJob]]


def check(broker: Broker, jobs: Jobs) -> None:
    """Raise ArdiqError where jobs that all want the same durability cannot be asked for, from sync code."""
    way = _way(broker, [target for target, _ in jobs])
    if any(target.waits_for_commit(broker) for target, _ in jobs):
        raise ArdiqError(
            f"durability={way!r} cannot be waited for inside of a transaction: they leave at its commit. "
            "Give on_commit=False, enqueue in transaction.on_commit(...), or let durable=True keep it in "
            "the database."
        )
    broker.confirming.check(way)


def put(broker: Broker, jobs: Jobs) -> list[Answer]:
    """Store such jobs, which have been checked, and wait until they have it. Raises NotDurable."""
    way = jobs[0][0].call_options.durability
    answers = leaving.now(broker, jobs)
    try:
        enough = broker.confirming.confirmed(way, _sent(jobs, answers))
    except BrokerError as error:
        raise _missed(way, jobs, answers, error) from error
    if not enough:
        raise _missed(way, jobs, answers)
    return answers


async def check_async(broker: Broker, jobs: Jobs) -> None:
    """``check`` on an event loop, where no transaction is open."""
    await broker.here().confirming.check(_way(broker, [target for target, _ in jobs]))


async def put_async(broker: Broker, jobs: Jobs) -> list[Answer]:
    """``put`` on an event loop; other coroutines go on enqueuing meanwhile."""
    way = jobs[0][0].call_options.durability
    answers = await sync_to_async(leaving.now)(broker, jobs)
    try:
        enough = await broker.here().confirming.confirmed(way, _sent(jobs, answers))
    except BrokerError as error:
        raise _missed(way, jobs, answers, error) from error
    if not enough:
        raise _missed(way, jobs, answers)
    return answers


def _way(broker: Broker, targets: Iterable[Target]) -> str:
    way = ""
    for target in targets:
        way = target.call_options.durability or ""
        by_task = target.definition is not None and target.definition.durable
        by_queue = broker.options.durable and (target.definition is None or target.definition.durable is None)
        if target.call_options.durable is None and (by_task or by_queue):
            raise ArdiqError(
                f"durability={way!r}: jobs of {target.name} are durable=True and go by a table of the "
                "database; give durable=False with it."
            )
    return way


def all_of(missed: list[NotDurable]) -> NotDurable:
    """Several in one, with all ids."""
    if len(missed) == 1:
        return missed[0]
    return NotDurable(" ".join(map(str, missed)), [id for one in missed for id in one.ids])


def _sent(jobs: Jobs, answers: list[Answer]) -> Sent:
    return [
        (answer if isinstance(answer, str) else job[0], job)
        for (_, job), answer in zip(jobs, answers, strict=True)
    ]


def _missed(way: str, jobs: Jobs, answers: list[Answer], error: Exception | None = None) -> NotDurable:
    ids = [id for id, _ in _sent(jobs, answers)]
    place = "no replica" if way == REPLICA else "no disk"
    why = f" {error}" if error else ""
    some = ids[0] if len(ids) == 1 else f"{ids[0]} and {len(ids) - 1:,} more"
    return NotDurable(
        f"Stored, but {place} has confirmed it within {LONGEST_MS:,} ms: {some}. A failover may lose it, "
        f"or has; enqueue it again under the same id.{why}",
        ids,
    )
