"""Every key of a queue. Nothing else in Python spells one, and scripts derive theirs from the prefix.

All keys of a queue share one hash tag, so that a script may touch any of them on a Cluster.

====================  ======  ===============================================================================
``job:<id>``          string  the whole job (core/job.py); a TTL only once it has ended
``lane:<lane>``       list    ids ready to run, first in first out; may hold stale ids, the record decides
``scheduled``         zset    id -> due, ms (delays, schedules, retries, parked jobs)
``workers``           zset    worker -> end of its lease, ms by the clock of the server
``held:<worker>``     hash    id -> number of the claim: what this worker holds and has not settled. The fence
``worker:<worker>``   hash    what it is, where, since when: for people; expires with its lease
``ended:<status>``    zset    id -> end, ms: for listing; trimmed by age and count
``fingerprints``      hash    id of a dead letter -> fingerprint of its failure, if there is one
``letters:<print>``   zset    id -> end, ms: the dead letters of one group of failures
``group:<print>``     hash    what such failures are, for people; goes with the last of its letters
``groups``            zset    fingerprint -> time of its latest failure, ms
``wake``              list    one wake-up token at most; losing it costs a poll, never a job
``unique:<hash>``     string  the id that holds a unique slot; deleted only by its holder
``unique:end:<id>``   string  end of a slot that a claim has freed, ms, should it be held again; expires later
``throttle:<hash>``   string  the id of the first job of a window; expires with the window
``throttle:id:<id>``  string  the hash of the window that a job has begun; expires with the window
``series:<hash>``     string  start of a series of debounced calls, ms; expires when the series has to end
``subject:<hash>``    zset    id -> enqueued, ms: jobs about one object, the newest 1,000; may hold ids of
                              jobs that are gone. Expires when it has had no new job for long
``pushed:<row>``      string  the id of the job that this row of an outbox became, or '' when that has been
                              told and the row is still there; expires after an hour
``confirmed``         string  written before the server is asked who else has what it stored; expires
                              after a second
``spent``             zset    calls whose jobs left nothing -> end, ms; expires ten seconds after the last
``cron``              hash    up to where each recurring task has fired, its last job, if it is paused
``paused``            hash    'queue' or lane:<lane> -> since when, by whom, why: it hands out no jobs
``progress:<id>``     string  how far the job is, as it told last; a TTL always, once it has ended its job's
``logs:<id>``         string  kept lines of its logs, capped; a TTL always, once it has ended its job's
``again:<id>``        string  ids of the jobs made of it by running it again, one a line; a TTL always
``bulk:<id>``         hash    an operation on many jobs: what, by whom, how far; a TTL always
``bulks``             zset    bulk operation -> its start, ms; the latest hundred
``waiters``           hash    id -> clients that wait for it: a settle notifies only those
``aborts``            zset    id -> when a running job was asked to abort, ms
``stats:<minute>``    hash    'lane task' -> what was counted in a minute; expires after three hours
``sums:<ten>``        hash    the same of ten minutes; expires after three days
``totals``            hash    the same since counting began; expires three days after the last count
``counted``           zset    'lane task' -> when anything was counted there last, ms; bounded, as above
``control``           pubsub  ids to abort, and orders, for workers
``done:<client>``     pubsub  ids that have ended, for the client that waits for them; behind the id of one
                              named +... a line end and the record, if it is small
====================  ======  ===============================================================================
"""

from __future__ import annotations

from ardiq.core.job import JobStatus

# Type of each key by its name, or by what its name begins with.
TYPES = {
    "job:": "string", "lane:": "list", "scheduled": "zset", "workers": "zset", "held:": "hash",
    "worker:": "hash", "ended:": "zset", "wake": "list", "unique:": "string", "throttle:": "string",
    "series:": "string", "waiters": "hash", "aborts": "zset", "cron": "hash", "progress:": "string",
    "logs:": "string", "fingerprints": "hash", "letters:": "zset", "group:": "hash", "groups": "zset",
    "pushed:": "string", "spent": "zset", "subject:": "zset", "paused": "hash", "again:": "string",
    "bulk:": "hash", "bulks": "zset", "confirmed": "string",
    "stats:": "hash", "sums:": "hash", "totals": "hash", "counted": "zset",
}  # fmt: skip


def type_of(name: str) -> str:
    """The type that a key has to have, by its name behind the prefix; '' for one that is not in the table."""
    family, colon, rest = name.partition(":")
    return TYPES.get(family + colon, "") if bool(colon) == bool(rest) else ""


class Keys:
    """The keys of one queue. Clients that share a server but not a queue never share a key."""

    __slots__ = (
        "aborts", "control", "cron", "fingerprints", "paused", "prefix", "queue", "scheduled", "totals",
        "waiters",
        "wake", "workers",
    )  # fmt: skip

    def __init__(self, queue: str) -> None:
        self.queue = queue
        self.prefix = prefix = "ardiq:{" + queue + "}:"
        self.scheduled = prefix + "scheduled"
        self.workers = prefix + "workers"
        self.wake = prefix + "wake"
        self.cron = prefix + "cron"
        self.waiters = prefix + "waiters"
        self.aborts = prefix + "aborts"
        self.fingerprints = prefix + "fingerprints"
        self.control = prefix + "control"
        self.paused = prefix + "paused"
        self.totals = prefix + "totals"

    def job(self, id: str) -> str:
        return f"{self.prefix}job:{id}"

    def lane(self, lane: str) -> str:
        return f"{self.prefix}lane:{lane}"

    def held(self, worker: str) -> str:
        return f"{self.prefix}held:{worker}"

    def worker(self, worker: str) -> str:
        return f"{self.prefix}worker:{worker}"

    def ended(self, status: JobStatus) -> str:
        return f"{self.prefix}ended:{status.value}"

    def unique(self, hash: str) -> str:
        return f"{self.prefix}unique:{hash}"

    def progress(self, id: str) -> str:
        return f"{self.prefix}progress:{id}"

    def logs(self, id: str) -> str:
        return f"{self.prefix}logs:{id}"

    @property
    def bulks(self) -> str:
        return f"{self.prefix}bulks"

    @property
    def confirmed(self) -> str:
        return self.prefix + "confirmed"

    @property
    def spent(self) -> str:
        return self.prefix + "spent"

    def bulk(self, id: str) -> str:
        return f"{self.prefix}bulk:{id}"

    def again(self, id: str) -> str:
        return f"{self.prefix}again:{id}"

    def pushed(self, row: str) -> str:
        return f"{self.prefix}pushed:{row}"

    def stats(self, minute: int) -> str:
        return f"{self.prefix}stats:{minute}"

    def sums(self, ten: int) -> str:
        return f"{self.prefix}sums:{ten}"

    def done(self, client: str) -> str:
        return f"{self.prefix}done:{client}"
