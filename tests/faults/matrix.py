"""Every fault that the promise is held against, what it may cost, and how it is tested.

``tested``: H = a scenario with several real processes, P = a real worker process or a real server, M = the
model test of the scripts, U = a unit test. Each row with H or P has a test that carries its number:
``@pytest.mark.fault("8", "zombie")``; ``test_matrix.py`` sees to it, ``scripts/faults`` runs them all.
"""

from __future__ import annotations

from typing import NamedTuple


class Row(NamedTuple):
    """``lost`` and ``repeated`` (starts beyond the first) are the most that is allowed, in words."""

    number: str
    fault: str
    lost: str
    repeated: str
    tested: str

    @property
    def wants_a_test(self) -> bool:
        return bool({"H", "P"} & set(self.tested))


ROWS = [
    Row("1", "kill -9 after the claim, before the start", "0", "0", "P"),
    Row("2", "kill -9 in mid-task", "0", "what ran", "H"),
    Row("3", "kill -9 after the task, before the commit", "0", "what was not committed", "P"),
    Row("4", "kill -9 during the commit", "0", "one batch", "P"),
    Row("5", "SIGTERM: idle, busy, during a claim", "0", "0", "HP"),
    Row("6", "SIGTERM, and a task longer than the grace period", "0", "what ran", "P"),
    Row("7", "second and third signal", "0", "what ran", "P"),
    Row("8", "SIGSTOP longer than the lease, then SIGCONT", "0", "what was held", "H"),
    Row("9", "loop blocked for less than the stall limit", "0", "0", "H"),
    Row("10", "loop blocked for ever", "0", "what was held, once; the guilty up to the limit", "P"),
    Row("11", "the interpreter held in C for longer than the lease", "0", "what was held", "P"),
    Row("12", "Redis restarts, AOF everysec", "0", "0", "H"),
    Row("13", "Redis killed, AOF everysec or always", "0", "what was not committed", "H"),
    Row("14", "power loss: the end of the AOF is gone", "1-2 s of enqueues", "1-2 s of outcomes", "P"),
    Row("15", "Redis comes back empty", "all", "0", "H"),
    Row("16", "SCRIPT FLUSH", "0", "0", "HM"),
    Row("17", "CLIENT KILL of every connection, five times", "0", "0", "H"),
    Row("18", "server asleep for less than the lease", "0", "0", "P"),
    Row("19", "server asleep for longer than the lease", "0", "what was reaped", "PM"),
    Row("20", "network silent for three leases", "0", "what was held", "H"),
    Row("21", "slow network, 1 % of it cut", "0", "0", "P"),
    Row("22", "reply lost: claim", "0", "0", "PM"),
    Row("23", "reply lost: enqueue", "0", "0", "PM"),
    Row("24", "reply lost: settle", "0", "0", "PM"),
    Row("25", "memory full at an enqueue", "0 (refused)", "0", "HP"),
    Row("26", "memory full at a settle", "0", "0", "H"),
    Row("27", "eviction policy allkeys-*", "-", "-", "P"),
    Row("28", "primary demoted (READONLY)", "0", "what was held", "H"),
    Row("29", "Sentinel failover", "replication lag", "lag, and what was held", "P"),
    Row("30", "Cluster: slot moved under load, node killed", "0 (move), lag (kill)", "what was held", "P"),
    Row("31", "clock of a worker off by an hour", "0", "0", "P"),
    Row("32", "clock of Redis off by an hour", "0", "what was held", "P"),
    Row("33", "database down in a task", "0", "0", "P"),
    Row("34", "database down at an enqueue on commit", "-", "-", "P"),
    Row("35", "result that cannot be stored", "0", "0", "P"),
    Row("36", "arguments that cannot be stored", "0", "0", "U"),
    Row("37", "huge payload or result", "0", "0", "P"),
    Row("38", "corrupt payload, wrong signature, wrong type at a key", "0", "0", "P"),
    Row("39", "unknown task name", "0", "0", "P"),
    Row("40", "signature changed between enqueue and run", "0", "0", "P"),
    Row("41", "exception whose text raises, or is huge", "0", "0", "U"),
    Row("42", "SystemExit and its kin from a task", "0", "0", "P"),
    Row("43", "task swallows its cancellation", "0", "what was held", "P"),
    Row(
        "44", "os._exit, segfault, killed by the kernel", "0", "what was held, once; the guilty 3 starts", "H"
    ),
    Row("45", "leaking task: max-rss, max-jobs", "0", "0", "P"),
    Row("46", "no more file descriptors, threads, processes", "0", "0", "P"),
    Row("47", "thread of a task never ends", "0", "0", "P"),
    Row("48", "2,000 workers", "-", "-", "P"),
    Row("49", "1 M queued", "0", "0", "bench"),
    Row("50", "1 M due in the same ms", "0", "0", "bench"),
    Row("51", "1 M results", "-", "-", "bench"),
    Row("52", "hot retry loop", "0", "0", "P"),
    Row("53", "retry storm after an outage", "0", "0", "P"),
    Row("54", "same id from 50 processes", "-", "0", "P"),
    Row("55", "abort races with claim, settle, retry, reap", "0", "0", "MP"),
    Row("56", "recurring tasks: many workers, many clocks", "0", "0", "MP"),
    Row("57", "all workers away over occurrences", "by policy", "0", "P"),
    Row("58", "waiter gone, 10,000 waiters, message lost", "-", "-", "P"),
    Row("59", "worker name used again", "0", "0", "U"),
    Row("60", "two versions at once", "0", "0", "P"),
    Row("61", "fork after connect", "0", "0", "P"),
    Row("62", "queue emptied under claims", "0", "-", "M"),
    Row("63", "reload, end of a loop", "-", "-", "P"),
]
BY_NUMBER = {row.number: row for row in ROWS}
