"""Plays one sequence of marked blocks in a temporary directory, as a reader would type it.

How a block is marked is described in CONTRIBUTING.md. A sequence whose first block does not start a
project gets one: ``mysite`` with the app ``shop``, an embedded server, and a worker once it is needed.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ardiq.store import embedded
from tests.docs.browser import Browser
from tests.docs.pages import ROOT, Block
from tests.server import free_port

COMMAND_SECONDS = 90
BLOCK_SECONDS = 30
STOP_SECONDS = 15
PASSWORD = "a-password-for-the-docs"

SETTINGS = """
INSTALLED_APPS += ["ardiq", "shop"]
ARDIQ = {"default": {"REDIS_URL": "embedded://", "PRIORITIES": ["low", "default", "high"]}}
"""


class Play:
    """The state between two blocks: the directory, the output so far, the processes in the background."""

    def __init__(self, directory: Path) -> None:
        self.home = directory
        self.directory = directory
        self.output = ""
        self.port = free_port()
        self.background: list[subprocess.Popen[bytes]] = []
        self.worker: subprocess.Popen[bytes] | None = None
        self.interpreter: subprocess.Popen[str] | None = None
        inherited = {
            name: value for name, value in os.environ.items() if not name.startswith(("ARDIQ_", "DJANGO_"))
        }
        self.environment = inherited | {
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), inherited.get("PATH", "")]),
            "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), inherited.get("PYTHONPATH", "")])),
            "PYTHONUNBUFFERED": "1",
            "DJANGO_SUPERUSER_PASSWORD": PASSWORD,
            # runserver reads it, so that a block may say what a reader types and still not clash.
            "DJANGO_RUNSERVER_HIDE_WARNING": "true",
        }
        self.log = directory / "background.log"

    # -- the kinds of blocks ----------------------------------------------------------------------

    def play(self, block: Block) -> None:
        how, _, rest = block.how.partition(" ")
        if how in ("write", "append"):
            self._put(block, rest, "w" if how == "write" else "a")
        elif how == "output":
            self._expect(block)
        elif how == "install":
            self._check_install(block)
        elif how == "background":
            self._start(block)
        elif how == "open":
            self._open(block)
        elif how == "post":
            self._open(block, *rest.split())
        elif how == "stopped":
            self._stop_background()
            self._run_lines(block)
        elif how == "shell":
            self._run(block, ["python", "manage.py", "shell"], block.text)
            self._expect_comments(block)
        elif how:
            pytest.fail(f"{block.where}: unknown mark {block.how!r}", pytrace=False)
        elif block.language == "python":
            self._interpret(block)
        else:
            self._run_lines(block)

    def _put(self, block: Block, name: str, mode: str) -> None:
        path = self.directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open(mode, encoding="utf-8") as file:
            file.write(("\n" if mode == "a" else "") + block.text)
        self._end_worker()
        self._end_interpreter()

    def _run_lines(self, block: Block) -> None:
        lines = block.text.replace("createsuperuser", "createsuperuser --noinput")
        self._run(block, ["sh", "-ec", f'{lines}\npwd >"$ARDIQ_DOCS_PWD"'])
        self.directory = Path((self.home / "pwd").read_text().strip())

    def _run(self, block: Block, command: list[str], given: str | None = None) -> None:
        done = subprocess.run(
            command,
            input=given,
            cwd=self.directory,
            env=self.environment | {"ARDIQ_DOCS_PWD": str(self.home / "pwd")},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=COMMAND_SECONDS,
        )
        self.output = done.stdout
        # The shell shows a traceback and goes on.
        if done.returncode or (given is not None and "Traceback (most recent call last)" in done.stdout):
            pytest.fail(f"{block.where} exits with {done.returncode}\n{done.stdout}{self._tail()}", False)

    def _start(self, block: Block) -> None:
        command = block.text.strip()
        if "runserver" in command:
            command += f" --noreload 127.0.0.1:{self.port}"
        with self.log.open("ab") as log:
            self.background.append(
                subprocess.Popen(
                    ["sh", "-c", f"exec {command}"],
                    cwd=self.directory,
                    env=self.environment,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                )
            )

    def _open(self, block: Block, path: str = "", form: str = "") -> None:
        """Read pages as the superuser: the addresses of the block, or what comes of posting a form."""
        self._wait_for_site()
        browser = Browser(f"http://127.0.0.1:{self.port}")
        browser.log_in("admin", PASSWORD)
        if form:
            self.output = browser.post(path, dict(urllib.parse.parse_qsl(form)))
            return
        paths = ["/" + address.partition("://")[2].partition("/")[2] for address in block.text.split()]
        self.output = "\n".join(map(browser.get, paths))

    def _wait_for_site(self) -> None:
        deadline = time.monotonic() + 15
        while True:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{self.port}/admin/login/", timeout=5).close()
                return
            except (urllib.error.URLError, OSError):
                if time.monotonic() > deadline:
                    pytest.fail(f"the site does not answer{self._tail()}", pytrace=False)
                time.sleep(0.05)

    def _check_install(self, block: Block) -> None:
        """Installing is what .ci/run does with the wheel; here only the names are checked."""
        extras = (ROOT / "setup.cfg").read_text().partition("[options.extras_require]")[2]
        for extra in re.findall(r"django-ardiq\[([\w,]+)\]|ardiq\[([\w,]+)\]", block.text):
            for name in ",".join(filter(None, extra)).split(","):
                assert re.search(rf"^{name} =", extras, re.M), f"{block.where}: no extra {name}"

    # -- what a block must have said --------------------------------------------------------------

    def _expect(self, block: Block) -> None:
        """Each line stands in the output of the step before, in this order; ``...`` is anything."""
        wanted = [line.strip() for line in block.text.splitlines() if line.strip() not in ("", "...")]
        pattern = ".*?".join(r"\s+".join(map(_loose, line.split())) for line in wanted)
        if not re.search(pattern, self.output, re.S):
            pytest.fail(f"{block.where}: expected\n{block.text}\nbut the step said\n{self.output}", False)

    def _expect_comments(self, block: Block) -> None:
        """``print(x)  # 5``: the comment is the line that is printed."""
        said = self.output.splitlines()
        for expected in re.findall(r"^ *print\(.*\) +# (.+)$", block.text, re.M):
            pattern = re.compile(_loose(expected.strip()))
            while said and not pattern.search(said[0]):
                said.pop(0)
            if not said:
                pytest.fail(f"{block.where}: expected {expected!r}, but it printed\n{self.output}", False)
            said.pop(0)

    # -- Python in the project --------------------------------------------------------------------

    def _interpret(self, block: Block) -> None:
        self._need_worker()
        if self.interpreter is None:
            self.interpreter = subprocess.Popen(
                [sys.executable, "-m", "tests.docs.interpreter"],
                cwd=self.directory,
                env=self.environment
                | {
                    "DJANGO_SETTINGS_MODULE": "mysite.settings",
                    "PYTHONPATH": f"{self.directory}{os.pathsep}{self.environment['PYTHONPATH']}",
                },
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self.log.open("ab"),
                text=True,
            )
        assert self.interpreter.stdin is not None and self.interpreter.stdout is not None
        print(json.dumps([block.where, block.text]), file=self.interpreter.stdin, flush=True)
        line = self.interpreter.stdout.readline()
        answer = json.loads(line) if line else {"printed": "", "problem": "the interpreter died"}
        self.output = answer["printed"]
        if answer["problem"]:
            pytest.fail(f"{block.where}\n{answer['problem']}{self._tail()}", pytrace=False)
        self._expect_comments(block)

    def _need_worker(self) -> None:
        has_worker = any("ardiq_worker" in str(process.args) for process in self.background)
        if self.worker is None and not has_worker:
            with self.log.open("ab") as log:
                self.worker = subprocess.Popen(
                    [sys.executable, "manage.py", "ardiq_worker", "--no-reload"],
                    cwd=self.directory,
                    env=self.environment,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                )

    def _tail(self) -> str:
        try:
            return "\n-- in the background:\n" + self.log.read_text(errors="replace")[-3000:]
        except OSError:
            return ""

    # -- the end ----------------------------------------------------------------------------------

    def _end_worker(self) -> None:
        if self.worker is not None:
            self._stop(self.worker)
            self.worker = None

    def _end_interpreter(self) -> None:
        if self.interpreter is not None:
            assert self.interpreter.stdin is not None
            self.interpreter.stdin.close()
            self.interpreter.wait(STOP_SECONDS)
            self.interpreter = None

    def _stop(self, process: subprocess.Popen[bytes]) -> int:
        process.send_signal(signal.SIGTERM)
        try:
            return process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait()

    def _stop_background(self) -> None:
        codes = {str(process.args): self._stop(process) for process in self.background}
        self.background.clear()
        wrong = {command: code for command, code in codes.items() if code and "ardiq_worker" in command}
        assert not wrong, f"a worker did not stop cleanly: {wrong}{self._tail()}"

    def end(self) -> None:
        try:
            self._stop_background()
        finally:
            self._end_worker()
            self._end_interpreter()
            for server in self.home.rglob(".ardiq"):
                embedded.stop(server)


def _loose(text: str) -> str:
    return re.escape(text).replace(re.escape("..."), ".*?")


def make_project(directory: Path) -> Path:
    """A project with an app and its tables, to be copied: making one takes longer than most sequences."""
    play = Play(directory)
    for command in (
        ("-m", "django", "startproject", "mysite"),
        ("manage.py", "startapp", "shop"),
        ("manage.py", "migrate", "-v", "0"),
    ):
        subprocess.run(
            [sys.executable, *command],
            cwd=play.directory,
            env=play.environment,
            check=True,
            timeout=COMMAND_SECONDS,
        )
        play.directory = directory / "mysite"
    with (play.directory / "mysite" / "settings.py").open("a") as settings:
        settings.write(SETTINGS)
    return play.directory


@contextmanager
def stage(directory: Path, project: Path | None = None) -> Iterator[Play]:
    """A play in an empty directory, or in a copy of a project."""
    play = Play(directory)
    if project is not None:
        play.directory = shutil.copytree(project, directory / "mysite")
    try:
        yield play
    finally:
        play.end()
