"""A MariaDB server of a test run's own, where MariaDB and PyMySQL are installed."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.server import free_port, leashed, missing, stop_server

_INSTALL, _SERVER = "mariadb-install-db", "mariadbd"


def _program(name: str) -> str | None:
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")


def why_not() -> str:
    """Why there is no MariaDB to test with; '' where there is."""
    if importlib.util.find_spec("pymysql") is None:
        return "PyMySQL is not installed"
    return "" if _program(_INSTALL) and _program(_SERVER) else "MariaDB is not installed"


@contextmanager
def server() -> Iterator[str]:
    """Its URL, without the name of a database. It does not sync: it is not what is killed."""
    if reason := why_not():
        missing(reason, "mariadb-server")
    directory = tempfile.mkdtemp(prefix="ardiq-mariadb-")
    port, data = free_port(), f"{directory}/data"
    as_root = ["--user=root"] if os.geteuid() == 0 else []
    make = [str(_program(_INSTALL)), "--no-defaults", f"--datadir={data}", "--skip-test-db", *as_root]
    subprocess.run(
        [*make, "--auth-root-authentication-method=normal"], check=True, capture_output=True, cwd=directory
    )
    command = [
        str(_program(_SERVER)), "--no-defaults", f"--datadir={data}", *as_root,
        "--bind-address=127.0.0.1", f"--port={port}", f"--socket={directory}/socket",
        "--innodb-flush-log-at-trx-commit=0", "--innodb-buffer-pool-size=32M",
        "--character-set-server=utf8mb4",
    ]  # fmt: skip
    process = leashed(command, Path(directory), Path(directory, "log"), "KILL")
    url = f"mysql://root@127.0.0.1:{port}"
    try:
        _wait(url, Path(directory, "log"))
        yield url
    finally:
        stop_server(process, 20)
        shutil.rmtree(directory, ignore_errors=True)


def connect(url: str) -> Any:
    """A connection that commits by itself, to the database that the URL names or to none."""
    import pymysql

    place, _, name = url.removeprefix("mysql://root@").partition("/")
    host, port = place.split(":")
    return pymysql.connect(
        host=host, port=int(port), user="root", database=name or None, autocommit=True, connect_timeout=5
    )


def _wait(url: str, log: Path) -> None:
    import pymysql

    deadline = time.monotonic() + 60
    while True:
        try:
            connect(url).close()
            return
        except pymysql.MySQLError:
            assert time.monotonic() < deadline, log.read_text(errors="replace")
            time.sleep(0.05)


def make_database(url: str, name: str) -> str:
    """A new, empty database; its URL."""
    with connect(url) as connection, connection.cursor() as cursor:
        cursor.execute(f"CREATE DATABASE `{name}`")
    return f"{url}/{name}"
