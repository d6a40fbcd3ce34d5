"""Asking several queues at once: those of one server share a round trip."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from ardiq import conf
from ardiq.connection import Broker, broker
from ardiq.store.scripts import Call


def broker_of(alias: str) -> Broker:
    return broker(conf.options(alias))


def servers(aliases: Iterable[str]) -> list[list[Broker]]:
    """The queues that can be asked in one round trip: those of one server, of a Cluster each alone."""
    groups: dict[Any, list[Broker]] = {}
    for alias in aliases:
        own = broker_of(alias)
        where: Any = alias if own.endpoint.is_cluster else own.options.cache_key[:-1]
        groups.setdefault(where, []).append(own)
    return list(groups.values())


def together(aliases: Iterable[str], make: Callable[[Broker], Sequence[Call]]) -> dict[str, list[Any]]:
    """What each queue answers to some calls, in the order of ``aliases``. One round trip for each server, and
    none for one of which nothing is asked; a Cluster counts as many."""
    out: dict[str, list[Any]] = {alias: [] for alias in aliases}
    for group in servers(out):
        asked = [(own.keys.queue, list(make(own))) for own in group]
        calls = [call for _, some in asked for call in some]
        answers = iter(group[0].store.run_many(calls) if calls else [])
        out |= {queue: [next(answers) for _ in some] for queue, some in asked}
    return out
