"""--health-file and --health-port of ardiq_worker: where a worker shows whether it is healthy."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from django.core.management.base import CommandError, CommandParser

from ardiq.worker.health import HealthFile, Look, Reporter, Sink

if TYPE_CHECKING:
    from ardiq.worker.probe import Probe

LOCAL = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Shown:
    """Where to show it; nowhere by default."""

    file: Path | None = None
    address: tuple[str, int] | None = None
    parent: Sink | None = None

    def __bool__(self) -> bool:
        return any((self.file, self.address, self.parent))

    @property
    def url(self) -> str:
        if self.address is None:
            return ""
        host, port = self.address
        return f"http://{f'[{host}]' if ':' in host else host}:{port}/health"

    @contextmanager
    def showing(self, look: Look) -> Iterator[None]:
        """While this lasts. Raises CommandError for a file or a port that cannot be had."""
        with ExitStack() as stack:
            sinks = [self.parent] if self.parent else []
            if self.file is not None:
                file = self._made()
                stack.callback(file.remove)
                sinks.append(file.update)
            if self.address is not None:
                stack.callback(self._bound(look).stop)
            if sinks:
                reporter = Reporter(look, sinks)
                reporter.start()
                stack.callback(reporter.stop)
            yield

    def _made(self) -> HealthFile:
        assert self.file is not None
        try:
            return HealthFile(self.file)
        except OSError as error:
            raise CommandError(f"--health-file {self.file}: {error.strerror or error}.") from error

    def _bound(self, look: Look) -> Probe:
        assert self.address is not None
        # Not before somebody asks for a port: an HTTP server takes a megabyte of every worker.
        from ardiq.worker.probe import Probe

        try:
            probe = Probe(*self.address, look)
        except OSError as error:
            host, port = self.address
            raise CommandError(f"--health-port {host}:{port}: {error.strerror or error}.") from error
        probe.start()
        return probe


def add_arguments(parser: CommandParser) -> None:
    parser.add_argument(
        "--health-file", default="", metavar="PATH", help="a file that is fresh only while all is well"
    )
    parser.add_argument(
        "--health-port", default="", metavar="PORT", help="answer GET /health there; or HOST:PORT"
    )


def shown(file: str, port: str | int, parent: Sink | None = None) -> Shown:
    """What a command line asks for, each '' for nothing, and the supervisor that wants to know. Raises
    CommandError."""
    return Shown(
        Path(file).absolute() if file else None, address("--health-port", str(port)) if port else None, parent
    )


def address(option: str, text: str) -> tuple[str, int]:
    """Where to listen: on this machine alone, unless an address is given. Raises CommandError."""
    host, _, port = text.rpartition(":")
    try:
        # A name would be looked up, and might lead to an address that others can reach.
        host = str(ipaddress.ip_address(host.strip("[]"))) if host else LOCAL
        if port.isascii() and port.isdigit() and 0 < int(port) < 65_536:
            return host, int(port)
    except ValueError:
        pass
    raise CommandError(
        f"{option} {text}: give a port, or an address and a port, as in 8001, 0.0.0.0:8001 or [::]:8001."
    )
