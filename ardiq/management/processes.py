"""ardiq_worker --processes: ordinary workers as children of a supervisor."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

from django.core.management.base import CommandError
from django.utils import autoreload

from ardiq.management.health import Shown
from ardiq.worker.children import Child
from ardiq.worker.supervisor import MEMBER, Supervisor

WATCHED = "watched"


def supervise(name: str, count: int, burst: bool, ready: Callable[[], None], shown: Shown) -> int:
    """Run this command line ``count`` times, named ``name.1`` and so on. Returns the exit code. Raises
    CommandError when they refuse to start, and no restart would mend that.

    What shows health here shows that of all of them, and they tell it to nobody else: one probe for a pod.
    """
    command = [str(word) for word in _without_processes(autoreload.get_child_arguments())]

    def start(number: int) -> Child:
        # Of two --name the last one counts.
        own = ["--name", f"{name}.{number}", "--health-file=", "--health-port=", "--metrics-port="]
        return Child([*command, *own], {**os.environ, MEMBER: WATCHED if shown else "1"})

    supervisor = Supervisor(start, count, burst=burst)
    with shown.showing(supervisor.state):
        code = supervisor.run(ready)
    if supervisor.refusal:
        raise CommandError(supervisor.refusal)
    return code


def _without_processes(words: list[str]) -> Iterator[str]:
    """Leave out the option and its value, also where it is abbreviated as argparse allows."""
    words_left = iter(words)
    for word in words_left:
        option, has_value, _ = word.partition("=")
        if not (option.startswith("--pr") and "--processes".startswith(option)):
            yield word
        elif not has_value:
            next(words_left, None)


def membership() -> str:
    """'' unless a supervisor has started this process; WATCHED when that wants to know of its health. Asked
    once: what tasks start has none."""
    return os.environ.pop(MEMBER, "")


def from_command_line(command: object) -> bool:
    """Whether the process is there for this command, and not for somebody who called it."""
    return bool(getattr(command, "_called_from_command_line", False))
