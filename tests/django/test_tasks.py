"""What @task makes of a function, and what an Ardiq built in code offers."""

from __future__ import annotations

import asyncio
import inspect
from types import SimpleNamespace
from typing import Any

import pytest

import ardiq
from ardiq import Ardiq, Job, JobStatus
from ardiq.core.errors import OptionError
from ardiq.enqueuing import Enqueuable, Task
from tests.django.conftest import Stored, Work


def plain(a: int, b: int = 1) -> int:
    """Adds."""
    return a + b


async def waiting(a: int, b: int = 1) -> int:
    return a + b


def send() -> str:
    return "one"


def test_a_task_is_still_a_function(app: Ardiq) -> None:
    """B1: called, it runs here and now, sync or async, and no server is asked."""
    lonely = Ardiq("lonely", redis_url="redis://127.0.0.1:1/0")
    assert lonely.task(plain)(2, b=3) == 5
    assert asyncio.run(lonely.task(waiting)(2, 3)) == 5


def test_a_task_says_what_it_is(app: Ardiq) -> None:
    """B1: name, fn, app, queue, priority and unique; name and docstring of the function stay."""
    task = app.task(plain)
    assert (task.name, task.fn, task.app) == (f"{__name__}.plain", plain, app)
    assert (task.queue, task.priority, task.unique) == (app.queue_name, "default", False)
    assert (task.__name__, task.__doc__, inspect.unwrap(task)) == ("plain", "Adds.", plain)
    other = app.task(priority="high", unique=True)(waiting)
    assert (other.priority, other.unique) == ("high", True)
    assert repr(other) == f"<Task {__name__}.waiting in {app.queue_name}>"


def test_bare_and_called(app: Ardiq) -> None:
    """B1: @task and @task() are the same."""
    for task in (app.task(plain), app.task()(waiting)):
        assert isinstance(task, Task)


def test_the_name_is_the_dotted_path(app: Ardiq) -> None:
    """B2: two apps may both have a task ``send``; name= overrides."""
    elsewhere: dict[str, Any] = {"__name__": "mail.tasks"}
    exec("def send():\n    return 'two'", elsewhere)  # noqa: S102
    assert [app.task(send).name, app.task(elsewhere["send"]).name] == [f"{__name__}.send", "mail.tasks.send"]
    assert app.task(name="short")(plain).name == "short"

    class Shop:
        @staticmethod
        def close() -> None: ...

    assert app.task(Shop.close).name.endswith("test_the_name_is_the_dotted_path.Shop.close")


def test_a_name_has_one_owner(app: Ardiq, work: Work) -> None:
    """B3: a second registration is refused, naming the owner's place; the first goes on working."""
    first = app.task(name="once")(plain)
    with pytest.raises(ValueError, match=r"'once' is already registered by .*test_tasks\.py:\d+"):
        app.task(name="once")(waiting)
    assert app.tasks["once"] is first
    job = first.enqueue_sync(2, 3)
    work(app)
    assert job.result_sync().value == 5  # type: ignore[union-attr]


def test_a_name_has_one_owner_in_all_of_its_queue(app: Ardiq, redis_url: str) -> None:
    """B3: another Ardiq of the same queue may not give the name to another function; a reload may."""
    app.task(name="once")(plain)
    again = Ardiq(app.queue_name, redis_url=redis_url)
    with pytest.raises(ValueError, match=r"'once' is already registered by .*test_tasks\.py:\d+"):
        again.task(name="once")(waiting)
    assert again.tasks == {}
    assert again.task(name="once")(plain).name == "once"


def test_queues_have_names_of_their_own(redis_url: str) -> None:
    """B3: the same name in another queue is another task."""
    one, two = Ardiq("one-queue", redis_url=redis_url), Ardiq("two-queue", redis_url=redis_url)
    assert one.task(name="same")(plain).queue != two.task(name="same")(plain).queue


@pytest.mark.parametrize(
    ("args", "kwargs", "words"),
    [
        ((), {}, "missing a required argument: 'a'"),
        ((1, 2, 3), {}, "too many positional arguments"),
        ((1,), {"c": 2}, "unexpected keyword argument 'c'"),
        ((1,), {"a": 2}, "multiple values for argument 'a'"),
    ],
)
def test_a_wrong_call_fails_where_it_is_made(
    app: Ardiq, stored: Stored, args: tuple[Any, ...], kwargs: dict[str, Any], words: str
) -> None:
    """B10: TypeError at the call site, naming the task and its signature; nothing is stored."""
    task = app.task(waiting)

    async def enqueue() -> None:
        task.enqueue(*args, **kwargs)  # not even awaited

    def enqueue_async() -> None:
        asyncio.run(enqueue())

    calls = [
        enqueue_async,
        lambda: task.enqueue_sync(*args, **kwargs),
        lambda: task.prepare(*args, **kwargs),
        lambda: task.options(delay_ms=5).enqueue_sync(*args, **kwargs),
        lambda: app.send_sync(task.name, *args, **kwargs),
    ]
    for call in calls:
        with pytest.raises(TypeError, match=words) as caught:
            call()
        assert f"{task.name}(a: 'int', b: 'int' = 1)" in str(caught.value)
    assert stored() == set()


def test_a_task_with_open_arguments(app: Ardiq, work: Work) -> None:
    """B10: *args and **kwargs take what a Python call would take, positional-only names included."""

    @app.task
    def gather(first: int, /, *rest: int, key: str = "k", **more: int) -> list[Any]:
        return [first, rest, key, more]

    job = gather.enqueue_sync(1, 2, 3, key="x", first=4, self=5, name=6)
    work(app)
    more = {"first": 4, "self": 5, "name": 6}
    assert job.result_sync().value == [1, (2, 3), "x", more]  # type: ignore[union-attr]
    with pytest.raises(TypeError, match="missing a required"):
        gather.enqueue_sync()


def test_what_else_can_be_called(app: Ardiq, work: Work) -> None:
    """B1, B4: methods and objects that can be called are tasks, too, async or sync as they are."""

    class Clerk:
        async def __call__(self, text: str) -> str:
            return text

        def method(self, text: str) -> str:
            return text

    tasks = [app.task(name="clerk")(Clerk()), app.task(name="method")(Clerk().method)]
    jobs = [task.enqueue_sync("x") for task in tasks]
    work(app)
    assert [job.result_sync().value for job in jobs] == ["x", "x"]  # type: ignore[union-attr]


def test_unknown_options_are_refused(redis_url: str) -> None:
    """B11: an option that does not exist raises at once, saying which one was meant."""
    with pytest.raises(OptionError, match=r"has no option 'concurency'. Did you mean concurrency\?"):
        Ardiq("q", redis_url=redis_url, concurency=4)
    with pytest.raises(ValueError, match="no valid queue name"):
        Ardiq("no spaces")
    with pytest.raises(TypeError, match="nonsense"):
        Ardiq("q", redis_url=redis_url).task(nonsense=1)(plain)


def test_options_in_code(redis_url: str, settings: Any) -> None:
    """B11: options in lower case; those of the same queue in settings hold where none are given."""
    settings.ARDIQ = {"mail": {"REDIS_URL": redis_url, "CONCURRENCY": 3, "RESULT_TTL_MS": 5_000}}
    app = Ardiq("mail", priorities=["low", "high"], result_ttl_ms=9_000)
    assert (app.options.concurrency, app.options.result_ttl_ms) == (3, 9_000)
    assert (app.options.priorities, app.options.default_priority) == (("low", "high"), "high")
    assert Ardiq().queue_name == "default"


def test_every_async_method_has_its_twin() -> None:
    """B11, C2: whatever must be awaited has a _sync twin with the same arguments."""
    for owner in (Ardiq, Job, Enqueuable):
        for name, method in vars(owner).items():
            wanted = inspect.iscoroutinefunction(method) or name == "enqueue"
            if wanted and not name.startswith("_"):
                twin = getattr(owner, f"{name}_sync")
                assert not inspect.iscoroutinefunction(twin)
                mine, its = inspect.signature(method).parameters, inspect.signature(twin).parameters
                assert list(mine.values()) == list(its.values()), name
    assert {"send_sync", "enqueue_many_sync"} <= set(ardiq.__all__)


def test_an_app_in_async_code(app: Ardiq, work: Work) -> None:
    """B11: send, ref, enqueue_many, result, status, info, abort, queue_size of an Ardiq built in code."""
    task = app.task(name="add")(waiting)

    async def produce() -> list[Job[Any]]:
        jobs = [await app.send("add", 1), await app.ref("add").enqueue(2), await task.enqueue(3)]
        jobs += await app.enqueue_many(task.prepare(n) for n in (4, 5))
        assert await app.queue_size() == await app.queue_size("default") == 5
        assert await app.abort(jobs[4].id) is True
        assert await app.status(jobs[4].id) is JobStatus.ABORTED
        assert await app.queue_size("high") == 0
        return jobs

    async def consume(jobs: list[Job[Any]]) -> list[Any]:
        info = await app.info(jobs[0].id)
        assert info is not None and info.name == "add"
        return [(await app.result(job.id)).value for job in jobs]  # type: ignore[union-attr]

    jobs = asyncio.run(produce())
    work(app)
    assert asyncio.run(consume(jobs)) == [2, 3, 4, 5, "aborted"]


def test_an_app_in_sync_code(app: Ardiq, work: Work) -> None:
    """B11: the same, each by its _sync twin, where no event loop runs."""
    task = app.task(name="add")(waiting)
    jobs = [app.send_sync("add", 1), app.ref("add").enqueue_sync(2), task.enqueue_sync(3)]
    jobs += app.enqueue_many_sync(task.prepare(n) for n in (4, 5))
    assert app.queue_size_sync() == app.queue_size_sync("default") == 5
    assert app.abort_sync(jobs[4].id) is True
    assert app.status_sync(jobs[4].id) is JobStatus.ABORTED
    work(app)
    assert [app.result_sync(job.id).value for job in jobs] == [2, 3, 4, 5, "aborted"]  # type: ignore[union-attr]
    info = app.info_sync(jobs[0].id)
    assert info is not None and info.args == [1]


def test_run_works_with_hooks_and_state(app: Ardiq) -> None:
    """B11: run() drains the queue, on_error hears of failures, lifespan surrounds it all, state is shared."""
    told: list[str] = []

    @app.lifespan
    async def open_and_close(own: Ardiq) -> Any:
        own.state.door = "open"
        told.append("in")
        yield
        told.append("out")

    @app.on_error
    def hook(error: BaseException, job: Any) -> None:
        told.append(f"{error} in {job.name}")

    @app.task(name="fails", max_retries=0)
    def fails() -> None:
        raise ValueError(app.state.door)

    assert isinstance(app.state, SimpleNamespace)
    job = fails.enqueue_sync()
    app.run(burst=True)
    assert told == ["in", "open in fails", "out"]
    assert job.status_sync() is JobStatus.FAILED
    assert dict(app.tasks) == {"fails": fails}


def test_stop_ends_run(app: Ardiq) -> None:
    """B11: stop() ends a worker that would go on for ever, here from inside one of its jobs."""

    @app.task(name="last")
    def last() -> None:
        app.stop()

    last.enqueue_sync()
    app.run()
    assert app.queue_size_sync() == 0


def test_the_module_is_the_default_queue(redis_url: str, settings: Any, queue_name: str) -> None:
    """B11: ardiq.task and friends belong to the queue "default" of settings, others by queue=."""
    settings.ARDIQ = {"default": {"REDIS_URL": redis_url}, queue_name: {"REDIS_URL": redis_url}}
    assert ardiq.ref("some.task").app.queue_name == ardiq.queue().queue_name == "default"
    task = ardiq.task(queue=queue_name, name="mine")(plain)
    assert task.queue == queue_name
    assert task.enqueue_sync(1).queue == queue_name
    with pytest.raises(ValueError, match="no queue 'male' in the ARDIQ setting"):
        ardiq.task(queue="male")(plain)
