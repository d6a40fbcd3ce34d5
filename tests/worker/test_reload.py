"""The worker under DEBUG: code changes restart it, signals reach it, and it stops like any other."""

from __future__ import annotations

import os
import signal
import textwrap
import time
from pathlib import Path
from typing import Any

import pytest

from ardiq import Ardiq, JobStatus
from tests.workers import Process, Workers, until


class Project:
    """An app of its own, outside this tree, whose tasks module a test rewrites."""

    def __init__(self, workers: Workers) -> None:
        self._workers = workers
        package = workers.directory / "fresh"
        package.mkdir()
        (package / "__init__.py").touch()
        self.module = package / "tasks.py"
        self.seconds = 0  # of the last change

    def write(self, body: str) -> None:
        text = textwrap.dedent(f"""
            import os
            from ardiq import Ardiq
            from tests.shop.tasks import app as shop, note

            @shop.task(name="answer")
            async def answer():
                {body}
        """)
        # Python takes compiled code for current that has the same second and size as its source, and watchers
        # compare times of files: each text comes whole, in a second of its own, newer than those before.
        self.seconds = max(self.seconds + 1, int(time.time()) + 2)
        whole = self.module.with_suffix(".new")
        whole.write_text(text)
        os.utime(whole, (self.seconds, self.seconds))
        whole.replace(self.module)

    def start(self, *arguments: str, **options: Any) -> Process:
        return self._workers.start(
            *arguments,
            ardiq_test_debug="1",
            ardiq_test_apps="fresh",
            pythonpath=f"{self._workers.directory}{os.pathsep}{Path.cwd()}",
            **options,
        )


@pytest.fixture
def project(workers: Workers, monkeypatch: pytest.MonkeyPatch) -> Project:
    project = Project(workers)
    project.write("return 1")
    return project


def answer(app: Ardiq) -> Any:
    found = app.send_sync("answer").result_sync(timeout=15)
    assert found is not None
    return found.value


def test_new_code_runs(project: Project, app: Ardiq) -> None:
    """H6: a changed tasks module restarts the worker; SIGTERM of the parent ends both, exit 0."""
    process = project.start()
    assert answer(app) == 1
    project.write("return 2")
    until(lambda: "has changed; the worker is restarted" in process.text, 20)
    until(lambda: answer(app) == 2, 20)
    assert process.stop() == 0, process.text
    assert "Code changes restart it" in process.text and "Stopping" in process.text


def test_a_mistake_does_not_end_it(project: Project, app: Ardiq) -> None:
    """H6: the traceback is shown, and the next change starts it again."""
    process = project.start()
    assert answer(app) == 1
    project.write("return 1 +")
    until(lambda: "SyntaxError" in process.text and "waiting for a change" in process.text, 20)
    time.sleep(0.01)
    project.module.unlink()
    project.write("return 3")
    until(lambda: answer(app) == 3, 20)
    process.signal(signal.SIGINT)
    assert process.ends() == 0, process.text


def test_a_reload_hands_back(project: Project, app: Ardiq, workers: Workers) -> None:
    """H6: jobs that run get some time, then they are handed back uncharged and run under the new code."""
    project.write("note('start'); import asyncio; await asyncio.sleep(0.5); return 'old'")
    process = project.start()
    job = app.send_sync("answer")
    until(lambda: workers.notes("start"))
    project.write("return 'new'")
    assert job.result_sync(timeout=20).value == "old"  # type: ignore[union-attr]
    until(lambda: answer(app) == "new", 20)
    assert job.status_sync() is JobStatus.SUCCEEDED
    assert process.stop() == 0


@pytest.mark.parametrize(
    ("debug", "argument", "reloads"), [("1", "--no-reload", False), ("", "--reload", True)]
)
def test_when_it_reloads(workers: Workers, debug: str, argument: str, reloads: bool) -> None:
    """H1, H6: DEBUG decides unless told otherwise."""
    process = workers.start(argument, ardiq_test_debug=debug)
    assert ("Code changes restart it" in process.text) is reloads
    assert process.stop() == 0
