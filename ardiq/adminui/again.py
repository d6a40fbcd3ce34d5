"""Running ended jobs again as new ones: the same call under a new id, and each knows of the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.utils.translation import gettext_lazy as _

from ardiq import owners, references
from ardiq.adminui.reading import definition
from ardiq.connection import Broker, new_id
from ardiq.core.errors import QueueFull
from ardiq.core.job import FLAG_UNTIL_START, JobRecord
from ardiq.core.outcome import CALL, call_subject, read_call
from ardiq.core.propagate import ENQUEUED_BY
from ardiq.core.reference import read_subject
from ardiq.signals import announce, job_enqueued
from ardiq.store import inspector, verbs
from ardiq.store.again import came_of
from ardiq.store.newjobs import NewJob, new_job

PARENT = "parent"  # the option of a call that names the job which it repeats
DJANGO = "django"  # the option that says in what the task of a call differs from the one in its module
KEPT = ("headers", "keep_logs", "expire_ms", "context", "format", "subject")  # options that still hold


def again(own: Broker, ids: Sequence[str]) -> dict[str, Any]:
    """id -> why it was not run again, '' when it was. Three round trips, one more when the queue is full."""
    views = own.store.run(inspector.jobs(own.keys, ids))
    out: dict[str, Any] = {view.id: _("cannot be read") for view in views if view is not None}
    made: dict[str, NewJob] = {}
    names = {view.id: view.record.name for view in views if view is not None and view.record}
    for view in views:
        if view is not None and view.record is not None and (job := _copy(own, view.record)):
            made[view.id] = job
    out |= _enqueued(own, made)
    new = [id for id in made if not out[id]]
    if new:
        own.store.run_many([came_of(own.keys, id, made[id][0]) for id in new])
        _announce(own, [(made[id], names[id]) for id in new])
    return {id: out.get(id, _("is gone")) for id in ids}


def _enqueued(own: Broker, made: dict[str, NewJob]) -> dict[str, Any]:
    # One at a time: two of them may want the same unique slot, and a batch is all or nothing.
    calls = [verbs.enqueue(own.keys, (job,), own.limit) for job in made.values()]
    try:
        there = [answer is True for (answer,) in own.store.run_many(calls)]
        why = _("an identical job waits or runs (unique)")
    except QueueFull:
        # Those in front of the first that did not fit are there, and nobody has told which one it was.
        views = own.store.run(inspector.jobs(own.keys, [job[0] for job in made.values()]))
        there, why = [view is not None for view in views], _("the queue is full")
    return {id: "" if done else why for id, done in zip(made, there, strict=True)}


def _announce(own: Broker, made: list[tuple[NewJob, str]]) -> None:
    if job_enqueued.receivers:
        announce(own.options.queue, ((job[0], name, job[1]) for job, name in made))


def _copy(own: Broker, record: JobRecord) -> NewJob | None:
    """The same call as a new job, to run at once; None for one that cannot be read here."""
    args, kwargs, meta, problem = read_call(own.codec, record)
    if problem:
        return None
    id, known = new_id(), definition(own.options.queue, record.name)
    kept = {name: meta[name] for name in KEPT if name in meta} | {PARENT: record.id}
    if differs := {name: value for name, value in (meta.get(DJANGO) or {}).items() if name != "run_after"}:
        kept[DJANGO] = differs
    if own.carrier is not None:
        context = _context(own, kept.pop("context", None))
        kept |= {"context": context} if context else {}
    call = own.codec.encode(CALL, call_subject(id, record.name), [args, kwargs, kept])
    lane = record.lane if record.lane in own.options.priorities else own.options.default_priority
    subject = read_subject(meta)
    return new_job(
        id,
        lane,
        record.name,
        call,
        fresh=True,
        unique=record.unique,
        unique_ttl_ms=known.unique_ttl_ms if known and record.unique else 0,
        unique_until_start=bool(record.flags & FLAG_UNTIL_START),
        subject=references.subject_hash(subject) if subject else "",
        subject_ttl_ms=references.listed_for(own.options, known) if subject else 0,
    )


def _context(own: Broker, context: Any) -> dict[str, Any]:
    """What travelled with the job; but who asks is who asks now."""
    asked = own.carrier.take().get(ENQUEUED_BY) if own.carrier is not None else None
    had = {name: value for name, value in (context or {}).items() if name != ENQUEUED_BY}
    return {**had, ENQUEUED_BY: asked} if asked else had


def newest(own: Broker, id: str) -> str:
    """The id of the job that was made of another one last; '' for none."""
    (view,) = own.store.run(inspector.job(own.keys, id))
    return view.again[-1] if view is not None and view.again else ""


def known_here(queue: str, name: str) -> bool:
    """Whether this process has the task, so that a form can be made of it."""
    return owners.task_of(queue, name) is not None
