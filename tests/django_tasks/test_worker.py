"""The same worker, admin and dead letters as at the first door, in processes of their own."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

import ardiq
from ardiq.backend import finding
from ardiq.backend.hall import hall_of
from ardiq.core.job import JobRecord, JobStatus
from ardiq.store import verbs
from tests import outhouse
from tests.parlour import cellar
from tests.parlour import tasks as defined
from tests.parlour.origin import origin
from tests.workers import Workers

Work = Callable[..., None]
Project = Callable[..., None]
SUCCESSFUL, FAILED = origin.TaskResultStatus.SUCCESSFUL, origin.TaskResultStatus.FAILED


class Parlour(Workers):
    """Workers of a project that has the tasks of tests/parlour."""

    def environment(self, **options: Any) -> dict[str, str]:
        backend = {"BACKEND": "ardiq.backend.ArdiqBackend", "QUEUES": ["default", self.queue]}
        setting = {
            "default": {"REDIS_URL": self.url},
            self.queue: {"REDIS_URL": self.url, "PRIORITIES": ["low", "default", "high"]},
        }
        return super().environment(**options) | {
            "ARDIQ_TEST_SETTINGS": json.dumps(setting),
            "ARDIQ_TEST_APPS": "tests.parlour",
            "ARDIQ_TEST_TASKS": json.dumps({"default": backend}),
        }


@pytest.fixture
def parlour(redis_url: str, queue_name: str, tmp_path: Path) -> Iterator[Parlour]:
    workers = Parlour(redis_url, queue_name, tmp_path)
    yield workers
    workers.close()


def test_a_worker_process_runs_tasks_of_both_doors(tasks: Any, parlour: Parlour, queue_name: str) -> None:
    """J7: found in ``tasks.py`` of an installed app, or where nobody has imported them: a signed job of a
    module of an installed app is enough. What is of no app stays where it is."""
    results = [tasks.add.enqueue(1, b=2), tasks.add_async.enqueue(3, b=4)]
    hidden = cellar.pid.using(queue_name=queue_name).enqueue()
    outside = outhouse.pid.using(queue_name=queue_name).enqueue()
    native = ardiq.queue(queue_name).send_sync("add", 5, 6)  # of tests/shop, which the parlour imports
    worker = parlour.spawn("--queue", queue_name, "--burst")
    assert worker.ends(60) == 0, worker.text
    for result in (*results, hidden):
        result.refresh()
        assert result.status == SUCCESSFUL, worker.text
    assert [result.return_value for result in results] == [3, 7]
    assert hidden.return_value == worker.popen.pid
    assert hidden.worker_ids == results[0].worker_ids
    assert native.result_sync().value == 11
    outside.refresh()
    assert (outside.status, outside.attempts) == (origin.TaskResultStatus.READY, 0)
    assert "No worker knows a task named 'tests.outhouse.pid'" in worker.text


def test_the_banner_names_them(tasks: Any, parlour: Parlour, queue_name: str) -> None:
    """J7: tasks that are Django's stand among the others of their queue."""
    worker = parlour.spawn("--queue", "default", "--burst")
    assert worker.ends(60) == 0, worker.text
    assert "tests.parlour.tasks.meaning" in worker.text


def test_a_child_process_runs_one(project: Project, parlour: Parlour, queue_name: str) -> None:
    """J3, J7: the executor is one of the options, where a keyword can say so."""
    project(tasks={"tests.parlour.tasks.pid": {"executor": "process"}})
    result = defined.pid.using(queue_name=queue_name).enqueue()
    backend = {
        "BACKEND": "ardiq.backend.ArdiqBackend",
        "QUEUES": ["default", queue_name],
        "OPTIONS": {"tasks": {"tests.parlour.tasks.pid": {"executor": "process"}}},
    }
    parlour.environment = lambda **options: (  # type: ignore[method-assign]
        Parlour.environment(parlour, **options) | {"ARDIQ_TEST_TASKS": json.dumps({"default": backend})}
    )
    worker = parlour.start("--queue", queue_name)
    from tests.workers import until

    until(lambda: result.refresh() or result.is_finished, 30)
    assert result.status == SUCCESSFUL, worker.text
    assert result.return_value not in (worker.popen.pid, os.getpid())
    assert worker.stop() == 0


@pytest.mark.django_db
def test_the_admin_and_dead_letters_show_them(
    tasks: Any, queue_name: str, work: Work, client: Client
) -> None:
    """J7: a page for each job, with its arguments and its error; replayed from there it is READY again."""
    client.force_login(User.objects.create_superuser("boss"))
    fine, failed = tasks.add.enqueue(20, b=22), tasks.refuses.enqueue()
    work()
    page = client.get(f"/admin/ardiq/job/{fine.id}/change/", follow=True).content.decode()
    assert "tests.parlour.tasks.add" in page
    assert "42" in page
    assert (
        "This one refuses"
        in client.get(f"/admin/ardiq/job/{failed.id}/change/", follow=True).content.decode()
    )
    queue = ardiq.queue(queue_name)
    assert [letter.id for letter in queue.dead_letters_sync()] == [failed.id]
    assert ardiq.Job(failed.id, queue.broker).replay_sync()
    failed.refresh()
    assert failed.status == origin.TaskResultStatus.READY


def test_by_its_name_from_the_first_door(tasks: Any, queue_name: str, work: Work) -> None:
    """J7: whoever cannot import it sends it by its path, and gets a Job."""
    job = ardiq.queue(queue_name).send_sync("tests.parlour.tasks.add", 1, 2)
    work()
    assert job.result_sync().value == 3
    assert origin.default_task_backend.get_result(job.id).return_value == 3


# -- modules that are not imported ----------------------------------------------------------------------


def record(queue: str, id: str) -> JobRecord:
    broker = ardiq.queue(queue).broker
    return JobRecord(id, broker.store.run(verbs.read(broker.keys, [id]))[0])


@pytest.fixture
def forget(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], None]]:
    """The cellar is of an installed app, and from now on was never imported."""
    monkeypatch.setattr(finding, "_of_an_app", lambda module: module.startswith("tests.parlour."))
    module = sys.modules["tests.parlour.cellar"]

    def remove() -> None:
        del sys.modules["tests.parlour.cellar"]
        monkeypatch.delattr(sys.modules["tests.parlour"], "cellar")
        del finding._met["tests.parlour.cellar.pid"]

    yield remove
    sys.modules["tests.parlour.cellar"] = module


def test_a_signed_job_may_name_a_module(tasks: Any, queue_name: str, forget: Callable[[], None]) -> None:
    """S1: of an installed app; the key of the project vouches for it."""
    result = cellar.pid.using(queue_name=queue_name).enqueue()
    forget()
    hall = hall_of(queue_name)
    assert hall is not None
    assert hall.known("tests.parlour.cellar.pid") is None
    definition = hall.seek(record(queue_name, result.id))
    assert definition is not None
    assert definition.name == "tests.parlour.cellar.pid"


def test_an_unsigned_job_imports_nothing(
    project: Project, queue_name: str, forget: Callable[[], None]
) -> None:
    """S1: nobody knows who has written it."""
    project({"SIGNING": False})
    result = cellar.pid.using(queue_name=queue_name).enqueue()
    forget()
    hall = hall_of(queue_name)
    assert hall is not None
    assert hall.seek(record(queue_name, result.id)) is None
    assert "tests.parlour.cellar" not in sys.modules


def test_a_forged_job_imports_nothing(
    tasks: Any, queue_name: str, forget: Callable[[], None], settings: Any
) -> None:
    """S1: whoever writes to Redis without the key chooses nothing."""
    result = cellar.pid.using(queue_name=queue_name).enqueue()
    forget()
    settings.SECRET_KEY = "another"
    hall = hall_of(queue_name)
    assert hall is not None
    assert hall.seek(record(queue_name, result.id)) is None
    assert "tests.parlour.cellar" not in sys.modules


def test_what_is_there_and_is_no_task_is_not_run(tasks: Any, queue_name: str, work: Work) -> None:
    """S1: a function of the same module, of the standard library, or a class of Django."""
    queue = ardiq.queue(queue_name)
    jobs = [queue.send_sync(path) for path in ("tests.workers.until", "os.getcwd", "django.http.HttpRequest")]
    work()
    assert [(job.status_sync(), job.info_sync().tries) for job in jobs] == [(JobStatus.SCHEDULED, 0)] * 3
