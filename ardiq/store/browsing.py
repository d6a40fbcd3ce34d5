"""Lists of jobs, a stretch at a time: any mix of lanes, scheduled, running and ended ones, by time.

Nothing here reads a whole collection: a script looks at ``STRETCH`` jobs at most.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from ardiq.core.job import ENDED, JobStatus
from ardiq.store.keys import Keys
from ardiq.store.scripts import Call, Part, script

STRETCH = 400  # most jobs that one script looks at: less than 2 ms of the server (R9)

STATUSES = (
    JobStatus.SCHEDULED, JobStatus.QUEUED, JobStatus.RUNNING,
    JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.ABORTED, JobStatus.EXPIRED,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Spot:
    """A job in a list. ``key`` orders lists, also of several queues: the larger the earlier."""

    id: str
    key: int


@dataclass(frozen=True, slots=True)
class Stretch:
    """A stretch of a list. ``looked`` counts also those that a filter has left out."""

    looked: int
    spots: tuple[Spot, ...]


def places(statuses: Iterable[JobStatus], lanes: Sequence[str]) -> list[str]:
    """Where jobs of these statuses lie, as browse.lua names it."""
    out = []
    for status in statuses:
        if status is JobStatus.QUEUED:
            out += [f"lane:{lane}" for lane in lanes]
        else:
            out.append(f"ended:{status.value}" if status in ENDED else status.value)
    return out


@dataclass(frozen=True, slots=True)
class Keep:
    """Which jobs of some places: by time (``since`` and ``until``, epoch ms, below 0: so many ms
    before now by the clock of the server; None for any), by ``task`` (exact), by ``text`` (start of an id, or
    part of a name), by the first 8 digits of a ``worker``, and those that were ``tried`` more than once.

    Only the time can be found without looking at jobs one by one.
    """

    since: int | None = None
    until: int | None = None
    task: str = ""
    text: str = ""
    worker: str = ""
    tried: bool = False

    @property
    def timed(self) -> bool:
        return self.since is not None or self.until is not None

    @property
    def argv(self) -> list[Part]:
        times: list[Part] = ["" if one is None else one for one in (self.since, self.until)]
        return [*times, self.task, self.text.lower(), self.worker, "1" if self.tried else ""]


ALL = Keep()


def stretch(
    keys: Keys,
    where: Sequence[str],
    offset: int = 0,
    limit: int = STRETCH,
    *,
    far: bool = False,
    keep: Keep = ALL,
) -> Call:
    """Ids from some places, those whose time is nearest to now first, or with ``far`` last.

    ``limit`` counts the jobs looked at, which are all of the time that is kept, before others are left out.
    """
    order = "far" if far else "near"
    argv: list[Part] = [order, offset, min(limit, STRETCH), "ids", *keep.argv, *where]
    return script("browse").call(keys.prefix, argv, _stretch)


def size(keys: Keys, where: Sequence[str], keep: Keep) -> Call:
    """How many there are in some places at the time that is kept; stale ids of lanes count."""
    argv: list[Part] = ["near", 0, 0, "count", *keep.argv, *where]
    return script("browse").call(keys.prefix, argv, lambda reply: reply[0])


def _stretch(reply: list[Any]) -> Stretch:
    pairs = zip(reply[1::2], reply[2::2], strict=True)
    return Stretch(reply[0], tuple(Spot(_shown(id), int(key)) for id, key in pairs))


def names(keys: Keys, where: Sequence[str], offset: int = 0, limit: int = STRETCH, keep: Keep = ALL) -> Call:
    """Task names among some jobs, nearest to now first: {name: how many}."""
    argv: list[Part] = ["near", offset, min(limit, STRETCH), "names", *keep.argv, *where]
    return script("browse").call(keys.prefix, argv, _names)


def _names(reply: list[Any]) -> dict[str, int]:
    return {_shown(name): count for name, count in zip(reply[1::2], reply[2::2], strict=True)}


def _shown(raw: bytes) -> str:
    # What is no UTF-8 has no page, but must not take the list of all the others with it.
    return raw.decode("utf-8", "backslashreplace")
