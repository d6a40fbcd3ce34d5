"""Moving jobs that wait to another queue, which may be on another server and signs its calls for itself.

No script reaches both queues. So each job is first made to wait for HELD_MS where it is, when no worker can
claim it, and looked at again: what was replaced before that is given back. Then it is stored in the other
queue under its id; then it is removed here, and over there instead where somebody here was faster. Whatever
ends meanwhile, this process or a server, the job is not lost: it is ready here again once it has waited. Only
when the other queue has it by then, it runs twice, as any job may whose worker dies.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from ardiq import owners, references
from ardiq.adminui.again import KEPT
from ardiq.adminui.asking import broker_of
from ardiq.adminui.reading import definition
from ardiq.connection import Broker
from ardiq.core.errors import QueueFull
from ardiq.core.job import FLAG_STARTED, FLAG_UNTIL_START, JobRecord, JobStatus
from ardiq.core.outcome import CALL, call_subject, read_call
from ardiq.core.reference import read_subject
from ardiq.core.wishes import span
from ardiq.store import inspector, letters, moving, recurring, verbs
from ardiq.store.newjobs import NewJob, new_job

HELD_MS = 60_000
PIECE = 50  # jobs in one round trip: of a megabyte each at most

Text = str | Promise


@dataclass(slots=True)
class Moved:
    """``left``: why jobs stayed -> how many."""

    count: int = 0
    left: Counter[Text] = field(default_factory=Counter)
    full: bool = False
    kept: list[str] = field(default_factory=list)
    """Ids of jobs that were held and have to go back."""

    def leave(self, why: Text, ids: Sequence[str]) -> None:
        if ids:
            self.left[why] += len(ids)
            self.kept += ids


def move_to(queue: str, lane: str, target: str, most: int) -> Moved:
    """Move the first ``most`` jobs of a lane to the end of the lane of that name in another queue, or of its
    default one. Raises BrokerError; then what was under way comes back by itself."""
    own, other, moved = broker_of(queue), broker_of(target), Moved()
    ids: list[str] = own.store.run(moving.first(own.keys, lane, most))
    for at in range(0, len(ids), PIECE):
        if moved.full:
            break
        _piece(own, other, lane, ids[at : at + PIECE], moved)
    # The last one first, so that they stand at the head in the order that they had.
    back = [moving.move(own.keys, id, due=moving.NOW, head=True) for id in reversed(moved.kept)]
    if back:
        own.store.run_many(back)
    return moved


def _piece(own: Broker, other: Broker, lane: str, ids: Sequence[str], moved: Moved) -> None:
    views, now = own.store.run_many([inspector.jobs(own.keys, ids), recurring.now()])
    records = [view.record for view in views if view is not None and view.record is not None]
    # A lane may hold ids of jobs that are elsewhere by now.
    waiting = [one for one in records if one.status is JobStatus.QUEUED and one.lane == lane]
    made: dict[str, tuple[JobRecord, NewJob]] = {}
    for record in waiting:
        found = _made(own, other, record, now)
        if isinstance(found, tuple):
            made[record.id] = record, found
        else:
            moved.left[found] += 1
    held = _hold(own, lane, [record for record, _job in made.values()], moved) if made else []
    if held:
        _send(own, other, {id: made[id][1] for id in held}, moved)


def _hold(own: Broker, lane: str, records: Sequence[JobRecord], moved: Moved) -> list[str]:
    """Ids of those that no worker can claim for now, and that are what they were when they were read."""
    holds = [moving.move(own.keys, one.id, due=moving.due(HELD_MS), ready_in=lane) for one in records]
    *answers, views = own.store.run_many([*holds, inspector.jobs(own.keys, [one.id for one in records])])
    same: list[str] = []
    changed: list[str] = []
    for old, view, there in zip(records, views, answers, strict=True):
        if there and view is not None and view.record is not None:
            (same if _same(old, view.record) else changed).append(old.id)
    moved.leave(_("they have changed meanwhile"), changed)
    return same


def _same(old: JobRecord, held: JobRecord) -> bool:
    """Whether all but state and time is as it was: who has run meanwhile has another head or history."""
    return held.head(JobStatus.QUEUED) == old.head(JobStatus.QUEUED) and held.tail() == old.tail()


def _send(own: Broker, other: Broker, jobs: dict[str, NewJob], moved: Moved) -> None:
    try:
        answers = other.store.run(verbs.enqueue(other.keys, list(jobs.values()), other.limit))
    except QueueFull:
        answers, moved.full = [False] * len(jobs), True
    stored = [id for id, answer in zip(jobs, answers, strict=True) if answer is True]
    why = _("the other queue is full") if moved.full else _("their id or unique slot is taken there")
    moved.leave(why, [id for id in jobs if id not in set(stored)])
    if not stored:
        return
    gone = own.store.run(letters.delete(own.keys, stored, states="D"))
    moved.count += sum(gone.values())
    # Somebody has aborted, deleted or started it here meanwhile: that holds, and not what was made of it.
    if twice := [id for id, removed in gone.items() if not removed]:
        other.store.run(letters.delete(other.keys, twice, states="QD"))
        moved.left[_("they have changed meanwhile")] += len(twice)


def _made(own: Broker, other: Broker, record: JobRecord, now: int) -> NewJob | Text:
    """The job as the other queue has it, or why it stays."""
    if record.attempts or record.crashes or record.flags & FLAG_STARTED:
        return _("they have run before")
    args, kwargs, meta, problem = read_call(own.codec, record)
    if problem:
        return _("their calls cannot be read")
    queue, id, name = other.options.queue, record.id, record.name
    if not _known(queue, record):
        return _("their tasks are not known there")
    kept = {option: meta[option] for option in (*KEPT, "parent", "nonce") if option in meta}
    if expire := span(meta, "expire_ms"):
        # What is left of its window, which begins anew over there.
        kept["expire_ms"] = record.enqueued + expire - now
        if kept["expire_ms"] <= 0:
            return _("they have expired")
    call = other.codec.encode(CALL, call_subject(id, name), [args, kwargs, kept])
    if len(call) > other.options.max_payload_bytes:
        return _("their calls are too large there")
    known, subject = definition(queue, name), read_subject(meta)
    lane = record.lane if record.lane in other.options.priorities else other.options.default_priority
    return new_job(
        id, lane, name, call,
        unique=record.unique,
        unique_ttl_ms=known.unique_ttl_ms if known and record.unique else 0,
        unique_until_start=bool(record.flags & FLAG_UNTIL_START),
        subject=references.subject_hash(subject) if subject else "",
        subject_ttl_ms=references.listed_for(other.options, known) if subject else 0,
    )  # fmt: skip


def _known(queue: str, record: JobRecord) -> bool:
    """Whether workers of a queue have the task, as far as this process can tell."""
    if definition(queue, record.name) is not None:
        return True
    return any(one.seek(record) is not None for one in owners.followers(queue))


def reasons(moved: Moved) -> Iterator[str]:
    """'3 stay: their tasks are not known there'."""
    for why, count in moved.left.most_common():
        yield str(_("%(count)d stay: %(why)s.") % {"count": count, "why": why})
