"""Sets tracing up where a project would: when its apps are ready, in every process."""

from __future__ import annotations

import os
from collections.abc import Sequence

from django.apps import AppConfig
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult


class ToFile(SpanExporter):
    """One line of JSON for each span, and which process has written it."""

    def __init__(self, path: str) -> None:
        self._path = path

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        lines = "".join(f"{os.getpid()} {span.to_json(indent=None)}\n" for span in spans)
        handle = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(handle, lines.encode())
        os.close(handle)
        return SpanExportResult.SUCCESS


class TracedConfig(AppConfig):
    name = "tests.traced"

    def ready(self) -> None:
        from ardiq.contrib.opentelemetry import instrument

        provider = TracerProvider()
        # In batches, as projects do it: what a child has not sent when it ends would be lost.
        provider.add_span_processor(BatchSpanProcessor(ToFile(os.environ["ARDIQ_TEST_SPANS"])))
        instrument(provider)
