"""The faults. Each takes a field with nothing running on it and returns what became of the jobs."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from faults.field import ENDED, NODES, TOTAL, Field
from faults.peers import LEASE, SLOTS

BODY = 0.5  # seconds of a job
LONG_BODY = 1.0  # seconds of a job where the fault takes longer
TIMES = 5  # how often a fault strikes; the server is restarted twice
GOES_ON = 90  # seconds after which work does not go on
CALM = 2.5  # seconds of work between two blows
BACK = 2 * LEASE  # seconds that a blow waits at most for the jobs cut off by the one before
ZOMBIE_BODY = 8.0  # longer than the lease and than the looks of the harness
POISON_SECONDS = 45
INNOCENTS = 100

Found = dict[str, Any]


@dataclass(frozen=True)
class Blow:
    """A fault that has struck. Work goes on with the first start after ``at``.

    ``old``: workers that do not count for that, for they were told to die. ``held``: the jobs they ran.
    """

    at: float
    old: frozenset[str] = frozenset()
    held: frozenset[int] = frozenset()


def _kill(field: Field) -> Blow:
    old, at = field.fleet.names(), time.monotonic()
    field.fleet.kill()
    return Blow(at, frozenset(old), frozenset(field.journal.open()))


def _terminate(field: Field) -> Blow:
    old, at = field.fleet.names(), time.monotonic()
    field.fleet.terminate()
    return Blow(at, frozenset(old))


def _restart_server(field: Field) -> Blow:
    field.server.restart(down=1.0)
    return Blow(time.monotonic())


def _drop_clients(field: Field) -> Blow:
    field.server.drop_clients()
    return Blow(time.monotonic())


def _flush_scripts(field: Field) -> Blow:
    field.server.command("SCRIPT", "FLUSH")
    return Blow(time.monotonic())


def _goes_on(field: Field, blow: Blow) -> float | None:
    """Seconds from the blow to the first start by a worker that may work."""
    starts = (note.at for note in field.journal.notes("start", blow.at) if note.worker not in blow.old)
    first = next(starts, None)
    return None if first is None else first - blow.at


def _storm(strike: Callable[[Field], Blow], times: int, seconds: float = BODY) -> Callable[[Field], Found]:
    """Strike so often while the queue is busy; then wait for the jobs and for late repeats."""

    def scenario(field: Field) -> Found:
        ids = field.enqueue([("work", number, seconds) for number in range(field.jobs)])
        field.fleet.start(NODES)
        field.watch(lambda: len(field.journal.count("end")) >= TOTAL, 60)
        blows: list[Blow] = []
        gaps: list[float | None] = []
        for _ in range(times):
            field.pause(CALM)
            if len(field.journal.count("start")) > field.jobs - 2 * TOTAL:
                break  # A fault of an idle queue would show nothing.
            blows.append(strike(field))
            field.watch(lambda: _goes_on(field, blows[-1]) is not None, GOES_ON)
            gaps.append(_goes_on(field, blows[-1]))
            field.watch(lambda: None not in _waits(field, blows[-1]), BACK)
        last = time.monotonic()
        outcomes = field.ended(ids, field.peer.patience)
        field.pause(last + field.peer.late - time.monotonic())
        return {
            **_account(field, outcomes if _over(outcomes) else field.outcomes(ids)),
            "blows": len(blows),
            "wanted_blows": times,
            "goes_on_s": _worst(gaps),
            "held_back_s": _held_back(field, blows),
            "slowest_stop_s": round(field.fleet.slowest_stop, 1) if strike is _terminate else None,
        }

    return scenario


def _over(outcomes: list[tuple[str, Any]]) -> bool:
    return all(state == "succeeded" for state, _ in outcomes)


def _account(field: Field, outcomes: list[tuple[str, Any]]) -> Found:
    """Jobs without a success are lost or stuck: no job of a storm fails of itself."""
    states = Counter(state for state, _ in outcomes)
    starts, ends = field.journal.count("start"), field.journal.count("end")
    return {
        "jobs": len(outcomes),
        "lost_or_stuck": len(outcomes) - states["succeeded"],
        "states": {state: count for state, count in states.items() if state != "succeeded"},
        "never_ended": len(outcomes) - len(ends),
        "ended_again": ends.total() - len(ends),
        "started_again": starts.total() - len(starts),
        "exits": field.fleet.exits,
        "exit_codes": sorted(set(field.fleet.codes)),
    }


def _worst(gaps: list[float | None]) -> float | str | None:
    if not gaps:
        return None
    known = [gap for gap in gaps if gap is not None]
    return round(max(known), 1) if len(known) == len(gaps) else f"> {GOES_ON}"


def _waits(field: Field, blow: Blow) -> list[float | None]:
    """Seconds from a blow to the new start of each job that it has cut off; None: not yet."""
    again: dict[int, float] = {}
    for note in field.journal.notes("start", blow.at):
        again.setdefault(note.number, note.at - blow.at)
    return [again.get(number) for number in blow.held]


def _held_back(field: Field, blows: list[Blow]) -> float | str | None:
    waits = [wait for blow in blows for wait in _waits(field, blow)]
    known = [wait for wait in waits if wait is not None]
    if not waits:
        return None
    return round(max(known), 1) if len(known) == len(waits) else "never"


def _zombie(field: Field) -> Found:
    """Freeze a node for longer than its lease, thaw it while another runs the same jobs."""
    ids = field.enqueue([("work", number, ZOMBIE_BODY) for number in range(SLOTS)])
    field.fleet.start()
    field.watch(lambda: len(field.journal.count("start")) == SLOTS, 60)
    field.pause(0.5)
    frozen = field.fleet.names()
    field.fleet.freeze(0)
    at = time.monotonic()
    field.fleet.start()

    def honest(word: str) -> dict[int, float]:
        """By number, when a job was noted by a worker that was never frozen: the first time."""
        notes = reversed(list(field.journal.notes(word, at)))
        return {note.number: note.at for note in notes if note.worker not in frozen}

    again = field.watch(lambda: honest("start"), field.peer.patience)
    field.pause(1.5)
    field.fleet.thaw(0)
    field.pause(2)
    early = field.outcomes(ids)
    # The lease is long over, so an outcome that the other node has not brought is from the zombie.
    taken = [
        number for number, (state, _) in enumerate(early) if state in ENDED and number not in honest("end")
    ]
    field.watch(lambda: len(honest("end")) == SLOTS, 3 * ZOMBIE_BODY if again else 0)
    field.pause(3)
    final = field.ended(ids, field.peer.late)
    starts = honest("start").values()
    return {
        **_account(field, final),
        "accepted": len(taken) if again else "no re-run to disturb",
        "overwritten": sum(early[number] != final[number] for number in taken),
        "held_back_s": round(max(starts) - at, 1) if len(starts) == SLOTS else "never",
    }


def _poison(field: Field) -> Found:
    """One job that kills its process, among a hundred that do no harm; looked at after 45 s."""
    number = SLOTS + 1
    calls = [("work", other, BODY) for other in range(INNOCENTS + 1)]
    calls[number] = ("poison", number, 0.0)
    ids = field.enqueue(calls)
    field.fleet.start(NODES)
    field.watch(lambda: field.journal.count("start")[number] > 0, 60)
    field.pause(POISON_SECONDS)
    starts, exits = field.journal.count("start")[number], field.fleet.exits
    outcomes = field.outcomes(ids)
    end = outcomes.pop(number)[0]
    found = _account(field, outcomes)
    found["started_again"] -= starts - 1  # of the others
    return {**found, "exits": exits, "poison_starts": starts, "poison_state": end}


SCENARIOS: dict[str, tuple[str, Callable[[Field], Found]]] = {
    "none": ("no fault", _storm(_flush_scripts, 0)),
    "kill": (f"kill -9 of every worker, ×{TIMES}", _storm(_kill, TIMES, LONG_BODY)),
    "term": (f"SIGTERM to every worker, ×{TIMES}", _storm(_terminate, TIMES)),
    "restart": ("server restarted, AOF everysec, ×2", _storm(_restart_server, 2)),
    "zombie": ("SIGSTOP beyond the lease, SIGCONT", _zombie),
    "poison": (f"a job that kills its process, {POISON_SECONDS} s", _poison),
    "clients": (f"CLIENT KILL of every connection, ×{TIMES}", _storm(_drop_clients, TIMES)),
    "scripts": (f"SCRIPT FLUSH, ×{TIMES}", _storm(_flush_scripts, TIMES)),
}
