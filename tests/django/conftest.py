"""A queue built in code for each test, and a worker in this process that drains it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import connections
from django.db.utils import load_backend

from ardiq import Ardiq, running
from ardiq.enqueuing import Task
from ardiq.models import Outbox
from ardiq.store.keys import Keys
from ardiq.upkeep import DjangoUpkeep
from tests.server import admin

Work = Callable[..., None]
Stored = Callable[[], set[str]]


@pytest.fixture
def app(redis_url: str, queue_name: str) -> Ardiq:
    return Ardiq(queue_name, priorities=["low", "default", "high"], redis_url=redis_url)


@pytest.fixture
def work() -> Work:
    """Run a worker of a queue here until nothing is due, as ``ardiq_worker --burst`` does."""

    def drain(app: Ardiq, **options: object) -> None:
        found = running.worker_options(app.queue_name, **options)
        worker = running.build(app.queue_name, found, burst=True, around=DjangoUpkeep())
        asyncio.run(asyncio.wait_for(running.run([worker]), 30))

    return drain


@pytest.fixture
def stored(redis_url: str, queue_name: str) -> Stored:
    """Ids of all the jobs in the queue of this test, whatever their state."""
    prefix = Keys(queue_name).prefix + "job:"

    def ids() -> set[str]:
        with admin(redis_url) as client:
            return {key.decode().removeprefix(prefix) for key in client.scan_iter(prefix + "*", count=1000)}

    return ids


@pytest.fixture
def lent(request: pytest.FixtureRequest, add: Task[..., int], stored: Stored) -> None:
    """Hand the queue to a unittest class, which takes no fixtures; ``add`` is that of its module."""
    request.cls.add, request.cls.stored = staticmethod(add), staticmethod(stored)


@pytest.fixture
def replica(tmp_path: Any, transactional_db: None) -> Iterator[str]:
    """A second database, in a file of its own, whatever the first one is."""
    place = {"ENGINE": "django.db.backends.sqlite3", "NAME": str(tmp_path / "replica.sqlite3"), "OPTIONS": {}}
    settings = {**connections["default"].settings_dict, **place}
    other = load_backend("django.db.backends.sqlite3").DatabaseWrapper(settings, "replica")
    connections["replica"] = other
    with other.schema_editor() as editor:
        editor.create_model(Outbox)
    yield "replica"
    other.close()
    del connections["replica"]
