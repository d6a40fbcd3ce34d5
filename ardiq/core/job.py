"""A job as it lies in Redis: one string, with a small fixed head that scripts read without decoding.

::

    offset  width  what
    0       1      status letter (LETTERS)
    1       1      flags, a hex digit: 1 = holds a unique slot, 2 = frees it at its first start,
                   4 = has started before
    2       3      attempts that ended and were charged to the retry budget, hex
    5       2      crashes: how often a worker died while it held the job, hex
    7       11     enqueued, epoch ms of the server, hex
    18      11     at: due (scheduled), ready (queued), claimed (running) or ended, epoch ms, hex
    29      8      first 8 digits of the worker that holds or ended it
    37      ...    lane \\n name \\n unique hash \\n  length of call (6 hex)  length of history (6 hex)
                   call  history  outcome      (each signed by the codec; history and outcome may be empty)

The head is ASCII on purpose: a script rewrites it in place with one SETRANGE, a person can read it
in redis-cli, and it needs no library inside Lua.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

HEAD = 37
ID_MOST = 200
NOBODY = b"00000000"


class JobStatus(StrEnum):
    """Where a job stands. ``finished`` tells whether it can still run."""

    SCHEDULED = "scheduled"
    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    ABORTED = "aborted"
    EXPIRED = "expired"
    NOT_FOUND = "not_found"

    @property
    def finished(self) -> bool:
        return self in ENDED


LETTERS = {
    "D": JobStatus.SCHEDULED,
    "Q": JobStatus.QUEUED,
    "R": JobStatus.RUNNING,
    "S": JobStatus.SUCCEEDED,
    "F": JobStatus.FAILED,
    "A": JobStatus.ABORTED,
    "X": JobStatus.EXPIRED,
}
LETTER_OF = {status: letter for letter, status in LETTERS.items()}
LIVE = (JobStatus.SCHEDULED, JobStatus.QUEUED, JobStatus.RUNNING)
ENDED = (JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.ABORTED, JobStatus.EXPIRED)

FLAG_UNIQUE = 1
FLAG_UNTIL_START = 2
FLAG_STARTED = 4  # it has started once, so that its expiry window is over


def check_id(id: object) -> str:
    """Return a job id, or raise TypeError or ValueError that says what one is.

    Braces would move its key to another slot of a Cluster, control characters would forge log lines.
    """
    if not isinstance(id, str):
        raise TypeError(f"task_id={id!r}: give a str, for example f'sync:{{account_id}}'.")
    size = len(id.encode("utf-8", "replace"))
    if not 1 <= size <= ID_MOST or not id.isprintable() or "{" in id or "}" in id or "\n" in id:
        raise ValueError(
            f"task_id={id[:80]!r}: give 1 to {ID_MOST} bytes of printable text without braces; "
            "hash longer keys, for example with hashlib."
        )
    return id


def tail_start(lane: str, name: str, unique: str = "") -> bytes:
    """The text lines of a record: the same for every plain call of a task."""
    return f"{lane}\n{name}\n{unique}\n".encode()


def tail(start: bytes, call: bytes, history: bytes = b"", outcome: bytes = b"") -> bytes:
    """Everything of a record behind its head, as written by whoever enqueues or settles a job."""
    return b"%b%06x%06x%b%b%b" % (start, len(call), len(history), call, history, outcome)


@dataclass(slots=True)
class JobRecord:
    """One job, parsed from its record. Times are epoch ms by the clock of the server."""

    id: str
    status: JobStatus
    flags: int
    attempts: int
    crashes: int
    enqueued: int
    at: int
    worker: str
    lane: str
    name: str
    unique: str
    call: bytes
    history: bytes
    outcome: bytes

    @classmethod
    def parse(cls, id: str, raw: bytes) -> JobRecord:
        """Read a record. Raises ValueError when the bytes are no record of this version."""
        status = LETTERS.get(chr(raw[0]) if raw else "")
        if status is None:
            raise ValueError(f"job {id}: unknown status letter {raw[:1]!r}; written by a newer ardiq?")
        lane_end = raw.index(b"\n", HEAD)
        name_end = raw.index(b"\n", lane_end + 1)
        unique_end = raw.index(b"\n", name_end + 1)
        start = unique_end + 13
        call_end = start + int(raw[unique_end + 1 : unique_end + 7], 16)
        history_end = call_end + int(raw[unique_end + 7 : start], 16)
        return cls(
            id,
            status,
            int(raw[1:2], 16),
            int(raw[2:5], 16),
            int(raw[5:7], 16),
            int(raw[7:18], 16),
            int(raw[18:29], 16),
            raw[29:37].decode(),
            raw[HEAD:lane_end].decode(),
            raw[lane_end + 1 : name_end].decode(),
            raw[name_end + 1 : unique_end].decode(),
            raw[start:call_end],
            raw[call_end:history_end],
            raw[history_end:],
        )

    def head(self, status: JobStatus, attempts: int | None = None, crashes: int | None = None) -> bytes:
        """The first 18 bytes of the record that follows this one: status to enqueue time."""
        return b"%b%x%03x%02x%011x" % (
            LETTER_OF[status].encode(),
            self.flags,
            self.attempts if attempts is None else attempts,
            self.crashes if crashes is None else crashes,
            self.enqueued,
        )

    def tail(self, history: bytes | None = None, outcome: bytes = b"") -> bytes:
        start = tail_start(self.lane, self.name, self.unique)
        return tail(start, self.call, self.history if history is None else history, outcome)
