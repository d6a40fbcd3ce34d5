"""Why a job is not running: what stands between it and its start, in the order in which it matters."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from ardiq.adminui import times, tries
from ardiq.adminui.asking import broker_of
from ardiq.adminui.filters import number
from ardiq.adminui.reading import Reading
from ardiq.adminui.text import plain
from ardiq.core.job import JobStatus
from ardiq.core.options import Options
from ardiq.core.outcome import parked_since
from ardiq.store import controls, inspector
from ardiq.store.controls import Pause
from ardiq.store.inspector import FAR, Counts, WorkerView

LOOKED = 50  # workers whose lanes and slots are looked at


@dataclass(frozen=True, slots=True)
class Reason:
    """``stuck``: it will not run by itself; somebody has to do something. ``command`` is what."""

    text: Any
    stuck: bool = False
    command: str = ""


@dataclass(frozen=True, slots=True)
class Scene:
    """A waiting job among all that is around it."""

    reading: Reading
    options: Options
    counts: Counts
    workers: list[WorkerView]
    ahead: int | None
    pauses: list[Pause]

    @property
    def lane(self) -> str:
        return self.reading.record.lane if self.reading.record else ""

    @property
    def alive(self) -> list[WorkerView]:
        now = time.time() * 1000
        return [one for one in self.workers if one.lease_end >= now]


def reasons(reading: Reading) -> list[Reason]:
    """Nothing for a job that runs or has ended. Two round trips."""
    record = reading.record
    if record is None or record.status not in (JobStatus.QUEUED, JobStatus.SCHEDULED):
        return []
    own = broker_of(reading.queue)
    counts, leases, ahead, pauses = own.store.run_many(
        [
            inspector.counts(own.keys, own.options.priorities),
            inspector.workers(own.keys),
            inspector.ahead(own.keys, record.lane, record.id),
            controls.pauses(own.keys),
        ]
    )
    near = leases[:LOOKED]
    workers = list(
        own.store.run_many([inspector.worker(own.keys, id, end) for id, end in near]) if near else ()
    )
    scene = Scene(reading, own.options, counts, workers, ahead, pauses)
    every = _scheduled(scene) if record.status is JobStatus.SCHEDULED else _queued(scene)
    return [*_paused(scene), *_workers(scene), *every, *_always(scene)]


def _paused(scene: Scene) -> Iterator[Reason]:
    for pause in scene.pauses:
        if pause.lane not in ("", scene.lane):
            continue
        what = _("The lane %s is paused") % plain(pause.lane) if pause.lane else _("The queue is paused")
        by = _(" by %s") % plain(pause.by, 150) if pause.by else ""
        since = f" ({times.relative(pause.at)})" if pause.at else ""
        why = f": {plain(pause.reason, 300)}" if pause.reason else "."
        yield Reason(f"{what}{by}{since}{why}", True)


def _workers(scene: Scene) -> Iterator[Reason]:
    queue, lane = scene.reading.queue, scene.lane
    if not scene.counts.workers:
        yield Reason(
            _("No worker serves the queue %s. Start one:") % queue,
            True,
            f"python manage.py ardiq_worker --queue {queue}",
        )
    elif scene.alive and not any(lane in _lanes(worker) for worker in scene.alive):
        text = _("No worker drains the lane %(lane)s of the queue %(queue)s.")
        yield Reason(text % {"lane": plain(lane), "queue": queue}, True)
    elif lane not in scene.options.priorities:
        yield Reason(_("The settings know no lane %s; a worker has to drain it.") % plain(lane), True)


def _lanes(worker: WorkerView) -> list[str]:
    return worker.about.get("lanes", "").split(",")


def _scheduled(scene: Scene) -> Iterator[Reason]:
    reading, record = scene.reading, scene.reading.record
    assert record is not None
    span = times.span(max(0.0, record.at / 1000 - time.time()))
    since = parked_since(broker_of(reading.queue).codec, record)
    if since is not None:
        text = _(
            "It is parked since %(since)s: no worker that took it could run it, for example because none "
            "knows its task. The next one tries in %(span)s."
        )
        yield Reason(text % {"since": times.relative(since), "span": span}, True)
    elif reading.history:
        most = tries.most(reading)
        failed = len(reading.history)
        if most is None:
            text = _("It waits to be tried again: attempt %(failed)s failed, the next is in %(span)s.")
        else:
            text = _(
                "It waits to be tried again: attempt %(failed)s of %(most)s failed, the next is in %(span)s."
            )
        yield Reason(text % {"failed": failed, "most": most, "span": span})
    elif record.at > time.time() * 1000:
        yield Reason(
            _("It runs in %(span)s, at %(when)s.") % {"span": span, "when": times.absolute(record.at)}
        )
    else:
        yield Reason(_("It is due; the next worker that has a free slot takes it."))


def _queued(scene: Scene) -> Iterator[Reason]:
    options, lane = scene.options, scene.lane
    lanes = list(options.priorities)
    above = lanes[lanes.index(lane) + 1 :] if lane in lanes else []
    higher = 0 if options.lane_weights else sum(scene.counts.lanes.get(one, 0) for one in above)
    if scene.ahead is None:
        yield Reason(_("More than %s jobs of its lane are ahead of it.") % number(FAR))
    elif scene.ahead:
        text = ngettext(
            "%(count)s job of its lane is ahead of it.",
            "%(count)s jobs of its lane are ahead of it.",
            scene.ahead,
        )
        yield Reason(text % {"count": number(scene.ahead)})
    if higher:
        text = ngettext(
            "%(count)s job of a higher lane goes first.", "%(count)s jobs of higher lanes go first.", higher
        )
        yield Reason(text % {"count": number(higher)})
    slots = sum(worker.number("concurrency") for worker in scene.alive)
    busy = scene.counts.statuses[JobStatus.RUNNING]
    if slots and busy >= slots:
        text = _("All slots are taken: %(busy)s jobs are held by workers with %(slots)s slots.")
        yield Reason(text % {"busy": number(busy), "slots": number(slots)})
    limit = (options.lane_limits or {}).get(lane)
    if limit:
        text = _("At most %(limit)s jobs of the lane %(lane)s run at once in each worker.")
        yield Reason(text % {"limit": number(limit), "lane": plain(lane)})
    if not (scene.ahead or scene.ahead is None or higher or busy) and scene.counts.workers:
        yield Reason(_("Nothing is ahead of it: the next claim of a worker takes it."))


def _always(scene: Scene) -> Iterator[Reason]:
    reading, record = scene.reading, scene.reading.record
    assert record is not None
    if record.crashes:
        yield Reason(_("A worker died while it held this job: it runs alone, in a process of its own."))
    if reading.expires and not reading.runs:
        left = reading.expires / 1000 - time.time()
        if left > 0:
            yield Reason(_("It expires in %s if it has not started by then.") % times.span(left))
        else:
            yield Reason(_("Its time to start is over: the worker that takes it lets it expire."), True)
