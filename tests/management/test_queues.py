"""``ardiq_queues`` and ``ardiq_workers``: what people tell queues and workers from a terminal."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from pytest_django.fixtures import Settings

from ardiq import Ardiq
from tests.workers import Working, until

LANES = ["low", "default", "high"]
Say = Callable[..., str]


@pytest.fixture
def app(redis_url: str, queue_name: str, settings: Settings) -> Ardiq:
    settings.ARDIQ = {queue_name: {"REDIS_URL": redis_url, "PRIORITIES": LANES}}
    app = Ardiq(queue_name)

    @app.task(name="nothing")
    async def nothing() -> None: ...

    return app


@pytest.fixture
def say(app: Ardiq, capsys: pytest.CaptureFixture[str]) -> Say:
    """Type a command; what it printed."""

    def type_in(*words: str) -> str:
        capsys.readouterr()
        call_command(*words, "--no-color")
        return capsys.readouterr().out

    return type_in


def test_pause_is_told_everywhere(app: Ardiq, say: Say) -> None:
    queue = app.queue_name
    app.send_sync("nothing")
    assert say("ardiq_queues", "pause", queue, "--reason", "new release") == f"{queue}: paused\n"
    assert "was paused already" in say("ardiq_queues", "pause", queue, "--reason", "newer release")
    for text in (say("ardiq_queues", "list", queue), say("ardiq_status", "--queue", queue)):
        assert "paused 0 s ago by " in text and ": newer release" in text
    assert f"manage.py ardiq_queues resume {queue}" in say("ardiq_status", "--queue", queue)
    told = json.loads(say("ardiq_status", "--queue", queue, "--json"))["queues"][queue]
    assert told["paused"][0]["reason"] == "newer release" and told["paused"][0]["lane"] is None
    [told] = json.loads(say("ardiq_queues", "list", queue, "--json"))["queues"]
    assert told["jobs"]["queued"] == 1 and "@" in told["paused"][0]["by"]
    assert say("ardiq_queues", "resume", queue) == f"{queue}: resumed\n"
    assert say("ardiq_queues", "resume", queue) == f"{queue}: was not paused\n"
    assert "paused" not in say("ardiq_queues", "list", queue)


def test_a_lane_by_itself(app: Ardiq, say: Say) -> None:
    queue = app.queue_name
    say("ardiq_queues", "pause", queue, "--lane", "low")
    say("ardiq_queues", "pause", queue)
    assert "resumed; still paused by themselves: low" in say("ardiq_queues", "resume", queue)
    assert "paused: low" in say("ardiq_queues", "list", queue)
    assert "resume " + queue + " --lane low" in say("ardiq_status", "--queue", queue)
    assert "resumed" in say("ardiq_queues", "resume", queue, "--lane", "low")
    with pytest.raises(CommandError, match=r"has no lane 'lwo'\. Did you mean low"):
        say("ardiq_queues", "pause", queue, "--lane", "lwo")
    with pytest.raises(CommandError, match="There is no queue"):
        say("ardiq_queues", "pause", "nowhere")


def test_move(app: Ardiq, say: Say) -> None:
    queue = app.queue_name
    app.enqueue_many_sync(app.tasks["nothing"].options(priority="low").prepare() for _ in range(3))
    assert "3 moved." in say("ardiq_queues", "move", queue, "--lane", "low", "--to", "high", "--yes")
    assert app.queue_size_sync("high") == 3
    with pytest.raises(CommandError, match="There is no terminal to ask at"):
        say("ardiq_queues", "move", queue, "--lane", "high", "--to", "low")
    with pytest.raises(CommandError, match="in this lane already"):
        say("ardiq_queues", "move", queue, "--lane", "high", "--to", "high", "--yes")
    with pytest.raises(CommandError, match=r"has no lane 'hihg'\. Did you mean high"):
        say("ardiq_queues", "move", queue, "--lane", "high", "--to", "hihg", "--yes")
    with pytest.raises(CommandError, match="has no lane 'old'"):
        say("ardiq_queues", "move", queue, "--lane", "old", "--to", "high", "--yes")


def test_what_waits_in_a_lane_of_the_past_can_be_moved(app: Ardiq, say: Say, settings: Settings) -> None:
    """A release took the lane out of settings, and nobody drains it any more."""
    [options] = settings.ARDIQ.values()
    app.send_sync("nothing")
    app.enqueue_many_sync([app.tasks["nothing"].options(priority="low").prepare()])
    settings.ARDIQ = {app.queue_name: {**options, "PRIORITIES": ["default", "high"]}}
    text = say("ardiq_queues", "move", app.queue_name, "--lane", "low", "--to", "default", "--yes")
    assert "1 moved." in text and app.queue_size_sync() == 2


def test_workers(app: Ardiq, say: Say) -> None:
    queue = app.queue_name
    with pytest.raises(CommandError, match="There are no workers"):
        say("ardiq_workers", "quiet", "--all", "--queue", queue)
    with Working(app) as here:
        until(app.workers_sync, 10, "a worker that registers")
        listed = say("ardiq_workers", "list", "--queue", queue)
        assert "here" in listed and app.workers_sync()[0].id[:8] in listed
        assert "here told to finish" in say("ardiq_workers", "quiet", "here", "--queue", queue)
        [told] = json.loads(say("ardiq_workers", "list", "--queue", queue, "--json"))["queues"][queue]
        assert told["state"] == "quiet"
        text = say("ardiq_status", "--queue", queue)
        assert "quiet" in text and "all workers are quiet" not in text, "nothing waits"
        until(lambda: here.worker._held_by.brakes.quiet, 10, "a worker that has heard it")
        app.send_sync("nothing")
        assert "1 job waits, and all workers are quiet" in say("ardiq_status", "--queue", queue)
        seen = json.loads(say("ardiq_status", "--queue", queue, "--json"))["queues"][queue]["warnings"]
        assert [one["name"] for one in seen] == ["quiet"] and "ardiq_workers work --all" in seen[0]["way_out"]
        assert "told to take jobs again" in say("ardiq_workers", "work", told["id"], "--queue", queue)
        with pytest.raises(CommandError, match="There is no worker 'nobody'"):
            say("ardiq_workers", "stop", "nobody", "--queue", queue)
        with pytest.raises(CommandError, match="Name workers, or say --all"):
            say("ardiq_workers", "stop", "--queue", queue)
        with pytest.raises(CommandError, match=r"Stop 1 worker of .*no terminal to ask at; say --yes"):
            say("ardiq_workers", "stop", "--all", "--queue", queue)
        assert app.workers_sync()[0].doing == ""
        assert "here told to stop" in say("ardiq_workers", "stop", "--all", "--yes", "--queue", queue)
        here.ends()
    assert app.workers_sync() == []


def test_the_worker_of_a_running_job(app: Ardiq, say: Say) -> None:
    """A job that runs knows it by the start of its id: the name stands beside it, and in the list both."""
    go = threading.Event()
    app.task(name="wait")(lambda: go.wait(20) and None)
    with Working(app):
        job = app.send_sync("wait")
        until(lambda: job.status_sync() == "running")
        short = app.workers_sync()[0].id[:8]
        try:
            assert job.info_sync().worker == short  # type: ignore[union-attr]
            assert f"here ({short})" in say("ardiq_jobs", "show", job.id, "--queue", app.queue_name)
        finally:
            go.set()
        job.result_sync(timeout=10)
    assert f"here ({short})" not in say("ardiq_jobs", "show", job.id, "--queue", app.queue_name)


def test_redis_away(say: Say, app: Ardiq, settings: Settings) -> None:
    settings.ARDIQ = {app.queue_name: {"REDIS_URL": "redis://127.0.0.1:1/0"}}
    for words in (["ardiq_queues", "list"], ["ardiq_workers", "list"]):
        with pytest.raises(CommandError, match=r"127\.0\.0\.1:1"):
            say(*words)
