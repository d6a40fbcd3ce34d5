"""Run again, retry, run now, abort, delete: what each may do to which jobs, and doing it. No pages here."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from ardiq.adminui.again import again
from ardiq.adminui.asking import broker_of
from ardiq.connection import Broker
from ardiq.core.job import ENDED, LIVE, JobStatus
from ardiq.core.outcome import pack_abort
from ardiq.models import Job
from ardiq.store import letters, moving, verbs

MOST = 1_000  # jobs of one action; of more, a bulk operation takes care
CHUNK = 200  # jobs at a time; aborting and deleting take ids out of lanes, running again reads whole calls

Text = str | Promise
Done = dict[str, Text]  # id -> why it was not done, '' when it was
Pace = tuple[
    float, float
]  # ms until the first of some jobs, and from each to the next: only for what is retried


@dataclass(frozen=True, slots=True)
class Action:
    """Something to be done to jobs in some states. Texts take the number of jobs as ``%(count)s``."""

    name: str
    permission: str
    states: frozenset[JobStatus]
    button: Text
    title: Text
    promise: Text
    done: Text
    logged: Text
    skipped: Callable[[JobStatus | None], Text]
    perform: Callable[[Broker, Sequence[str], Pace], Done]

    def fits(self, job: Any) -> bool:
        return job.status in self.states and not job.also_in

    @property
    def paced(self) -> bool:
        """Whether the jobs may be spread over a time."""
        return self.name == "retry"


def _chunks(ids: Sequence[str]) -> Iterable[tuple[int, Sequence[str]]]:
    return ((at, ids[at : at + CHUNK]) for at in range(0, len(ids), CHUNK))


def _abort(own: Broker, ids: Sequence[str], pace: Pace) -> Done:
    ttl = own.options.result_ttl_ms
    calls = [verbs.abort(own.keys, id, ttl, pack_abort(own.codec, id)) for id in ids]
    late = _("had ended, or was told to stop before")
    return {id: "" if stopped else late for id, stopped in zip(ids, own.store.run_many(calls), strict=True)}


def _retry(own: Broker, ids: Sequence[str], pace: Pace) -> Done:
    words: dict[str, Text] = {
        "queued": "",
        "not ended": _("is waiting or running already"),
        "slot taken": _("an identical job waits or runs (unique)"),
    }
    first, step = pace
    calls = [
        letters.replay(own.keys, part, first_ms=first + at * step, step_ms=step) for at, part in _chunks(ids)
    ]
    out: Done = {}
    for answers in own.store.run_many(calls):
        out |= {id: words[answer] for id, answer in answers.items()}
    return out


def _run_now(own: Broker, ids: Sequence[str], pace: Pace) -> Done:
    calls = [moving.move(own.keys, id, due=moving.NOW) for id in ids]
    late = _("does not wait any more")
    return {id: "" if there else late for id, there in zip(ids, own.store.run_many(calls), strict=True)}


def _again(own: Broker, ids: Sequence[str], pace: Pace) -> Done:
    out: Done = {}
    for _at, part in _chunks(ids):
        out |= again(own, part)
    return out


def _delete(own: Broker, ids: Sequence[str], pace: Pace) -> Done:
    out: Done = {}
    for answers in own.store.run_many([letters.delete(own.keys, part) for _at, part in _chunks(ids)]):
        out |= {id: "" if gone else _("runs, or was gone") for id, gone in answers.items()}
    return out


def _skips(texts: dict[JobStatus, Text], other: Text) -> Callable[[JobStatus | None], Text]:
    return lambda status: texts.get(status, other) if status else _("cannot be read")


ACTIONS = {
    action.name: action
    for action in (
        Action(
            "abort",
            "ardiq.abort_job",
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
            "ardiq.retry_job",
            frozenset(ENDED) - {JobStatus.SUCCEEDED},
            _("Retry"),
            _("Retry jobs"),
            _("They are queued again under their ids with fresh attempts; their old outcomes go."),
            _("Queued again: %(count)s."),
            _("Queued again."),
            _skips({JobStatus.SUCCEEDED: _("has done its work")}, _("is waiting or running")),
            _retry,
        ),
        Action(
            "again",
            "ardiq.retry_job",
            frozenset(ENDED),
            _("Run again"),
            _("Run jobs again"),
            _("The same calls are enqueued as new jobs; the old ones stay, and link to the new ones."),
            _("Enqueued as new jobs: %(count)s."),
            _("Run again as a new job."),
            _skips({}, _("is waiting or running")),
            _again,
        ),
        Action(
            "run",
            "ardiq.retry_job",
            frozenset({JobStatus.SCHEDULED}),
            _("Run now"),
            _("Run scheduled jobs now"),
            _("They do not wait for their time, and go to the end of their lanes."),
            _("Made ready: %(count)s."),
            _("Made ready before its time."),
            _skips({JobStatus.QUEUED: _("is ready already")}, _("is not scheduled")),
            _run_now,
        ),
        Action(
            "delete",
            "ardiq.delete_job",
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


def perform(
    action: Action, jobs: Sequence[Job], pace: Pace = (0, 0)
) -> tuple[list[Job], list[tuple[Job, Text]]]:
    """Do it. Returns the jobs that it was done to, and (job, why not) of the others."""
    done: list[Job] = []
    skipped: list[tuple[Job, Text]] = []
    answers: dict[tuple[str, str], Text] = {}
    fitting = [job for job in jobs if action.fits(job)]
    for queue in dict.fromkeys(job.queue for job in fitting):
        ids = [job.id for job in fitting if job.queue == queue]
        answers |= {(queue, id): why for id, why in action.perform(broker_of(queue), ids, pace).items()}
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
