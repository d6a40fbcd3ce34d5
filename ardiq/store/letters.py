"""Dead letters in Redis: pages of them, their groups, and running again or removing many.

Verbs like those of verbs.py. What takes several round trips is a generator: it yields calls and is sent their
answers, so that it is written once for sync and async callers (``drive``, ``drive_async``).
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Literal, TypeVar

from ardiq.store import inspector
from ardiq.store.async_client import AsyncStore
from ardiq.store.client import Store
from ardiq.store.keys import Keys
from ardiq.store.scripts import Call, Part, id_text, script
from ardiq.store.verbs import CHUNK

PIECE = 200  # jobs in one script of those that rewrite or remove records: about 2 ms of the server (R9)
STRAYS = 20  # letters at each end of a group that are looked at for those that are none any more
ENDED = "SFAX"  # letters of states, as records begin
FAILED = "F"

T = TypeVar("T")
Steps = Generator[list[Call], list[Any], T]
Told = Callable[[int, int], None]
"""Called after each step: how many it was done to so far, how many there are left to look at."""
Act = Callable[[Sequence[str], int], Call]
"""Makes the call for some ids, given how many were done before; it answers to how many it was done."""


def drive(store: Store, steps: Steps[T]) -> T:
    """Run an operation of several round trips. Raises BrokerError when Redis cannot be reached."""
    return drive_beside(store, steps, ())[0]


def drive_beside(store: Store, steps: Steps[T], beside: Sequence[Call]) -> tuple[T, list[Any]]:
    """The same, with other calls in its first round trip. Answers what came of both."""
    calls, others = [], beside
    found: list[Any] = []
    try:
        calls = next(steps)
        while True:
            answers = store.run_many([*calls, *others])
            found += answers[len(calls) :]
            calls, others = steps.send(answers[: len(calls)]), ()
    except StopIteration as end:
        answer: T = end.value
        return answer, found or (store.run_many(others) if others else [])


def drive_abreast(store: Store, many: Sequence[Steps[T]]) -> list[T]:
    """Run several operations, each step of all of them in one round trip. Answers what came of each."""
    ended: dict[int, T] = {}
    answers: dict[int, list[Any] | None] = dict.fromkeys(range(len(many)))
    while answers:
        asked: dict[int, list[Call]] = {}
        for one, answer in answers.items():
            try:
                asked[one] = next(many[one]) if answer is None else many[one].send(answer)
            except StopIteration as end:
                ended[one] = end.value
        calls = [call for part in asked.values() for call in part]
        found = iter(store.run_many(calls) if calls else [])
        answers = {one: list(islice(found, len(part))) for one, part in asked.items()}
    return [ended[one] for one in range(len(many))]


async def drive_async(store: AsyncStore, steps: Steps[T]) -> T:
    """``drive`` for coroutines."""
    try:
        calls = next(steps)
        while True:
            calls = steps.send(await store.run_many(calls))
    except StopIteration as end:
        answer: T = end.value
        return answer


@dataclass(frozen=True, slots=True)
class Page:
    """Ids of dead letters. ``looked`` counts also those that a filter left out, ``left`` those behind the
    page; ``now`` is epoch ms by the clock of the server."""

    now: int
    looked: int
    left: int
    ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class FailureGroup:
    """Dead letters whose failure is the same: type of exception and place in the project.

    ``count`` and ``job`` (the id of the latest) are of those that are dead letters now. ``first``, ``last``
    (epoch ms), ``tasks`` and the latest ``message`` are of all since the group began; it ends with the last
    of its letters. The message is empty where the task has sensitive arguments.
    """

    fingerprint: str
    type: str
    where: str
    count: int
    first: int
    last: int
    tasks: tuple[str, ...]
    job: str
    message: str


def _page(reply: Any) -> Page:
    return Page(reply[0], reply[1], reply[2], tuple(map(id_text, reply[3:])))


def latest(keys: Keys, offset: int, most: int, *, task: str = "", group: str = "") -> Call:
    """A Page, the latest first."""
    argv: list[Part] = [group, "new", offset, min(most, CHUNK), "", task]
    return script("letters").call(keys.prefix, argv, _page)


def oldest(keys: Keys, left: int | None, until: int | None, *, task: str = "", group: str = "") -> Call:
    """A Page, oldest first, of what had failed ``until`` then; ``left``: of the page before."""
    argv: list[Part] = [
        group,
        "old",
        "" if left is None else left,
        CHUNK,
        "" if until is None else until,
        task,
    ]
    return script("letters").call(keys.prefix, argv, _page)


def groups(keys: Keys, most: int) -> Call:
    """FailureGroups, that of the latest failure first."""
    return script("failures").call(keys.prefix, [most, STRAYS], lambda reply: [_group(*one) for one in reply])


def _group(print: bytes, last: bytes, count: int, job: bytes, facts: list[bytes]) -> FailureGroup:
    texts = [part.decode("utf-8", "backslashreplace") for part in facts]
    of = dict(zip(texts[::2], texts[1::2], strict=True))
    first = of.get("first", "")
    return FailureGroup(
        print.decode("utf-8", "backslashreplace"), of.get("type", ""), of.get("where", ""), count,
        int(first) if first.isdigit() else 0, int(float(last)), tuple(of.get("tasks", "").split("\n")),
        id_text(job), of.get("message", ""),
    )  # fmt: skip


def fingerprints(keys: Keys, ids: Sequence[str]) -> Call:
    """The fingerprint of each dead letter, '' where there is none."""
    return Call(
        ("HMGET", keys.fingerprints, *ids),
        lambda reply: [print.decode("utf-8", "backslashreplace") if print else "" for print in reply],
    )


# -- verbs --------------------------------------------------------------------------------------------

Replayed = Literal["queued", "not ended", "slot taken"]
_WORDS: dict[int, Replayed] = {1: "queued", 0: "not ended", 2: "slot taken"}


def replay(
    keys: Keys, ids: Sequence[str], *, states: str = ENDED, first_ms: float = 0, step_ms: float = 0
) -> Call:
    """Run ended jobs again under their own ids, the first in ``first_ms``, each other ``step_ms`` later.
    Answers {id: Replayed}."""
    return script("replay").call(
        keys.prefix,
        [states, repr(first_ms), repr(step_ms), *ids],
        lambda reply: {id: _WORDS[answer] for id, answer in zip(ids, reply, strict=True)},
    )


def delete(keys: Keys, ids: Sequence[str], *, states: str = "") -> Call:
    """Remove jobs that do not run, of all states or of some. Answers {id: whether it was removed}."""
    return script("delete").call(
        keys.prefix,
        [states, *ids],
        lambda reply: {id: answer == 1 for id, answer in zip(ids, reply, strict=True)},
    )


def replaying(keys: Keys, per_second: float | None) -> Act:
    """Run dead letters again, at most so many a second."""
    step = 1000 / per_second if per_second else 0

    def act(ids: Sequence[str], done: int) -> Call:
        call = replay(keys, ids, states=FAILED, first_ms=done * step, step_ms=step)
        return Call(call.command, lambda reply: reply.count(1), call.script)

    return act


def deleting(keys: Keys) -> Act:
    """Remove dead letters."""

    def act(ids: Sequence[str], done: int) -> Call:
        call = delete(keys, ids, states=FAILED)
        return Call(call.command, lambda reply: reply.count(1), call.script)

    return act


# -- many ---------------------------------------------------------------------------------------------


def these(act: Act, ids: Iterable[str], limit: int | None = None, told: Told | None = None) -> Steps[int]:
    """Do something to jobs by their ids, CHUNK in one round trip. Answers to how many it was done."""
    rest, done = list(dict.fromkeys(ids)), 0
    while rest and (limit is None or done < limit):
        most = CHUNK if limit is None else min(CHUNK, limit - done)
        done += sum((yield _pieces(act, rest[:most], done)))
        rest = rest[most:]
        if told:
            told(done, len(rest))
    return done


def _pieces(act: Act, ids: Sequence[str], done: int) -> list[Call]:
    """The calls for some ids, which go in one round trip."""
    return [act(ids[at : at + PIECE], done + at) for at in range(0, len(ids), PIECE)]


def every(
    act: Act,
    keys: Keys,
    *,
    task: str = "",
    group: str = "",
    limit: int | None = None,
    told: Told | None = None,
) -> Steps[int]:
    """Do something to all dead letters, of a task or of a group, that had failed when it began, oldest first.

    One round trip for each CHUNK: the next page is asked for together with what is done to this one.
    """
    page: Page
    (page,) = yield [oldest(keys, None, None, task=task, group=group)]
    until, ids, left, done = page.now, page.ids, page.left, 0
    while (ids or left) and (limit is None or done < limit):
        most = CHUNK if limit is None else limit - done
        now, ids = ids[:most], ids[most:]
        calls = _pieces(act, now, done)
        turn = bool(left) and not ids
        if turn:
            calls.append(oldest(keys, left, until, task=task, group=group))
        answers = yield calls
        if turn:
            page = answers.pop()
            ids, left = page.ids, page.left
        done += sum(answers)
        if told:
            told(done, left + len(ids))
    return done


def found_groups(keys: Keys, most: int) -> Steps[list[FailureGroup]]:
    """The groups, once what has expired is dropped."""
    if not most:
        return []
    _, answer = yield [inspector.tidy(keys), groups(keys, most)]
    found: list[FailureGroup] = answer
    return found


def size(keys: Keys, place: str) -> Call:
    """How many ids lie in a place."""
    return Call(("LLEN" if place.startswith("lane:") else "ZCARD", keys.prefix + place), int)


def purge(keys: Keys, places: Sequence[str], told: Told | None = None, most: int | None = None) -> Steps[int]:
    """Remove all that lay in some places when it began (browsing.places; none of them is that of running
    jobs), or no more than ``most``. Answers how many jobs were removed."""
    sizes: list[int] = yield [size(keys, place) for place in places]
    done, rest = 0, sum(sizes)
    for place, left in zip(places, sizes, strict=True):
        until: Part = ""
        while left > 0 and (most is None or done < most):
            argv: list[Part] = [place, min(PIECE, left), until]
            ((until, looked, gone),) = yield [script("purge").call(keys.prefix, argv, tuple)]
            left, rest, done = (left - looked if looked else 0), rest - looked, done + gone
            if told:
                told(done, rest)
    return done
