"""Sentry: its queue spans, traces that go on from the enqueue to the job, and the errors of jobs.

``pip install "django-ardiq[sentry]"``, and ``sentry_sdk.init(..., integrations=[ArdiqIntegration()])`` in
settings.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any

import sentry_sdk
from sentry_sdk.integrations import Integration
from sentry_sdk.integrations.logging import ignore_logger
from sentry_sdk.utils import event_from_exception

from ardiq.core.errors import Retry
from ardiq.core.following import Ended, Run, Sending, Sent

ORIGIN = "auto.queue.ardiq"
PUBLISH, PROCESS = "queue.publish", "queue.process"
SUBMIT = "queue.submit.django"  # what the SDK makes of django.tasks; that span becomes ours
FLUSH = 2.0  # seconds that a child process waits until its events have left, for it ends without a word
LEFT_OUT = "left out: the task has sensitive arguments"


class ArdiqIntegration(Integration):
    """Give an instance of it to ``sentry_sdk.init``."""

    identifier = "ardiq"

    @staticmethod
    def setup_once() -> None:
        # Not above: settings, where the SDK is set up, must not need settings.
        from ardiq.following import follow

        follow(_follower)
        # Its lines about jobs that fail would make a second event of each error.
        ignore_logger("ardiq")


def _active() -> bool:
    return sentry_sdk.get_client().get_integration(ArdiqIntegration) is not None


class Spans:
    """The follower (core/following.py)."""

    def send(self, sending: Sending) -> tuple[Mapping[str, str], Sent]:
        if not _active():
            return {}, lambda size: None
        parent = sentry_sdk.get_current_span()
        if parent is None:
            return _headers(None), lambda size: None
        own = parent.op != SUBMIT
        span = parent.start_child(op=PUBLISH, name=sending.name, origin=ORIGIN) if own else parent
        span.op = PUBLISH
        _describe(span, sending.id, sending.queue)

        def sent(size: int) -> None:
            span.set_data("messaging.message.body.size", size)
            if own:
                span.finish()

        return _headers(span), sent

    def run(self, run: Run) -> Ended:
        if not _active():
            return lambda error: None
        job, stack = run.job, ExitStack()
        scope = stack.enter_context(sentry_sdk.isolation_scope())
        scope.clear_breadcrumbs()
        scope.set_tag("ardiq.task", job.name)
        scope.set_context("ardiq", {
            "id": job.id, "task": job.name, "queue": job.queue, "lane": job.lane, "attempt": job.attempt,
            "worker": run.worker,
        })  # fmt: skip
        transaction = sentry_sdk.continue_trace(
            dict(job.headers), op=PROCESS, name=job.name, source="task", origin=ORIGIN
        )
        span = stack.enter_context(sentry_sdk.start_transaction(transaction))
        _describe(span, job.id, job.queue)
        span.set_data("messaging.message.body.size", run.size)
        span.set_data("messaging.message.receive.latency", max(run.started_at - run.ready_at, 0))
        span.set_data("messaging.message.retry.count", job.attempt - 1)

        def ended(error: BaseException | None) -> None:
            failed = error is not None and not isinstance(error, Retry)
            span.set_status("internal_error" if failed else "ok")
            if error is not None and failed:
                _capture(error, run.discreet)
            stack.close()
            if _in_child():
                sentry_sdk.flush(FLUSH)

        return ended


def _in_child() -> bool:
    from ardiq import isolated

    return isolated.here()


def _describe(span: Any, id: str, queue: str) -> None:
    span.set_data("messaging.system", "ardiq")
    span.set_data("messaging.message.id", id)
    span.set_data("messaging.destination.name", queue)


def _headers(span: Any) -> dict[str, str]:
    if span is not None:
        return dict(span.iter_headers())
    found = {"sentry-trace": sentry_sdk.get_traceparent(), "baggage": sentry_sdk.get_baggage()}
    return {name: value for name, value in found.items() if value}


def _capture(error: BaseException, discreet: bool) -> None:
    event, hint = event_from_exception(
        error,
        client_options=sentry_sdk.get_client().options,
        mechanism={"type": "ardiq", "handled": False},
    )
    if discreet:
        hint = {}  # what SDK and project make of the exception itself might tell
        for value in event.get("exception", {}).get("values", ()):
            value["value"] = LEFT_OUT
            for frame in (value.get("stacktrace") or {}).get("frames", ()):
                frame.pop("vars", None)
    sentry_sdk.capture_event(event, hint=hint)


_follower = Spans()
