"""Bulks in which some calls wait until they are in a second place, and others do not. On own servers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db import transaction

from ardiq import Ardiq, Job
from ardiq.core.errors import ArdiqError, BrokerError, NotDurable
from ardiq.enqueuing import Prepared, Task
from ardiq.store import confirming
from tests.server import own_server

Send = Callable[[Ardiq, Iterable[Prepared]], list[Job[Any]]]


def sync(app: Ardiq, calls: Iterable[Prepared]) -> list[Job[Any]]:
    return app.enqueue_many_sync(calls)


def coroutine(app: Ardiq, calls: Iterable[Prepared]) -> list[Job[Any]]:
    return asyncio.run(app.enqueue_many(calls))


sends = pytest.mark.parametrize("send", [sync, coroutine])


@pytest.fixture
def app(tmp_path: Path, queue_name: str) -> Iterator[Ardiq]:
    """On a server that has no replica and writes no file."""
    with own_server(tmp_path) as url:
        yield Ardiq(queue_name, redis_url=url)


@pytest.fixture
def task(app: Ardiq) -> Task[..., Any]:
    task: Task[..., Any] = app.task(name="t")(lambda n=0: None)
    return task


@sends
@pytest.mark.parametrize("first", [True, False])
def test_all_are_stored_before_anything_is_missed(
    app: Ardiq, task: Task[..., Any], send: Send, first: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """B1: what is not confirmed costs neither the plain calls nor those that wait in another way, and the
    error names all that it is about, and nothing else."""
    count = confirming._count  # the tests' server may be too old for WAITAOF; no replica is no replica
    monkeypatch.setattr(confirming, "_count", lambda way, ms: count(confirming.REPLICA, ms))
    asking = [
        task.options(task_id=f"{way}{n}", durability=way).prepare(n)
        for way in confirming.WAYS
        for n in range(2)
    ]
    plain = [task.prepare(n) for n in range(1_200)]
    with pytest.raises(NotDurable) as caught:
        send(app, asking + plain if first else plain + asking)
    assert caught.value.ids == ["replica0", "replica1", "fsync0", "fsync1"]
    assert app.queue_size_sync() == len(plain) + len(asking)


@sends
@pytest.mark.parametrize("first", [True, False])
def test_what_is_refused_is_refused_before_anything_is_stored(
    app: Ardiq, task: Task[..., Any], send: Send, first: bool
) -> None:
    """B1: nothing was stored, it says, and so it is: neither plain calls nor others that wait."""
    refused = task.options(durability="fsync").prepare()
    others = [*(task.prepare(n) for n in range(1_200)), task.options(durability="replica").prepare()]
    with pytest.raises(BrokerError, match=r"durability='fsync' needs .*Nothing was stored"):
        send(app, [refused, *others] if first else [*others, refused])
    assert app.queue_size_sync() == 0


@pytest.mark.django_db(transaction=True)
def test_what_is_refused_in_a_transaction_leaves_nothing_for_its_commit(
    app: Ardiq, task: Task[..., Any]
) -> None:
    """B1, J1: who goes on after the refusal, and commits, finds nothing of the bulk."""
    with transaction.atomic():
        with pytest.raises(ArdiqError, match="on_commit=False"):
            app.enqueue_many_sync([task.prepare(), task.options(durability="replica").prepare()])
    assert app.queue_size_sync() == 0
