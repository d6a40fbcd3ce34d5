"""Where a demo lives: a directory, and a port for its site."""

import fcntl
import importlib
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from django.conf import settings
from django.core.management import CommandError
from django.db import connections
from django.test import override_settings

from ardiq.store import embedded

EMBEDDED = "embedded://"


@contextmanager
def kept() -> Iterator[Path]:
    """The directory of the settings, for one demo at a time: two would stop each other's server."""
    with (settings.DATA_DIR / "demo.lock").open("ab") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CommandError(
                f"Another ardiq_demo runs in {settings.DATA_DIR}; stop it, "
                "or name a directory for this one in ARDIQ_DEMO_DIR."
            ) from None
        yield settings.DATA_DIR


@contextmanager
def throwaway() -> Iterator[Path]:
    """A directory that is gone afterwards. The whole site moves there, in this process and its children."""
    module = importlib.import_module(os.environ["DJANGO_SETTINGS_MODULE"])
    before = os.environ.get("ARDIQ_DEMO_DIR")
    database = settings.DATABASES["default"]
    with TemporaryDirectory(prefix="ardiq-demo-", ignore_cleanup_errors=True) as name:
        os.environ["ARDIQ_DEMO_DIR"] = name
        connections.close_all()  # one that is open would go on with the old file
        moved = importlib.reload(module)
        previous, database["NAME"] = database["NAME"], moved.DATABASES["default"]["NAME"]
        try:
            with override_settings(DATA_DIR=moved.DATA_DIR, MEDIA_ROOT=moved.MEDIA_ROOT, ARDIQ=moved.ARDIQ):
                yield moved.DATA_DIR
        finally:
            connections.close_all()
            database["NAME"] = previous
            del os.environ["ARDIQ_DEMO_DIR"]
            if before is not None:
                os.environ["ARDIQ_DEMO_DIR"] = before


def stop_server() -> None:
    """Stop the server that the queue started for itself; one that the settings only name is left alone."""
    url = settings.ARDIQ["default"]["REDIS_URL"]
    if url.startswith(EMBEDDED):
        embedded.stop(Path(url.removeprefix(EMBEDDED)))


def free_port(wanted: int = 0) -> int:
    """The wanted port of this machine, or any free one when it is taken or 0."""
    with socket.socket() as probe:
        # As the site itself does, or a port would seem taken for a minute after each demo.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with suppress(OSError):
            probe.bind(("127.0.0.1", wanted))
            return probe.getsockname()[1]
    return free_port()
