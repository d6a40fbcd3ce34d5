"""What people tell a queue and its workers: pause, resume, quiet, stop. Verbs like those of verbs.py."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

from ardiq.store.keys import Keys
from ardiq.store.scripts import Call, script

Order = Literal["quiet", "work", "stop"]
ORDERS: tuple[Order, ...] = get_args(Order)

REASON_MOST = 300  # characters of a reason that are kept
WHO_MOST = 150
QUEUE = "queue"


@dataclass(frozen=True, slots=True)
class Pause:
    """A queue, or one ``lane`` of it, hands out no jobs. ``at``: since when, epoch ms of the server."""

    lane: str
    at: int
    by: str = ""
    reason: str = ""


def _place(lane: str) -> str:
    return f"lane:{lane}" if lane else QUEUE


def _one_line(text: str, most: int) -> str:
    return " ".join(text.split())[:most]


def pause(keys: Keys, lane: str = "", reason: str = "", by: str = "") -> Call:
    """Hand out no more jobs, of all lanes or of one. Answers whether it was running."""
    words = f"{_one_line(by, WHO_MOST)}\n{_one_line(reason, REASON_MOST)}"
    return script("pause").call(keys.prefix, [_place(lane), words], bool)


def resume(keys: Keys, lane: str = "") -> Call:
    """Hand them out again. A lane that was paused by itself stays paused when its queue is resumed. Answers
    whether it was paused."""
    return script("resume").call(keys.prefix, [_place(lane)], bool)


def pauses(keys: Keys) -> Call:
    """Every Pause of a queue: the one of the whole queue first, then those of its lanes."""
    return Call(("HGETALL", keys.paused), _pauses)


def _pauses(reply: Any) -> list[Pause]:
    found = []
    for place, value in sorted(
        zip(reply[::2], reply[1::2], strict=True), key=lambda pair: pair[0] != b"queue"
    ):
        at, _, words = value.decode("utf-8", "backslashreplace").partition("\n")
        by, _, reason = words.partition("\n")
        lane = place.decode("utf-8", "backslashreplace").removeprefix("lane:") if place != b"queue" else ""
        found.append(Pause(lane, int(at) if at.isdigit() else 0, by, reason))
    return found


def order(keys: Keys, worker: str, what: Order, by: str = "") -> Call:
    """Tell a worker to be quiet, to work again, or to stop. Answers whether there is such a worker."""
    return script("order").call(keys.prefix, [worker, what, _one_line(by, WHO_MOST)], bool)


def heard(text: str) -> tuple[str, str]:
    """(what, worker or '') of a message on ``control``; ('', '') for the id of a job to abort."""
    if not text.startswith("\n"):
        return "", ""
    what, _, worker = text[1:].partition(" ")
    return what, worker
