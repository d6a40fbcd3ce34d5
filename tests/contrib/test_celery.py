"""``ardiq.contrib.celery``: tasks written for Celery run on a worker of ardiq, by Celery's rules."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import transaction

import ardiq
from ardiq import TaskError, running
from ardiq.contrib.celery import Celery, Task, current_app, current_task, shared_task
from ardiq.contrib.celery.exceptions import (
    MaxRetriesExceededError,
    Retry,
    SoftTimeLimitExceeded,
    TaskRevokedError,
)
from ardiq.contrib.celery.result import AsyncResult
from ardiq.upkeep import DjangoUpkeep

Make = Callable[..., Task]


@pytest.fixture
def queue(redis_url: str, queue_name: str, settings: Any) -> str:
    """The first of two queues of settings."""
    options = {"REDIS_URL": redis_url, "PRIORITIES": ["low", "default", "high"]}
    settings.ARDIQ = {queue_name: options, f"{queue_name}-mails": {"REDIS_URL": redis_url}}
    return queue_name


@pytest.fixture
def make(queue: str) -> Make:
    def task(fn: Callable[..., Any], **options: Any) -> Task:
        found: Task = shared_task(queue=queue, **{"name": "task", **options})(fn)
        return found

    return task


def work(queue: str) -> None:
    """Run a worker until nothing is due."""
    worker = running.build(queue, running.worker_options(queue), burst=True, around=DjangoUpkeep())
    asyncio.run(asyncio.wait_for(running.run([worker]), 30))


def until_ready(queue: str, result: AsyncResult) -> AsyncResult:
    deadline = time.monotonic() + 20
    while not result.ready():
        assert time.monotonic() < deadline, result.status
        work(queue)
    return result


# -- calling ------------------------------------------------------------------------------------------


def test_delay_and_its_result(queue: str, make: Make) -> None:
    """A handle with id, status, ready, successful and get; the call itself runs the function here."""
    add = make(lambda x, y=1: x + y)
    assert add(2, 3) == 5
    result = add.delay(2, y=3)
    assert (result.status, result.ready(), result.result) == ("PENDING", False, None)
    with pytest.raises(TimeoutError):
        result.get(timeout=0.05)
    work(queue)
    assert result.get(timeout=5) == 5 == result.result
    assert (result.status, result.state) == ("SUCCESS", "SUCCESS")
    assert result.ready() and result.successful() and not result.failed() and result.traceback is None
    assert result.date_done is not None and abs(datetime.now(UTC) - result.date_done) < timedelta(minutes=1)
    again = AsyncResult(result.id)
    assert again == result and again.get(timeout=1) == 5 and str(again) == result.task_id
    result.forget()
    assert add.AsyncResult(result.id).status == "PENDING"
    with pytest.raises(LookupError, match="There is no job"):
        again.get(timeout=1)


def test_bare_and_named(queue: str, settings: Any) -> None:
    """Names are those that Celery makes: module and function."""
    settings.ARDIQ = {"default": settings.ARDIQ[queue], **settings.ARDIQ}

    def bare() -> None:
        """Its words."""

    task = shared_task(bare)
    assert task.name.startswith("tests.contrib.test_celery.") and task.name.endswith("bare")
    assert (task.__name__, task.__doc__, task.queue) == ("bare", "Its words.", "default")
    assert task.ardiq.name == task.name and isinstance(current_app.task(name="x.y")(bare), Task)


def test_a_wrong_call_fails_where_it_is_made(make: Make) -> None:
    """Celery checks arguments at the call, too; a bound task's self is no argument."""
    task = make(lambda self, x: x, bind=True)
    for args in ((), (1, 2)):
        with pytest.raises(TypeError, match="task"):
            task.delay(*args)


def test_countdown_eta_expires(queue: str, make: Make) -> None:
    """Seconds from now, a moment, and a window after which nobody runs it: REVOKED."""
    task = make(lambda: 1)
    now = time.time()
    soon = task.apply_async(countdown=60)
    at = task.apply_async(eta=datetime.now(UTC) + timedelta(hours=1), countdown=None)
    naive = task.apply_async(eta=datetime.now(UTC).replace(tzinfo=None) + timedelta(hours=2))
    both = task.apply_async(eta=datetime.now(UTC) + timedelta(days=1), countdown=30)
    past = task.apply_async(eta=datetime.now(UTC) - timedelta(days=1))
    for result, seconds in ((soon, 60), (at, 3600), (naive, 7200), (both, 30)):
        info = result.job.info_sync()
        assert info is not None and info.scheduled_at is not None
        assert abs(info.scheduled_at / 1000 - now - seconds) < 5, result
    stale = [
        task.apply_async(expires=0.001),
        task.apply_async(expires=datetime.now(UTC) - timedelta(hours=1)),
    ]
    good = [task.apply_async(expires=600), task.apply_async(expires=datetime.now(UTC) + timedelta(hours=1))]
    time.sleep(0.05)
    work(queue)
    assert [result.status for result in [*stale, *good]] == ["REVOKED"] * 2 + ["SUCCESS"] * 2
    assert past.status == "SUCCESS" and soon.status == "PENDING"
    info = make(lambda: 1, name="stale", expires=0.001).apply_async().job.info_sync()
    assert info is not None and info.expires_at


def test_task_id_queue_priority_and_headers(queue: str, make: Make) -> None:
    """A known id; another queue, whose workers know the task, too; a lane; headers, also in self.request."""

    def tell(self: Task) -> list[Any]:
        return [self.request.delivery_info["routing_key"], self.request.headers.get("trace"), self.request.id]

    task = make(tell, bind=True, priority="low")
    mails = f"{queue}-mails"
    first = task.apply_async(task_id="mine", headers={"trace": "4bf9"}, priority="high")
    other = task.apply_async(queue=mails)
    assert first.id == "mine"
    info = first.job.info_sync()
    assert info is not None and info.lane == "high"
    work(queue)
    assert first.get(timeout=1) == [queue, "4bf9", "mine"] and not other.ready()
    work(mails)
    assert other.get(timeout=1) == [mails, None, other.id]
    assert AsyncResult(other.id).get(timeout=1) and AsyncResult("x", queue=mails).status == "PENDING"
    with pytest.raises(ValueError, match="no queue 'nowhere'"):
        task.apply_async(queue="nowhere")


@pytest.mark.django_db(transaction=True)
def test_it_leaves_at_commit(queue: str, make: Make) -> None:
    """D1: inside atomic() with the final id at once, never after a rollback; rows travel as references."""
    task = make(lambda user: user.username)
    with transaction.atomic():
        user = User.objects.create(username="ines")
        result = task.delay(user)
        assert not ardiq.queue(queue).queue_size_sync()
        with pytest.raises(LookupError, match="has not committed"):
            result.get(timeout=1)
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        lost = task.delay_on_commit(user)
        _ = 1 / 0
    work(queue)
    assert result.get(timeout=1) == "ines" and lost.status == "PENDING"
    now = task.apply_async([user], on_commit=False)
    work(queue)
    assert now.successful()


def test_signatures_are_calls_for_later(queue: str, make: Make) -> None:
    task = make(lambda *args, **kwargs: [list(args), kwargs])
    calls = [
        task.s(1, a=2).delay(0, b=3),
        task.si(1).delay(9),
        task.signature((5,), {"c": 1}, countdown=0).apply_async(),
        task.s(7).set(expires=60).apply_async((8,)),
    ]
    work(queue)
    assert [call.get(timeout=1) for call in calls] == [
        [[0, 1], {"a": 2, "b": 3}], [[1], {}], [[5], {"c": 1}], [[8, 7], {}],
    ]  # fmt: skip
    assert task.s(1)(2) == [[2, 1], {}]
    composed: list[Callable[[], Any]] = [
        lambda: task.s(1) | task.s(2),
        lambda: task.s(1).link(task.s(2)),
        lambda: task.map([1]),
    ]
    for compose in composed:
        with pytest.raises(NotImplementedError, match=r"canvas does not exist here.*enqueue_many"):
            compose()


# -- retrying -----------------------------------------------------------------------------------------


def test_retry_runs_the_same_job_again(queue: str, make: Make) -> None:
    """self.retry raises; request.retries counts from 0; the id stays; RETRY while it waits."""
    seen: list[tuple[str | None, int]] = []

    def flaky(self: Task, x: int) -> int:
        seen.append((self.request.id, self.request.retries))
        if self.request.retries < 2:
            raise self.retry(countdown=0.05, exc=OSError("later"))
        return x

    result = make(flaky, bind=True).delay(7)
    work(queue)
    if not result.ready():
        assert result.status in ("RETRY", "SUCCESS")
    until_ready(queue, result)
    assert result.get(timeout=1) == 7 and seen == [(result.id, 0), (result.id, 1), (result.id, 2)]


@pytest.mark.parametrize("exc", [OSError("gone"), None])
def test_retries_end(queue: str, make: Make, exc: Exception | None) -> None:
    """max_retries=N is N+1 runs; then exc itself, or MaxRetriesExceededError."""
    runs: list[int] = []

    def never(self: Task) -> None:
        runs.append(1)
        self.retry(countdown=0, exc=exc)

    result = until_ready(queue, make(never, bind=True, max_retries=2).delay())
    assert len(runs) == 3 and result.failed()
    name = "OSError" if exc else "MaxRetriesExceededError"
    with pytest.raises(TaskError, match=name):
        result.get(timeout=1)
    assert isinstance(result.get(timeout=1, propagate=False), TaskError)
    assert result.traceback and name in result.traceback


def test_without_autoretry_an_exception_fails_at_once(queue: str, make: Make) -> None:
    """Other than for a task of ardiq, whose exceptions are retried by default."""
    runs: list[int] = []

    def fail() -> None:
        runs.append(1)
        raise ValueError("no")

    result = make(fail).delay()
    work(queue)
    assert result.failed() and len(runs) == 1 and "ValueError" in str(result.result)


def test_autoretry(queue: str, make: Make) -> None:
    """autoretry_for with its own max_retries and countdown; dont_autoretry_for and other errors end it."""
    runs: list[type[Exception]] = []

    def fail(kind: str) -> None:
        error = {"key": KeyError, "index": IndexError, "value": ValueError}[kind]
        runs.append(error)
        raise error(kind)

    options = {"autoretry_for": (LookupError,), "dont_autoretry_for": (IndexError,)}
    task = make(fail, retry_kwargs={"max_retries": 1, "countdown": 0}, **options)
    results = [until_ready(queue, task.delay(kind)) for kind in ("key", "index", "value")]
    assert all(result.failed() for result in results)
    assert runs == [KeyError, KeyError, IndexError, ValueError]


@pytest.mark.parametrize(
    ("options", "longest"), [({}, 180), ({"retry_backoff": 5}, 5), ({"default_retry_delay": 9}, 9)]
)
def test_delays_are_those_of_celery(queue: str, make: Make, options: dict[str, Any], longest: int) -> None:
    """180 s unless told otherwise; with retry_backoff factor * 2 ** retries, by jitter less."""

    def fail() -> None:
        raise OSError

    result = make(fail, autoretry_for=(OSError,), retry_jitter=False, **options).delay()
    before = time.time()
    work(queue)
    info = result.job.info_sync()
    assert result.status == "RETRY" and info is not None and info.scheduled_at is not None
    assert abs(info.scheduled_at / 1000 - before - longest) < 3


def test_backoff_grows_and_is_capped(make: Make) -> None:
    """As celery.utils.time.get_exponential_backoff_interval has it."""
    retrying = make(lambda: 1, autoretry_for=(OSError,), retry_backoff=True, retry_jitter=False).retrying
    assert [retrying._backoff(n) for n in (0, 1, 5, 9, 10, 4000)] == [1, 2, 32, 512, 600, 600]
    jittered = make(lambda: 1, name="j", retry_backoff=4, retry_backoff_max=50).retrying
    assert {jittered._backoff(9) for _ in range(2000)} == set(range(51))


def test_called_like_a_function_retry_raises_what_was(make: Make) -> None:
    def fail(self: Task) -> None:
        assert self.request.called_directly and self.request.id is None and self.request.retries == 0
        self.retry(exc=OSError("now"))

    with pytest.raises(OSError, match="now"):
        make(fail, bind=True)()
    with pytest.raises(Retry):
        make(lambda self: self.retry(), bind=True, name="two")()


def test_retry_with_other_arguments_is_refused(queue: str, make: Make) -> None:
    result = make(lambda self, x: self.retry(args=(x + 1,)), bind=True).delay(1)
    work(queue)
    with pytest.raises(TaskError, match=r"retry\(\) runs this very job again"):
        result.get(timeout=1)


# -- limits, states, stopping -------------------------------------------------------------------------


def test_soft_time_limit(queue: str, make: Make) -> None:
    """It is raised inside the task, which may tidy up; uncaught it is a failure without a retry."""

    def hang(catch: bool) -> str:
        try:
            end = time.monotonic() + 20
            while time.monotonic() < end:
                time.sleep(0.01)
        except SoftTimeLimitExceeded:
            if not catch:
                raise
        return "tidied up"

    task = make(hang, soft_time_limit=0.3, time_limit=60)
    caught, raised = task.delay(True), task.delay(False)
    work(queue)
    assert caught.get(timeout=1) == "tidied up"
    assert raised.failed() and "timed out after 0.3s" in str(raised.result)
    runs: list[int] = []

    def again() -> None:
        runs.append(1)
        while True:
            time.sleep(0.01)

    options = {"autoretry_for": (Exception,), "retry_kwargs": {"max_retries": 1, "countdown": 0}}
    assert until_ready(queue, make(again, name="again", time_limit=0.2, **options).delay()).failed()
    assert len(runs) == 2


def test_revoke(queue: str, make: Make) -> None:
    """What waits ends; what runs goes on, unless it is to be terminated; the app can do it by id."""
    started = threading.Event()

    def slow(seconds: float) -> str:
        started.set()
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            time.sleep(0.01)
        return "done"

    task = make(slow)
    waiting, by_app = task.delay(0), task.apply_async((0,), countdown=600)
    waiting.revoke()
    current_app.control.revoke([by_app.id])
    assert waiting.status == by_app.status == "REVOKED" and waiting.ready()
    with pytest.raises(TaskRevokedError):
        waiting.get(timeout=1)
    for terminate, status in ((False, "SUCCESS"), (True, "REVOKED")):
        started.clear()
        result = task.delay(1 if not terminate else 30)
        runner = threading.Thread(target=work, args=(queue,))
        runner.start()
        assert started.wait(10)
        assert result.status == "STARTED"
        result.revoke(terminate=terminate)
        runner.join(25)
        assert result.status == status


def test_ignored_results(queue: str, make: Make) -> None:
    """Nothing is kept of a success; get answers None instead of waiting for ever. A failure is kept."""
    task = make(lambda fail: 1 / 0 if fail else 1, ignore_result=True)
    good, bad = task.delay(False), task.delay(True)
    work(queue)
    assert good.get(timeout=1) is None and good.status == "PENDING"
    assert bad.failed()


def test_inside_a_task(queue: str, make: Make) -> None:
    """request, current_task, progress; waiting for another result is refused."""
    inner = make(lambda: 1, name="inner")

    def outer(self: Task, x: int, *, y: int) -> list[Any]:
        self.update_state(state="PROGRESS", meta={"current": x, "total": 10})
        with pytest.raises(RuntimeError, match="Never call"):
            inner.delay().get()
        with pytest.raises(NotImplementedError, match="progress"):
            self.update_state(state="HALF")
        with pytest.raises(NotImplementedError, match="returning or raising"):
            self.update_state(state="FAILURE", meta={"current": 1})
        with pytest.raises(NotImplementedError, match="give texts"):
            self.update_state(meta={"current": 1, "at": datetime.now(UTC)})
        request = self.request
        assert current_task.request.id == request.id and current_task.name == self.name and bool(current_task)
        return [list(request.args), request.kwargs, request.called_directly, request.task, inner()]

    assert not current_task and current_task.request.called_directly
    result = make(outer, bind=True).delay(3, y=4)
    work(queue)
    assert result.get(timeout=1) == [[3], {"y": 4}, False, "task", 1]
    progress = result.job.progress_sync()
    assert progress is not None and (progress.done, progress.total, progress.message) == (3, 10, "PROGRESS")


METAS = [
    ("PROGRESS", {"current": 3, "total": 10}),
    ("PROGRESS", {"current": 3, "total": 10, "status": "resizing: photo 3", "step": 2, "ids": [1, "2"]}),
    ("HALF_WAY", {"current": 0.5, "message": "a · b", "number": "17", "empty": "", "none": None}),
]


@pytest.mark.parametrize(("state", "meta"), METAS)
def test_state_and_info(queue: str, make: Make, state: str, meta: dict[str, Any]) -> None:
    """What update_state told is seen by whoever polls, until the job has ended; then its result, or error."""
    seen: list[Any] = []

    def slow(self: Task, fail: bool) -> str:
        mine = self.AsyncResult(self.request.id or "")
        seen.append((mine.state, mine.info))
        self.update_state(state=state, meta=meta)
        deadline = time.monotonic() + 10
        while mine.state != state and time.monotonic() < deadline:
            time.sleep(0.01)
        seen.append((mine.state, mine.info, mine.result))
        if fail:
            raise ValueError("no")
        return "done"

    task = make(slow, bind=True)
    good = task.delay(False)
    assert (good.state, good.info) == ("PENDING", None)
    work(queue)
    bad = task.delay(True)
    work(queue)
    assert seen == [("STARTED", None), (state, meta, meta)] * 2
    assert (good.state, good.info) == ("SUCCESS", "done")
    assert bad.state == "FAILURE" and isinstance(bad.info, TaskError) and bad.info.message == "no"


def test_info_of_other_progress_and_of_a_retry(queue: str, make: Make) -> None:
    """Progress told in ardiq's way has no state; while a retry waits, info is what was raised."""
    seen: list[Any] = []

    def plain(self: Task) -> None:
        job, mine = ardiq.current_job(), self.AsyncResult(self.request.id or "")
        assert job is not None
        job.progress(1, 4, "Resizing · much")
        deadline = time.monotonic() + 10
        while mine.info is None and time.monotonic() < deadline:
            time.sleep(0.01)
        seen.append((mine.state, mine.info))
        raise self.retry(exc=ConnectionError("bank"), countdown=60)

    result = make(plain, bind=True).delay()
    work(queue)
    assert seen == [("STARTED", {"current": 1, "total": 4, "message": "Resizing · much"})]
    assert result.state == "RETRY" and isinstance(result.info, TaskError) and result.result.message


def test_a_meta_that_is_too_long(queue: str, make: Make) -> None:
    """What does not fit into the message of a progress is cut, and nothing else of it is lost."""

    def long(self: Task) -> Any:
        self.update_state(meta={"current": 1, "status": "x" * 300})

    result = make(long, bind=True).delay()
    work(queue)
    told = result.job.progress_sync()
    assert told is not None and told.message.endswith("xx…") and len(told.message) == 200


def test_async_tasks(queue: str, make: Make) -> None:
    """Celery has none; here they may be bound and retried as well."""

    async def flaky(self: Task, x: int) -> int:
        await asyncio.sleep(0)
        if not self.request.retries:
            raise OSError
        return x + self.request.retries

    task = make(flaky, bind=True, autoretry_for=(OSError,), retry_kwargs={"countdown": 0})
    assert until_ready(queue, task.delay(5)).get(timeout=1) == 6
    with pytest.raises(OSError):
        asyncio.run(task(1))


def test_an_app_sends_by_name(queue: str, make: Make) -> None:
    make(lambda x: x * 2, name="shop.double")
    app = Celery("proj", broker="redis://elsewhere")
    app.config_from_object("django.conf:settings", namespace="CELERY")
    app.autodiscover_tasks()
    result = app.send_task("shop.double", args=[4], queue=queue, countdown=0)
    work(queue)
    assert result.get(timeout=1) == 8 and app.AsyncResult(result.id).successful()
    with pytest.raises(NotImplementedError, match=r"beat_schedule becomes @ardiq\.cron"):
        app.conf  # noqa: B018
    with pytest.raises(NotImplementedError, match="ardiq_status"):
        app.control.inspect()


# -- what is refused, and what makes no difference ---------------------------------------------------


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"rate_limit": "10/m"}, NotImplementedError, "LANE_LIMITS"),
        ({"base": object}, NotImplementedError, "on_error"),
        ({"priority": 5}, ValueError, "opposite directions on Redis and on RabbitMQ"),
        ({"max_retrys": 5}, TypeError, "max_retries"),
        ({"autoretry_for": ("OSError",)}, TypeError, "exception classes"),
        ({"retry_kwargs": {"queue": "x"}}, TypeError, "retry_kwargs"),
        ({"retry_on": OSError}, TypeError, "knows no option"),
    ],
)
def test_options_of_tasks_that_do_not_exist(
    make: Make, options: Any, error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        make(lambda: 1, **options)


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"link": object()}, NotImplementedError, "enqueue the next task"),
        ({"time_limit": 5}, NotImplementedError, "give it to the task"),
        ({"routing_key": "x"}, NotImplementedError, "queue= names the queue"),
        ({"priority": 0}, ValueError, "name a lane"),
        ({"priority": "urgent"}, ValueError, "urgent"),
        ({"count_down": 5}, TypeError, "countdown"),
        ({"countdown": "5"}, TypeError, "number of seconds"),
        ({"eta": 5}, TypeError, "datetime"),
    ],
)
def test_options_of_calls_that_do_not_exist(
    make: Make, options: Any, error: type[Exception], words: str
) -> None:
    task = make(lambda: 1)
    with pytest.raises(error, match=words):
        task.apply_async(**options)


def test_what_makes_no_difference_is_accepted(queue: str, make: Make) -> None:
    task = make(lambda: 1, acks_late=True, track_started=True, serializer="json", throws=(KeyError,))
    result = task.apply_async(retry=False, serializer="pickle", ignore_result=False, link=None, shadow="x")
    work(queue)
    assert result.get(timeout=1) == 1


def test_options_of_ardiq_go_through(queue: str, make: Make) -> None:
    """unique, durable, subject and so on: what is new need not wait for the last import to move."""
    task = make(lambda x: x, unique=True, keep_logs=True)
    first, second = task.delay(1), task.delay(1)
    assert first.id == second.id
    throttled = task.apply_async((2,), unique=False)
    assert throttled.id != task.apply_async((2,), unique=False).id
    assert task.ardiq.definition.keep_logs


@pytest.mark.parametrize("name", ["chain", "group", "chord", "signature"])
def test_the_canvas_is_refused_at_its_import(name: str) -> None:
    with pytest.raises(NotImplementedError, match=f"{name}: Celery's canvas does not exist here"):
        exec(f"from ardiq.contrib.celery import {name}")  # noqa: S102
    with pytest.raises(ImportError):
        exec("from ardiq.contrib.celery import nonsense")  # noqa: S102


def test_celery_is_not_needed() -> None:
    code = (
        "import sys; sys.modules['celery'] = None; "
        "import ardiq.contrib.celery, ardiq.contrib.celery.exceptions, ardiq.contrib.celery.result"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_exceptions() -> None:
    """A soft limit passes through ``except Exception``, which is how tasks swallow it with Celery."""
    assert Task.MaxRetriesExceededError is MaxRetriesExceededError
    assert not issubclass(SoftTimeLimitExceeded, Exception)
