"""What the jobs do, one text for every side: they tell of their start and their end in a journal.

The journal is a file that each note is appended to at once, so that a process killed in the middle has
told it. A note: word, number of the job, worker, process id, monotonic seconds (which on Linux mean the
same in every process of a machine).
"""

from __future__ import annotations

import asyncio
import os
import signal
import time


def note(word: str, number: int) -> None:
    line = f"{word} {number} {os.environ['FAULTS_WORKER']} {os.getpid()} {time.monotonic():.3f}\n"
    journal = os.open(os.environ["FAULTS_JOURNAL"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(journal, line.encode())
    os.close(journal)


async def nap(number: int, seconds: float) -> int:
    """The job of the sides with an event loop. Its result tells which process has run it."""
    note("start", number)
    await asyncio.sleep(seconds)
    note("end", number)
    return os.getpid()


def doze(number: int, seconds: float) -> int:
    """The same for the sides with a process for each job."""
    note("start", number)
    time.sleep(seconds)
    note("end", number)
    return os.getpid()


def die(number: int, seconds: float) -> None:
    """Takes its process with it, as running out of memory does."""
    note("start", number)
    os.kill(os.getpid(), signal.SIGKILL)


async def die_on_the_loop(number: int, seconds: float) -> None:
    die(number, seconds)
