"""Prometheus: what is scraped is read by the official parser and agrees with what has happened."""

from __future__ import annotations

import http.client
import socket
import socketserver
import sys
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.test import RequestFactory, override_settings
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.parser import text_string_to_metric_families

from ardiq import Ardiq
from ardiq.contrib import prometheus
from ardiq.worker.probe import BREATH
from tests.server import free_port
from tests.workers import Workers, Working, until

Make = Callable[..., Working]
TOKEN = "a-token-of-these-tests"
view = prometheus.view_for(TOKEN)
Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def read(text: str) -> Samples:
    """(name of the sample, its labels) -> its value, as the official parser reads it."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def scrape(**headers: Any) -> str:
    response = view(RequestFactory().get("/metrics", HTTP_AUTHORIZATION=f"Bearer {TOKEN}", **headers))
    assert response.status_code == 200
    return response.content.decode()


def value(samples: Samples, name: str, **labels: str) -> float:
    return samples[name, tuple(sorted(labels.items()))]


@pytest.mark.parametrize("colour", ["async", "sync"])
def test_what_a_queue_did_and_holds(app: Ardiq, working: Make, colour: str) -> None:
    """Counters by lane and task, histograms of run and wait, gauges of what waits; parsed and exact."""

    def body(fail: bool) -> None:
        if fail:
            raise ValueError("boom")

    async def in_loop(fail: bool) -> None:
        body(fail)

    pay = app.task(name="shop.pay", priority="high", max_retries=1)(in_loop if colour == "async" else body)
    for fail in (False, False, True):
        pay.enqueue_sync(fail)
    with working():
        until(lambda: app.statistics_sync(3).total.ended == 3)
        pay.options(delay_ms=90_000).enqueue_sync(False)
        samples, queue = read(scrape()), app.queue_name
        assert value(samples, "ardiq_workers", queue=queue) == 1
    of = {"queue": queue, "lane": "high", "task": "shop.pay"}
    ended = {
        status: value(samples, "ardiq_jobs_ended_total", **of, status=status) for status in prometheus.ENDINGS
    }
    assert ended == {"succeeded": 2, "failed": 1, "aborted": 0, "expired": 0}
    assert value(samples, "ardiq_retries_total", **of) == 1
    assert value(samples, "ardiq_crashes_total", **of) == 0
    assert value(samples, "ardiq_run_seconds_count", **of) == 4, "each attempt has run"
    assert value(samples, "ardiq_run_seconds_bucket", **of, le="+Inf") == 4
    assert 0 < value(samples, "ardiq_run_seconds_sum", **of) < 20
    assert value(samples, "ardiq_wait_seconds_count", **of) == 4
    assert value(samples, "ardiq_jobs", queue=queue, status="scheduled") == 1
    assert value(samples, "ardiq_jobs", queue=queue, status="failed") == 1
    assert value(samples, "ardiq_waiting_jobs", queue=queue, lane="high") == 0
    assert value(samples, "ardiq_up", queue=queue) == 1


def test_what_waits_and_for_how_long(app: Ardiq) -> None:
    """Per lane, without any worker: what autoscaling looks at."""
    pay = app.task(name="pay", priority="low")(lambda: None)
    pay.enqueue_sync()
    queue = app.queue_name

    def old_enough() -> Samples | None:
        samples = read(scrape())
        return (
            samples if value(samples, "ardiq_oldest_wait_seconds", queue=queue, lane="low") > 0.05 else None
        )

    samples = until(old_enough)
    assert value(samples, "ardiq_waiting_jobs", queue=queue, lane="low") == 1
    assert value(samples, "ardiq_oldest_wait_seconds", queue=queue, lane="high") == 0
    assert value(samples, "ardiq_workers", queue=queue) == 0


def test_buckets_are_cumulative_and_bounded(app: Ardiq, working: Make) -> None:
    """A dozen of them, whatever ran; also by the stricter parser of OpenMetrics."""
    pay = app.task(name="pay")(lambda: None)
    for _ in range(20):
        pay.enqueue_sync()
    with working():
        until(lambda: app.statistics_sync(3).total.ended == 20)
    buckets = [
        (float(dict(labels)["le"]), count)
        for (name, labels), count in read(scrape()).items()
        if name == "ardiq_run_seconds_bucket"
    ]
    assert len(buckets) == 12 and buckets == sorted(buckets)
    assert [count for _, count in buckets] == sorted(count for _, count in buckets)
    assert buckets[-1] == (float("inf"), 20)
    accept = "application/openmetrics-text; version=1.0.0"
    families = list(openmetrics.text_string_to_metric_families(scrape(HTTP_ACCEPT=accept)))
    assert {"ardiq_run_seconds", "ardiq_jobs_ended", "ardiq_up"} <= {family.name for family in families}


def test_a_server_that_is_away_is_told_and_costs_no_other_queue(app: Ardiq, redis_url: str) -> None:
    """C13: bounded, and what can be told is told."""
    options = {
        app.queue_name: {"REDIS_URL": redis_url},
        "gone": {"REDIS_URL": f"redis://127.0.0.1:{free_port()}"},
    }
    with override_settings(ARDIQ=options):
        samples = read(scrape())
    assert value(samples, "ardiq_up", queue="gone") == 0
    assert value(samples, "ardiq_up", queue=app.queue_name) == 1
    assert not [labels for name, labels in samples if name != "ardiq_up" and ("queue", "gone") in labels]


def test_a_registry_of_the_project(app: Ardiq) -> None:
    """A3: to register it touches no network."""
    registry = CollectorRegistry()
    with override_settings(ARDIQ={"gone": {"REDIS_URL": "redis://127.0.0.1:1"}}):
        registry.register(prometheus.Collector())
    registry.unregister(next(iter(registry._collector_to_names)))
    registry.register(prometheus.Collector([app.queue_name]))
    assert value(read(generate_latest(registry).decode()), "ardiq_up", queue=app.queue_name) == 1


def test_the_view_is_for_reading(app: Ardiq) -> None:
    assert view(RequestFactory().post("/metrics")).status_code == 405
    response = view(RequestFactory().get("/metrics", HTTP_AUTHORIZATION=f"Bearer {TOKEN}"))
    assert (
        response["Content-Type"].startswith("text/plain; version=")
        and "no-store" in response["Cache-Control"]
    )


class Somebody:
    def __init__(self, *permissions: str) -> None:
        self._permissions = permissions

    def has_perm(self, name: str) -> bool:
        return name in self._permissions


@pytest.mark.parametrize(
    ("given", "user"),
    [
        ("", None),
        (TOKEN, None),
        ("Bearer ", None),
        (f"Bearer {TOKEN}x", None),
        ("Bearer \u00e9", None),
        ("", Somebody("ardiq.view_job")),
    ],
)
def test_the_view_is_not_for_strangers(app: Ardiq, given: str, user: Somebody | None) -> None:
    """S10: without the token, or the right to see the dashboard, nobody learns any names."""
    for each in (view, prometheus.view):
        request = RequestFactory().get("/metrics", HTTP_AUTHORIZATION=given)
        request.user = user  # type: ignore[assignment]
        response = each(request)
        assert response.status_code == 403 and app.queue_name not in response.content.decode()


def test_who_may_see_the_view(app: Ardiq) -> None:
    """S10: with the right to see the dashboard it needs no token; a token opens its own view only."""
    request = RequestFactory().get("/metrics")
    request.user = Somebody("ardiq.view_dashboard")  # type: ignore[assignment]
    assert prometheus.view(request).status_code == view(request).status_code == 200
    bare = RequestFactory().get("/metrics", HTTP_AUTHORIZATION=f"Bearer {TOKEN}")
    assert prometheus.view(bare).status_code == 403
    with pytest.raises(ValueError, match="16 characters"):
        prometheus.view_for("short")


def get(port: int, host: str = "127.0.0.1") -> str:
    connection = http.client.HTTPConnection(host, port, timeout=10)
    try:
        connection.request("GET", "/metrics")
        return connection.getresponse().read().decode()
    finally:
        connection.close()


def test_a_port_without_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """F2: a scrape that cannot be accepted is looked at again in a while, and not without end."""
    tried: list[float] = []

    def refuse(self: object) -> Any:
        tried.append(time.monotonic())
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(socketserver.TCPServer, "get_request", refuse)
    stop = prometheus.serve("127.0.0.1", port := free_port())
    try:
        with socket.create_connection(("127.0.0.1", port)):
            until(lambda: len(tried) >= 4, 10)
    finally:
        stop()
    assert all(later - earlier >= BREATH for earlier, later in pairwise(tried))


@pytest.mark.slow
@pytest.mark.parametrize("processes", [(), ("--processes", "2")])
def test_the_port_of_a_worker(workers: Workers, app: Ardiq, processes: tuple[str, ...]) -> None:
    """S10: it listens where it is told to, on this machine alone; for several workers their parent does."""
    port = free_port()
    process = workers.start("--metrics-port", str(port), *processes)
    assert app.send_sync("add", 2, 3).result_sync(timeout=30)
    assert f"  metrics      http://127.0.0.1:{port}/metrics\n" in process.text
    count = len(processes) or 1
    samples = until(
        lambda: (
            (found := read(get(port)))
            and value(found, "ardiq_workers", queue=app.queue_name) == count
            and found
        ),
        30,
    )
    assert samples["process_start_time_seconds", ()] > 0
    assert f":{port:04X} " in Path("/proc/net/tcp").read_text() and f"0100007F:{port:04X}" in listening()
    assert process.stop() == 0, process.text
    with pytest.raises(OSError):
        get(port)


def listening() -> set[str]:
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    return {line.split()[1] for line in lines if line.split()[3] == "0A"}


@pytest.fixture
def workers(redis_url: str, queue_name: str, tmp_path: Path) -> Any:
    workers = Workers(redis_url, queue_name, tmp_path)
    yield workers
    workers.close()


@pytest.mark.parametrize(
    ("where", "words"),
    [("x", "--metrics-port x: give a port"), ("localhost:80", "--metrics-port localhost:80: give a port")],
)
def test_a_wrong_port(app: Ardiq, where: str, words: str) -> None:
    with pytest.raises(CommandError, match=words):
        call_command("ardiq_worker", "--burst", "--metrics-port", where)


def test_a_port_that_is_taken(app: Ardiq) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(CommandError, match=rf"--metrics-port 127.0.0.1:{port}: Address already in use"):
            call_command("ardiq_worker", "--burst", "--no-reload", "--metrics-port", str(port))


def test_without_the_extra(app: Ardiq, monkeypatch: pytest.MonkeyPatch) -> None:
    """It says what to install."""
    monkeypatch.delitem(sys.modules, "ardiq.contrib.prometheus")
    monkeypatch.delattr("ardiq.contrib.prometheus")
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    with pytest.raises(CommandError, match=r'pip install "django-ardiq\[prometheus\]"'):
        call_command("ardiq_worker", "--burst", "--no-reload", "--metrics-port", "9100")
