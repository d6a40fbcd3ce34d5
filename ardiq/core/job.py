"""A job as it lies in Redis: one string, with a small fixed head that scripts read without decoding.

::

    offset  width  what
    0       1      status letter (LETTERS)
    1       1      flags, a hex digit: 1 = holds a unique slot, 2 = frees it at its first start,
                   4 = has started before, 8 = runs in a process of its own
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

from enum import StrEnum
from functools import lru_cache
from hashlib import blake2b

from ardiq.core.extensions import pack
from ardiq.core.paths import explain

HEAD = 37
ID_MOST = 200
NOBODY = b"00000000"
KEPT = 4_096  # bytes of a record that cannot be read that are kept for people
NAMELESS = "?"  # the task of such a record; no task can have this name


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

    @property
    def pending(self) -> bool:
        """Whether it can still run: neither finished nor unknown."""
        return self in LIVE


LETTERS = {
    "D": JobStatus.SCHEDULED,
    "Q": JobStatus.QUEUED,
    "R": JobStatus.RUNNING,
    "S": JobStatus.SUCCEEDED,
    "F": JobStatus.FAILED,
    "A": JobStatus.ABORTED,
    "X": JobStatus.EXPIRED,
}
LETTER_BYTES = {letter.encode(): status for letter, status in LETTERS.items()}
BYTES_OF = {status: letter for letter, status in LETTER_BYTES.items()}
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
            "hash longer keys, for example with ardiq.id_for(...)."
        )
    return id


def id_for(*parts: object) -> str:
    """A job id made of any plain data, of which nothing can be read from it: the same parts, the same id.

    For what ``check_id`` refuses, and for what should not lie in Redis in plain text (an address of mail).
    Raises EncodeError for what cannot be encoded.
    """
    try:
        packed = pack(list(parts))
    except Exception as problem:
        raise explain(list(parts), "id_for()", problem) from problem
    return blake2b(packed, digest_size=16).hexdigest()


def tail_start(lane: str, name: str, unique: str = "") -> bytes:
    """The text lines of a record: the same for every plain call of a task."""
    return f"{lane}\n{name}\n{unique}\n".encode()


def tail(start: bytes, call: bytes, history: bytes = b"", outcome: bytes = b"") -> bytes:
    """Everything of a record behind its head, as written by whoever enqueues or settles a job."""
    return b"%b%06x%06x%b%b%b" % (start, len(call), len(history), call, history, outcome)


@lru_cache(maxsize=256)
def _start(status: JobStatus, flags: int, attempts: int) -> bytes:
    return b"%b%x%03x" % (BYTES_OF[status], flags, attempts)


# The text lines of the record that was read last, and what they are: jobs of one task have the same ones, and
# come one behind the other.
_latest: list[tuple[bytes, list[str]]] = [(b"\n\n\n", ["", "", ""])]


class JobRecord:
    """One job, read from its record. Times are epoch ms by the clock of the server.

    Fields are cut out of the bytes when somebody asks: a worker needs few of them, and what it writes
    back is for the most part what it has read.
    """

    __slots__ = ("_call_at", "_history_at", "_outcome_at", "_texts_end", "attempts", "flags", "id", "lane",
                 "name", "raw", "status", "unique")  # fmt: skip

    def __init__(self, id: str, raw: bytes) -> None:
        """Read a record. Raises ValueError when the bytes are no record of this version."""
        status = LETTER_BYTES.get(raw[:1])
        if status is None:
            raise ValueError(f"job {id}: unknown status letter {raw[:1]!r}; written by a newer ardiq?")
        if not raw[1:29].isalnum():
            raise ValueError(f"job {id}: the head of its record is no hex number")
        head = int(raw[1:29], 16)
        texts, words = _latest[0]
        if raw.startswith(texts, HEAD):
            end = HEAD + len(texts) - 1
        else:
            end = raw.index(b"\n", raw.index(b"\n", raw.index(b"\n", HEAD) + 1) + 1)
            words = raw[HEAD:end].decode().split("\n")
            _latest[0] = raw[HEAD : end + 1], words
        self.id = id
        self.raw = raw
        self.status = status
        self.flags, self.attempts = head >> 108, head >> 96 & 0xFFF
        self.lane, self.name, self.unique = words
        self._texts_end = end + 1
        self._call_at = end + 13
        lengths = int(raw[end + 1 : end + 13], 16)
        self._history_at = self._call_at + (lengths >> 24)
        self._outcome_at = self._history_at + (lengths & 0xFFFFFF)

    @classmethod
    def unreadable(cls, id: str, raw: bytes, lane: str) -> JobRecord:
        """What stands for a record that cannot be read, so that its job can end: the first KEPT bytes are
        its call. Raises ValueError when not even its lane can be told."""
        start = tail_start(lane, NAMELESS)
        return cls(id, b"Q0" + b"0" * 27 + NOBODY + tail(start, raw[:KEPT]))

    def __repr__(self) -> str:
        return f"<JobRecord {self.id} {self.name} {self.status}>"

    @property
    def crashes(self) -> int:
        return int(self.raw[5:7], 16)

    @property
    def enqueued(self) -> int:
        return int(self.raw[7:18], 16)

    @property
    def at(self) -> int:
        return int(self.raw[18:29], 16)

    @property
    def worker(self) -> str:
        return self.raw[29:HEAD].decode("ascii", "replace")

    @property
    def call(self) -> bytes:
        return self.raw[self._call_at : self._history_at]

    @property
    def history(self) -> bytes:
        return self.raw[self._history_at : self._outcome_at]

    @property
    def outcome(self) -> bytes:
        return self.raw[self._outcome_at :]

    def head(self, status: JobStatus, attempts: int | None = None) -> bytes:
        """The first 18 bytes of the record that follows this one: status to enqueue time."""
        charged = self.attempts if attempts is None else attempts
        return _start(status, self.flags, charged) + self.raw[5:18]

    def tail(self, history: bytes | None = None, outcome: bytes = b"") -> bytes:
        """The record that follows this one, behind its worker: with another history, or an outcome."""
        if history is None:
            return self.raw[HEAD : self._outcome_at] + outcome
        return tail(self.raw[HEAD : self._texts_end], self.call, history, outcome)
