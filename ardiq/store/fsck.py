"""Whether a queue is in order (R20): every live job in exactly one place, and nothing that belongs to nobody.

It reads a queue page by page while workers go on, so what it reads is never of one moment. Whatever looks
wrong is therefore a doubt, and becomes a finding when one atomic script (``mend.lua``) has seen it, too; with
``repair`` the same script puts it right.

Three things can be told at one moment only with knowledge from before, and each has its proof. A record
carries the time of its last change, so one that is unchanged was in the same state all the while:

* A running job is held by a worker whose name begins as the record says. That worker has been registered
  since before the claim; so workers are read after the job was seen.
* A queued job stays in its lane, and moves towards the head only. A lane that is too long to be searched in
  one script is read from its tail to its head, so that nothing slips from the part ahead to the part behind.
* A job that was queued after its lane was read is not judged in this run.

Memory: about 10 bytes for each queued job, 100 for each running one; the rest is bounded.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from ardiq.store.client import Store
from ardiq.store.findings import Finding, Ids, Lane, Report
from ardiq.store.keys import TYPES, Keys, type_of
from ardiq.store.scripts import Call, id_text, script

__all__ = ["Finding", "Report", "check"]

PAGE = 200  # keys, or jobs, in one look: about 1 ms of the server
BATCH = 20  # doubts in one atomic look
SHORT = 5_000  # ids; the longest lane that an atomic look searches: 0.1 ms of the server
GATHERED = 50_000  # doubts that are kept before they are looked at
DEAD = 60_000  # ms; a worker whose lease is over for so long would have been reaped if anybody worked

LIVE = b"QDR"
_RECORD = re.compile(
    rb"[QDRSFAX][0-9a-f]{28}[^\n]{8}[^\n]+\n[^\n]+\n[^\n]*\n([0-9a-f]{6})([0-9a-f]{6})", re.DOTALL
)


class Doubt(NamedTuple):
    """As ``mend.lua`` takes it."""

    kind: str
    subject: bytes
    head: bytes = b""
    proof: bytes = b""


def check(
    store: Store, keys: Keys, *, repair: bool = False, lanes: Sequence[str] = (), for_ever: bool = False
) -> Report:
    """Look at a whole queue. Raises BrokerError when Redis cannot be reached.

    ``lanes``: where to look for queued jobs if SCAN is forbidden here. ``for_ever``: results may be kept
    without an expiry, so that those are not worth a note.
    """
    return _Check(store, keys, repair).run(lanes, for_ever)


class _Check:
    def __init__(self, store: Store, keys: Keys, repair: bool) -> None:
        self.store, self.keys, self.repair = store, keys, repair
        self.report = Report()
        self.now = 0
        self.kept = 0  # ended jobs without an expiry
        self.workers: set[bytes] = set()
        self.holders: set[bytes] = set()
        self.lanes: dict[bytes, Lane] = {}
        self.doubts: list[Doubt] = []
        self.running: list[Doubt] = []

    def run(self, lanes: Sequence[str], for_ever: bool) -> Report:
        if self._misshapen():
            self.report.notes.append(
                "The rest was not looked at: first remove or rename what is named above."
            )
            return self.report
        self._read_workers()
        scanned = self._scan()
        self.holders |= self.workers
        self._scheduled(judge=not scanned)
        self._held(judge=not scanned)
        if not scanned:
            self.report.notes.append(
                "This user may not SCAN: jobs in no place, unique slots and unknown keys were not looked for."
            )
            for lane in lanes:
                for ids in self._lane_pages(lane.encode()):
                    self._judge_all(ids)
        self._listed("waiter", "HSCAN", self.keys.waiters)
        self._listed("abort", "ZSCAN", self.keys.aborts)
        self._listed("letter", "HSCAN", self.keys.fingerprints, b"F")
        self._settle_doubts()
        if dead := self.store.run(Call(("ZCOUNT", self.keys.workers, 0, self.now - DEAD), int)):
            self.report.notes.append(
                f"{dead:,} workers ended without a word and nobody took over what they held: no worker runs."
            )
        if self.kept and not for_ever:
            self.report.notes.append(
                f"{self.kept:,} ended jobs are kept until deleted, as a negative RESULT_TTL_MS asks for."
            )
        return self.report

    # -- reading ----------------------------------------------------------------------------------

    def _misshapen(self) -> bool:
        """Whether a key of which there is one has the wrong type: no script could go on."""
        names = [name for name in TYPES if not name.endswith(":")]
        kinds = self.store.run_many(Call(("TYPE", self.keys.prefix + name), bytes.decode) for name in names)
        for name, kind in zip(names, kinds, strict=True):
            if kind not in ("none", TYPES[name]):
                self._wrong_type(name.encode(), kind)
        return self.report.found > 0

    def _wrong_type(self, name: bytes, kind: str) -> None:
        wanted = type_of(id_text(name))
        self.report.add("type", name, f"key {{it}} is a {kind} and must be a {wanted}; no repair deletes it")

    def _pages(self, command: str, key: str | bytes) -> Iterator[list[bytes]]:
        """The members of a zset, or the fields of a hash."""
        cursor: Any = b"0"
        while True:
            cursor, found = self.store.run(Call((command, key, cursor, "COUNT", PAGE), lambda reply: reply))
            # A small one comes as a whole, whatever was asked for.
            for at in range(0, len(found), 2 * PAGE):
                yield found[at : at + 2 * PAGE : 2]
            if cursor == b"0":
                return

    def _read_workers(self) -> None:
        self.workers = {name for page in self._pages("ZSCAN", self.keys.workers) for name in page}

    def _look(
        self, what: str, cursor: bytes = b"0", ids: Sequence[bytes] = ()
    ) -> tuple[bytes, list[list[Any]]]:
        call = script("check").call(self.keys.prefix, [what, cursor, PAGE, *ids], lambda reply: reply)
        cursor, self.now, *entries = self.store.run(call)
        return cursor, entries

    def _jobs(self, ids: Sequence[bytes]) -> list[list[Any]]:
        return self._look("jobs", ids=ids)[1] if ids else []

    def _lane_pages(self, lane: bytes) -> Iterator[list[bytes]]:
        """From the tail to the head: what is taken or put at the head moves nothing past the reader."""
        key, at = self.keys.lane(id_text(lane)), 0
        while True:
            page = self.store.run(Call(("LRANGE", key, -at - PAGE, -at - 1), lambda reply: reply))
            if page:
                yield page
            if len(page) < PAGE:
                return
            at += PAGE

    def _lane(self, lane: bytes) -> Lane:
        """The ids of a lane, read at the first job that says that it is there."""
        found = self.lanes.get(lane)
        if found is None:
            length = self.store.run(Call(("LLEN", self.keys.lane(id_text(lane))), int))
            found = self.lanes[lane] = Lane(Ids(length), self.now)
            for page in self._lane_pages(lane):
                for id in page:
                    if found.ids.add(id) and length <= SHORT:
                        # Perhaps it was only met again one page on. Its head is not known here, nor needed.
                        self._doubt(Doubt("job", id))
        return found

    # -- passes -----------------------------------------------------------------------------------

    def _scan(self) -> bool:
        """All keys of the queue; False when SCAN is forbidden."""
        cursor = b"0"
        while True:
            cursor, entries = self._look("keys", cursor)
            if cursor == b"-":
                return False
            for entry in entries:
                self._judge(entry)
            if cursor == b"0":
                return True

    def _judge_all(self, ids: Sequence[bytes]) -> None:
        for entry in self._jobs(ids):
            if entry[3:4] != [0]:
                self._judge(entry)

    def _judge(self, entry: list[Any]) -> None:
        name, kind, ttl, *more = entry
        wanted = type_of(id_text(name))
        if kind and kind.decode() != wanted:
            if wanted:
                self._wrong_type(name, kind.decode())
            elif ttl < 0:
                self.report.add("unknown", name, f"key {{it}} ({kind.decode()}) is none of ardiq's")
        elif name.startswith(b"job:"):
            self._judge_job(name[4:], ttl, *more)
        elif name.startswith(b"held:"):
            self.holders.add(name[5:])
        elif name.startswith(b"unique:") and any(more):
            self._doubt(Doubt("slot", name[7:]))
        elif name.startswith(b"subject:") and ttl == -1:
            self._doubt(Doubt("subject", name[8:]))

    def _judge_job(self, id: bytes, ttl: int, size: int, due: int, start: bytes) -> None:
        self.report.looked_at += 1
        fits = _RECORD.match(start)
        if fits is None or fits.end() + int(fits[1], 16) + int(fits[2], 16) > size:
            self.report.add(
                "unreadable", id, "job {it} cannot be read; look at it in the admin, then call delete() on it"
            )
            return
        letter, head, at = start[:1], start[:37], int(start[18:29], 16)
        if letter not in LIVE:
            self.kept += ttl < 0
        elif letter == b"R":
            self.running.append(Doubt("job", id, head))
        elif letter == b"Q":
            lane = self._lane(start[37 : start.index(b"\n", 37)])
            if ttl >= 0 or (at <= lane.since and id not in lane.ids):
                self._doubt(Doubt("job", id, head, start[37 : start.index(b"\n", 37)]))
        elif ttl >= 0 or not due:
            self._doubt(Doubt("job", id, head))

    def _scheduled(self, judge: bool) -> None:
        for ids in self._pages("ZSCAN", self.keys.scheduled):
            for id, entry in zip(ids, self._jobs(ids), strict=True):
                if not entry[1] and entry[5][:1] != b"D":
                    self._doubt(Doubt("scheduled", id))
            if judge:
                self._judge_all(ids)

    def _held(self, judge: bool) -> None:
        for worker in self.holders:
            if worker not in self.workers:
                self._doubt(Doubt("orphan", worker))
            for ids in self._pages("HSCAN", self.keys.held(id_text(worker))):
                for id, entry in zip(ids, self._jobs(ids), strict=True):
                    if not entry[1] and (entry[5][:1], entry[5][29:37]) != (b"R", worker[:8]):
                        self._doubt(Doubt("held", id, proof=worker))
                if judge:
                    self._judge_all(ids)

    def _listed(self, kind: str, command: str, key: str, states: bytes = LIVE) -> None:
        """Ids in a list of jobs of some states only."""
        for ids in self._pages(command, key):
            for id, entry in zip(ids, self._jobs(ids), strict=True):
                if not entry[1] and (not entry[5] or entry[5][:1] not in states):
                    self._doubt(Doubt(kind, id))

    # -- doubts -----------------------------------------------------------------------------------

    def _doubt(self, doubt: Doubt) -> None:
        self.doubts.append(doubt)
        if len(self.doubts) >= GATHERED:
            self._look_again()

    def _settle_doubts(self) -> None:
        self._look_again()
        running, self.running = self.running, []
        # Read after every one of them was seen running.
        self._read_workers()
        of: dict[bytes, list[bytes]] = {}
        for worker in self.workers | self.holders:
            of.setdefault(worker[:8], []).append(worker)
        self._mend([one._replace(proof=b" ".join(of.get(one.head[29:], ()))) for one in running], PAGE)

    def _look_again(self) -> None:
        doubts, self.doubts = self.doubts, []
        # What an orphan held goes back first; then nobody else needs to be asked for it.
        doubts.sort(key=lambda doubt: doubt.kind != "orphan")
        long = self._mend([one._replace(proof=b"") if one.kind == "job" else one for one in doubts], BATCH)
        lane_of = {one.subject: one.proof for one in doubts if one.kind == "job" and one.proof}
        for lane in {lane_of[one.subject] for one in long}:
            there = {one.subject: one for one in long if lane_of[one.subject] == lane}
            for page in self._lane_pages(lane):
                for id in page:
                    there.pop(id, None)
            self._mend([one._replace(proof=b"searched") for one in there.values()], BATCH)

    def _mend(self, doubts: list[Doubt], size: int) -> list[Doubt]:
        """Look again at one moment. Answers those whose lane must be searched first."""
        long: list[Doubt] = []
        for at in range(0, len(doubts), size):
            page = doubts[at : at + size]
            argv = [int(self.repair), SHORT, *(part for doubt in page for part in doubt)]
            replies = self.store.run(script("mend").call(self.keys.prefix, argv, lambda reply: reply))
            for doubt, reply in zip(page, replies, strict=True):
                for word in reply.decode().split():
                    if word == "long":
                        long.append(doubt)
                    else:
                        self.report.told(doubt.kind, word, doubt.subject, self.repair)
                if self.repair and reply == b"orphan":
                    self._mend([doubt], 1)
        return long
