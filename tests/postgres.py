"""A PostgreSQL cluster of a test run's own, where PostgreSQL and psycopg are installed."""

from __future__ import annotations

import glob
import importlib.util
import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.server import free_port, leashed, missing, stop_server


def _program(name: str) -> str | None:
    found = sorted(glob.glob(f"/usr/lib/postgresql/*/bin/{name}"))
    return found[-1] if found else shutil.which(name)


def _user() -> str | None:
    """PostgreSQL does not run as root: whom it may run as instead."""
    if os.geteuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"


def why_not() -> str:
    """Why there is no PostgreSQL to test with; '' where there is."""
    if importlib.util.find_spec("psycopg") is None:
        return "psycopg is not installed"
    return "" if _program("initdb") and _program("postgres") else "PostgreSQL is not installed"


@contextmanager
def cluster() -> Iterator[str]:
    """The URL of its server, without the name of a database. It does not sync: it is not what is killed."""
    if reason := why_not():
        missing(reason, "postgresql")
    user = _user()
    directory = tempfile.mkdtemp(prefix="ardiq-postgres-")
    if user:
        shutil.chown(directory, user)
    port, data = free_port(), f"{directory}/data"
    as_user = {"user": user, "extra_groups": []} if user else {}
    make = [str(_program("initdb")), "-D", data, "-A", "trust", "-U", "postgres", "--no-sync"]
    subprocess.run(make, check=True, capture_output=True, cwd=directory, **as_user)  # type: ignore[call-overload]
    settings = {"port": port, "listen_addresses": "127.0.0.1", "unix_socket_directories": "", "fsync": "off"}
    command = [str(_program("postgres")), "-D", data]
    for name, value in settings.items():
        command += ["-c", f"{name}={value}"]
    # SIGINT: it does not wait for clients.
    process = leashed(command, Path(directory), Path(directory, "log"), "INT", **as_user)
    url = f"postgresql://postgres@127.0.0.1:{port}"
    try:
        _wait(url, Path(directory, "log"))
        yield url
    finally:
        stop_server(process, 20)
        shutil.rmtree(directory, ignore_errors=True)


def _wait(url: str, log: Path) -> None:
    import psycopg

    deadline = time.monotonic() + 30
    while True:
        try:
            psycopg.connect(f"{url}/postgres").close()
            return
        except psycopg.OperationalError:
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)


def make_database(url: str, name: str) -> str:
    """A new, empty database; its URL."""
    import psycopg

    with psycopg.connect(f"{url}/postgres", autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"'.encode())
    return f"{url}/{name}"
