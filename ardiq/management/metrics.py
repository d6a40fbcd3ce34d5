"""--metrics-port of ardiq_worker: where Prometheus asks, if it is to."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.core.management.base import CommandError, CommandParser

from ardiq.management.health import address


def add_arguments(parser: CommandParser) -> None:
    parser.add_argument(
        "--metrics-port", default="", metavar="PORT", help="answer Prometheus there; or HOST:PORT"
    )


def url(where: str | int) -> str:
    """Where it can be read; '' for nowhere. Raises CommandError for what is no address."""
    if not where:
        return ""
    host, port = address("--metrics-port", str(where))
    return f"http://{f'[{host}]' if ':' in host else host}:{port}/metrics"


@contextmanager
def served(where: str | int) -> Iterator[None]:
    """While this lasts; '' for nowhere. Raises CommandError without the extra, or for an address that cannot
    be had."""
    if not where:
        yield
        return
    host, port = address("--metrics-port", str(where))
    try:
        from ardiq.contrib import prometheus
    except ImportError as error:
        raise CommandError(
            f'--metrics-port needs an extra: pip install "django-ardiq[prometheus]". {error}'
        ) from error
    try:
        stop = prometheus.serve(host, port)
    except OSError as error:
        raise CommandError(f"--metrics-port {host}:{port}: {error.strerror or error}.") from error
    try:
        yield
    finally:
        stop()
