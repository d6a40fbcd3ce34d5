"""A job that is to be stored, as a value: what ``verbs.enqueue`` takes."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha1

from ardiq.core.job import FLAG_UNIQUE, FLAG_UNTIL_START, tail, tail_start

# id, lane, and for a plain one the start of its record (bytes) and its call, else its options (str) and its
# tail. A plain tuple, because making anything else for each job of a batch costs as much as encoding it.
NewJob = tuple[str, str, bytes | str, bytes]


@dataclass(frozen=True, slots=True)
class Debounce:
    """The job that holds the slot and has not started ends with ``outcome``, in favour of the new one.

    The new one is due ``most_ms`` after the first of such a series at the latest; 0: there is no latest.
    """

    outcome: bytes
    most_ms: int = 0


@dataclass(frozen=True, slots=True)
class Throttle:
    """The first job under ``hash`` stands for all that come within ``ms`` of it, also when it has ended."""

    hash: str
    ms: int


def plain_job(id: str, lane: str, start: bytes, call: bytes) -> NewJob:
    """A job without options under a random id; ``start`` as of core.job.tail_start."""
    return (id, lane, start, call)


def mark(job: NewJob) -> str:
    """What is remembered of this call for a while when its job has ended and left nothing (lua/spent.lua)."""
    id, _, options, call = job
    if isinstance(options, str):
        behind = call.split(b"\n", 3)[3]  # lane, name, unique hash; then two lengths, and the call
        call = behind[12 : 12 + int(behind[:6], 16)]
    return sha1(id.encode() + b"\n" + call, usedforsecurity=False).hexdigest()


def new_job(
    id: str,
    lane: str,
    name: str,
    call: bytes,
    *,
    delay_ms: int = 0,
    schedule_ms: int = 0,
    replace: bool = False,
    fresh: bool = False,
    unique: str = "",
    unique_ttl_ms: int = 0,
    unique_until_start: bool = False,
    window: Debounce | Throttle | None = None,
    subject: str = "",
    subject_ttl_ms: int = 0,
) -> NewJob:
    """A job with options: ``delay_ms`` from now or ``schedule_ms`` absolute, never both. Of ``replace`` and
    ``window`` there may be one; a Debounce needs a unique slot and the delay that it is about. ``subject`` is
    the hash of the object that lists the job, until so long after the latest of its jobs was due. ``fresh``:
    the id was made for this call alone, so that whatever has both is a repeat of it."""
    flags = FLAG_UNIQUE | (FLAG_UNTIL_START if unique_until_start else 0)
    due = f"+{delay_ms}" if delay_ms else f"={schedule_ms}" if schedule_ms else ""
    slot = f"{flags:x}:{unique_ttl_ms}:{unique}" if unique else ""
    mode = "r" if replace else "n" if fresh else ""
    record = tail(tail_start(lane, name, unique), call)
    if isinstance(window, Throttle):
        mode = f"t{window.ms}:{window.hash}"
    elif window is not None:
        mode = f"d{window.most_ms}:{len(window.outcome)}"
        record += window.outcome
    about = f"s{subject},{subject_ttl_ms}|" if subject else ""
    return (id, lane, f"{about}{mode};{due};{slot}", record)


def slot_of(options: str) -> str:
    """The unique slot among the options of a job: flags, TTL and hash, or ''."""
    return options.rpartition(";")[2]
