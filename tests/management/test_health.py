"""``--health-file``, ``--health-port``, ``ardiq_health``: whether the loop turns and Redis answers (S10)."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import time
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from ardiq import Ardiq
from ardiq.management import health
from ardiq.worker.health import Health, HealthFile, State
from ardiq.worker.probe import MOST, Probe
from tests.faults.servers import HurtServer
from tests.server import admin, free_port
from tests.workers import Workers, until

SHORT: dict[str, Any] = {"LEASE_MS": 1_500, "GRACE_MS": 5_000, "CONCURRENCY": 2, "PREFETCH": 0}


def ask(port: int, path: str = "/health", method: str = "GET") -> tuple[int, dict[str, Any]]:
    """Status and body; 0 when nobody answers."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request(method, path)
        response = connection.getresponse()
        body = response.read()
    except OSError:
        return 0, {}
    finally:
        connection.close()
    return response.status, json.loads(body) if body.startswith(b"{") else {}


def said(*arguments: str) -> str:
    out = StringIO()
    call_command("ardiq_health", *arguments, stdout=out)
    return out.getvalue().strip()


def fresh(path: Path, seconds: float = 3) -> bool:
    return path.exists() and time.time() - path.stat().st_mtime < seconds


# -- a worker -------------------------------------------------------------------------------------


def test_a_worker_and_a_loop_that_is_blocked(workers: Workers, app: Ardiq, tmp_path: Path) -> None:
    """H1, S10: 200 and a fresh file while it works; 503, and no hanging, while its loop is blocked."""
    file, port = tmp_path / "health", free_port()
    file.write_text("of an earlier life")
    process = workers.start("--health-file", str(file), "--health-port", str(port), LEASE_MS=6_000)
    until(lambda: f"  health       http://127.0.0.1:{port}/health\n" in process.text)
    until(lambda: ask(port)[0] == 200, what="a healthy worker")
    told = {"status": "ok", "loop": True, "redis": True, "workers": 1, "healthy": 1}
    assert ask(port) == (200, told) and ask(port, "/live") == (200, {"status": "ok"})
    until(lambda: fresh(file))
    assert file.read_text() == f"{process.popen.pid}\n" and said("--file", str(file)).startswith(str(file))
    assert "1 of 1 worker at work" in said("--queue", workers.queue)

    app.send_sync("clog", 9.0)
    until(lambda: ask(port)[0] == 503, 9, "a worker whose loop is blocked")
    assert ask(port)[1]["loop"] is False and ask(port)[1]["redis"] is True
    assert ask(port, "/live") == (503, {"status": "failing"})
    with pytest.raises(CommandError, match=r"no event loop has turned for \d s, and 3 s are allowed"):
        said("--queue", workers.queue, "--max-age", "3")
    until(lambda: not fresh(file, 1.5), what="a file that gets old")
    with pytest.raises(CommandError, match=r"was written \d s ago, and 1 s are allowed"):
        said("--file", str(file), "--max-age", "1")
    until(lambda: ask(port)[0] == 200 and fresh(file), what="a worker whose loop turns again")
    assert process.stop() == 0, process.text
    assert not file.exists() and ask(port)[0] == 0 and list(tmp_path.glob(".health*")) == []


def test_redis_that_stops_and_comes_back(tmp_path: Path, queue_name: str) -> None:
    """H1, S10: without an answer of Redis it is ill, and well again by itself; its loop is fine all along."""
    server = HurtServer(tmp_path / "server").start()
    workers = Workers(server.url, queue_name, tmp_path)
    app = Ardiq(queue_name, ["low", "default", "high"], server.url)
    file, port = tmp_path / "health", free_port()
    try:
        process = workers.start("--health-file", str(file), "--health-port", str(port), **SHORT)
        until(lambda: ask(port)[0] == 200 and fresh(file))
        server.stop()
        until(lambda: ask(port)[0] == 503, what="a worker without Redis")
        assert ask(port)[1] == {"status": "failing", "loop": True, "redis": False, "workers": 1, "healthy": 0}
        assert ask(port, "/live")[0] == 200, "a restart does not bring Redis back"
        with pytest.raises(CommandError, match=f"{queue_name}|cannot be reached"):
            said("--queue", queue_name)
        until(lambda: not fresh(file, 1.5), what="a file that gets old")
        server.start()
        until(lambda: ask(port)[0] == 200 and fresh(file), what="a worker that has Redis again")
        until(lambda: "1 of 1" in said("--queue", app.queue_name))
        assert process.stop() == 0
    finally:
        workers.close()
        server.stop()


@pytest.mark.slow
def test_one_probe_for_several_processes(workers: Workers, tmp_path: Path) -> None:
    """H1, H4: the supervisor shows the health of all; one that hangs makes the whole ill, and is no reason
    to kill it."""
    file, port = tmp_path / "health", free_port()
    process = workers.spawn(
        "--processes", "2", "--health-f", str(file), f"--health-port={port}",
        **(SHORT | {"LEASE_MS": 60_000}),
    )  # fmt: skip
    both = {"status": "ok", "loop": True, "redis": True, "workers": 2, "healthy": 2}
    until(lambda: ask(port) == (200, both) and fresh(file), 40, "two healthy workers")
    victim = int(workers.notes("up")[0][1])
    os.kill(victim, signal.SIGSTOP)
    until(lambda: ask(port)[0] == 503, what="an ill one")
    assert ask(port)[1]["healthy"] == 1 and ask(port, "/live")[0] == 200
    os.kill(victim, signal.SIGCONT)
    until(lambda: ask(port) == (200, both), what="two healthy workers")
    os.kill(victim, signal.SIGKILL)
    until(lambda: ask(port)[0] == 503, what="one that has died")
    until(lambda: ask(port) == (200, both) and fresh(file), 40, "another one in its place")
    assert process.stop(30) == 0, process.text
    assert not file.exists() and ask(port)[0] == 0


def test_no_socket_unless_asked(workers: Workers) -> None:
    """S10: a worker listens nowhere by default."""
    process = workers.start()
    inodes = {os.readlink(fd) for fd in Path(f"/proc/{process.popen.pid}/fd").iterdir() if fd.is_symlink()}
    listening = {
        f"socket:[{line.split()[9]}]"
        for table in ("tcp", "tcp6")
        for line in Path(f"/proc/{process.popen.pid}/net/{table}").read_text().splitlines()[1:]
        if line.split()[3] == "0A"
    }
    assert not inodes & listening


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--health-port", "http"), "--health-port http: give a port, or an address and a port"),
        (("--health-port", "0"), "--health-port 0: give a port"),
        (("--health-port", "localhost:8001"), "--health-port localhost:8001: give"),
        (("--health-port", "70000"), "--health-port 70000: give"),
        (("--health-file", "/nowhere/at/all"), "--health-file /nowhere/at/all: No such file or directory."),
        (("--health-file", "/"), "--health-file /: "),
    ],
)
def test_places_that_cannot_be(arguments: tuple[str, ...], words: str) -> None:
    """H1: refused before the worker starts, with what to write."""
    file, port = (arguments[1] if arguments[0] == name else "" for name in ("--health-file", "--health-port"))
    with pytest.raises(CommandError) as caught:
        with health.shown(file, port).showing(lambda: State.of(True, True)):
            pass
    assert words in str(caught.value)


def test_a_port_that_is_taken(workers: Workers) -> None:
    """H1: a worker that cannot be probed where it was told does not start."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        process = workers.spawn("--health-port", str(port))
        assert process.ends(30) == 1
    assert f"--health-port 127.0.0.1:{port}: Address already in use." in process.text
    assert "Traceback" not in process.text and workers.registered() == set()


# -- the command ----------------------------------------------------------------------------------


def test_nobody_works(app: Ardiq) -> None:
    with pytest.raises(CommandError, match=f"{app.queue_name}: no worker is registered"):
        said("--queue", app.queue_name)


def test_a_worker_whose_lease_is_over(app: Ardiq, redis_url: str) -> None:
    """S10: a process that has died without a word, and has not been reaped."""
    keys = app.broker.keys
    with admin(redis_url) as client:
        client.zadd(keys.workers, {"dead": 1})
        client.hset(keys.worker("dead"), "seen", "1")
        client.pexpire(keys.worker("dead"), 5_000)
    with pytest.raises(CommandError, match="no worker is registered"):
        said("--queue", app.queue_name)
    with admin(redis_url) as client:
        client.zrem(keys.workers, "dead")


def test_mistakes_at_the_command(app: Ardiq, tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="No such file"):
        said("--file", str(tmp_path / "none"))
    with pytest.raises(CommandError, match="give one of them"):
        said("--file", "x", "--queue", app.queue_name)
    with pytest.raises(CommandError, match="--max-age 0: give seconds above 0"):
        said("--file", "x", "--max-age", "0")
    with pytest.raises(CommandError, match="There is no queue"):
        said("--queue", "other")


# -- the parts ------------------------------------------------------------------------------------


class Answering:
    answered = 0.0


def test_what_healthy_means() -> None:
    """S10: an answer counts for half a lease, a turn of the loop for 5 s; all queues count."""
    one, other = Answering(), Answering()
    state = Health([(one, 30_000), (other, 1_000)])
    assert state.look() == State.of(True, False), "Redis has not answered yet"
    one.answered, other.answered = time.monotonic() - 14, time.monotonic() - 1
    assert state.look().well
    one.answered = time.monotonic() - 16
    assert not state.look().well
    one.answered = time.monotonic()
    state._turned = time.monotonic() - 6
    assert state.look() == State(live=False, loop=False, redis=True, workers=1, healthy=0)
    assert not State.together(True, []).well


@pytest.fixture
def probe() -> Iterator[Probe]:
    one = Probe("127.0.0.1", 0, lambda: State.of(True, True))
    one.start()
    yield one
    one.stop()


def test_what_the_port_answers(probe: Probe) -> None:
    """S10: GET and HEAD of two paths; nothing of the process, and nothing of what was sent, comes back."""
    port = probe.server_address[1]
    assert ask(port, "/health?x=1")[0] == 200 and ask(port, "/health", "HEAD") == (200, {})
    assert ask(port, "/../etc")[0] == 404 and ask(port, "/")[0] == 404
    assert ask(port, "/health", "POST")[0] == 501 and ask(port, "/health", "<b>")[0] == 501
    with socket.create_connection(("127.0.0.1", port), timeout=5) as raw:
        raw.sendall(b"GET /health HTTP/1.0\r\n\r\n")
        answer = b"".join(iter(lambda: raw.recv(4096), b""))
    assert b"Python" not in answer and b"Server: ardiq\r\n" in answer and b"no-store" in answer
    with socket.create_connection(("127.0.0.1", port), timeout=5) as raw:
        raw.sendall(b"<script> /health HTTP/9.9\r\n\r\n")
        assert b"script" not in b"".join(iter(lambda: raw.recv(4096), b""))


def test_callers_that_only_hold_the_line(probe: Probe) -> None:
    """S10: as many as are answered at once are waited for, 2 s; then it answers again."""
    port = probe.server_address[1]
    idle = [socket.create_connection(("127.0.0.1", port)) for _ in range(MOST + 5)]
    until(lambda: not probe._room._value, what="all places taken")  # type: ignore[attr-defined]
    assert ask(port)[0] == 0
    until(lambda: ask(port)[0] == 200, 10, "an answer")
    for one in idle:
        one.close()


def test_a_file_that_cannot_be_written(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """S10: one warning, and no end of the worker; nothing is written while it is ill."""
    place = tmp_path / "run"
    place.mkdir()
    file = HealthFile(place / "health")
    assert not (place / "health").exists()
    file.update(State.of(False, True))
    assert not (place / "health").exists()
    file.update(State.of(True, True))
    (place / "health").unlink()
    place.rmdir()
    file.update(State.of(True, True))
    file.update(State.of(True, True))
    assert [record.message for record in caplog.records if "health file" in record.message] != []
    assert len(caplog.records) == 1
    place.mkdir()
    file.update(State.of(True, True))
    assert fresh(place / "health")
    file.remove()
