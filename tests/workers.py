"""Workers for tests: real ``manage.py ardiq_worker`` processes, and one in a thread of the test itself."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from ardiq import Ardiq, running
from ardiq.store.keys import Keys
from ardiq.upkeep import DjangoUpkeep
from ardiq.worker.worker import Worker
from tests.server import admin

ROOT = Path(__file__).resolve().parents[1]


def until(condition: Callable[[], Any], seconds: float = 15, what: str = "") -> Any:
    """What the condition answers once it is true. Fails after so many seconds."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, f"not within {seconds} s: {what or condition}"
        time.sleep(0.01)
    return found


class Process:
    """One worker process and what it has written."""

    def __init__(self, command: list[str], environment: dict[str, str], output: Path) -> None:
        self.output = output
        with output.open("wb") as stream:
            self.popen = subprocess.Popen(
                command, env=environment, cwd=ROOT, stdout=stream, stderr=subprocess.STDOUT
            )

    @property
    def text(self) -> str:
        return self.output.read_text(errors="replace")

    def signal(self, number: int = signal.SIGTERM) -> None:
        self.popen.send_signal(number)

    def ends(self, seconds: float = 15) -> int:
        """Its exit code."""
        try:
            return self.popen.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"the worker did not end within {seconds} s:\n{self.text}") from None

    def stop(self, seconds: float = 15) -> int:
        self.signal()
        return self.ends(seconds)

    def kill(self) -> None:
        self.popen.kill()
        self.popen.wait()


class Workers:
    """Starts worker processes of the shop (tests/shop) on the queue of a test."""

    def __init__(self, url: str, queue: str, directory: Path, direct: str = "") -> None:
        """``direct``: where this process looks, when ``url`` is a proxy for the workers."""
        self.url, self.queue, self.directory = url, queue, directory
        self.direct = direct or url
        self.journal = directory / "journal"
        self.all: list[Process] = []
        self._keys = Keys(queue)

    def environment(self, **options: Any) -> dict[str, str]:
        """For a process whose queue has these options; keys in lower case are environment variables."""
        variables = {key.upper(): options.pop(key) for key in [key for key in options if key.islower()]}
        setting = {self.queue: {"REDIS_URL": self.url, "PRIORITIES": ["low", "default", "high"], **options}}
        inherited = {key: value for key, value in os.environ.items() if not key.startswith("ARDIQ")}
        return inherited | {
            "DJANGO_SETTINGS_MODULE": "tests.settings",
            "ARDIQ_TEST_SETTINGS": json.dumps(setting),
            "ARDIQ_TEST_APPS": "tests.shop",
            "ARDIQ_TEST_QUEUE": self.queue,
            "ARDIQ_TEST_JOURNAL": str(self.journal),
            "ARDIQ_TEST_DATABASE": str(self.directory / "db.sqlite3"),
            "PYTHONUNBUFFERED": "1",
            **variables,
        }

    def spawn(self, *arguments: str, manage: Path | None = None, **options: Any) -> Process:
        """Start one and do not wait for it."""
        manage = manage or ROOT / "tests" / "manage.py"
        command = [sys.executable, str(manage), "ardiq_worker", *arguments]
        output = self.directory / f"worker-{len(self.all)}.log"
        process = Process(command, self.environment(**options), output)
        self.all.append(process)
        return process

    def start(self, *arguments: str, **options: Any) -> Process:
        """Start one and wait until it has its lease."""
        before = self.registered()
        process = self.spawn(*arguments, **options)

        def ready() -> bool:
            assert process.popen.poll() is None, process.text
            return bool(self.registered() - before)

        until(ready, 30, "a worker that registers")
        return process

    def registered(self) -> set[bytes]:
        with admin(self.direct) as client:
            found: Any = client.zrange(self._keys.workers, 0, -1)
            return set(found)

    def notes(self, word: str = "") -> list[list[str]]:
        """Lines of the journal, split into words; those that begin with ``word``."""
        text = self.journal.read_text() if self.journal.exists() else ""
        lines = text[: text.rfind("\n") + 1].splitlines()  # the last one may be on its way
        return [line.split() for line in lines if line.startswith(word)]

    def close(self) -> None:
        for process in self.all:
            if process.popen.poll() is None:
                process.kill()


class Working:
    """A worker of an app in a thread of this process, for as long as the block lasts."""

    def __init__(self, app: Ardiq, **overrides: Any) -> None:
        # Other apps of a test may serve this queue too, as another user of the server.
        where = {"redis_url": app.options.redis_url} | overrides
        self._options = replace(running.worker_options(app.queue_name), **where)
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._ready = threading.Event()
        self._error: BaseException | None = None
        self.worker: Worker
        self.loop: asyncio.AbstractEventLoop

    def _work(self) -> None:
        try:
            asyncio.run(self._main())
        except BaseException as error:
            self._error = error
        finally:
            self._ready.set()

    async def _main(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.worker = running.build(self._options.queue, self._options, name="here", around=DjangoUpkeep())
        await running.run([self.worker], self._ready.set)

    def stop(self, hurry: bool = False) -> None:
        self.loop.call_soon_threadsafe(self.worker.stop, hurry)

    def ends(self, seconds: float = 10) -> None:
        self._thread.join(seconds)
        assert not self._thread.is_alive(), "the worker does not end"
        if self._error is not None:
            raise self._error

    def __enter__(self) -> Working:
        self._thread.start()
        self._ready.wait(10)
        return self

    def __exit__(self, *error: object) -> None:
        if self._thread.is_alive():
            self.stop(hurry=True)
        self.ends()
