"""Abort, run again, delete: what each may do to which jobs, and doing it. No pages here."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from ardiq.adminui.sources import broker_of
from ardiq.connection import Broker
from ardiq.core.job import ENDED, LIVE, JobStatus
from ardiq.core.outcome import pack_abort
from ardiq.models import Job
from ardiq.store import letters, verbs

MOST = 1_000  # jobs of one action
CHUNK = 200  # jobs of one script; aborting and deleting take ids out of lanes

Text = str | Promise
Done = dict[str, Text]  # id -> why it was not done, '' when it was


@dataclass(frozen=True, slots=True)
class Action:
    """Something to be done to jobs in some states. Texts take the number of jobs as ``%(count)s``."""

    name: str
    states: frozenset[JobStatus]
    button: Text
    title: Text
    promise: Text
    done: Text
    logged: Text
    skipped: Callable[[JobStatus | None], Text]
    perform: Callable[[Broker, Sequence[str]], Done]

    @property
    def permission(self) -> str:
        return f"ardiq.{self.name}_job"

    def fits(self, job: Any) -> bool:
        return job.status in self.states and not job.also_in


def _chunks(ids: Sequence[str]) -> Iterable[Sequence[str]]:
    return (ids[at : at + CHUNK] for at in range(0, len(ids), CHUNK))


def _abort(own: Broker, ids: Sequence[str]) -> Done:
    ttl = own.options.result_ttl_ms
    calls = [verbs.abort(own.keys, id, ttl, pack_abort(own.codec, id)) for id in ids]
    late = _("had ended, or was told to stop before")
    return {id: "" if stopped else late for id, stopped in zip(ids, own.store.run_many(calls), strict=True)}


def _retry(own: Broker, ids: Sequence[str]) -> Done:
    words: dict[str, Text] = {
        "queued": "",
        "not ended": _("is waiting or running already"),
        "slot taken": _("an identical job waits or runs (unique)"),
    }
    out: Done = {}
    for answers in own.store.run_many([letters.replay(own.keys, part) for part in _chunks(ids)]):
        out |= {id: words[answer] for id, answer in answers.items()}
    return out


def _delete(own: Broker, ids: Sequence[str]) -> Done:
    out: Done = {}
    for answers in own.store.run_many([letters.delete(own.keys, part) for part in _chunks(ids)]):
        out |= {id: "" if gone else _("runs, or was gone") for id, gone in answers.items()}
    return out


def _skips(texts: dict[JobStatus, Text], other: Text) -> Callable[[JobStatus | None], Text]:
    return lambda status: texts.get(status, other) if status else _("cannot be read")


ACTIONS = {
    action.name: action
    for action in (
        Action(
            "abort",
            frozenset(LIVE),
            _("Abort"),
            _("Abort jobs"),
            _("Waiting jobs end at once and never run; running ones are told to stop."),
            _("Aborted or told to stop: %(count)s."),
            _("Aborted."),
            _skips({}, _("has ended")),
            _abort,
        ),
        Action(
            "retry",
            frozenset(ENDED) - {JobStatus.SUCCEEDED},
            _("Run again"),
            _("Run jobs again"),
            _("They are queued again under their ids with fresh attempts; their old outcomes go."),
            _("Queued again: %(count)s."),
            _("Queued again."),
            _skips({JobStatus.SUCCEEDED: _("has done its work")}, _("is waiting or running")),
            _retry,
        ),
        Action(
            "delete",
            frozenset({*LIVE, *ENDED}) - {JobStatus.RUNNING},
            _("Delete"),
            _("Delete jobs"),
            _("Their results and errors are lost, and those that wait never run."),
            _("Deleted: %(count)s."),
            _("Deleted."),
            _skips({}, _("is running; abort it first")),
            _delete,
        ),
    )
}


def perform(action: Action, jobs: Sequence[Job]) -> tuple[list[Job], list[tuple[Job, Text]]]:
    """Do it. Returns the jobs that it was done to, and (job, why not) of the others."""
    done: list[Job] = []
    skipped: list[tuple[Job, Text]] = []
    answers: dict[tuple[str, str], Text] = {}
    fitting = [job for job in jobs if action.fits(job)]
    for queue in dict.fromkeys(job.queue for job in fitting):
        ids = [job.id for job in fitting if job.queue == queue]
        answers |= {(queue, id): why for id, why in action.perform(broker_of(queue), ids).items()}
    for job in jobs:
        why = answers.get((job.queue, job.id), skip_reason(action, job))
        if why:
            skipped.append((job, why))
        else:
            done.append(job)
    return done, skipped


def skip_reason(action: Action, job: Job) -> Text:
    """Why an action does not fit a job; '' when it does."""
    if job.also_in:
        return _("its id is also in another queue; filter by queue first")
    return "" if job.status in action.states else action.skipped(job.status)
