"""debounce, where the last call wins, and throttle, where the first does."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from typing import Any

import pytest
from django.db import transaction

from ardiq import Ardiq, Job, JobInfo, JobStatus, TaskResult
from ardiq.core.errors import QueueFull
from ardiq.enqueuing import Task
from tests.django.conftest import Stored, Work
from tests.django.test_same_id import PROCESSES, race
from tests.workers import until

LONG = 60_000  # ms; no test waits for it
BRIEF = 150


def info_of(job: Job[Any]) -> JobInfo:
    info = job.info_sync()
    assert info is not None
    return info


def statuses(*jobs: Job[Any]) -> list[str]:
    return [str(job.status_sync()) for job in jobs]


def ended(job: Job[Any]) -> TaskResult:
    result = job.result_sync()
    assert result is not None
    return result


@pytest.fixture
def index(app: Ardiq) -> Task[..., str]:
    @app.task(name="index", debounce_ms=LONG, unique=lambda document, text="": document)
    def index(document: int, text: str = "") -> str:
        return text

    return index


@pytest.fixture
def notify(app: Ardiq) -> Task[..., str]:
    @app.task(name="notify", throttle_ms=LONG)
    def notify(user: int, text: str = "") -> str:
        return f"{user} {text}"

    return notify


# -- debounce -------------------------------------------------------------------------------------


def test_the_last_call_wins(app: Ardiq, index: Task[..., str], work: Work) -> None:
    """C7: the latest arguments run, debounce_ms after the latest call; the handle of an earlier one tells."""
    first, other = index.enqueue_sync(1, "first"), index.enqueue_sync(2, "other")
    last = index.enqueue_sync(document=1, text="last")
    assert (first.created, last.created, first != last) == (True, True, True)
    assert statuses(first, last, other) == ["aborted", "scheduled", "scheduled"]
    assert info_of(last).scheduled_at == info_of(last).enqueue_time + LONG
    result = ended(first)
    assert (result.aborted, result.value, result.start, result.tries) == (True, "aborted", 0, 0)
    assert result.error is not None and result.error.type == "ardiq.Superseded"
    assert last.id in result.error.message
    assert info_of(first).args == [1, "first"]
    assert last.run_now_sync() and other.run_now_sync()
    work(app)
    assert (ended(last).value, ended(other).value) == ("last", "other")
    assert first.abort_sync() is False


def test_whoever_waits_for_it_is_told(index: Task[..., str]) -> None:
    """C7: at once, and not when his patience ends."""
    first = index.enqueue_sync(1)
    found: list[TaskResult | None] = []
    waits = threading.Thread(target=lambda: found.append(first.result_sync(timeout=30)))
    waits.start()
    index.enqueue_sync(1)
    waits.join(10)
    assert found and found[0] is not None and found[0].aborted


def test_by_all_arguments(app: Ardiq, stored: Stored) -> None:
    """C7: without a key function, calls with other arguments are others."""

    @app.task(name="reindex", debounce_ms=LONG)
    def reindex(document: int) -> None: ...

    jobs = [reindex.enqueue_sync(n % 2) for n in range(4)]
    assert statuses(*jobs) == ["aborted", "aborted", "scheduled", "scheduled"]


def test_one_that_is_ready_still_waits(app: Ardiq, index: Task[..., str]) -> None:
    """C7: no worker has it yet, so that it is replaced like one that is scheduled."""
    first = index.enqueue_sync(1)
    assert first.run_now_sync() is True
    last = index.enqueue_sync(1)
    assert statuses(first, last) == ["aborted", "scheduled"]
    assert app.queue_size_sync() == 0


def test_one_that_runs_goes_on(app: Ardiq, work: Work) -> None:
    """C7: a call that comes while it runs is a new job, after the usual wait."""
    made: list[Job[Any]] = []

    @app.task(name="once", debounce_ms=LONG, max_retries=0)
    def once() -> str:
        made.append(once.enqueue_sync())
        made.append(once.enqueue_sync())
        return "done"

    first = once.enqueue_sync()
    first.run_now_sync()
    work(app)
    assert statuses(first, *made) == ["succeeded", "aborted", "scheduled"]


def test_one_that_waits_for_a_retry_goes_on(app: Ardiq, work: Work) -> None:
    """C7: it has started, and its arguments are perhaps half done."""

    @app.task(name="fails", debounce_ms=LONG, max_retries=1, backoff_ms=LONG)
    def fails() -> None:
        raise ValueError

    first = fails.enqueue_sync()
    first.run_now_sync()
    work(app)
    assert statuses(first, fails.enqueue_sync()) == ["scheduled", "scheduled"]


@pytest.mark.parametrize("how", ["abort", "delete"])
def test_without_the_one_that_waited(index: Task[..., str], how: str) -> None:
    """C7: a job that was aborted or deleted is not replaced, nor does it hold up the next."""
    first = index.enqueue_sync(1)
    assert getattr(first, f"{how}_sync")() is True
    before = first.status_sync()
    assert index.enqueue_sync(1).created is True
    assert first.status_sync() is before


def test_the_longest_wait(app: Ardiq) -> None:
    """C7: debounce_max_ms after the first call of a series, whatever comes."""

    @app.task(name="capped", debounce_ms=LONG, debounce_max_ms=LONG + 1_000)
    def capped() -> None: ...

    first = info_of(capped.enqueue_sync())
    limit = first.enqueue_time + LONG + 1_000
    until(lambda: info_of(capped.enqueue_sync()).enqueue_time > first.enqueue_time + 20)
    last = info_of(capped.enqueue_sync())
    assert first.scheduled_at == first.enqueue_time + LONG
    assert last.scheduled_at is not None
    assert last.scheduled_at <= limit and last.scheduled_at <= last.enqueue_time + LONG
    early = info_of(capped.options(debounce_ms=LONG + 1_000).enqueue_sync())
    assert early.scheduled_at == limit, "not a ms later"


def test_calls_that_do_not_stop_put_it_off_no_longer(app: Ardiq, work: Work) -> None:
    """C7: when the longest wait is over the job runs, although nobody was there to run it just then."""

    @app.task(name="capped", debounce_ms=BRIEF, debounce_max_ms=BRIEF, unique=lambda n: 0)
    def capped(n: int) -> int:
        return n

    jobs = [capped.enqueue_sync(0)]

    def again() -> bool:
        jobs.append(capped.enqueue_sync(len(jobs)))
        live = [job for job in jobs if job.status_sync() is not JobStatus.ABORTED]
        return len(live) == 2

    until(again, what="a series that ends")
    left = [n for n, job in enumerate(jobs) if job.status_sync() is not JobStatus.ABORTED]
    assert left == [len(jobs) - 2, len(jobs) - 1], "the last of one series, the first of the next"
    until(lambda: work(app) or statuses(*jobs[-2:]) == ["succeeded"] * 2)
    assert [ended(job).value for job in jobs[-2:]] == left


async def _async(task: Task[..., Any], *args: Any) -> Job[Any]:
    return await task.enqueue(*args)


def test_every_way_to_call(app: Ardiq, index: Task[..., str], stored: Stored) -> None:
    """C7, C9: async, in a bulk, by name; within one bulk, too."""
    jobs = [
        asyncio.run(_async(index, 1, "async")),
        app.send_sync("index", 1, text="by name"),
        *app.enqueue_many_sync(index.prepare(1, f"bulk {n}") for n in range(3)),
        index.options(priority="high").enqueue_sync(1, "lane"),
    ]
    assert all(job.created for job in jobs) and len(stored()) == len(jobs)
    assert statuses(*jobs) == ["aborted"] * 5 + ["scheduled"]
    assert (info_of(jobs[-1]).lane, info_of(jobs[-1]).args) == ("high", [1, "lane"])


@pytest.mark.django_db(transaction=True)
def test_at_commit(index: Task[..., str]) -> None:
    """C7, D1: what leaves at commit replaces then, not before."""
    first = index.enqueue_sync(1, "first")
    with transaction.atomic():
        last = index.enqueue_sync(1, "last")
        assert statuses(first, last) == ["scheduled", "not_found"]
    assert statuses(first, last) == ["aborted", "scheduled"]


def test_fifty_processes_debounce(app: Ardiq, redis_url: str, queue_name: str, stored: Stored) -> None:
    """C7: of fifty calls at once one is left, and no two."""
    answers = race(redis_url, queue_name, "debounce")
    assert len(answers) == PROCESSES == len(stored())
    found = Counter(app.statuses_sync(stored()).values())
    assert found == {JobStatus.ABORTED: PROCESSES - 1, JobStatus.SCHEDULED: 1}


def test_not_for_this_call(app: Ardiq, index: Task[..., str]) -> None:
    """C7: debounce_ms=0 leaves what unique says, unique=False nothing."""
    first = index.enqueue_sync(1)
    assert index.options(debounce_ms=0).enqueue_sync(1) == first
    alone = index.options(unique=False).enqueue_sync(1)
    assert statuses(first, alone) == ["scheduled", "queued"]

    @app.task(name="plain")
    def plain(n: int) -> None: ...

    jobs = [plain.options(debounce_ms=LONG).enqueue_sync(1) for _ in range(2)]
    assert statuses(*jobs, plain.enqueue_sync(1)) == ["aborted", "scheduled", "queued"]


REFUSED: list[dict[str, Any]] = [
    {"delay_ms": 5},
    {"schedule_ms": 5},
    {"task_id": "mine"},
    {"replace": True},
    {"throttle_ms": 5},
    {"unique": False, "debounce_ms": 5},
    {"unique_ttl_ms": 5},
    {"unique_until": "done"},
    {"debounce_max_ms": 5},
    {"debounce_ms": 0, "debounce_max_ms": 5},
    {"debounce_ms": -1},
]


@pytest.mark.parametrize("options", REFUSED, ids=str)
def test_what_does_not_go_together(index: Task[..., str], options: dict[str, Any]) -> None:
    """C3, C7: refused at once, naming both."""
    with pytest.raises(ValueError, match=r"\w+=\S+"):
        index.options(**options)


@pytest.mark.parametrize(
    "options",
    [
        {"debounce_ms": 5, "throttle_ms": 5},
        {"debounce_ms": 5, "debounce_max_ms": 4},
        {"debounce_max_ms": 5},
        {"debounce_ms": 5, "unique_ttl_ms": 5},
        {"debounce_ms": -5},
        {"throttle_ms": "5"},
    ],
    ids=str,
)
def test_what_no_task_can_be(app: Ardiq, options: dict[str, Any]) -> None:
    """B1, C7: refused where the task is defined, which is then not registered."""
    with pytest.raises(ValueError, match=r"(debounce|throttle)\w+="):
        app.task(name="wrong", **options)(lambda: None)
    assert "wrong" not in app.tasks


@pytest.mark.parametrize("option", ["debounce_ms", "throttle_ms"])
def test_not_for_recurring_tasks(app: Ardiq, option: str) -> None:
    """C7, G1: they run by their timetable."""
    with pytest.raises(ValueError, match=f"{option}=5: .*overlap"):
        app.cron(every=60, name="tick", **{option: 5})(lambda: None)
    assert "tick" not in app.tasks


# -- throttle -------------------------------------------------------------------------------------


def test_the_first_call_wins(app: Ardiq, notify: Task[..., str], work: Work, stored: Stored) -> None:
    """C7: calls within the window return the first job, while it waits and when it has ended."""
    first = notify.enqueue_sync(1, text="a")
    other = notify.enqueue_sync(1, "b")
    assert other.created, "other arguments are another call"
    for again in (
        notify.enqueue_sync(1, "a"),
        asyncio.run(_async(notify, 1, "a")),
        app.send_sync("notify", 1, "a"),
    ):
        assert (again, again.created) == (first, False)
    work(app)
    again = notify.enqueue_sync(1, "a")
    assert (again, again.created, ended(again).value) == (first, False, "1 a")
    assert stored() == {first.id, other.id}


def test_a_window_of_a_key(app: Ardiq, work: Work, stored: Stored) -> None:
    """C7: by a key function, in a bulk, with a delay; the first arguments are those that run."""

    @app.task(name="digest", throttle_ms=LONG, unique=lambda user, text: user)
    def digest(user: int, text: str) -> str:
        return text

    jobs = app.enqueue_many_sync(digest.options(delay_ms=1).prepare(n % 2, f"{n}") for n in range(6))
    assert [job.created for job in jobs] == [True, True, False, False, False, False]
    assert len(stored()) == 2
    until(lambda: work(app) or statuses(*jobs) == ["succeeded"] * 6)
    assert [ended(job).value for job in jobs] == ["0", "1"] * 3


def test_the_window_is_a_matter_of_time(app: Ardiq, stored: Stored) -> None:
    """C7: over when it is over, although the first job still waits; with unique=True that counts as well."""

    @app.task(name="often", throttle_ms=BRIEF)
    def often() -> None: ...

    @app.task(name="rarely", throttle_ms=BRIEF, unique=True)
    def rarely() -> None: ...

    first, held = often.enqueue_sync(), rarely.enqueue_sync()
    until(lambda: often.enqueue_sync().created)
    until(lambda: often.enqueue_sync().created)
    assert (rarely.enqueue_sync(), first.status_sync()) == (held, JobStatus.QUEUED)
    assert len(stored()) == 4


def test_a_job_that_did_nothing_gives_its_window_free(app: Ardiq, work: Work) -> None:
    """C7: aborted, or expired before it started."""

    @app.task(name="brief", throttle_ms=LONG)
    def brief() -> None: ...

    first = brief.enqueue_sync()
    assert first.abort_sync()
    second = brief.options(expire_ms=1).enqueue_sync()
    assert second.created and brief.enqueue_sync() == second
    until(lambda: info_of(second).expires_at < _now(app))  # type: ignore[operator]
    work(app)
    assert second.status_sync() is JobStatus.EXPIRED
    assert brief.enqueue_sync().created


def _now(app: Ardiq) -> int:
    """By the clock of the server, which an enqueue tells."""
    probe = app.task(name=f"probe{len(app.tasks)}")(lambda: None).enqueue_sync()
    now = info_of(probe).enqueue_time
    probe.delete_sync()
    return now


def test_a_result_that_is_not_kept(app: Ardiq, work: Work) -> None:
    """C7: the window holds all the same."""

    @app.task(name="brief", throttle_ms=LONG, result_ttl_ms=0)
    def brief() -> None: ...

    first = brief.enqueue_sync()
    work(app)
    again = brief.enqueue_sync()
    assert (again, again.created, again.status_sync()) == (first, False, JobStatus.NOT_FOUND)


def test_fifty_processes_throttle(redis_url: str, queue_name: str, app: Ardiq, stored: Stored) -> None:
    """C7: of fifty calls at once one makes a job, and all get it."""
    answers = race(redis_url, queue_name, "throttle")
    (id,) = stored()
    assert answers == {f"{id} True": 1, f"{id} False": PROCESSES - 1}


def test_throttled_calls_that_are_refused(notify: Task[..., str]) -> None:
    """C3, C7: a new life of an ended job within the window would be a second one."""
    with pytest.raises(ValueError, match=r"replace=True with throttle_ms=60000"):
        notify.options(task_id="mine", replace=True)
    assert notify.options(task_id="mine", replace=True, throttle_ms=0).enqueue_sync(1).created


def test_a_full_queue(queue_name: str, redis_url: str) -> None:
    """C7: what makes no job takes no room; what takes another's place takes none either."""
    app = Ardiq(queue_name, redis_url=redis_url, max_queued=2)
    last = app.task(name="last", debounce_ms=LONG)(lambda: None)
    first = app.task(name="first", throttle_ms=LONG)(lambda: None)
    jobs = [last.enqueue_sync(), first.enqueue_sync()]
    assert first.enqueue_sync() == jobs[1]
    later = last.enqueue_sync()
    assert statuses(jobs[0], later) == ["aborted", "scheduled"]
    with pytest.raises(QueueFull):
        app.task(name="other")(lambda: None).enqueue_sync()
    with pytest.raises(QueueFull):
        last.options(unique=lambda: "another").enqueue_sync()
