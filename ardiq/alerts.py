"""What somebody has to do something about: for the dashboard of the admin, and for ``ardiq_status``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from ardiq.adminui.text import plain
from ardiq.adminui.times import span
from ardiq.core.job import JobStatus
from ardiq.overview import Overview
from ardiq.store import server
from ardiq.store.controls import Pause
from ardiq.store.inspector import WorkerView

NEARLY = 0.9  # of maxmemory
PAUSES, WORKERS, SCHEDULES = "pauses", "workers", "schedules"  # whose names and reasons an alert may tell
NAMED = frozenset({PAUSES, WORKERS, SCHEDULES})


@dataclass(frozen=True, slots=True)
class Alert:
    """``name`` is for machines; what is wrong, and what to do, are in the language in force."""

    name: str
    text: str
    way_out: str


def alerts(seen: Overview, named: frozenset[str] = NAMED) -> Iterator[Alert]:
    """What needs somebody, the worst first. Of what is not ``named`` the fact alone is told, without who,
    which and why: that is for those who may see its own pages."""
    yield from _of_server(seen)
    for pause in seen.pauses:
        flag = f" --lane {pause.lane}" if pause.lane else ""
        command = f"manage.py ardiq_queues resume {seen.options.queue}{flag}"
        shown = pause if PAUSES in named else replace(pause, by="", reason="")
        yield Alert("paused", paused(shown, seen.now), _("to go on: %(command)s") % {"command": command})
    yield from _of_lanes(seen)
    yield from _of_workers(seen, WORKERS in named)
    late = [one.recurrence.name for one in seen.schedules if one.late]
    if late and seen.working():
        names = ", ".join(late[:3]) + (", …" if len(late) > 3 else "")
        text = _("%(names)s: more than a minute late") % {"names": names}
        if SCHEDULES not in named:
            text = ngettext(
                "%(count)d recurring task is more than a minute late",
                "%(count)d recurring tasks are more than a minute late",
                len(late),
            ) % {"count": len(late)}
        yield Alert("schedules", text, _("do the workers know these tasks? restart them after a deployment"))


def _of_server(seen: Overview) -> Iterator[Alert]:
    info = seen.info
    if server.danger(info.policy):
        # As server.py says it to workers, whose logs are not in the language of whoever looks.
        text = _(
            "maxmemory-policy is %(policy)s, so the server throws away live jobs when its memory is full"
        )
        way_out = _("CONFIG SET maxmemory-policy noeviction, and the same in its configuration")
        yield Alert("eviction", text % {"policy": plain(info.policy)}, way_out)
    used, most = info.number("used_memory") or 0, info.number("maxmemory") or 0
    if most and used > NEARLY * most:
        text = _("the server uses %(share)s of its maxmemory; a full one takes no more jobs")
        way_out = _("raise maxmemory, or keep results for a shorter time")
        yield Alert("memory", text % {"share": f"{used / most:.0%}"}, way_out)


def _of_lanes(seen: Overview) -> Iterator[Alert]:
    """Work that nobody will do."""
    working = seen.working()
    ready = seen.counts.statuses[JobStatus.QUEUED]
    if not working:
        command = f"manage.py ardiq_worker --queue {seen.options.queue}"
        start = _("start one: %(command)s") % {"command": command}
        if ready:
            yield Alert(
                "no worker", _("%(jobs)s, and no worker serves this queue") % {"jobs": _wait(ready)}, start
            )
        elif seen.heads.next_due and seen.heads.next_due <= seen.now:
            yield Alert("no worker", _("scheduled jobs are due, and no worker serves this queue"), start)
        elif seen.schedules:
            yield Alert("no worker", _("recurring tasks fire only while a worker runs, and none does"), start)
        return
    doing = {worker.doing for worker in working}
    if ready and "quiet" in doing and "" not in doing:
        text = _("%(jobs)s, and all workers are quiet") % {"jobs": _wait(ready)}
        command = f"manage.py ardiq_workers work --all --queue {seen.options.queue}"
        yield Alert("quiet", text, _("to go on: %(command)s") % {"command": command})
    served = {lane for worker in working for lane in worker.about.get("lanes", "").split(",")}
    for lane in seen.options.priorities:
        if seen.counts.lanes[lane] and lane not in served and served != {""}:
            words = {"jobs": _wait(seen.counts.lanes[lane]), "lane": lane}
            text = _("%(jobs)s in %(lane)s, and no worker drains that lane") % words
            yield Alert("lane", text, _("give every process the same PRIORITIES, and restart the workers"))


def _of_workers(seen: Overview, named: bool) -> Iterator[Alert]:
    working = seen.working()
    for worker in working:
        since = worker.beat if seen.silent(worker) else worker.turned
        words = {"name": name_of(worker), "span": span((seen.now - since) / 1000)}
        if seen.silent(worker):
            text = (
                _("%(name)s has not been heard of for %(span)s")
                if named
                else _("a worker has not been heard of for %(span)s")
            )
            yield Alert(
                "silent", text % words, _("if it is dead, others take its jobs over when its lease ends")
            )
        elif seen.stuck(worker):
            text = (
                _("the event loop of %(name)s has not turned for %(span)s")
                if named
                else _("the event loop of a worker has not turned for %(span)s")
            )
            yield Alert("blocked", text % words, _("its log has the stacks; async tasks must not block"))
    versions = sorted({version for worker in working if (version := worker.about.get("version"))})
    if len(versions) > 1:
        text = _("workers of ardiq %(versions)s serve this queue") % {"versions": _(" and ").join(versions)}
        yield Alert("versions", text, _("finish the deployment"))


def paused(pause: Pause, now: int) -> str:
    """'lane low paused 3 min ago by ann: deploy'."""
    what = _("lane %(lane)s paused") % {"lane": plain(pause.lane)} if pause.lane else _("paused")
    if pause.at:
        what += " " + _("%(span)s ago") % {"span": span((now - pause.at) / 1000)}
    if pause.by:
        what += " " + _("by %(name)s") % {"name": plain(pause.by)}
    return f"{what}: {plain(pause.reason)}" if pause.reason else what


def _wait(count: int) -> str:
    return ngettext("%(count)d job waits", "%(count)d jobs wait", count) % {"count": count}


def name_of(worker: WorkerView) -> str:
    return plain(worker.about.get("name") or worker.id[:8])
