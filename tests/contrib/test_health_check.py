"""django-health-check: broker and workers, through its own view."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable
from typing import Any

import pytest
from django.test import AsyncRequestFactory, override_settings
from health_check.exceptions import ServiceUnavailable, ServiceWarning
from health_check.views import HealthCheckView

from ardiq import Ardiq
from ardiq.contrib.health_check import Queues
from tests.server import free_port
from tests.workers import Working, until

Make = Callable[..., Working]


def asked(*checks: Any) -> tuple[int, str]:
    """Status and body of the view, as a probe sees them."""
    view = HealthCheckView.as_view(checks=list(checks) or ["ardiq.contrib.health_check.Queues"])
    request = AsyncRequestFactory().get("/health/", headers={"accept": "application/json"})
    response = asyncio.run(view(request))
    return response.status_code, json.dumps(json.loads(response.content))


def test_a_queue_with_a_worker(app: Ardiq, working: Make) -> None:
    with working():
        until(lambda: not failing(Queues()))
        assert asked()[0] == 200


def failing(check: Queues) -> str:
    try:
        check.run()
    except (ServiceUnavailable, ServiceWarning) as error:
        return str(error)
    return ""


def test_a_queue_without_one(app: Ardiq) -> None:
    status, body = asked()
    assert status == 500 and f"No worker serves {app.queue_name}" in body


def test_a_server_that_is_away() -> None:
    """A4: what it says holds no address and no password."""
    with override_settings(ARDIQ={"gone": {"REDIS_URL": f"redis://:secret@127.0.0.1:{free_port()}"}}):
        status, body = asked()
    assert status == 500 and "Redis does not answer for queue gone" in body
    assert "secret" not in body and "127.0.0.1" not in body


def test_jobs_that_wait_too_long_are_a_warning(app: Ardiq, working: Make) -> None:
    """Only where a bound is given: a backlog alone is nothing that a restart would mend."""
    release = threading.Event()
    block = app.task(name="block")(lambda: release.wait(30) and None)
    with working(concurrency=1, threads=1, prefetch=0):
        for _ in range(2):
            block.enqueue_sync()
        try:
            check = Queues([app.queue_name], max_wait=0.05)
            until(lambda: "Jobs wait too long" in failing(check))
            with pytest.raises(ServiceWarning, match=rf"{app.queue_name} \(0 s\)"):
                check.run()
            Queues([app.queue_name]).run()
            Queues([app.queue_name], max_wait=600).run()
        finally:
            release.set()
