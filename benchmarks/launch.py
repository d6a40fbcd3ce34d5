"""Become the worker of a side: ``launch.py <adapter> <concurrency> <processes>``, in its folder.

One command takes the place of this process, so that nothing of it is left to be measured. Several, where a
side starts two workers by two commands, run under it.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from importlib import import_module
from pathlib import Path

SCRIPTS = Path(sys.executable).parent


def main() -> int:
    name, concurrency, processes = sys.argv[1:]
    commands = import_module(name).worker(int(concurrency), int(processes))
    whole = [[str(SCRIPTS / command[0]), *command[1:]] for command in commands]
    if len(whole) == 1:
        os.execv(whole[0][0], whole[0])  # noqa: S606
    children = [subprocess.Popen(command) for command in whole]
    signal.signal(signal.SIGTERM, lambda *_: [child.terminate() for child in children])
    return max(child.wait() for child in children)


if __name__ == "__main__":
    sys.exit(main())
