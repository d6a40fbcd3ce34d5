"""What the tests of the seed stand on: its code blocks, and a project whose worker is a real process."""

from __future__ import annotations

import asyncio
import gc
import importlib
import json
import os
import re
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ardiq
from ardiq.results import JobInfo
from ardiq.store.keys import Keys
from tests.server import admin

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
PROJECT = ROOT / "tests" / "seedproject"
TASKS = ("add", "reminder", "digest", "sync_account", "notify", "report", "alert")


def unquoted(text: str) -> list[str]:
    return [re.sub(r"^> ?", "", line) for line in text.splitlines()]


def blocks(text: str) -> list[str]:
    """The indented code blocks of a Markdown text, as written."""
    found: list[list[str]] = []
    inside = False
    for line in unquoted(text):
        if line.startswith("    "):
            if not inside:
                found.append([])
            found[-1].append(line)
            inside = True
        elif line.strip():
            inside = False
        elif inside:
            found[-1].append("")
    return [textwrap.dedent("\n".join(lines)).strip() for lines in found]


def table(text: str) -> dict[str, tuple[str, str]]:
    """option -> (type, default) of the seed's table."""
    rows = [re.split(r"(?<!\\)\|", line) for line in unquoted(text) if line.startswith("| ")]
    cells = [[cell.strip().replace("\\|", "|") for cell in row[1:4]] for row in rows]
    return {name: (kind, default) for name, kind, default in cells if name != "Option"}


SEED = (HERE / "seed.md").read_text()
BLOCKS = blocks(SEED)


def block(words: str) -> str:
    """The one block of the seed that contains these words."""
    (found,) = [text for text in BLOCKS if words in text]
    return found


class Project:
    """The seed project: its tasks in this process, its worker in another, its queue on a real server."""

    def __init__(self, name: str, url: str, directory: Path) -> None:
        self.name = name
        self.journal = directory / "journal"
        self.lanes = {} if name == "shop" else {"PRIORITIES": ["low", "default", "high"]}
        self.ARDIQ = {"default": {"REDIS_URL": url, **self.lanes}}
        self.url = url

    def load(self) -> None:
        """Import the tasks, as Django does when it starts."""
        self.tasks = importlib.import_module(f"{self.name}.tasks")

    def unload(self) -> None:
        """Take the queue built in code away again: workers of other tests would find it."""
        if self.name == "shop":
            del self.tasks
            del sys.modules["shop.tasks"], sys.modules["shop"].tasks
            gc.collect()

    @property
    def app(self) -> ardiq.Ardiq:
        found: ardiq.Ardiq = self.tasks.add.app
        return found

    def run(self, source: str, **names: Any) -> dict[str, Any]:
        """Execute a block inside an async function; its local names when it has ended."""
        body = textwrap.indent(source, "    ")
        scope = {name: getattr(self.tasks, name) for name in TASKS} | {"Ardiq": ardiq.Ardiq} | names
        exec(compile(f"async def written():\n{body}\n    return locals()", "SEED.md", "exec"), scope)  # noqa: S102
        result: dict[str, Any] = asyncio.run(scope["written"]())
        return result

    def jobs(self) -> list[JobInfo]:
        """All that is stored in the queue, oldest first."""
        prefix = Keys("default").prefix + "job:"
        with admin(self.url) as client:
            ids = [key.decode().removeprefix(prefix) for key in client.scan_iter(prefix + "*", count=1000)]
        infos = [info for id in ids if (info := self.app.info_sync(id))]
        return sorted(infos, key=lambda info: info.enqueue_time)

    def job(self) -> JobInfo:
        (found,) = self.jobs()
        return found

    def ran(self) -> list[str]:
        """What the worker ran, in order."""
        return self.journal.read_text().splitlines() if self.journal.exists() else []

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start ``manage.py ardiq_worker``."""
        environment = {
            name: value for name, value in os.environ.items() if not name.startswith(("ARDIQ_", "DJANGO_"))
        }
        return subprocess.Popen(
            [sys.executable, "manage.py", "ardiq_worker", "--no-color", *arguments],
            cwd=PROJECT,
            env=environment
            | {
                "SEED_APP": self.name,
                "SEED_JOURNAL": str(self.journal),
                "ARDIQ_TEST_SETTINGS": json.dumps(self.ARDIQ),
                "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
                "PYTHONUNBUFFERED": "1",
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def burst(self, *arguments: str) -> str:
        """Run a worker until nothing is due; what it printed."""
        process = self.start("--burst", *arguments)
        output, _ = process.communicate(timeout=30)
        assert process.returncode == 0, output
        return output

    @contextmanager
    def worker(self) -> Iterator[subprocess.Popen[str]]:
        """A worker while this lasts; it must end well when told to."""
        process = self.start()
        try:
            yield process
            process.terminate()
            output, _ = process.communicate(timeout=30)
            assert process.returncode == 0, output
        finally:
            if process.poll() is None:
                process.kill()
                process.communicate()


def forget(url: str) -> None:
    """Empty the queue "default" of this database."""
    with admin(url) as client:
        for key in client.scan_iter(match=Keys("default").prefix + "*", count=1000):
            client.unlink(key)
