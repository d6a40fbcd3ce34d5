"""A queue of settings for each test, and a worker of it in a thread: what packages beside ardiq see of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.test import override_settings

import ardiq
from ardiq import Ardiq
from ardiq.core import following
from tests.keyspace import orderly
from tests.workers import Working

__all__ = ["orderly"]


@pytest.fixture
def app(redis_url: str, queue_name: str) -> Iterator[Ardiq]:
    """The one queue in settings."""
    options = {
        "REDIS_URL": redis_url,
        "PRIORITIES": ["low", "default", "high"],
        "BACKOFF_MS": 1,
        "JITTER": False,
    }
    with override_settings(ARDIQ={queue_name: options}):
        app = ardiq.queue(queue_name)
        yield app
        ardiq.shortcuts._settings_apps.pop(queue_name, None)


@pytest.fixture
def working(app: Ardiq) -> Callable[..., Working]:
    """``with working():`` runs a worker of the app in a thread."""

    def make(**overrides: Any) -> Working:
        return Working(app, **overrides)

    return make


@pytest.fixture(autouse=True)
def nobody_follows() -> Iterator[None]:
    """What one test installs, no other one has."""
    before = list(following.followers)
    following.followers.clear()
    yield
    following.followers[:] = before


@pytest.fixture
def squared(app: Ardiq, settings: Any) -> Iterator[Any]:
    """A Django task of the queue of the test."""
    pytest.importorskip("tests.parlour.origin", reason="django.tasks: Django 6.0, or the extra tasks")
    from ardiq.backend import finding
    from tests.parlour import tasks

    backend = {"BACKEND": "ardiq.backend.ArdiqBackend", "QUEUES": [app.queue_name]}
    settings.TASKS = {"default": backend}
    made = tasks.task(queue_name=app.queue_name)(tasks.squared)
    yield made
    finding._met.pop(made.module_path)
