"""The processes that the demo starts: the site and the worker, each a real ``manage.py`` of its own."""

import os
import subprocess
import sys
import time
from pathlib import Path
from signal import SIGTERM

from django.conf import settings

# Beyond the worker's own GRACE_MS, so that it is killed only when it does not keep its word.
STOP_SECONDS = 15.0


class Child:
    """One ``manage.py`` process. What it prints goes to a file: the terminal belongs to the table."""

    def __init__(self, name: str, *arguments: str) -> None:
        self.name = name
        self.log: Path = settings.DATA_DIR / f"{name}.log"
        command = [sys.executable, str(settings.BASE_DIR / "manage.py"), *arguments]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=os.environ | {"PYTHONUNBUFFERED": "1"},
                # Ctrl-C reaches every process of the terminal's group, and a second signal makes a worker
                # hurry: the demo alone decides when its children stop, and tells them once.
                start_new_session=True,
            )

    @property
    def running(self) -> bool:
        return self.process.poll() is None

    def tail(self, lines: int = 12) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def complaint(self) -> str:
        return f"The {self.name} ended by itself with {self.process.returncode}. It said last:\n{self.tail()}"


def stop(children: list[Child]) -> list[str]:
    """Ask those that run to stop, wait for all, and say of each that had to be killed or ended badly."""
    complaints = []
    running = [child for child in children if child.running]
    for child in running:
        child.process.send_signal(SIGTERM)
    deadline = time.monotonic() + STOP_SECONDS
    for child in running:
        try:
            code = child.process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            child.process.kill()
            child.process.wait()
            complaints.append(f"The {child.name} did not stop within {STOP_SECONDS:.0f} s and was killed.")
            continue
        # Django's runserver leaves SIGTERM to its default, which is no fault.
        if code not in (0, -SIGTERM):
            complaints.append(f"The {child.name} exited with {code}. It said last:\n{child.tail()}")
    return complaints
