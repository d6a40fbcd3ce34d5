"""Moving jobs that wait to another queue, which may be on another server and signs its calls for itself.

No script reaches both queues. So each job is first made to wait for HELD_MS where it is, when no worker can
claim it; then it is stored in the other queue under its id; then it is removed here. Whatever ends meanwhile,
this process or a server, the job is not lost: it is ready here again once it has waited. Only when the other
queue has it by then, it runs twice, as any job may whose worker dies.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from ardiq import owners, references
from ardiq.adminui.again import KEPT
from ardiq.adminui.reading import definition
from ardiq.adminui.sources import broker_of
from ardiq.connection import Broker
from ardiq.core.errors import QueueFull
from ardiq.core.job import FLAG_UNTIL_START, JobRecord, JobStatus
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


def move_to(queue: str, lane: str, target: str, most: int) -> Moved:
    """Move the first ``most`` jobs of a lane to the end of the lane of that name in another queue, or of its
    default one. Raises BrokerError; then what was under way comes back by itself."""
    own, other, moved = broker_of(queue), broker_of(target), Moved()
    ids: list[str] = own.store.run(moving.first(own.keys, lane, most))
    for at in range(0, len(ids), PIECE):
        if moved.full:
            break
        _piece(own, other, lane, ids[at : at + PIECE], moved)
    return moved


def _piece(own: Broker, other: Broker, lane: str, ids: Sequence[str], moved: Moved) -> None:
    views, now = own.store.run_many([inspector.jobs(own.keys, ids), recurring.now()])
    records = [view.record for view in views if view is not None and view.record is not None]
    # A lane may hold ids of jobs that are elsewhere by now.
    waiting = [one for one in records if one.status is JobStatus.QUEUED and one.lane == lane]
    made: dict[str, NewJob] = {}
    for record in waiting:
        found = _made(own, other, record, now)
        if isinstance(found, tuple):
            made[record.id] = found
        else:
            moved.left[found] += 1
    holds = [moving.move(own.keys, id, due=moving.due(HELD_MS)) for id in made]
    held = [id for id, there in zip(made, own.store.run_many(holds) if holds else [], strict=True) if there]
    if not held:
        return
    jobs = [made[id] for id in held]
    try:
        answers = other.store.run(verbs.enqueue(other.keys, jobs, other.limit))
    except QueueFull:
        answers, moved.full = [False] * len(jobs), True
    stored = [id for id, answer in zip(held, answers, strict=True) if answer is True]
    kept = [id for id in held if id not in set(stored)]
    gone = letters.delete(own.keys, stored, states="D")
    back = [moving.move(own.keys, id, due=moving.NOW) for id in kept]
    own.store.run_many([*([gone] if stored else []), *back])
    moved.count += len(stored)
    if kept:
        why = _("the other queue is full") if moved.full else _("their id or unique slot is taken there")
        moved.left[why] += len(kept)


def _made(own: Broker, other: Broker, record: JobRecord, now: int) -> NewJob | Text:
    """The job as the other queue has it, or why it stays."""
    if record.attempts or record.crashes:
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
