"""Jobs as lines for a terminal and as data for machines. Secrets are masked as in the admin.

Whatever comes from a job is spelt so that it can neither begin a line nor steer a terminal (FAULTS S9).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from django.utils import timezone

from ardiq.adminui import seeing, times
from ardiq.adminui.reading import Reading
from ardiq.adminui.text import plain, pretty
from ardiq.connection import Broker
from ardiq.core.job import JobStatus
from ardiq.core.outcome import Failure
from ardiq.core.redact import MASK
from ardiq.core.reports import LogLine, Progress
from ardiq.management.naming import some
from ardiq.results import Job, JobInfo
from ardiq.store import browsing, inspector, letters
from ardiq.store.letters import FailureGroup

ID, STATUS, AGE = 32, 9, 11  # widths of columns


def readings(own: Broker, ids: Sequence[str]) -> list[Reading | None]:
    """Each job as a list shows it, without what is very large; None for one that is not there."""
    views: list[inspector.JobView | None] = []
    for at in range(0, len(ids), browsing.STRETCH):
        views += own.store.run(inspector.rows(own.keys, ids[at : at + browsing.STRETCH]))
    return [Reading(own.options.queue, own.codec, view) if view else None for view in views]


def line(value: object, most: int = 500) -> str:
    """Any text in one line."""
    return plain(value, most).replace("\n", "\\n").replace("\t", " ")


def clip(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[: max(width - 1, 0)]}…"


def moment(ms: int | None) -> str:
    """Local time of the project, and how long ago."""
    at = times.moment(ms)
    if at is None:
        return ""
    local = timezone.localtime(at) if timezone.is_aware(at) else at
    return f"{local:%Y-%m-%d %H:%M:%S}.{local.microsecond // 1000:03d} ({times.relative(ms)})"


def status_of(one: Reading) -> str:
    return one.view.status.value if one.view.status else "unreadable"


def error_of(one: Reading) -> Failure | None:
    """What went wrong last, secrets masked."""
    return one.masked(one.error) if one.error else None


def summary(error: Failure, most: int = 500) -> str:
    return line(f"{error.type}: {error.message}" if error.message else error.type, most)


# -- lists --------------------------------------------------------------------------------------------


def nearness(one: Reading, now: int) -> int:
    """Lists begin with what is nearest to now, whether it is to come or has been."""
    at = one.record.at if one.record else 0
    return min(at, 2 * now - at)


def rows(found: Sequence[Reading], width: int) -> Iterator[tuple[str, str]]:
    """(style, line): one line for each job, and another for what it failed of."""
    for one in found:
        record, status, id = one.record, status_of(one), line(one.view.id)
        when = times.relative(record.at) if record else ""
        rest = f"{status:<{STATUS}}  {when:>{AGE}}  "
        if len(id) > ID:
            yield status, id  # whole: it is what the other verbs take
            id = ""
        task = line(record.name) if record else "?"
        room = width - ID - len(rest) - 2
        # Of a dotted name the end says more.
        task = task if len(task) <= room else f"…{task[1 - room :]}"
        yield status, f"{id:<{ID}}  {rest}{task}".rstrip()
        if one.view.status is JobStatus.FAILED and (error := error_of(one)):
            yield "error", clip(f"  {summary(error)}", width)


def group_lines(group: FailureGroup, error: Failure | None, width: int) -> Iterator[str]:
    """A group of failures. Its message is that of its latest letter, whose secrets are known."""
    yield clip(
        f"{line(group.fingerprint)}  {group.count:,}  {line(group.type)} at {line(group.where)}", width
    )
    yield clip(f"  first {moment(group.first)}, last {times.relative(group.last)}", width)
    yield clip(f"  {', '.join(map(line, group.tasks))}", width)
    if error is not None and error.message:
        yield clip(f"  {line(error.message)}", width)


def group_data(group: FailureGroup, error: Failure | None) -> dict[str, Any]:
    return {
        "fingerprint": group.fingerprint, "type": group.type, "where": group.where, "count": group.count,
        "first": group.first, "last": group.last, "tasks": list(group.tasks), "job": group.job,
        "message": error.message if error else "",
    }  # fmt: skip


# -- one job ------------------------------------------------------------------------------------------


class Whole:
    """One job with all that is known of it."""

    def __init__(self, own: Broker, id: str) -> None:
        job: Job[Any] = Job(id, own)
        (view,) = own.store.run(inspector.jobs(own.keys, [id]))
        self.queue = own.options.queue
        self.reading = Reading(self.queue, own.codec, view) if view else None
        self.info: JobInfo | None = None
        self.logs: list[LogLine] = []
        self.group, self.worker = "", ""
        if self.reading is not None and self.reading.record is not None:
            self.info, self.logs = job.info_sync(), job.logs_sync()
            (self.group,) = own.store.run(letters.fingerprints(own.keys, [id]))
            runs = self.reading.runs
            self.worker = runs[-1].worker if runs else ""
            if self.reading.record.status is JobStatus.RUNNING:
                self.worker = seeing.called(own, self.worker)

    def facts(self) -> list[tuple[str, str]]:
        one = self.reading
        assert one is not None
        record = one.record
        found = [("id", line(one.view.id)), ("status", status_of(one))]
        if record is None:
            return [*found, ("problem", line(one.view.problem)), ("size", f"{one.view.size:,} bytes")]
        crashes = f"; its worker died {some(record.crashes, 'time')}" if record.crashes else ""
        scheduled, ended = record.status is JobStatus.SCHEDULED, record.status.finished
        progress = self.info.progress if self.info else None
        found += [
            ("queue", line(f"{self.queue}, lane {record.lane}")),
            ("attempts", f"{record.attempts}{crashes}"),
            ("worker", line(self.worker)),
            ("about", line(str(one.subject or ""))),
            ("group", line(self.group)),
            ("enqueued", moment(record.enqueued)),
            ("to run at", moment(record.at if scheduled else one.due)),
            ("start by", moment(one.expires)),
            ("started", moment(one.last_start)),
            ("ended", moment(record.at if ended else None)),
            ("waited", times.duration(one.wait_ms) if one.wait_ms is not None else ""),
            ("ran", times.duration(one.ran_ms) if one.ran_ms is not None else ""),
            ("progress", _progress(progress, one.hide(progress.message)) if progress else ""),
        ]
        return [(name, text) for name, text in found if text]

    def headers(self) -> dict[str, str]:
        found: Any = self.reading.masked_value(self.info.headers) if self.info and self.reading else {}
        return dict(found)

    def lines(self, width: int) -> Iterator[tuple[str, str]]:
        """(style, line); the style is 'title', 'error' or ''."""
        one = self.reading
        assert one is not None
        yield "title", line(one.record.name if one.record else "a record that cannot be read")
        yield from _table(self.facts())
        yield "title", "call"
        if one.problem:
            yield "error", f"  {line(one.problem)}"
        yield from _table(
            [(line(name, 60), MASK if value == MASK else pretty(value)) for name, value in one.arguments]
        )
        if headers := self.headers():
            yield "title", "headers"
            yield from _table([(line(name, 60), value) for name, value in headers.items()])
        yield from self._outcome(one, width)
        if len(one.runs) > 1:
            yield "title", "attempts"
            for run in one.runs:
                error = f"  {summary(one.masked(run.error))}" if run.error else ""
                took = times.duration(run.duration_ms) if run.duration_ms is not None else ""
                yield (
                    "",
                    clip(
                        f"  {run.number}  {run.status.value}  {moment(run.started)[:23]}  {took}{error}",
                        width,
                    ),
                )
        if self.logs:
            yield "title", "log"
            for said in self.logs:
                text = f"{moment(said.at)[:23]} {said.level} {said.logger}: {one.hide(said.message)}"
                yield "", f"  {line(text, 2_500)}"

    def _outcome(self, one: Reading, width: int) -> Iterator[tuple[str, str]]:
        error = error_of(one)
        if error is not None:
            yield "title", "error"
            told = f"  {summary(error)}"
            # The traceback ends with the whole of it.
            yield "error", clip(told, width) if error.traceback else told
            yield from _block(error.traceback)
        elif one.result is not None:
            yield "title", "result"
            yield from _block(self._result(one))

    def _result(self, one: Reading) -> str:
        return one.hide(pretty(one.masked_value(one.result.value))) if one.result else ""

    def data(self) -> dict[str, Any]:
        """For machines; times in epoch ms."""
        one, info = self.reading, self.info
        assert one is not None
        progress = info.progress if info else None
        error = error_of(one)
        return data(self.queue, one) | {
            "group": self.group,
            "subject": [one.subject.label, one.subject.pk, one.subject.using] if one.subject else None,
            "arguments": [[name, value] for name, value in one.arguments],
            "headers": self.headers(),
            "traceback": error.traceback if error else "",
            "result": self._result(one) if one.result and not error else "",
            "progress": progress
            and [progress.done, progress.total, one.hide(progress.message), progress.at],
            "runs": [
                {
                    "number": run.number, "status": run.status.value,
                    "started": run.started, "ended": run.ended,
                    "worker": run.worker, "error": summary(one.masked(run.error)) if run.error else "",
                }
                for run in one.runs
            ],
            "logs": [[said.at, said.level, said.logger, one.hide(said.message)] for said in self.logs],
        }  # fmt: skip


def data(queue: str, one: Reading) -> dict[str, Any]:
    """A job of a list for machines; times in epoch ms."""
    record, error = one.record, error_of(one)
    facts = {"id": one.view.id, "queue": queue, "status": status_of(one), "problem": one.problem}
    if record is None:
        return facts
    return facts | {
        "task": record.name, "lane": record.lane, "attempts": record.attempts, "crashes": record.crashes,
        "enqueued": record.enqueued, "at": record.at, "error": error.type if error else "",
        "message": error.message if error else "",
    }  # fmt: skip


def _progress(told: Progress, message: str) -> str:
    total = "" if told.total is None else f" of {told.total:g}, {told.percent} %"
    message = f": {message}" if message else ""
    return line(f"{told.done:g}{total}{message} ({times.relative(told.at)})")


def _table(found: Sequence[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    width = max((len(name) for name, _ in found), default=0)
    for name, text in found:
        first, *more = plain(text).split("\n")
        yield "", f"  {name:<{width}}  {line(first, 2_000)}"
        for rest in more:
            yield "", f"  {'':<{width}}  {line(rest, 2_000)}"


def _block(text: str) -> Iterator[tuple[str, str]]:
    for part in plain(text).rstrip("\n").split("\n") if text else ():
        yield "", f"    {part}"
