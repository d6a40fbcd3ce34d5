"""Sentry: transactions, spans and errors as the SDK hands them to its transport."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import django
import pytest
import sentry_sdk
from sentry_sdk.envelope import Envelope
from sentry_sdk.transport import Transport

from ardiq import Ardiq, Retry, current_job
from ardiq.contrib.sentry import LEFT_OUT, ArdiqIntegration, _follower
from ardiq.core import following
from tests.workers import Working, until

Make = Callable[..., Working]


class Kept(Transport):
    """Keeps what would be sent."""

    def __init__(self) -> None:
        super().__init__()
        self.events: list[dict[str, Any]] = []

    def capture_envelope(self, envelope: Envelope) -> None:
        for item in envelope.items:
            payload: Any = item.get_event() or item.get_transaction_event()
            if payload is not None:
                self.events.append(payload)

    def transactions(self, op: str, count: int = 1) -> list[dict[str, Any]]:
        """Waits for them: that of a job ends a moment before its result is there."""
        return list(until(lambda: len(found := self._of(op)) >= count and found, 20, f"{op}: {self.events}"))

    def _of(self, op: str) -> list[dict[str, Any]]:
        return [event for event in self.events if event.get("contexts", {}).get("trace", {}).get("op") == op
                and event.get("type") == "transaction"]  # fmt: skip

    @property
    def errors(self) -> list[dict[str, Any]]:
        return [event for event in self.events if "exception" in event]


@pytest.fixture
def sentry() -> Iterator[Kept]:
    transport = Kept()
    sentry_sdk.init(
        dsn="https://key@sentry.invalid/1", transport=transport, traces_sample_rate=1.0,
        integrations=[ArdiqIntegration()],
    )  # fmt: skip
    if _follower not in following.followers:
        following.followers.append(_follower)  # the SDK sets up once for each process
    yield transport
    sentry_sdk.get_client().close()
    sentry_sdk.get_global_scope().set_client(None)


def trace_of(event: dict[str, Any]) -> dict[str, Any]:
    trace: dict[str, Any] = event["contexts"]["trace"]
    return trace


@pytest.mark.parametrize("colour", ["async", "sync"])
def test_a_request_and_its_job(app: Ardiq, working: Make, sentry: Kept, colour: str) -> None:
    """queue.publish below the request, queue.process in the same trace; with what Sentry reads of them."""

    def body() -> None:
        with sentry_sdk.start_span(op="inside", name="work"):
            pass

    async def in_loop() -> None:
        body()

    pay = app.task(name="shop.pay")(in_loop if colour == "async" else body)
    with sentry_sdk.start_transaction(op="http.server", name="/pay"):
        job = pay.enqueue_sync()
    with working():
        assert job.result_sync(timeout=20)
        (process,) = sentry.transactions("queue.process")
    (request,) = sentry.transactions("http.server")
    (publish,) = [span for span in request["spans"] if span["op"] == "queue.publish"]
    assert publish["description"] == process["transaction"] == "shop.pay"
    assert trace_of(process)["trace_id"] == trace_of(request)["trace_id"] == publish["trace_id"]
    assert trace_of(process)["parent_span_id"] == publish["span_id"]
    shared = {"messaging.message.id": job.id, "messaging.destination.name": app.queue_name}
    assert shared.items() <= publish["data"].items() and shared.items() <= trace_of(process)["data"].items()
    data = trace_of(process)["data"]
    assert data["messaging.message.body.size"] == publish["data"]["messaging.message.body.size"] > 10
    assert 0 <= data["messaging.message.receive.latency"] < 60_000
    assert data["messaging.message.retry.count"] == 0
    assert trace_of(process)["status"] == "ok" and trace_of(process)["origin"] == "auto.queue.ardiq"
    assert [span["op"] for span in process["spans"]] == ["inside"]
    assert process["contexts"]["ardiq"]["id"] == job.id
    assert not sentry.errors


@pytest.mark.parametrize("colour", ["async", "sync"])
def test_errors_come_with_their_job(app: Ardiq, working: Make, sentry: Kept, colour: str) -> None:
    """Once for each failed attempt, not for requested retries; in the trace, and with the job as context."""

    def body() -> None:
        job = current_job()
        assert job is not None
        if job.attempt == 1:
            raise Retry("not yet")
        raise ValueError("boom")

    async def in_loop() -> None:
        body()

    job = app.task(name="flaky", max_retries=2)(in_loop if colour == "async" else body).enqueue_sync()
    with working():
        assert job.result_sync(timeout=20)
        attempts = sentry.transactions("queue.process", 3)
    assert [trace_of(one)["data"]["messaging.message.retry.count"] for one in attempts] == [0, 1, 2]
    assert [trace_of(one)["status"] for one in attempts] == ["ok", "internal_error", "internal_error"]
    assert len(sentry.errors) == 2, "and none of the lines in the log"
    for error, attempt in zip(sentry.errors, attempts[1:], strict=True):
        (value,) = error["exception"]["values"]
        assert (value["type"], value["value"]) == ("ValueError", "boom")
        assert value["mechanism"] == {"type": "ardiq", "handled": False}
        assert any(frame["function"] == "body" for frame in value["stacktrace"]["frames"])
        assert error["contexts"]["ardiq"]["id"] == job.id and error["tags"]["ardiq.task"] == "flaky"
        assert error["contexts"]["trace"]["span_id"] == trace_of(attempt)["span_id"]
    assert [error["contexts"]["ardiq"]["attempt"] for error in sentry.errors] == [2, 3]


def test_what_is_sensitive_stays_out(app: Ardiq, working: Make, sentry: Kept) -> None:
    """Neither its message nor the variables of its frames."""

    @app.task(name="pay", sensitive=("card",), max_retries=0)
    def pay(card: str) -> None:
        raise ValueError(f"{card} declined")

    # Not as a literal: the lines of this file are part of the event.
    job = pay.enqueue_sync("-".join(["4111", "1111"]))
    with working():
        assert job.result_sync(timeout=20)
        sentry.transactions("queue.process")
    (error,) = sentry.errors
    assert error["exception"]["values"][0]["value"] == LEFT_OUT
    assert "4111-1111" not in repr(sentry.events)


def test_jobs_do_not_share_what_they_tell(app: Ardiq, working: Make, sentry: Kept) -> None:
    """Tags and users of one job are not those of the next, on the loop and beside it."""

    @app.task(name="one", max_retries=0)
    async def one(user: str) -> None:
        sentry_sdk.set_user({"id": user})
        sentry_sdk.set_tag(f"only-{user}", "x")
        await asyncio.sleep(0.05)
        raise ValueError(user)

    for user in ("a", "b", "c"):
        one.enqueue_sync(user)
    with working():
        sentry.transactions("queue.process", 3)
    users = {error["exception"]["values"][0]["value"]: error for error in sentry.errors}
    assert set(users) == {"a", "b", "c"}
    for user, error in users.items():
        assert error["user"] == {"id": user}
        assert {tag for tag in error["tags"] if tag.startswith("only-")} == {f"only-{user}"}


def test_every_way_to_enqueue(app: Ardiq, working: Make, sentry: Kept) -> None:
    """C1, C9: async and in bulk; also where no transaction is open, the trace goes on."""
    pay = app.task(name="pay")(lambda: None)

    async def enqueue() -> None:
        await pay.enqueue()

    with sentry_sdk.start_transaction(op="http.server", name="/pay"):
        asyncio.run(enqueue())
        app.enqueue_many_sync([pay.prepare(), pay.prepare()])
    trace_id = sentry_sdk.get_current_scope().get_traceparent()
    pay.enqueue_sync()
    with working():
        processed = sentry.transactions("queue.process", 4)
    (request,) = sentry.transactions("http.server")
    assert sum(span["op"] == "queue.publish" for span in request["spans"]) == 3
    traces = [trace_of(one)["trace_id"] for one in processed]
    assert traces.count(trace_of(request)["trace_id"]) == 3
    assert trace_id and sum(trace_id.startswith(one) for one in traces) == 1


@pytest.mark.skipif(django.VERSION < (6, 0), reason="the SDK knows the tasks of Django itself only")
def test_a_span_of_django_tasks_becomes_ours(
    redis_url: str, queue_name: str, settings: Any, sentry: Kept
) -> None:
    """J7: the SDK makes one of ``Task.enqueue`` of django.tasks: no second one for the same job."""
    from tests.parlour import tasks

    settings.ARDIQ = {queue_name: {"REDIS_URL": redis_url}}
    settings.TASKS = {"default": {"BACKEND": "ardiq.backend.ArdiqBackend", "QUEUES": [queue_name]}}
    with sentry_sdk.start_transaction(op="http.server", name="/pay"):
        result = tasks.add.using(queue_name=queue_name).enqueue(2, 3)
    (request,) = sentry.transactions("http.server")
    (span,) = [one for one in request["spans"] if one["op"].startswith("queue")]
    assert span["op"] == "queue.publish" and span["data"]["messaging.message.id"] == result.id
    assert span["data"]["messaging.destination.name"] == queue_name


def test_without_the_integration_nothing_is_sent(app: Ardiq, working: Make, sentry: Kept) -> None:
    """A client of the SDK that was set up otherwise gets nothing of jobs."""
    sentry_sdk.init(dsn="https://key@sentry.invalid/1", transport=sentry, traces_sample_rate=1.0)
    following.followers.append(_follower)
    job = app.task(name="pay")(lambda: None).enqueue_sync()
    with working():
        assert job.result_sync(timeout=20)
    assert not sentry.events
