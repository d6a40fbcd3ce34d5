"""OpenTelemetry: a span where a job is enqueued and one for each attempt, joined by the headers of the job.

``pip install "django-ardiq[otel]"``, and ``instrument()`` where the project sets tracing up, in web processes
and workers alike. Names follow the semantic conventions for messaging, which are still in development.
"""

from __future__ import annotations

from collections.abc import Mapping

from opentelemetry import propagate, trace
from opentelemetry.context import Context, attach, detach
from opentelemetry.trace import INVALID_SPAN, Link, SpanKind, Status, StatusCode, TracerProvider

from ardiq import isolated
from ardiq.core.errors import Retry
from ardiq.core.following import Ended, Run, Sending, Sent
from ardiq.following import follow, unfollow
from ardiq.version import __version__

FLUSH_MS = 2_000  # that a child process waits until its spans have left, for it ends without a word

_installed: list[Spans] = []


def instrument(tracer_provider: TracerProvider | None = None) -> None:
    """Make spans of all jobs of this process, by the global tracer provider where none is given. May be
    called twice."""
    if not _installed:
        _installed.append(Spans(tracer_provider))
        follow(_installed[0])


def uninstrument() -> None:
    """Make none any more."""
    while _installed:
        unfollow(_installed.pop())


def _common(operation: str, id: str, name: str, queue: str, lane: str) -> dict[str, str | int]:
    return {
        "messaging.system": "ardiq",
        "messaging.operation.name": operation,
        "messaging.operation.type": operation,
        "messaging.destination.name": queue,
        "messaging.message.id": id,
        "ardiq.task": name,
        "ardiq.lane": lane,
    }


class Spans:
    """The follower (core/following.py)."""

    def __init__(self, tracer_provider: TracerProvider | None = None) -> None:
        self._provider = tracer_provider
        self._tracer = trace.get_tracer("ardiq", __version__, tracer_provider)

    def send(self, sending: Sending) -> tuple[Mapping[str, str], Sent]:
        span = self._tracer.start_span(
            f"send {sending.queue}",
            kind=SpanKind.PRODUCER,
            attributes=_common("send", sending.id, sending.name, sending.queue, sending.lane),
        )
        headers: dict[str, str] = {}
        propagate.inject(headers, trace.set_span_in_context(span))

        def sent(size: int) -> None:
            span.set_attribute("messaging.message.body.size", size)
            span.end()

        return headers, sent

    def run(self, run: Run) -> Ended:
        job = run.job
        context = propagate.extract(job.headers, Context())
        origin = trace.get_current_span(context).get_span_context()
        if run.delayed:
            # A trace that stays open for days is of no use to anybody: a new one, with a link to the old.
            context = trace.set_span_in_context(INVALID_SPAN, context)
        span = self._tracer.start_span(
            f"process {job.queue}",
            context,
            kind=SpanKind.CONSUMER,
            links=[Link(origin)] if origin.is_valid else [],
            attributes=_common("process", job.id, job.name, job.queue, job.lane)
            | {
                "messaging.client.id": run.worker,
                "messaging.message.body.size": run.size,
                "ardiq.attempt": job.attempt,
                "ardiq.wait_ms": max(run.started_at - run.ready_at, 0),
            },
        )
        token = attach(trace.set_span_in_context(span, context))

        def ended(error: BaseException | None) -> None:
            detach(token)
            if isinstance(error, Retry):
                span.set_attribute("ardiq.retry_requested", True)
            elif error is not None:
                kind = f"{type(error).__module__}.{type(error).__qualname__}".removeprefix("builtins.")
                span.set_attribute("error.type", kind)
                span.set_status(Status(StatusCode.ERROR, kind if run.discreet else f"{kind}: {error}"))
                if not run.discreet:
                    span.record_exception(error)
            span.end()
            if isolated.here():
                self._flush()

        return ended

    def _flush(self) -> None:
        flush = getattr(self._provider or trace.get_tracer_provider(), "force_flush", None)
        if flush is not None:
            flush(FLUSH_MS)
