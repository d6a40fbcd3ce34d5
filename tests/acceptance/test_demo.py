"""``manage.py ardiq_demo``: what a newcomer runs first, as a process of its own."""

import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from ardiq.store import embedded
from tests.server import free_port, need_binary

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
# Beyond the demo's own deadline of 90 s, so that its list of complaints is what a failure shows.
PATIENCE_SECONDS = 150
ROW = re.compile(r"^(?P<kind>\w+) +(?P<jobs>\d+)  (?P<status>\w+) +(?P<expected>\w+)$", re.MULTILINE)


@pytest.fixture
def directory() -> Iterator[Path]:
    """A short one: the embedded server's socket lies in it, and the path of a socket is limited."""
    pytest.importorskip("PIL", reason='the demo makes thumbnails: pip install "django-ardiq[demo]"')
    need_binary()
    with tempfile.TemporaryDirectory(prefix="demo-") as name:
        yield Path(name)


def demo(*arguments: str, **environment: str) -> subprocess.Popen[str]:
    """Start the demo with no settings but its own; both outputs in one pipe."""
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith(("ARDIQ_", "DJANGO_"))
    }
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    return subprocess.Popen(
        [sys.executable, str(ROOT / "testproject" / "manage.py"), "ardiq_demo", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=inherited | {"PYTHONPATH": os.pathsep.join(paths)} | environment,
    )


def finished(process: subprocess.Popen[str]) -> str:
    try:
        return process.communicate(timeout=PATIENCE_SECONDS)[0]
    finally:
        if process.poll() is None:
            process.terminate()  # not kill: it has processes of its own to stop
            process.wait()


def test_once_processes_its_batch_and_leaves_nothing(directory: Path) -> None:
    """At least 30 jobs of at least 8 kinds through a real worker, each ending as its kind should."""
    process = demo("--once", TMPDIR=str(directory))
    output = finished(process)
    assert process.returncode == 0, output
    rows = [row.groupdict() for row in ROW.finditer(output)]
    assert sum(int(row["jobs"]) for row in rows) >= 30, output
    assert len({row["kind"] for row in rows}) >= 8, output
    assert {row["status"] for row in rows} == {"succeeded", "failed", "aborted", "expired"}, output
    assert all(row["status"] == row["expected"] for row in rows), output
    assert list(directory.iterdir()) == []


def test_a_stream_of_jobs_stops_cleanly(directory: Path) -> None:
    """Ctrl-C: the site, the worker and the server end, and the command exits 0."""
    process = demo("--port", str(free_port()), ARDIQ_DEMO_DIR=str(directory), PYTHONUNBUFFERED="1")
    assert process.stdout is not None
    seen = ""
    for line in process.stdout:
        seen += line
        if "succeeded" in line:
            break
    process.send_signal(signal.SIGINT)
    seen += finished(process)
    assert process.returncode == 0, seen
    assert "Stopped." in seen
    assert embedded.stop(directory / "queue") is False, "the server was left running"


def test_once_says_what_is_wrong(directory: Path) -> None:
    """A server that is not there: exit 1 and one sentence, no traceback."""
    url = f"redis://127.0.0.1:{free_port()}/0"
    process = demo("--once", TMPDIR=str(directory), ARDIQ_REDIS_URL=url)
    output = finished(process)
    assert process.returncode == 1
    assert "The queue cannot be used" in output and "Traceback" not in output, output
    assert list(directory.iterdir()) == []
