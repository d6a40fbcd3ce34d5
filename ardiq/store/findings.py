"""What a check of a queue answers: findings, each a sentence; and a set of ids that takes little memory."""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field
from typing import NamedTuple

LISTED = 1_000  # most findings of a kind that are kept as objects; all are counted
_SIZE = 128  # ids in a bucket, about
HARMLESS = {("job", "repeated")}  # keys of TEXTS that are no reason for alarm

# (kind of the doubt, what the atomic look said): (kind of the finding, a sentence, what a repair did)
TEXTS = {
    ("job", "ttl"): ("ttl", "job {it} lives and has an expiry, so it would vanish", "its expiry was removed"),
    ("job", "lost:Q"): ("lost", "job {it} is queued and in no lane", "it went to the head of its lane"),
    ("job", "lost:D"): ("lost", "job {it} is scheduled and has no due time", "it is scheduled again"),
    ("job", "lost:R"): (
        "lost",
        "job {it} is running and no worker holds it",
        "it went back to its lane, with one crash more",
    ),
    ("job", "repeated"): (
        "twice",
        "job {it} stands in its lane more than once (harmless: it is claimed once)",
        "it stands there once",
    ),
    ("scheduled", "gone"): ("stray", "{it} is scheduled and there is no such job", "it was dropped"),
    ("scheduled", "ended"): ("ended", "job {it} has ended and is scheduled", "it was taken out"),
    ("scheduled", "twice"): ("twice", "job {it} is scheduled and somewhere else", "it is only where it says"),
    ("held", "gone"): ("stray", "{it} is held by a worker and there is no such job", "it was dropped"),
    ("held", "ended"): ("ended", "job {it} has ended and is held by a worker", "it was let go"),
    ("held", "twice"): (
        "twice",
        "job {it} is held by a worker that its record does not name",
        "that worker lost it",
    ),
    ("orphan", "orphan"): (
        "orphan",
        "worker {it} holds jobs and is not registered, so nobody would take them over",
        "they went back to their lanes, with one crash more",
    ),
    ("slot", "gone"): ("slot", "unique slot {it} is held by a job that is gone", "it is free"),
    ("slot", "ended"): ("slot", "unique slot {it} is held by a job that has ended", "it is free"),
    ("slot", "other"): ("slot", "unique slot {it} is held by a job that names another slot", "it is free"),
    ("waiter", "gone"): ("waiter", "somebody waits for {it} and there is no such job", "they were told"),
    ("waiter", "ended"): ("waiter", "somebody waits for job {it}, which has ended", "they were told"),
    ("abort", "gone"): ("abort", "{it} is marked for abort and there is no such job", "the mark is gone"),
    ("abort", "ended"): ("abort", "job {it} has ended and is marked for abort", "the mark is gone"),
    ("subject", "ever"): (
        "ttl",
        "the list of the jobs of object {it} has no expiry, so it would stay for ever",
        "it expires in 30 days",
    ),
    ("letter", "letter"): ("group", "{it} stands in a group of failures and is no dead letter", "it left it"),
}


def _printable(name: bytes) -> str:
    """A name as text, with escapes for what could forge a line of output."""
    text = name.decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that must not be. ``kind`` is a word for machines, ``text`` a sentence for people."""

    kind: str
    subject: str
    text: str
    repaired: bool = False
    harmless: bool = False


@dataclass(slots=True)
class Report:
    """Of each kind at most ``LISTED`` findings are listed; ``found``, ``repaired`` and ``harmless`` count
    all of them. ``notes`` are no faults: what could not be looked at, and what is worth knowing."""

    findings: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    looked_at: int = 0
    found: int = 0
    repaired: int = 0
    harmless: int = 0
    _seen: dict[str, set[str]] = field(default_factory=dict)

    def add(
        self, kind: str, subject: bytes, text: str, repaired: bool = False, harmless: bool = False
    ) -> None:
        name = _printable(subject)
        seen = self._seen.setdefault(kind, set())
        if name in seen:
            return  # SCAN may show a key twice
        self.found += 1
        self.repaired += repaired
        self.harmless += harmless
        if len(seen) < LISTED:
            seen.add(name)
            self.findings.append(Finding(kind, name, text.replace("{it}", name), repaired, harmless))

    def told(self, doubt: str, word: str, subject: bytes, repaired: bool) -> None:
        """Add what the atomic look at a doubt has said."""
        kind, text, remedy = TEXTS[doubt, word]
        harmless = (doubt, word) in HARMLESS
        self.add(kind, subject, f"{text}; {remedy}" if repaired else text, repaired, harmless)


class Ids:
    """A set of ids that costs 8 to 10 bytes for each: of an id only a 64-bit hash is kept."""

    __slots__ = ("_buckets", "_mask")

    def __init__(self, expected: int) -> None:
        count = 1 << max(4, (expected // _SIZE).bit_length())
        self._mask = count - 1
        self._buckets = [array("Q") for _ in range(count)]

    def add(self, id: bytes) -> bool:
        """Whether it was there before."""
        number = hash(id) & 0xFFFF_FFFF_FFFF_FFFF
        bucket = self._buckets[number & self._mask]
        if number in bucket:
            return True
        bucket.append(number)
        return False

    def __contains__(self, id: bytes) -> bool:
        number = hash(id) & 0xFFFF_FFFF_FFFF_FFFF
        return number in self._buckets[number & self._mask]


class Lane(NamedTuple):
    """The ids that were in a lane, and when it was read, ms by the clock of the server."""

    ids: Ids
    since: int
