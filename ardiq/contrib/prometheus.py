"""Prometheus: what workers count, how much waits and for how long, read from Redis when somebody scrapes.

``pip install "django-ardiq[prometheus]"``. Any process of the project may be asked, and all answer the same:
``view_for(token)`` in its URLs, ``ardiq_worker --metrics-port``, or ``Collector`` in a registry of your own.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from hmac import compare_digest
from typing import Any

from django.http import HttpRequest, HttpResponse, HttpResponseForbidden
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from prometheus_client import start_http_server as _start
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector as _Collector

from ardiq import conf
from ardiq.connection import broker
from ardiq.core.errors import BrokerError
from ardiq.core.options import Options
from ardiq.core.statistics import BOUNDS_MS, Histogram, Tally
from ardiq.store import inspector, statistics
from ardiq.worker.probe import breathing

BY = ("queue", "lane", "task")
ENDINGS = ("succeeded", "failed", "aborted", "expired")
SHORTEST = 16  # characters of a token
STEP = 2  # every other bound is told: a quarter of all samples are buckets as it is

log = logging.getLogger("ardiq")


class Collector(_Collector):
    """Metrics of some queues, by default of all in settings. One round trip for each queue and scrape; one
    whose server does not answer has ``ardiq_up`` 0 and nothing else."""

    def __init__(self, queues: Sequence[str] | None = None) -> None:
        self._queues = queues

    def describe(self) -> Iterable[Metric]:
        """Nothing: to register it must not touch the network."""
        return ()

    def collect(self) -> Iterator[Metric]:
        families = _Families()
        for name in self._queues or conf.known_aliases():
            options = conf.options(name)
            try:
                families.read(options)
            except BrokerError as error:
                log.warning("Metrics of queue %s are left out: %s", name, error)
                families.up.add_metric([name], 0)
            else:
                families.up.add_metric([name], 1)
        yield from families.all


class _Families:
    """What one scrape answers."""

    def __init__(self) -> None:
        self.all: list[Metric] = []
        gauge, counter = GaugeMetricFamily, CounterMetricFamily
        self.up = self._made(gauge, "up", "1 when the server of the queue answers", "queue")
        self._jobs = self._made(gauge, "jobs", "Jobs in Redis, by status", "queue", "status")
        self._waiting = self._made(gauge, "waiting_jobs", "Jobs that are ready and wait", "queue", "lane")
        self._oldest = self._made(
            gauge, "oldest_wait_seconds", "How long the first job has been ready", "queue", "lane"
        )
        self._workers = self._made(gauge, "workers", "Workers whose lease is in force", "queue")
        self._ended = self._made(counter, "jobs_ended", "Jobs that have ended", *BY, "status")
        self._retried = self._made(counter, "retries", "Attempts that failed and come again", *BY)
        self._crashed = self._made(counter, "crashes", "Attempts whose process died", *BY)
        self._run = self._made(HistogramMetricFamily, "run_seconds", "How long attempts ran", *BY)
        self._wait = self._made(
            HistogramMetricFamily, "wait_seconds", "How long jobs had been ready before they started", *BY
        )

    def _made(self, kind: Callable[..., Any], name: str, text: str, *labels: str) -> Any:
        made = kind(f"ardiq_{name}", text, labels=labels)
        self.all.append(made)
        return made

    def read(self, options: Options) -> None:
        own, lanes, queue = broker(options), options.priorities, options.queue
        counts, heads, cells = own.store.run_many([
            inspector.counts(own.keys, lanes), inspector.heads(own.keys, lanes), statistics.totals(own.keys),
        ])  # fmt: skip
        for status, count in counts.statuses.items():
            self._jobs.add_metric([queue, status.value], count)
        for lane in lanes:
            since = heads.lanes[lane]
            self._waiting.add_metric([queue, lane], counts.lanes[lane])
            self._oldest.add_metric([queue, lane], max(heads.now - since, 0) / 1_000 if since else 0)
        self._workers.add_metric([queue], counts.workers)
        for (lane, task), cell in sorted(cells.items()):
            self._counted([queue, lane, task], Tally.of([cell]))

    def _counted(self, labels: list[str], tally: Tally) -> None:
        for status in ENDINGS:
            self._ended.add_metric([*labels, status], getattr(tally, status))
        self._retried.add_metric(labels, tally.retried)
        self._crashed.add_metric(labels, tally.crashed)
        for family, histogram in ((self._run, tally.run), (self._wait, tally.wait)):
            family.add_metric(labels, list(_buckets(histogram)), histogram.total_ms / 1_000)


def _buckets(histogram: Histogram) -> Iterator[tuple[str, int]]:
    total = 0
    for number, count in enumerate(histogram.counts[:-1]):
        total += count
        if number % STEP == 0:
            yield repr(BOUNDS_MS[number] / 1_000), total
    yield "+Inf", total + histogram.counts[-1]


_registry = CollectorRegistry()
_registry.register(Collector())


def view_for(token: str) -> Callable[[HttpRequest], HttpResponse]:
    """A view of the metrics of all queues in settings, for requests with ``Authorization: Bearer <token>``,
    as Prometheus sends it, and for users who may see the dashboard. Everybody else gets 403.

    Raises ValueError when the token is shorter than 16 characters.
    """
    if len(token) < SHORTEST:
        raise ValueError(f"A token needs at least {SHORTEST} characters; secrets.token_urlsafe() makes one.")
    expected = f"Bearer {token}".encode()

    @require_safe
    @never_cache
    def view(request: HttpRequest) -> HttpResponse:
        given = request.headers.get("Authorization", "").encode("utf-8", "replace")
        return _answer(request, compare_digest(given, expected))

    return view


@require_safe
@never_cache
def view(request: HttpRequest) -> HttpResponse:
    """Metrics of all queues in settings, for users who may see the dashboard. Everybody else gets 403."""
    return _answer(request, False)


def _answer(request: HttpRequest, known: bool) -> HttpResponse:
    user = getattr(request, "user", None)
    if not known and not (user is not None and user.has_perm("ardiq.view_dashboard")):
        return HttpResponseForbidden("A token or the right to see the dashboard is needed.\n", "text/plain")
    encode, content_type = choose_encoder(request.headers.get("Accept", ""))
    return HttpResponse(encode(_registry), content_type=content_type)


def serve(host: str, port: int) -> Callable[[], None]:
    """Answer scrapes on a port, with metrics of this process as well. Returns what stops it.

    Raises OSError for an address that cannot be had.
    """
    registry = CollectorRegistry()
    for kind in (ProcessCollector, PlatformCollector, GCCollector):
        kind(registry=registry)
    registry.register(Collector())
    server, thread = _start(port, addr=host, registry=registry)
    server.get_request = breathing(server.get_request)  # type: ignore[method-assign]

    def stop() -> None:
        server.shutdown()
        server.server_close()
        thread.join(1)

    return stop
