"""A certificate authority for one test run, and servers that show what it has signed."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests import server

# Python 3.13 verifies strictly: who signs must say so, and what is signed must say by whom.
_NAMES = """subjectAltName=IP:127.0.0.1,DNS:localhost
authorityKeyIdentifier=keyid
subjectKeyIdentifier=hash
"""
_STEPS = (
    "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=ardiq-tests-ca -keyout ca.key -out ca.crt"
    " -addext keyUsage=critical,keyCertSign,cRLSign",
    "req -newkey rsa:2048 -nodes -subj /CN=localhost -keyout server.key -out server.csr",
    "x509 -req -in server.csr -CA ca.crt -CAkey ca.key -CAcreateserial -extfile names -days 2"
    " -out server.crt",
)


@dataclass(frozen=True)
class Tls:
    """ca.crt, server.crt and server.key in a directory, and a server that was built to use them."""

    directory: Path
    binary: str

    @property
    def authority(self) -> str:
        return str(self.directory / "ca.crt")

    @property
    def query(self) -> str:
        return f"?ssl_ca_certs={self.authority}"

    @property
    def client(self) -> dict[str, Any]:
        """For redis.Redis."""
        return {"ssl": True, "ssl_ca_certs": self.authority}

    def options(self, port: int) -> list[str]:
        """Lines of the configuration of a server that speaks TLS only, with its own kind, too."""
        return [
            "port 0",
            f"tls-port {port}",
            f"tls-cert-file {self.directory / 'server.crt'}",
            f"tls-key-file {self.directory / 'server.key'}",
            f"tls-ca-cert-file {self.authority}",
            "tls-auth-clients no",
            "tls-replication yes",
        ]


def make(directory: Path) -> Tls:
    """Without the openssl command, or a server with TLS, the test is skipped on a laptop and fails in CI."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "names").write_text(_NAMES)
    for step in _STEPS:
        try:
            subprocess.run(
                ["openssl", *step.split()], cwd=directory, check=True, capture_output=True, timeout=60
            )
        except FileNotFoundError:
            server.missing("no openssl command to make certificates with")
    for binary in server.binaries():
        tls = Tls(directory, binary)
        if _speaks(tls):
            return tls
    server.missing("no server that was built with TLS: install redis-server or valkey-server")


def _speaks(tls: Tls) -> bool:
    # One that was built without it knows the options all the same, says what it lacks, and ends.
    port = server.free_port()
    config = tls.directory / "probe.conf"
    config.write_text("\n".join([*tls.options(port), "bind 127.0.0.1", 'save ""', "appendonly no", ""]))
    process = server.start_process([tls.binary, str(config)], tls.directory, port)
    try:
        return server.answers(f"rediss://127.0.0.1:{port}/0{tls.query}", 1)
    finally:
        server.stop_server(process)
