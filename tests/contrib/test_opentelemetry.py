"""OpenTelemetry: spans as the SDK's own exporter gets them, joined from the request to the job."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import baggage, context, trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from ardiq import Ardiq, Retry, current_job
from ardiq.contrib import opentelemetry
from ardiq.core import following
from tests.workers import Workers, Working, until

Make = Callable[..., Working]


class Spans:
    """Those that have ended."""

    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()
        self.provider = TracerProvider()
        self.provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.tracer = self.provider.get_tracer("tests")

    def of(self, kind: SpanKind, count: int) -> list[ReadableSpan]:
        """Waits for them: the span of a job ends a moment before its result is there."""
        return list(
            until(
                lambda: len(found := self._of(kind)) >= count and found,
                20,
                f"{count} {kind}: {self._of(kind)}",
            )
        )

    def _of(self, kind: SpanKind) -> list[ReadableSpan]:
        return [span for span in self.exporter.get_finished_spans() if span.kind is kind]


@pytest.fixture
def spans() -> Iterator[Spans]:
    spans = Spans()
    opentelemetry.instrument(spans.provider)
    yield spans
    opentelemetry.uninstrument()
    assert not following.followers


def attributes(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


@pytest.mark.parametrize("colour", ["async", "sync"])
def test_a_request_and_its_job_are_one_trace(app: Ardiq, working: Make, spans: Spans, colour: str) -> None:
    """PRODUCER span, CONSUMER span below it, and what the task does below that; names of the conventions."""

    def body(a: int) -> int:
        with spans.tracer.start_as_current_span("inside"):
            return a

    async def in_loop(a: int) -> int:
        return body(a)

    pay = app.task(name="shop.pay", priority="high")(in_loop if colour == "async" else body)
    with spans.tracer.start_as_current_span("request") as request:
        job = pay.enqueue_sync(5)
    with working():
        assert job.result_sync(timeout=20)
        (process,) = spans.of(SpanKind.CONSUMER, 1)
    (send,) = spans.of(SpanKind.PRODUCER, 1)
    inside = next(span for span in spans.exporter.get_finished_spans() if span.name == "inside")
    assert send.context and process.context and send.parent and process.parent and inside.parent
    assert send.parent.span_id == request.get_span_context().span_id
    assert process.parent.span_id == send.context.span_id and inside.parent.span_id == process.context.span_id
    assert len({span.context.trace_id for span in (send, process, inside) if span.context}) == 1
    assert [link.context.span_id for link in process.links] == [send.context.span_id]
    common = {
        "messaging.system": "ardiq", "messaging.destination.name": app.queue_name,
        "messaging.message.id": job.id, "ardiq.task": "shop.pay", "ardiq.lane": "high",
    }  # fmt: skip
    assert send.name == f"send {app.queue_name}" and process.name == f"process {app.queue_name}"
    sent, processed = attributes(send), attributes(process)
    assert common.items() <= sent.items() and common.items() <= processed.items()
    assert sent["messaging.operation.type"] == sent["messaging.operation.name"] == "send"
    assert processed["messaging.operation.type"] == "process"
    assert processed["messaging.message.body.size"] == sent["messaging.message.body.size"] > 10
    assert processed["ardiq.attempt"] == 1 and processed["messaging.client.id"] == "here"
    assert 0 <= processed["ardiq.wait_ms"] < 60_000
    assert process.status.status_code is StatusCode.UNSET


def test_a_task_of_django(app: Ardiq, working: Make, squared: Any) -> None:
    """J7: tracing that is switched on when such a task exists, and was enqueued before, follows it."""
    squared.enqueue(1)
    spans = Spans()
    opentelemetry.instrument(spans.provider)
    try:
        with spans.tracer.start_as_current_span("request") as request:
            result = squared.enqueue(2)
        with working():
            first, second = spans.of(SpanKind.CONSUMER, 2)
        (send,) = spans.of(SpanKind.PRODUCER, 1)
    finally:
        opentelemetry.uninstrument()
    assert first.parent is None and second.parent and send.context and send.parent
    assert send.parent.span_id == request.get_span_context().span_id
    assert second.parent.span_id == send.context.span_id
    assert attributes(send)["messaging.message.id"] == attributes(second)["messaging.message.id"] == result.id


def test_a_delayed_job_has_a_trace_of_its_own(app: Ardiq, working: Make, spans: Spans) -> None:
    """With a link to where it was enqueued: no trace stays open for days."""
    pay = app.task(name="pay")(lambda: None)
    with spans.tracer.start_as_current_span("request"):
        job = pay.options(delay_ms=5).enqueue_sync()
    with working():
        assert job.result_sync(timeout=20)
        (process,) = spans.of(SpanKind.CONSUMER, 1)
    (send,) = spans.of(SpanKind.PRODUCER, 1)
    assert process.parent is None and process.context and send.context
    assert process.context.trace_id != send.context.trace_id
    assert [link.context.span_id for link in process.links] == [send.context.span_id]


@pytest.mark.parametrize("colour", ["async", "sync"])
def test_each_attempt_has_a_span(app: Ardiq, working: Make, spans: Spans, colour: str) -> None:
    """Errors are recorded, requested retries are none; all attempts hang on the same enqueue."""

    def body() -> str:
        job = current_job()
        assert job is not None
        if job.attempt == 1:
            raise Retry("not yet")
        if job.attempt == 2:
            raise ValueError("boom")
        return "done"

    async def in_loop() -> str:
        return body()

    task = app.task(name="flaky")(in_loop if colour == "async" else body)
    job = task.enqueue_sync()
    with working():
        assert job.result_sync(timeout=20)
        first, second, third = spans.of(SpanKind.CONSUMER, 3)
    assert [attributes(span)["ardiq.attempt"] for span in (first, second, third)] == [1, 2, 3]
    assert len({span.parent.span_id for span in (first, second, third) if span.parent}) == 1
    assert attributes(first)["ardiq.retry_requested"] is True and not first.events
    assert second.status.status_code is StatusCode.ERROR and "boom" in str(second.status.description)
    assert attributes(second)["error.type"] == "ValueError"
    assert second.events[0].name == "exception"
    assert third.status.status_code is StatusCode.UNSET


@pytest.mark.parametrize("colour", ["async", "sync"])
def test_a_timeout_is_an_error(app: Ardiq, working: Make, spans: Spans, colour: str) -> None:
    """B7: wherever it is raised."""
    import asyncio
    import time

    async def in_loop() -> None:
        await asyncio.sleep(30)

    def in_thread() -> None:
        for _ in range(3_000):
            time.sleep(0.01)

    task = app.task(name="slow", timeout=0.2, max_retries=0)(in_loop if colour == "async" else in_thread)
    job = task.enqueue_sync()
    with working():
        assert job.result_sync(timeout=20)
        (process,) = spans.of(SpanKind.CONSUMER, 1)
    assert process.status.status_code is StatusCode.ERROR
    assert attributes(process)["error.type"] == "TimeoutError"


def test_what_is_sensitive_stays_out(app: Ardiq, working: Make, spans: Spans) -> None:
    """What errors of such a task say is for the admin only."""

    @app.task(name="pay", sensitive=("card",), max_retries=0)
    def pay(card: str) -> None:
        raise ValueError(f"{card} declined")

    job = pay.enqueue_sync("4111-1111")
    with working():
        assert job.result_sync(timeout=20)
        (process,) = spans.of(SpanKind.CONSUMER, 1)
    assert process.status.status_code is StatusCode.ERROR and "4111" not in process.to_json()


async def enqueued(task: Any, count: int) -> None:
    await task.enqueue()


def test_every_way_to_enqueue(app: Ardiq, working: Make, spans: Spans) -> None:
    """C1, C9, C10: async, with headers of one's own, in bulk, by name; baggage goes along."""
    import asyncio

    seen: list[tuple[str, str]] = []

    @app.task(name="look")
    def look() -> None:
        job = current_job()
        assert job is not None
        seen.append((str(baggage.get_baggage("tenant")), job.headers.get("x", "")))

    token = context.attach(baggage.set_baggage("tenant", "acme"))
    try:
        asyncio.run(enqueued(look, 1))
        look.options(headers={"x": "y"}).enqueue_sync()
        app.enqueue_many_sync([look.prepare(), look.options(priority="high").prepare()])
        app.send_sync("look")
    finally:
        context.detach(token)
    with working():
        processed = spans.of(SpanKind.CONSUMER, 5)
    sent = spans.of(SpanKind.PRODUCER, 5)
    assert {span.context.span_id for span in sent if span.context} == {
        span.parent.span_id for span in processed if span.parent
    }
    assert [tenant for tenant, _ in seen] == ["acme"] * 5
    assert sorted(x for _, x in seen) == ["", "", "", "", "y"]


def test_jobs_at_once_do_not_mix(app: Ardiq, working: Make, spans: Spans) -> None:
    """B9: each body has its own span as the current one, and none is left behind."""
    import asyncio

    found: dict[str, int] = {}

    @app.task(name="one")
    async def one() -> None:
        job = current_job()
        assert job is not None
        await asyncio.sleep(0.05)
        found[job.id] = trace.get_current_span().get_span_context().span_id

    ids = [one.enqueue_sync().id for _ in range(4)]
    with working():
        processed = spans.of(SpanKind.CONSUMER, 4)
    own = {
        attributes(span)["messaging.message.id"]: span.context.span_id for span in processed if span.context
    }
    assert found == {id: own[id] for id in ids}
    assert not trace.get_current_span().get_span_context().is_valid


def test_an_exporter_that_is_broken_costs_no_job(app: Ardiq, working: Make, caplog: Any) -> None:
    """Followers are told, and nothing depends on them."""

    class Broken:
        def send(self, sending: Any) -> Any:
            raise RuntimeError("no tracing today")

        def run(self, run: Any) -> Any:
            raise RuntimeError("no tracing today")

    following.followers.append(Broken())
    job = app.task(name="pay")(lambda: 5).enqueue_sync()
    with working():
        result = job.result_sync(timeout=20)
    assert result is not None and result.value == 5
    assert "A follower of jobs raised" in caplog.text


def test_without_tracing_a_call_carries_nothing(app: Ardiq) -> None:
    """The record of a plain call is as short as before, also after tracing was switched off."""
    pay = app.task(name="pay")(lambda: None)
    before = pay.prepare().build(app.broker)
    spans = Spans()
    opentelemetry.instrument(spans.provider)
    traced = pay.prepare().build(app.broker)
    opentelemetry.uninstrument()
    after = pay.prepare().build(app.broker)
    assert len(before[3]) == len(after[3]) < len(traced[3])


@pytest.mark.slow
def test_spans_of_other_processes(
    redis_url: str, queue_name: str, app: Ardiq, spans: Spans, tmp_path: Path
) -> None:
    """B5, R7: of process tasks and of suspects, which end in a child, also where spans leave in batches."""
    file = tmp_path / "spans"
    workers = Workers(redis_url, queue_name, tmp_path)
    options: dict[str, Any] = {
        "LEASE_MS": 1_500, "ardiq_test_apps": "tests.shop,tests.mill,tests.traced",
        "ardiq_test_spans": str(file),
    }  # fmt: skip
    try:
        first = workers.start(**options)
        innocent = app.send_sync("nap", 1)
        until(lambda: workers.notes("start"))
        app.send_sync("kill", signal.SIGKILL)
        first.ends()
        worker = workers.start(**options)
        pid, suspect = app.send_sync("pid"), innocent.result_sync(timeout=60)
        result = pid.result_sync(timeout=60)
        assert suspect and suspect.success and result and result.success

        def processed() -> dict[str, tuple[int, Any]] | None:
            rows = [line.split(" ", 1) for line in file.read_text().splitlines()] if file.exists() else []
            found = {
                one["attributes"]["messaging.message.id"]: (int(process), one)
                for process, one in ((row[0], json.loads(row[1])) for row in rows)
                if one["kind"] == "SpanKind.CONSUMER"
            }
            return found if {pid.id, innocent.id} <= set(found) else None

        found = until(processed, 20)
        process, span = found[pid.id]
        assert process == result.value != worker.popen.pid
        sent = {attributes(one)["messaging.message.id"]: one for one in spans.of(SpanKind.PRODUCER, 3)}
        context = sent[pid.id].context
        assert context is not None and span["parent_id"] == f"0x{context.span_id:016x}"
        assert found[innocent.id][0] != worker.popen.pid, "a suspect runs alone"
        assert worker.stop() == 0, worker.text
    finally:
        workers.close()
