"""``ardiq_server``: whether the server of ``embedded://`` runs, and an end to it."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from ardiq import Ardiq, connection
from ardiq.store import embedded, verbs
from tests.server import need_binary

Say = Callable[..., str]


@pytest.fixture
def directory() -> Iterator[Path]:
    need_binary()
    with tempfile.TemporaryDirectory(prefix="ardiq-") as name:
        yield Path(name).resolve() / "server"
        embedded.stop(Path(name).resolve() / "server")


@pytest.fixture
def apps(directory: Path, queue_name: str, redis_url: str) -> Iterator[list[Ardiq]]:
    """Two queues at one embedded server, and one that is elsewhere."""
    url = f"embedded://{directory}"
    yield [Ardiq(f"{queue_name}-{n}", redis_url=url) for n in range(2)] + [
        Ardiq(f"{queue_name}-2", redis_url=redis_url)
    ]
    connection.forget(url)


@pytest.fixture
def say(apps: list[Ardiq]) -> Say:
    def say(verb: str, *arguments: str) -> str:
        out = StringIO()
        names = [word for app in apps for word in ("--queue", app.queue_name)]
        call_command("ardiq_server", verb, *(arguments if "--queue" in arguments else [*names, *arguments]),
                     stdout=out)  # fmt: skip
        return out.getvalue()

    return say


def test_status_and_stop(apps: list[Ardiq], say: Say, directory: Path) -> None:
    """I1: one line for each server; looking starts none; what is stopped is on disk, and there again."""
    both = f"{apps[0].queue_name}, {apps[1].queue_name}: the server in {directory}"
    assert say("status") == f"{both} does not run\n" and not directory.exists()
    assert say("stop") == f"{both} did not run\n"
    job = apps[0].send_sync("t")
    assert say("status") == f"{both} runs\n"
    told: dict[str, Any] = json.loads(say("status", "--json"))
    names = [app.queue_name for app in apps[:2]]
    assert told == {"servers": [{"directory": str(directory), "queues": names, "runs": True}]}
    assert say("stop").startswith(f"{both} is stopped. ")
    assert not embedded.runs(directory)
    assert job.status_sync() == "queued" and embedded.runs(directory), "asked, it is started again"


def test_workers_come_first(apps: list[Ardiq], say: Say, directory: Path) -> None:
    """I1: a worker would start it again at once, so it is to be stopped first."""
    own = apps[1].broker
    own.store.run(verbs.register(own.keys, "w" * 32, 60_000, {"name": "here"}))
    with pytest.raises(CommandError, match=r"1 worker of .*ardiq_workers stop --all"):
        say("stop")
    assert embedded.runs(directory)
    own.store.run(verbs.unregister(own.keys, "w" * 32))
    assert "is stopped" in say("stop")


def test_other_servers_are_left_alone(apps: list[Ardiq], say: Say) -> None:
    """I1: there is nothing to look after, and that is said."""
    for verb in ("status", "stop"):
        with pytest.raises(CommandError, match="None of these queues is at an embedded:// server"):
            say(verb, "--queue", apps[2].queue_name)
