"""An overview as people and as machines read it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ardiq.alerts import alerts
from ardiq.core.job import JobStatus
from ardiq.core.statistics import BOUNDS_MS
from ardiq.management.queues import paused_data
from ardiq.management.tables import NOTHING, Block, Cell, Column, Style, Table, ago, span, until
from ardiq.overview import LATEST, Overview, Standing
from ardiq.store.browsing import STATUSES
from ardiq.store.inspector import WorkerView

ROWS = 20  # of one table on a page
SHOWN = {JobStatus.QUEUED: "waiting"}  # what a status is called here, where it is not its own name


def page(seen: Overview) -> Iterator[Block]:
    """A queue: first what needs somebody, then the rest in the order in which one asks."""
    yield _head(seen)
    for one in alerts(seen):
        yield [Cell("  "), Cell("! ", "bad"), Cell.of(one.text, "warn")]
        yield [Cell("    "), Cell.of(one.way_out)]
    yield _jobs(seen)
    yield _lanes(seen)
    if seen.minute.total.ended or seen.minute.total.retried:
        yield _minute(seen)
    yield workers_table(seen)
    if seen.schedules:
        yield _schedules(seen)
    if seen.letters:
        yield _letters(seen)
    if seen.groups:
        yield _groups(seen)
    yield []


def _minute(seen: Overview) -> Table:
    total = seen.minute.total
    columns = [Column(name, right=True) for name in ("ended", "failed", "retried", "wait p95", "run p95")]
    times = [_time(total.wait.p95_ms), _time(total.run.p95_ms)]
    failed = Cell.of(total.failed, "bad" if total.failed else "dim")
    return Table("The last minute", columns, [[Cell.of(total.ended), failed, Cell.of(total.retried), *times]])


def _time(ms: float | None) -> Cell:
    if ms is None:
        return NOTHING
    if ms >= BOUNDS_MS[-1]:
        return Cell(f"over {span(ms)}")  # of what took longer no more is known
    return Cell(f"{ms:,.0f} ms" if ms < 10_000 else span(ms))


def _head(seen: Overview) -> list[Cell]:
    info = seen.info
    parts = [f"{info.name} {info.version}"] if info.version else []
    if used := info.number("used_memory"):
        most = info.number("maxmemory")
        parts.append(f"{used / 1e6:,.1f}{f' of {most / 1e6:,.0f}' if most else ''} MB")
    rest = "".join(f", {part}" for part in parts)
    address = f"{seen.options.safe_url}{rest}"
    return [Cell.of(seen.options.queue, "head"), Cell(" at "), Cell.of(address, "dim")]


def _jobs(seen: Overview) -> Table:
    style: dict[JobStatus, Style] = {JobStatus.FAILED: "bad", JobStatus.EXPIRED: "warn"}
    columns, cells = [], []
    for status in STATUSES:
        count = seen.counts.statuses[status]
        columns.append(Column(SHOWN.get(status, status.value), right=True))
        cells.append(Cell.of(count, style.get(status, "") if count else "dim"))
        if status is JobStatus.SCHEDULED:
            columns.append(Column("next due", right=True))
            cells.append(until(seen.heads.next_due, seen.now))
    return Table("Jobs", columns, [cells])


def _lanes(seen: Overview) -> Table:
    rows = []
    for lane in reversed(seen.options.priorities):
        count, since = seen.counts.lanes[lane], seen.heads.lanes[lane]
        waits = Cell(span(seen.now - since)) if since else NOTHING
        rows.append([Cell.of(lane), Cell.of(count, "" if count else "dim"), waits])
    columns = [Column("lane", cut="end"), Column("waiting", right=True), Column("oldest wait", right=True)]
    return Table("Lanes, the highest first", columns, rows)


def workers_table(seen: Overview) -> Table:
    columns = [
        Column("name", cut="end"), Column("id", drop=5), Column("host", cut="end", drop=2),
        Column("lanes", cut="end", drop=3),
        Column("running", right=True), Column("held", right=True), Column("processed", right=True),
        Column("state"), Column("last beat", right=True), Column("up", right=True, drop=1),
        Column("version", drop=4),
    ]  # fmt: skip
    rows = [_worker(seen, worker) for worker in seen.workers[:ROWS]]
    count = len(seen.working())
    return Table(_title("Workers", count, len(seen.workers)) if rows else "Workers: none", columns, rows)


def _worker(seen: Overview, worker: WorkerView) -> list[Cell]:
    about, id, (state, style) = worker.about, worker.id[:8], state_of(seen, worker)
    if not about:  # long gone, and nobody has taken over its jobs yet
        return [Cell.of(id), Cell.of(id), *[NOTHING] * 5, Cell(state, style), *[NOTHING] * 3]
    lanes = " > ".join(reversed(about.get("lanes", "").split(",")))
    return [
        Cell.of(about.get("name") or id), Cell.of(id), Cell.of(about.get("host", "")), Cell.of(lanes),
        Cell(f"{worker.number('running'):,}/{worker.number('concurrency'):,}"),
        Cell.of(worker.number("held")), Cell.of(worker.number("processed")), Cell(state, style),
        ago(worker.beat, seen.now),
        Cell(span(seen.now - since)) if (since := worker.number("since")) else NOTHING,
        Cell.of(about.get("version", "")),
    ]  # fmt: skip


def state_of(seen: Overview, worker: WorkerView) -> tuple[str, Style]:
    if worker.lease_end <= seen.now:
        return "gone", "bad"  # without a word: its jobs go back with the next claim of another one
    if seen.silent(worker):
        return "silent", "bad"
    if seen.stuck(worker):
        return "blocked", "bad"
    doing = worker.doing
    return (doing, "warn") if doing else ("ok", "good")


def _title(what: str, count: int, rows: int) -> str:
    return f"{what}: {count:,}" + (f"; the first {ROWS} of {rows:,} are shown" if rows > ROWS else "")


def _schedules(seen: Overview) -> Table:
    columns = [
        Column("task", cut="start"), Column("timetable", cut="end"), Column("zone", cut="end", drop=1),
        Column("next run", right=True), Column("last run", right=True), Column("outcome"),
    ]  # fmt: skip
    # Those that want to be looked at must not fall off the end.
    order = sorted(seen.schedules, key=lambda one: (not one.late, not one.state.paused))
    rows = [_schedule(one, seen.now) for one in order[:ROWS]]
    return Table(_title("Recurring tasks", len(order), len(order)), columns, rows)


def _schedule(one: Standing, now: int) -> list[Cell]:
    coming = until(one.next_at, now)
    if one.state.paused:
        coming = Cell("paused", "warn")
    elif one.late:
        coming = Cell("late", "bad")
    status = one.state.ended_status
    style: Style = "good" if status == "succeeded" else "bad" if status == "failed" else "warn"
    running = Cell("not ended yet", "dim") if one.last_at else NOTHING
    outcome = Cell.of(status, style) if status else running
    timetable = one.recurrence.timetable
    return [
        Cell.of(one.recurrence.name), Cell.of(timetable.spelt), Cell.of(timetable.zone) if timetable.zone
        else NOTHING, coming, ago(one.last_at, now), outcome,
    ]  # fmt: skip


def _letters(seen: Overview) -> Table:
    columns = [
        Column("task", cut="start"), Column("error", cut="start"), Column("attempts", right=True, drop=2),
        Column("lane", cut="end", drop=3), Column("failed", right=True), Column("id", cut="end", least=32),
    ]  # fmt: skip
    rows = [
        [Cell.of(one.task), Cell.of(one.error), Cell.of(one.attempts), Cell.of(one.lane),
         ago(one.ended_at, seen.now), Cell.of(one.id)]
        for one in seen.letters
    ]  # fmt: skip
    count = seen.counts.statuses[JobStatus.FAILED]
    more = f"; the latest {LATEST} are shown" if count > LATEST else ""
    return Table(f"Dead letters: {count:,}{more}", columns, rows)


def _groups(seen: Overview) -> Table:
    columns = [
        Column("error", cut="start"), Column("where", cut="start"), Column("task", cut="start", drop=1),
        Column("jobs", right=True), Column("last", right=True), Column("group"),
    ]  # fmt: skip
    rows = []
    for one in seen.groups:
        more = f" and {len(one.tasks) - 1} more" if len(one.tasks) > 1 else ""
        rows.append([
            Cell.of(one.type), Cell.of(one.where), Cell.of(f"{one.tasks[0]}{more}" if one.tasks else "-"),
            Cell.of(one.count, "bad"), ago(one.last, seen.now), Cell.of(one.fingerprint),
        ])  # fmt: skip
    return Table("Dead letters by what went wrong, the latest first", columns, rows)


# -- for machines ---------------------------------------------------------------------------------


def as_data(seen: Overview) -> dict[str, Any]:
    """As docs/reference/commands.md describes it: names only ever come on top. 0 never stands for None."""
    info, minute = seen.info, seen.minute
    return {
        "url": seen.options.safe_url,
        "at": seen.now,
        "server": {
            "name": info.name if info.version else None, "version": info.version or None,
            "used_memory": info.number("used_memory"), "maxmemory": info.number("maxmemory"),
        },
        "jobs": {status.value: seen.counts.statuses[status] for status in STATUSES},
        "next_due": seen.heads.next_due or None,
        "last_minute": {
            "at": minute.start, "ended": minute.total.ended, "failed": minute.total.failed,
            "retried": minute.total.retried, "crashed": minute.total.crashed,
            "wait_p95": minute.total.wait.p95_ms, "run_p95": minute.total.run.p95_ms,
        },
        "lanes": [
            {"lane": lane, "waiting": seen.counts.lanes[lane], "oldest": seen.heads.lanes[lane] or None}
            for lane in reversed(seen.options.priorities)
        ],
        "paused": paused_data(seen.pauses),
        "workers": workers_data(seen),
        "schedules": [schedule_data(one) for one in seen.schedules],
        "dead_letters": [
            {"id": one.id, "task": one.task, "lane": one.lane, "ended_at": one.ended_at,
             "attempts": one.attempts, "error": one.error}
            for one in seen.letters
        ],
        "failure_groups": [
            {"group": one.fingerprint, "error": one.type, "where": one.where, "jobs": one.count,
             "tasks": list(one.tasks), "first": one.first, "last": one.last, "latest": one.job}
            for one in seen.groups
        ],
        "warnings": [
            {"name": one.name, "text": one.text, "way_out": one.way_out} for one in alerts(seen)
        ],
    }  # fmt: skip


def workers_data(seen: Overview) -> list[dict[str, Any]]:
    return [_worker_data(seen, worker) for worker in seen.workers]


def _worker_data(seen: Overview, worker: WorkerView) -> dict[str, Any]:
    told = {name: worker.about.get(name) for name in ("name", "host", "version", "python")}
    numbers = {
        name: worker.number(name) for name in ("pid", "concurrency", "running", "held", "processed", "since")
    }
    lanes = [lane for lane in reversed(worker.about.get("lanes", "").split(",")) if lane]
    return {
        "id": worker.id[:8], **told, **numbers, "lanes": lanes, "state": state_of(seen, worker)[0],
        "beat": worker.beat or None, "turned": worker.turned or None, "lease_end": worker.lease_end,
    }  # fmt: skip


def schedule_data(one: Standing) -> dict[str, Any]:
    state = one.state
    return {
        "task": one.recurrence.name, "timetable": one.recurrence.timetable.spelt,
        "zone": one.recurrence.timetable.zone or None, "misfire": one.recurrence.misfire,
        "overlap": one.recurrence.overlap, "paused": state.paused, "late": one.late,
        "next_at": one.next_at or None, "last_at": one.last_at or None,
        "last_job": state.last_id or None, "last_status": state.ended_status or None,
        "last_ended_at": state.ended_at or None,
    }  # fmt: skip
