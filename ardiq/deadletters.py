"""Dead letters of a queue: jobs that failed for good. Finding them, their groups, running many again."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ardiq.connection import Broker
from ardiq.results import JobInfo, job_info
from ardiq.store import inspector, letters
from ardiq.store.letters import FailureGroup, Page, Steps
from ardiq.store.scripts import Call
from ardiq.window import MOST, Window, listed

__all__ = ["DeadLetters", "FailureGroup", "Letters", "Wanted", "search"]

SEARCHED = 10_000  # dead letters that one search looks at, at most
READ = 200  # records that are fetched at once


class Letters(list[JobInfo]):
    """Dead letters, the latest first. ``searched`` counts those that were looked at; ``complete`` is False
    when it was not all of them, so that there may be more."""

    searched = 0
    complete = True


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which dead letters: of a task (its whole name), of a group (its fingerprint), with ``error`` in the
    type of their error, with ``text`` in their id, task or error. Case does not matter for the last two."""

    task: str = ""
    error: str = ""
    text: str = ""
    group: str = ""

    @property
    def reads(self) -> bool:
        """Whether records have to be read to tell."""
        return bool(self.error or self.text)

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if not isinstance(value, str):
                raise TypeError(f"{name}={value!r}: give a str, or None for all.")

    def fits(self, info: JobInfo) -> bool:
        failure = info.result.error if info.result else None
        kind, message = (failure.type, failure.message) if failure else ("", "")
        if self.error.lower() not in kind.lower():
            return False
        return any(self.text.lower() in part.lower() for part in (info.id, info.name, kind, message))


def search(broker: Broker, wanted: Wanted, limit: int, offset: int) -> Steps[Letters]:
    """``limit`` letters behind the first ``offset`` of those that are wanted."""
    if not isinstance(offset, int) or isinstance(offset, bool) or offset < 0:
        raise ValueError(f"offset={offset!r}: give a whole number, 0 or more.")
    keys, found, limit = broker.keys, Letters(), _most(limit)
    filtered = wanted.reads or bool(wanted.task)
    at, skip = (0, offset) if filtered else (offset, 0)
    while len(found) < limit:
        room = limit - len(found)
        page: Page
        (page,) = yield [
            letters.latest(keys, at, READ if filtered else room, task=wanted.task, group=wanted.group)
        ]
        at, found.searched = at + page.looked, found.searched + page.looked
        ids: Sequence[str] = page.ids
        if wanted.reads and ids:
            # Without what is large: a search through ten thousand of them must not fetch gigabytes.
            infos = yield from _infos(broker, inspector.rows(keys, ids))
            ids = [info.id for info in infos if wanted.fits(info)]
        ids, skip = ids[skip:], max(0, skip - len(ids))
        if ids:
            found += yield from _infos(broker, inspector.jobs(keys, ids[:room]))
        found.complete = not page.left and len(ids) <= room
        if not page.left or found.searched >= SEARCHED:
            break
    return found


def _infos(broker: Broker, call: Call) -> Steps[list[JobInfo]]:
    (views,) = yield [call]
    return [job_info(broker, view.record) for view in views if view is not None and view.record]


class DeadLetters(Window):
    """The part of an ``Ardiq`` that is about dead letters. Each async method has a twin for sync code."""

    async def dead_letters(
        self,
        limit: int = 50,
        offset: int = 0,
        *,
        task: str | None = None,
        error: str | None = None,
        text: str | None = None,
        group: str | None = None,
    ) -> Letters:
        """Jobs that failed for good, the latest first: those of a task, of a group (its fingerprint), whose
        error's type contains ``error``, in whose id, task or error ``text`` occurs; at most 500.

        A search looks at 10,000 letters and then stops, which ``complete`` of the answer tells.
        """
        wanted = Wanted(task or "", error or "", text or "", group or "")
        return await letters.drive_async(self.broker.here().store, search(self.broker, wanted, limit, offset))

    def dead_letters_sync(
        self,
        limit: int = 50,
        offset: int = 0,
        *,
        task: str | None = None,
        error: str | None = None,
        text: str | None = None,
        group: str | None = None,
    ) -> Letters:
        """``dead_letters`` for sync code."""
        wanted = Wanted(task or "", error or "", text or "", group or "")
        return letters.drive(self.broker.store, search(self.broker, wanted, limit, offset))

    async def failure_groups(self, limit: int = 50) -> list[FailureGroup]:
        """Dead letters by what went wrong: type of the exception and place in the project; that of the latest
        failure first, at most 500. Those that workers of 0.1 have written are in no group."""
        return await letters.drive_async(self.broker.here().store, self._groups(limit))

    def failure_groups_sync(self, limit: int = 50) -> list[FailureGroup]:
        """``failure_groups`` for sync code."""
        return letters.drive(self.broker.store, self._groups(limit))

    def _groups(self, limit: int) -> Steps[list[FailureGroup]]:
        return letters.found_groups(self.broker.keys, _most(limit))

    # -- many -------------------------------------------------------------------------------------

    async def replay_many(
        self,
        ids: Iterable[str] | None = None,
        *,
        task: str | None = None,
        group: str | None = None,
        everything: bool = False,
        per_second: float | None = None,
        limit: int | None = None,
    ) -> int:
        """Run dead letters again under their ids with fresh budgets: those of some ids, of a task, of a group
        (its fingerprint), of both, or ``everything``. Answers how many.

        Oldest first, and only what had failed when it began. With ``per_second`` they are scheduled one
        behind the other, so that no flood of them reaches whatever has just recovered. Other jobs than dead
        letters are left alone, and so are those whose unique slot another job holds. One round trip for each
        500 that are looked at.
        """
        steps = self._replaying(ids, task, group, everything, per_second, limit)
        return await letters.drive_async(self.broker.here().store, steps)

    def replay_many_sync(
        self,
        ids: Iterable[str] | None = None,
        *,
        task: str | None = None,
        group: str | None = None,
        everything: bool = False,
        per_second: float | None = None,
        limit: int | None = None,
    ) -> int:
        """``replay_many`` for sync code."""
        steps = self._replaying(ids, task, group, everything, per_second, limit)
        return letters.drive(self.broker.store, steps)

    def _replaying(
        self,
        ids: Iterable[str] | None,
        task: str | None,
        group: str | None,
        everything: bool,
        per_second: float | None,
        limit: int | None,
    ) -> Steps[int]:
        act = letters.replaying(self.broker.keys, _rate(per_second))
        return _selected(self.broker, act, ids, task, group, everything, limit)

    async def delete_many(
        self,
        ids: Iterable[str] | None = None,
        *,
        task: str | None = None,
        group: str | None = None,
        everything: bool = False,
        limit: int | None = None,
    ) -> int:
        """Forget dead letters: chosen as by ``replay_many``. Answers how many. Other jobs are left alone."""
        act = letters.deleting(self.broker.keys)
        steps = _selected(self.broker, act, ids, task, group, everything, limit)
        return await letters.drive_async(self.broker.here().store, steps)

    def delete_many_sync(
        self,
        ids: Iterable[str] | None = None,
        *,
        task: str | None = None,
        group: str | None = None,
        everything: bool = False,
        limit: int | None = None,
    ) -> int:
        """``delete_many`` for sync code."""
        act = letters.deleting(self.broker.keys)
        steps = _selected(self.broker, act, ids, task, group, everything, limit)
        return letters.drive(self.broker.store, steps)


def _selected(
    broker: Broker,
    act: letters.Act,
    ids: Iterable[str] | None,
    task: str | None,
    group: str | None,
    everything: bool,
    limit: int | None,
) -> Steps[int]:
    ids = None if ids is None else listed(ids)
    if limit is not None and (not isinstance(limit, int) or isinstance(limit, bool) or limit < 0):
        raise ValueError(f"limit={limit!r}: give a whole number, 0 or more, or None for no limit.")
    if not isinstance(everything, bool):
        raise TypeError(f"everything={everything!r}: give True or False.")
    chosen = (ids is not None) + (task is not None or group is not None) + everything
    if chosen != 1 or "" in (task, group):
        # None of them must not mean all: a variable that happens to be None would empty the dead letters.
        raise ValueError("Say which dead letters: ids, or task= and group=, or everything=True.")
    if ids is not None:
        if wrong := [id for id in ids if not isinstance(id, str)]:
            raise TypeError(f"ids has {wrong[0]!r} in it: give a list of ids, each a str.")
        return letters.these(act, ids, limit)
    return letters.every(act, broker.keys, task=task or "", group=group or "", limit=limit)


def _most(limit: Any) -> int:
    if not isinstance(limit, int) or isinstance(limit, bool):
        raise TypeError(f"limit={limit!r}: give a whole number; at most {MOST} are answered.")
    return max(0, min(limit, MOST))


def _rate(per_second: Any) -> float | None:
    is_number = isinstance(per_second, (int, float)) and not isinstance(per_second, bool)
    if per_second is not None and (not is_number or not 0 < per_second < float("inf")):
        raise ValueError(f"per_second={per_second!r}: give a number above 0, or None for all at once.")
    return None if per_second is None else float(per_second)
