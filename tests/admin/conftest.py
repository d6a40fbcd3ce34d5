"""A queue in settings, tasks of it, a worker that drains it here, and users with some permissions."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from pytest_django.fixtures import Settings

from ardiq import Ardiq, running
from ardiq.models import Job

Work = Callable[[], None]
SignIn = Callable[..., Client]

LIST = "/admin/ardiq/job/"
CARD = "4242424242424242"


class Shop:
    """The tasks of the tests."""

    def __init__(self, app: Ardiq) -> None:
        self.app = app

        @app.task(name="shop.add")
        async def add(a: Any, b: Any = 1) -> Any:
            return a + b

        @app.task(name="shop.charge", max_retries=1, backoff_ms=1)
        def charge(user: int, card: str, amount: float) -> None:
            raise ValueError(f"card {card} declined for {amount}")

        @app.task(name="shop.fail", max_retries=0)
        async def fail(text: str = "no") -> None:
            raise RuntimeError(text)

        @app.task(name="shop.give")
        async def give(value: Any) -> Any:
            return value

        self.add, self.charge, self.fail, self.give = add, charge, fail, give


@pytest.fixture
def app(redis_url: str, queue_name: str, settings: Settings) -> Ardiq:
    """The only queue in settings."""
    settings.ARDIQ = {queue_name: {"REDIS_URL": redis_url, "PRIORITIES": ["low", "default", "high"]}}
    return Ardiq(queue_name)


@pytest.fixture
def shop(app: Ardiq) -> Shop:
    return Shop(app)


@pytest.fixture
def work(app: Ardiq) -> Work:
    """Run a worker here until nothing is due, as ``ardiq_worker --burst`` does."""

    def drain() -> None:
        worker = running.build(app.queue_name, running.worker_options(app.queue_name), burst=True)
        asyncio.run(asyncio.wait_for(running.run([worker]), 30))

    return drain


@pytest.fixture
def sign_in(db: None) -> SignIn:
    """A client of a staff user with these permissions of ardiq; ``superuser=True`` has them all."""

    def make(*codenames: str, superuser: bool = False) -> Client:
        name = f"user{User.objects.count()}"
        user = User.objects.create(username=name, is_staff=True, is_superuser=superuser)
        found = Permission.objects.filter(content_type__app_label="ardiq", codename__in=codenames)
        assert len(found) == len(codenames)
        user.user_permissions.set(found)
        client = Client()
        client.force_login(user)
        return client

    return make


@pytest.fixture
def boss(sign_in: SignIn) -> Client:
    return sign_in(superuser=True)


def ids(client: Client, query: str = "") -> list[str]:
    """The ids that the list shows, in its order."""
    response = client.get(LIST + query)
    assert response.status_code == 200, response
    return [job.pk for job in response.context["cl"].result_list]


def page(client: Client, id: str) -> str:
    response = client.get(f"{LIST}{id}/change/")
    assert response.status_code == 200, response
    return str(response.content.decode())


def job(id: str) -> Job:
    found: Job = Job.objects.get(pk=id)
    return found


def told(response: Any) -> list[str]:
    """The messages on a page."""
    return [str(message) for message in response.context["messages"]]
