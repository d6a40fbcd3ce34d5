"""Workers by fork, so that hundreds of them can be killed without as many starts of Python.

Reads lines ``<fault> <how many> <directory>``; starts so many workers that have this fault, waits until all
have ended, and prints their exit codes.
"""

from __future__ import annotations

import os
import signal
import sys
import traceback
from pathlib import Path
from typing import NoReturn

import django

django.setup()

from django.core.management import execute_from_command_line  # noqa: E402
from django.db import connections  # noqa: E402

from ardiq.management.commands import ardiq_worker  # noqa: E402
from ardiq.worker import faults, worker  # noqa: E402

LOADED = (ardiq_worker, worker)
LONGEST = 300  # seconds of a worker that is not killed


def work(fault: str, output: Path) -> NoReturn:
    signal.alarm(LONGEST)
    with output.open("wb") as stream:
        os.dup2(stream.fileno(), 1)
        os.dup2(stream.fileno(), 2)
    faults._fault, faults.armed = faults.parse(fault), True
    code = 1
    try:
        execute_from_command_line(["manage.py", "ardiq_worker"])
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def main() -> None:
    connections.close_all()
    number = 0
    for line in sys.stdin:
        fault, count, directory = line.split()
        pids = []
        for _ in range(int(count)):
            number += 1
            pid = os.fork()
            if pid == 0:
                work(fault, Path(directory, f"forged-{number}.log"))
            pids.append(pid)
        codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]
        print(*codes, flush=True)


if __name__ == "__main__":
    main()
