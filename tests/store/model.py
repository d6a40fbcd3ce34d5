"""A queue in plain Python: what each verb must answer and leave behind. No Redis, no clock of its own."""

from __future__ import annotations

from dataclasses import dataclass, field

from ardiq.core.job import JobRecord
from ardiq.store.verbs import HOUSEKEEPING

FINISHED = ("succeeded", "failed", "aborted", "expired")
LANES = ("high", "default")
SLOTS = ("u", "v")
WINDOWS = ("w",)
Scores = dict[str, float]


@dataclass
class Known:
    """A job. ``worker`` holds it, or has ended it; ``claim`` is the number under which it is held."""

    lane: str
    status: str
    call: bytes
    unique: str = ""
    until_start: bool = False
    lapsed: bool = False
    attempts: int = 0
    crashes: int = 0
    worker: str = ""
    claim: int = 0
    marked: bool = False
    alone: bool = False
    listed: bool = True
    history: bytes = b""
    outcome: bytes = b""

    @property
    def live(self) -> bool:
        return self.status not in FINISHED


@dataclass
class Grip:
    """What one worker believes that it holds: true, or out of date."""

    worker: str
    job: JobRecord
    claim: int


@dataclass
class Model:
    """``workers``: what each living one believes to hold. ``zombies``: beliefs that are no longer true."""

    jobs: dict[str, Known] = field(default_factory=dict)
    slots: dict[str, str] = field(default_factory=dict)
    windows: dict[str, str] = field(default_factory=dict)
    begun: dict[str, str] = field(default_factory=dict)  # id -> the window that it has begun last
    waited: dict[str, set[str]] = field(default_factory=dict)
    workers: dict[str, dict[str, Grip]] = field(default_factory=dict)
    zombies: list[Grip] = field(default_factory=list)
    dead: list[str] = field(default_factory=list)

    def held(self, worker: str) -> dict[str, Known]:
        found = self.jobs.items()
        return {id: job for id, job in found if (job.status, job.worker) == ("running", worker)}

    def waiting(self, lane: str) -> set[str]:
        return {id for id, job in self.jobs.items() if (job.lane, job.status) == (lane, "queued")}

    # -- verbs ------------------------------------------------------------------------------------

    def enqueue(self, id: str, new: Known, replace: bool) -> bool | str:
        """True created, False the id is taken, or the id of the job that holds the unique slot."""
        holder = self.slots.get(new.unique, "") if new.unique else ""
        if holder and holder != id and holder in self.jobs and self.jobs[holder].live:
            return holder
        old = self.jobs.get(id)
        if old is not None and not (replace and not old.live):
            return False
        self.jobs[id] = new
        if new.unique:
            self.slots[new.unique] = id
        return True

    def debounce(self, id: str, new: Known) -> bool:
        """True created: the job that held its slot and had never started has ended."""
        if id in self.jobs:
            return False
        holder = self.slots.get(new.unique, "")
        before = self.jobs.get(holder)
        if before and before.status in ("queued", "scheduled") and not (before.attempts or before.crashes):
            before.status, before.outcome, before.listed = "aborted", b"superseded", False
            before.history = b""
            self.end(holder)
        self.jobs[id] = new
        self.slots[new.unique] = id
        return True

    def throttle(self, id: str, new: Known, window: str) -> bool | str:
        """True created, or the id of the first job of the window."""
        first = self.windows.get(window, id)
        did_nothing = first in self.jobs and self.jobs[first].status in ("aborted", "expired")
        if first != id and not did_nothing:
            return first
        if id in self.jobs:
            return False
        self.jobs[id], self.windows[window], self.begun[id] = new, id, window
        return True

    def reap(self, me: str, leases: Scores, now: int) -> None:
        """What a claim does first: take from the one worker whose lease ran out first, if it has."""
        rest = {name: end for name, end in leases.items() if name != me}
        oldest = min(rest, key=lambda name: (rest[name], name), default="")
        if not oldest or rest[oldest] >= now:
            return
        for job in self.held(oldest).values():
            # One that has killed a worker before and only waited for a process of its own is innocent.
            guilty = job.alone or not job.crashes
            job.status, job.worker, job.crashes = "queued", "", min(job.crashes + guilty, 255)
            job.alone = False
        self.dead.append(oldest)
        self.zombies += self.workers.pop(oldest, {}).values()

    def promote(self, dues: Scores, now: int) -> None:
        for _, id in sorted((due, id) for id, due in dues.items() if due <= now)[:HOUSEKEEPING]:
            self.jobs[id].status = "queued"

    def claimed(self, id: str, me: str, number: int) -> None:
        job = self.jobs[id]
        assert job.status == "queued", f"{id} was claimed, but is {job.status}"
        job.status, job.worker, job.claim = "running", me, number
        if job.until_start:
            job.lapsed = job.unique not in self.slots  # for all that the claim knows, its time was over
            self.release(id)

    def settle(self, grip: Grip, verb: str) -> str:
        """'' taken, or why it was refused."""
        id, job = grip.job.id, self.jobs.get(grip.job.id)
        if job is None:
            return "stale"
        if (job.status, job.worker, job.claim) != ("running", grip.worker, grip.claim):
            return "done" if (job.status, job.worker) == (verb, grip.worker) else "stale"
        job.alone = False
        if verb in FINISHED:
            job.status, job.attempts, job.outcome = verb, job.attempts + 1, b"outcome"
            self.end(id)
            return ""
        job.worker = ""
        if verb == "retry":
            job.status, job.history = "queued" if job.marked else "scheduled", b"history"
            job.attempts += 1
        else:
            job.status = "queued"
            self.hold_again(id)
        return ""

    def run_alone(self, grip: Grip) -> bool:
        """Whether the worker still holds it, so that its death would be charged to this job."""
        job = self.held(grip.worker).get(grip.job.id)
        if job is None or job.claim != grip.claim:
            return False
        job.alone = True
        return True

    def reconcile(self, me: str, known: set[str], holders: dict[str, str]) -> tuple[int, set[str]]:
        """(handed back, ids that are not held)."""
        held = self.held(me)
        for id in set(held) - known:
            held[id].status, held[id].worker, held[id].alone = "queued", "", False
        # Of several that lay claim to one slot the first has it again, in whatever order Redis keeps them.
        back = sorted(set(held) - known, key=lambda id: holders.get(held[id].unique) != id)
        for id in back:
            self.hold_again(id)
        return len(set(held) - known), known - set(held)

    def abort(self, id: str) -> bool:
        job = self.jobs.get(id)
        if job is None or not job.live or (job.status == "running" and job.marked):
            return False
        if job.status == "running":
            job.marked = True
        else:
            job.status, job.outcome, job.worker = "aborted", b"by hand", ""
            self.open_window(id)
            self.end(id)
        return True

    def move(self, id: str, lane: str, delay: int | None) -> bool:
        job = self.jobs.get(id)
        if job is None or job.status not in ("queued", "scheduled") or job.marked:
            return False
        job.lane = lane or job.lane
        if delay is not None:
            job.status = "scheduled" if delay else "queued"
        return True

    def replay(self, id: str) -> str:
        job = self.jobs.get(id)
        if job is None or job.live:
            return "not ended"
        if job.unique:
            holder = self.slots.get(job.unique, "")
            if holder and holder != id and holder in self.jobs and self.jobs[holder].live:
                return "slot taken"
            self.slots[job.unique] = id
        self.jobs[id] = Known(job.lane, "queued", job.call, job.unique, job.until_start)
        return "queued"

    def delete(self, id: str) -> bool:
        job = self.jobs.get(id)
        if job is None or job.status == "running":
            return False
        if job.live:
            self.open_window(id)
        self.end(id)
        del self.jobs[id]
        return True

    def wait(self, id: str, client: str) -> str:
        """The status of a job that has ended, 'lives', or 'unknown'."""
        job = self.jobs.get(id)
        if job is None or not job.live:
            return job.status if job else "unknown"
        self.waited.setdefault(id, set()).add(client)
        return "lives"

    # -- what several of them do ------------------------------------------------------------------

    def end(self, id: str) -> None:
        self.jobs[id].marked = False
        self.waited.pop(id, None)
        self.release(id)

    def open_window(self, id: str) -> None:
        """The job will not run: another one may be the first."""
        window = self.begun.pop(id, "")
        if self.windows.get(window) == id:
            del self.windows[window]

    def hold_again(self, id: str) -> None:
        if self.jobs[id].until_start and not self.jobs[id].lapsed:
            self.slots.setdefault(self.jobs[id].unique, id)

    def release(self, id: str) -> None:
        unique = self.jobs[id].unique
        if unique and self.slots.get(unique) == id:
            del self.slots[unique]
