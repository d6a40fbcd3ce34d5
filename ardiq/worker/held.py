"""A job that this worker has claimed and not settled."""

from __future__ import annotations

import asyncio
import time
from enum import Enum
from typing import Any

from ardiq.core.context import JobContext
from ardiq.core.errors import Interrupt, JobAborted, JobHandedBack, JobTimedOut
from ardiq.core.job import JobRecord
from ardiq.core.registry import Definition
from ardiq.worker.lease import Lease


class Stop(Enum):
    """Why a job was told to stop."""

    ABORT = "abort"
    TIMEOUT = "timeout"
    HAND_BACK = "hand back"
    LOST = "lost"


_INTERRUPTS: dict[Stop, type[Interrupt]] = {Stop.ABORT: JobAborted, Stop.TIMEOUT: JobTimedOut}


def interrupt_of(why: Stop | None) -> type[Interrupt]:
    """What is raised in the thread of a job that is told to stop, and names its end wherever it runs."""
    return JobHandedBack if why is None else _INTERRUPTS.get(why, JobHandedBack)


class Held:
    """``claimed`` in monotonic seconds, ``started`` in epoch ms of the server (0 before its start)."""

    # Defaults live on the class: most of them are never set, and jobs are made by the hundred.
    definition: Definition | None = None
    context: JobContext | None = None
    started: int = 0
    began: float = 0.0
    task: asyncio.Task[None] | None = None
    timer: asyncio.TimerHandle | None = None
    stop: Stop | None = None
    over: bool = False  # its verdict is made: nothing can stop it any more
    again: bool = False  # it was told to stop a second time
    alone: bool = False  # it runs in a process of its own
    in_hand: bool = False  # that process has it, and is about to read its call
    shares: bool = False  # it may have killed a worker, and runs among others all the same
    meta: dict[str, Any] | None = None  # the options of its call
    error: BaseException | None = None  # what it failed with
    refers: bool = False  # its arguments hold references to model instances
    measured: int = 0  # for how many jobs of its claim it stands in the statistics
    ended: float = 0.0  # when its thread was done with it, in monotonic seconds; where it is measured
    handed: float = 0.0  # when a process of its own was given it, in monotonic seconds
    crashed: bool = False  # the process that ran it has died

    def __init__(self, record: JobRecord, claim: int, lease: Lease, claimed: float, marked: bool) -> None:
        self.record = record
        self.claim = claim
        self.lease = lease
        self.claimed = claimed
        self.marked = marked

    @property
    def timeout(self) -> float:
        """Seconds that its task may take; 0: as long as it likes."""
        return (self.definition and self.definition.timeout) or 0


class Clock:
    """The time of the server, reckoned from its last answer by the monotonic clock of this machine.

    ``offset`` in ms between the two; it holds in every process of the machine.
    """

    def __init__(self) -> None:
        self.offset = time.time() * 1000 - time.monotonic() * 1000

    def set(self, server_ms: int) -> None:
        self.offset = server_ms - time.monotonic() * 1000

    def at(self, monotonic: float) -> int:
        """Epoch ms at that time of this machine."""
        return int(monotonic * 1000 + self.offset)

    def now(self) -> int:
        """Epoch ms."""
        return int(time.monotonic() * 1000 + self.offset)
