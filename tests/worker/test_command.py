"""``manage.py ardiq_worker`` as a process: its arguments, its banner, its burst, its care for settings."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from ardiq import Ardiq, JobStatus
from ardiq.core.options import Options
from ardiq.management import banner
from ardiq.version import __version__
from tests.server import admin
from tests.workers import Workers, Working, until

Make = Callable[..., Working]


@pytest.fixture
def sender(app: Ardiq) -> Ardiq:
    """The queue as a producer sees it: nothing but names."""
    return app


def test_burst_drains_what_is_due_and_ends(workers: Workers, sender: Ardiq) -> None:
    """H1, H7: everything due, in all lanes, what jobs add included; what is due later stays. Exit 0."""
    jobs = [sender.ref("add").options(priority=lane).enqueue_sync(n, 1) for n, lane in
            enumerate(["low", "default", "high"] * 30)]  # fmt: skip
    later = sender.ref("add").options(delay_ms=600_000).enqueue_sync(1, 1)
    process = workers.spawn("--burst")
    assert process.ends() == 0, process.text
    assert [job.result_sync().value for job in jobs] == list(range(1, 91))  # type: ignore[union-attr]
    assert later.status_sync() is JobStatus.SCHEDULED
    assert workers.registered() == set()


def test_burst_may_run_again_in_the_same_process(app: Ardiq) -> None:
    """H7: twice, with the same app, from plain sync code; lifespans are entered each time."""
    seen: list[int] = []
    task = app.task(name="t")(seen.append)
    for n in range(3):
        task.enqueue_sync(n)
        app.run(burst=True)
        assert seen == list(range(n + 1))


def test_a_worker_stopped_from_code(app: Ardiq) -> None:
    """B11: ``stop()`` inside a task ends ``run()`` gracefully."""
    task = app.task(name="t")(app.stop)
    job = task.enqueue_sync()
    app.run()
    assert job.status_sync() is JobStatus.SUCCEEDED


def test_the_banner(workers: Workers, redis_url: str) -> None:
    """H2: what it is and serves, in plain text when nobody watches; never a password."""
    url = redis_url if "@" in redis_url else redis_url.replace("://", "://:s3cret@")
    process = workers.spawn("--name", "painter", "--concurrency", "7", "--threads", "3", REDIS_URL=url)
    text: str = until(lambda: "Stop it with" in process.text and process.text, 30)
    for words in (
        f"ardiq {__version__} worker painter", f"{workers.queue} at redis", "high > default > low",
        "7 jobs, 3 threads", "add", "doze",
    ):  # fmt: skip
        assert words in text, text
    assert "s3cret" not in text and "\x1b[" not in text
    process.stop()
    assert "s3cret" not in process.text


def test_the_banner_of_many_tasks() -> None:
    """H2: lines of a width that people read, the first tasks by name, how many more; one is not many."""
    app = Ardiq("crowded", concurrency=1, threads=1)
    for number in range(99):
        app.task(name=f"warehouse.tasks.restock_shelf_{number:02}")(lambda: None)
    lines = banner.lines("painter", [app.options], burst=False)
    assert max(map(len, lines)) <= 100
    assert "  concurrency  1 job, 1 thread" in lines
    text = " ".join(lines)
    assert "99: warehouse.tasks.restock_shelf_00, " in text and "and 79 more" in text
    assert "restock_shelf_19" in text and "restock_shelf_20" not in text
    assert any(
        "none: no tasks.py" in line for line in banner.lines("painter", [Options("empty")], burst=False)
    )


def test_quiet(workers: Workers, sender: Ardiq) -> None:
    """H1: Django's own -v 0 says nothing when nothing is wrong."""
    sender.send_sync("add", 1, 2)
    process = workers.spawn("--burst", "-v", "0")
    assert (process.ends(), process.text) == (0, "")


def test_what_it_is_called(workers: Workers, sender: Ardiq) -> None:
    """H1: --name is what people see in results."""
    job = sender.send_sync("add", 1, 2)
    assert workers.spawn("--burst", "--name", "painter").ends() == 0
    assert job.result_sync().worker == "painter"  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--queue", "nowhere"), "There is no queue 'nowhere'"),
        (("--concurrency", "0"), "--concurrency 0"),
        (("--threads", "-1"), "--threads -1"),
        (("--concurrency", "many"), "invalid int value"),
    ],
)
def test_arguments_that_are_wrong(workers: Workers, arguments: tuple[str, str], words: str) -> None:
    """H1: named with the rule, no traceback, exit code above 0."""
    process = workers.spawn("--burst", *arguments)
    assert process.ends(30) != 0
    assert words in process.text and "Traceback" not in process.text


def test_only_the_queues_that_it_is_given(workers: Workers, sender: Ardiq, redis_url: str) -> None:
    """H1: --queue, once or more often; the others are left alone. Without it, all of them."""
    other_name = f"{workers.queue}-other"
    settings = {name: {"REDIS_URL": redis_url} for name in (workers.queue, other_name)}
    other = Ardiq(other_name, redis_url=redis_url)
    here, there = sender.send_sync("add", 1, 2), other.send_sync("nothing")
    variables = {"ardiq_test_settings": json.dumps(settings)}
    try:
        assert workers.spawn("--burst", "--queue", workers.queue, **variables).ends() == 0
        assert (here.status_sync(), there.status_sync()) == (JobStatus.SUCCEEDED, JobStatus.QUEUED)
        process = workers.spawn("--burst", **variables)
        assert process.ends() == 0 and other_name in process.text
        assert there.status_sync() is JobStatus.SCHEDULED, "parked: no task of that name"
    finally:
        with admin(redis_url) as client:
            for key in client.scan_iter(match=other.broker.keys.prefix + "*"):
                client.delete(key)


def test_a_tasks_module_that_fails_to_import(workers: Workers) -> None:
    """H1: its own traceback at the start, and no worker."""
    package = workers.directory / "brokenapp"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "tasks.py").write_text("import there_is_no_such_module\n")
    process = workers.spawn(
        "--burst", ardiq_test_apps="tests.shop,brokenapp", pythonpath=str(workers.directory)
    )
    assert process.ends(30) != 0
    assert "there_is_no_such_module" in process.text and "brokenapp/tasks.py" in process.text


def test_lifespans(workers: Workers, sender: Ardiq) -> None:
    """H10: once per worker process, before any job and after the last; state is there for tasks."""
    job = sender.send_sync("greet")
    process = workers.start()
    assert job.result_sync(timeout=10).value == "hello"  # type: ignore[union-attr]
    assert process.stop() == 0
    pid = str(process.popen.pid)
    assert workers.notes() == [["up", pid], ["down", pid]]


def test_a_lifespan_that_fails(app: Ardiq) -> None:
    """H10: the worker does not start, and says why; no job is touched."""

    @app.lifespan
    async def broken(owner: Ardiq):  # type: ignore[no-untyped-def]
        raise RuntimeError("no database")
        yield

    job = app.task(name="t")(lambda: 1).enqueue_sync()
    with pytest.raises(RuntimeError, match="no database"):
        app.run(burst=True)
    assert job.status_sync() is JobStatus.QUEUED
