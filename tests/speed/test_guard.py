"""A guard against sliding back: what one job takes, in numbers that no load changes. Never a time.

Each figure is an upper bound with a margin of a quarter. Whoever makes something cheaper, or adds a cost on
purpose, writes the table anew: ``ARDIQ_SPEED=update scripts/test tests/speed``, on each version of Python.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ardiq.store.awake import Awake
from tests.admin_client import admin
from tests.server import own_server
from tests.speed import figures
from tests.speed.counting import counted
from tests.speed.scenes import SCENES, Stage, per_job

counts_python = pytest.mark.skipif(sys.version_info < (3, 12), reason="sys.monitoring is of Python 3.12")

Count = Callable[[Callable[[], Any]], dict[str, int]]

TRIES = 3  # what else goes on in a process, or a batch that was parted, only ever adds


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server that nobody else talks to."""
    with own_server(tmp_path_factory.mktemp("speed")) as found:
        yield found


@pytest.fixture
def stage(url: str, queue_name: str, monkeypatch: pytest.MonkeyPatch) -> Stage:
    # A caller that stays awake for its reply turns round as often as there is time.
    monkeypatch.setattr(Awake, "worth_it", lambda self: False)
    return Stage(url, queue_name)


@counts_python
@pytest.mark.parametrize("scene", SCENES)
def test_python_does_not_do_more(scene: str, stage: Stage) -> None:
    """Bytecode instructions and calls for each job."""
    hold(figures.python(), scene, stage, counted)


@pytest.mark.parametrize("scene", SCENES)
def test_the_server_does_not_do_more(scene: str, stage: Stage, url: str) -> None:
    """Commands (those in scripts, too), round trips and bytes for each job."""
    with admin(url) as client:

        def count(run: Callable[[], Any]) -> dict[str, int]:
            before = asked(client)
            run()
            return {what: number - before[what] for what, number in asked(client).items()}

        hold("server", scene, stage, count)


def asked(client: Any) -> dict[str, int]:
    commands = client.info("commandstats")
    stats = client.info("stats")
    calls = {name.removeprefix("cmdstat_"): told["calls"] for name, told in commands.items()}
    calls.pop("info", None)
    return {
        "commands": sum(calls.values()),
        "round trips": sum(calls.get(name, 0) for name in ("evalsha", "eval", "blpop")),
        "bytes sent": stats["total_net_input_bytes"],
        "bytes received": stats["total_net_output_bytes"],
    }


def hold(section: str, scene: str, stage: Stage, count: Count) -> None:
    per_job(stage, scene, lambda run: run() or {})  # what happens once only is over now
    known, best = figures.read(section).get(scene), per_job(stage, scene, count)
    for _ in range(TRIES - 1):
        if known and not figures.updates() and not figures.too_much(best, known):
            break
        best = {what: min(number, best[what]) for what, number in per_job(stage, scene, count).items()}
    if figures.updates():
        figures.write(section, scene, best)
        return
    assert known, f"figures.json knows nothing of {scene!r}; ARDIQ_SPEED=update writes it"
    more = figures.too_much(best, known)
    table = "\n".join(f"{what}: {number:,.2f}, known {known[what]:,.2f}" for what, number in more.items())
    assert not more, (
        f"One job of {scene!r} takes more than {figures.MARGIN:g} times what it took:\n{table}\n"
        f"Mend it, or write down why it is worth it and say ARDIQ_SPEED=update (see CONTRIBUTING.md)."
    )


@counts_python
def test_the_guard_sees_more_work(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some needless work for each job, of which the server hears nothing."""
    known = figures.read(figures.python())["enqueue, sync"]
    enqueue = stage.noop_sync.enqueue_sync

    def wasteful(number: int) -> Any:
        assert sum(word for word in range(150)) > number
        return enqueue(number)

    monkeypatch.setattr(stage, "noop_sync", SimpleNamespace(enqueue_sync=wasteful))
    assert "instructions" in figures.too_much(per_job(stage, "enqueue, sync", counted), known)


def test_every_scene_stands_in_the_table() -> None:
    for section in ("python 3.12", "python 3.13", "server"):
        assert figures.read(section).keys() == SCENES.keys(), section


@counts_python
def test_work_in_threads_is_counted(tmp_path: Path) -> None:
    """Sync tasks run in threads; what they take must not be left out."""
    import threading

    def work() -> None:
        for _ in range(1_000):
            pass

    def run() -> None:
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()

    assert counted(run)["instructions"] > 2_000
