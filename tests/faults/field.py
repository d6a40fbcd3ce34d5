"""One queue, the processes that work on it, and the questions that a fault asks of them."""

from __future__ import annotations

import importlib
import time
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from ardiq import Ardiq
from ardiq.core.job import LETTERS, JobStatus
from ardiq.store.client import Store
from ardiq.store.endpoint import Endpoint
from ardiq.store.keys import Keys
from tests import keyspace, server
from tests.faults.report import Report
from tests.workers import Process, Workers, until

LANES = ["low", "default", "high"]
# Short leases, so that a death is noticed while somebody looks.
LEASE_MS = 1_500
OPTIONS: dict[str, Any] = {"LEASE_MS": LEASE_MS, "CONCURRENCY": 4, "PREFETCH": 4, "GRACE_MS": 5_000}
APPS = {"ardiq_test_apps": "tests.shop,tests.faults.hazards"}


class Field:
    """``url`` is what workers get, perhaps a proxy; ``direct`` leads producers and referees to the server."""

    def __init__(self, url: str, queue: str, directory: Path, direct: str | None = None) -> None:
        self.url, self.queue, self.direct = url, queue, direct or url
        self.directory = directory
        directory.mkdir(parents=True, exist_ok=True)
        self.keys = Keys(queue)
        self.workers = Workers(url, queue, directory, self.direct)
        self.app = Ardiq(queue, LANES, self.direct)
        self.client = admin(self.direct)
        self.ids: list[str] = []

    # -- work -------------------------------------------------------------------------------------

    def start(self, *arguments: str, **options: Any) -> Process:
        """A worker process with the short lease; returns when it is registered."""
        return self.workers.start(*arguments, **(OPTIONS | APPS | options))

    def spawn(self, *arguments: str, **options: Any) -> Process:
        """The same without waiting for it."""
        return self.workers.spawn(*arguments, **(OPTIONS | APPS | options))

    def enqueue(self, count: int, kind: str = "nap", *args: Any, **options: Any) -> list[str]:
        """Ids of so many jobs of a task of tests/shop; ``nap`` and ``doze`` take 0.02 s unless told."""
        if kind in ("nap", "doze") and not args:
            args = (0.02,)
        ref = self.app.ref(kind)
        call = (ref.options(**options) if options else ref).prepare(*args)
        ids = [job.id for job in self.app.enqueue_many_sync([call] * count)]
        self.ids += ids
        return ids

    # -- what has become of it ----------------------------------------------------------------------

    def starts(self) -> Counter[str]:
        """How often each job has begun, by the journal that the tasks write themselves."""
        return Counter(words[1] for words in self.workers.notes("start"))

    def ended(self) -> Counter[str]:
        """How often the body of each job has come to its end, by the journal."""
        return Counter(words[1] for words in self.workers.notes("end"))

    def statuses(self, ids: Iterable[str] | None = None) -> dict[str, JobStatus]:
        """By the records in Redis, read past the code under test."""
        ids = list(self.ids if ids is None else ids)
        with self.client.pipeline(transaction=False) as pipe:
            for id in ids:
                pipe.getrange(self.keys.job(id), 0, 0)
            letters = pipe.execute()
        return {
            id: LETTERS.get(letter.decode(), JobStatus.NOT_FOUND)
            for id, letter in zip(ids, letters, strict=True)
        }

    def wait_done(self, ids: Iterable[str] | None = None, seconds: float = 60) -> None:
        """Until each of them has ended, however."""
        left = list(self.ids if ids is None else ids)

        def none_left() -> bool:
            left[:] = [id for id, status in self.statuses(left).items() if not status.finished]
            return not left

        _poll(none_left, seconds, lambda: f"{len(left)} jobs, such as {left[:3]}: {self.state(left[:3])}")

    def wait_started(self, count: int, seconds: float = 30) -> None:
        """Until so many jobs have begun, repeats included."""
        _poll(lambda: len(self.workers.notes("start")) >= count, seconds, lambda: f"{count} starts")

    def state(self, ids: Iterable[str]) -> str:
        infos = [self.app.info_sync(id) for id in ids]
        return "; ".join(f"{i.status.value} tries={i.tries} crashes={i.crashes}" for i in infos if i)

    def crashes(self, ids: Iterable[str] | None = None) -> int:
        """Deaths that were charged to the jobs, added up."""
        infos = [self.app.info_sync(id) for id in (self.ids if ids is None else ids)]
        return sum(info.crashes for info in infos if info)

    def records(self, ids: Iterable[str]) -> list[bytes | None]:
        """The whole of each job as it lies in Redis."""
        return list(self.client.mget([self.keys.job(id) for id in ids]))

    def held(self) -> set[str]:
        """Ids that workers hold, living or dead."""
        keys = list(self.client.scan_iter(match=self.keys.held("*"), count=1_000))
        return {id.decode() for key in keys for id in self.client.hkeys(key)}

    def tally(self, ids: Iterable[str] | None = None) -> Counter[tuple[int, int]]:
        """How many jobs have so many (attempts, crashes)."""
        infos = [self.app.info_sync(id) for id in (self.ids if ids is None else ids)]
        return Counter((info.tries, info.crashes) for info in infos if info)

    def count(self, report: Report, ids: Iterable[str] | None = None) -> None:
        """Fill in what was lost, started twice and stuck, of the jobs whose tasks tell their starts."""
        statuses, starts = self.statuses(ids), self.starts()
        report.lost = sum(status is JobStatus.NOT_FOUND for status in statuses.values())
        report.stuck = sum(status.pending for status in statuses.values())
        report.twice = sum(max(0, starts[id] - 1) for id in statuses)

    def succeeded(self, ids: Iterable[str] | None = None) -> bool:
        return set(self.statuses(ids).values()) <= {JobStatus.SUCCEEDED}

    # -- order ------------------------------------------------------------------------------------

    def findings(self) -> list[str]:
        """What the two referees see: the one of the tests, and ardiq's own check."""
        found = keyspace.faults(self.client, self.queue)
        try:
            fsck: Any = importlib.import_module("ardiq.store.fsck")
        except ModuleNotFoundError:
            return found
        looked = fsck.check(Store(Endpoint(self.direct)), self.keys)
        return found + [f"{one.kind} {one.subject}: {one.text}" for one in looked.findings]

    def settle(self) -> None:
        """Every live job lies in exactly one place. Call it while nothing moves."""
        assert self.findings() == []

    def close(self) -> None:
        self.workers.close()


def admin(url: str) -> Any:
    """A raw client for the test's own looks, with all rights on the right node."""
    return server.admin(url)


def _poll(condition: Callable[[], Any], seconds: float, what: Callable[[], str]) -> None:
    try:
        until(condition, seconds)
    except AssertionError:
        raise AssertionError(f"not within {seconds} s: {what()}") from None


class Watch:
    """Seconds since a moment, by the clock of this process."""

    def __init__(self) -> None:
        self.begin = time.monotonic()

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.begin
