"""Fault points: named places at which a test may kill, freeze, break or delay this process.

In production nothing is armed, and a point costs one test of a module-level bool. The environment variable
``ARDIQ_FAULT`` arms one point of a process, ``<point>:<kill|stop|raise|delay>[:<hit>[:<seconds>]]``:
``after_claim:kill:3`` kills with SIGKILL at the third claim that brought jobs, ``before_flush:delay:1:2.5``
blocks the calling thread for 2.5 s. It happens once.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from dataclasses import dataclass

VARIABLE = "ARDIQ_FAULT"

POINTS = (
    "after_register",  # the worker has a lease
    "before_claim",
    "after_claim",  # jobs came and are not known to this worker yet; a claim that brought none is no hit
    "before_start",  # a job is admitted, its body has not begun; in the thread that runs it
    "after_task",  # the body has ended, there is no verdict yet; in the thread that ran it
    "before_flush",  # verdicts are gathered, the settle is not sent
    "after_flush",  # its reply is read and not acted on
    "before_renew",  # in the renewal thread, as the next one
    "after_renew",
    "before_reconcile",
    "after_reconcile",
    "before_give_back",  # the drain begins: nothing is claimed any more, nothing is handed back yet
    "before_push",  # rows of an outbox are due, and locked; in the thread of the relay
    "after_push",  # Redis has them, the rows are not deleted
    "before_unregister",  # all is settled, the lease is still in Redis
)
ACTIONS = ("kill", "stop", "raise", "delay")

log = logging.getLogger("ardiq.worker")


@dataclass
class Fault:
    """What is to happen at the ``hit``-th visit of a point; ``seconds`` is for delays."""

    point: str
    action: str
    hit: int = 1
    seconds: float = 1.0


def parse(text: str) -> Fault | None:
    """The fault that the variable names, None when it is empty. ValueError says what is wrong with it."""
    if not text:
        return None
    words = text.split(":")
    if len(words) < 2 or words[0] not in POINTS or words[1] not in ACTIONS or len(words) > 4:
        raise ValueError(
            f"{VARIABLE}={text!r}: write <point>:<{'|'.join(ACTIONS)}>[:<hit>[:<seconds>]]; "
            f"the points are {', '.join(POINTS)}."
        )
    fault = Fault(words[0], words[1])
    if len(words) > 2:
        fault.hit = int(words[2])
    if len(words) > 3:
        fault.seconds = float(words[3])
    return fault


_fault = parse(os.environ.get(VARIABLE, ""))
_hits = 0
_counting = threading.Lock()

armed = _fault is not None


def hit(point: str) -> None:
    """Visit a point. Ask ``armed`` first: ``if faults.armed: faults.hit("after_claim")``."""
    global _hits
    if _fault is None or _fault.point != point:
        return
    with _counting:
        _hits += 1
        due = _hits == _fault.hit
    if due:
        _happen(_fault)


def _happen(fault: Fault) -> None:
    log.warning("%s: %s at %s, hit %d.", VARIABLE, fault.action, fault.point, fault.hit)
    if fault.action == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif fault.action == "stop":
        os.kill(os.getpid(), signal.SIGSTOP)
    elif fault.action == "delay":
        time.sleep(fault.seconds)
    else:
        raise RuntimeError(f"The fault that {VARIABLE} asked for at {fault.point}.")
