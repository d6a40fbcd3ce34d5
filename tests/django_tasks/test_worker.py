"""The same worker, admin and dead letters as at the first door, in processes of their own."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from django.apps import AppConfig
from django.contrib.auth.models import User
from django.test import Client

import ardiq
from ardiq import owners
from ardiq.adminui.again import again, newest
from ardiq.backend import ArdiqTask, finding
from ardiq.backend.hall import hall_of
from ardiq.core.job import JobStatus
from tests import outhouse
from tests.parlour import cellar
from tests.parlour import tasks as defined
from tests.parlour.origin import origin, signals
from tests.workers import Workers, until

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


@pytest.fixture
def apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tasks that a test makes are met by nobody else."""
    monkeypatch.setattr(finding, "_met", dict(finding._met))


def test_a_worker_process_runs_tasks_of_both_doors(tasks: Any, parlour: Parlour, queue_name: str) -> None:
    """J7: found in ``tasks.py`` of an installed app, or in another module of one, which nobody has imported.
    What is of no app stays where it is."""
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


@pytest.mark.django_db
def test_the_form_of_the_admin_enqueues_them(
    project: Project, queue_name: str, work: Work, client: Client, apart: None
) -> None:
    """J7: those that are marked for it, with the signature that callers see and the options of the task."""
    client.force_login(User.objects.create_superuser("boss"))
    page = "/admin/ardiq/job/add/"
    project()
    made = ArdiqTask(
        func=defined.weighed, queue_name=queue_name, takes_context=True, admin_enqueue=True,
        expire=60, lane="high",
    )  # fmt: skip
    other = ArdiqTask(func=defined.squared, queue_name=queue_name)
    listed = client.get(page).content.decode()
    assert made.module_path in listed and other.module_path not in listed
    at = f"{page}?task={queue_name}/{made.module_path}"
    form = client.get(at).context["form"]
    assert [field.name for field in form.arguments] == ["arg_n"]
    assert client.post(at, {"arg_n": "x"}).context["form"].errors
    response = client.post(at, {"arg_n": "6"})
    assert response.status_code == 302
    job = ardiq.queue(queue_name).job(response.headers["Location"].split("/")[-3])
    info = job.info_sync()
    assert (info.lane, info.expires_at - info.enqueue_time) == ("high", 60_000)
    work()
    assert origin.default_task_backend.get_result(job.id).return_value == 7


def test_run_again_it_is_the_same_task(tasks: Any, queue_name: str, work: Work) -> None:
    """J7: as it was enqueued, but at once."""
    task, broker = tasks.nothing.using(priority=7), ardiq.queue(queue_name).broker
    for one, once in (
        (task, task),
        (task, task.using(run_after=timedelta(milliseconds=1))),
        (tasks.nothing, tasks.nothing),
    ):
        result = once.enqueue()
        until(lambda result=result: work() or result.refresh() or result.is_finished)
        assert again(broker, [result.id]) == {result.id: ""}
        copy = origin.default_task_backend.get_result(newest(broker, result.id))
        assert copy.task == one
        assert (copy.status, copy.id != result.id) == (origin.TaskResultStatus.READY, True)


def test_by_its_name_from_the_first_door(tasks: Any, queue_name: str, work: Work) -> None:
    """J7: whoever cannot import it sends it by its path, and gets a Job."""
    job = ardiq.queue(queue_name).send_sync("tests.parlour.tasks.add", 1, 2)
    work()
    assert job.result_sync().value == 3
    assert origin.default_task_backend.get_result(job.id).return_value == 3


def test_arguments_that_are_no_json(project: Project, queue_name: str, work: Work) -> None:
    """J7: whoever sends it by its name may give them. The result shows them as they are."""
    project()
    given = {"when": datetime(2026, 11, 30, tzinfo=UTC), "pair": (1, 2)}
    signals.task_started.connect(receive := lambda sender, **kwargs: None)
    try:
        job = ardiq.queue(queue_name).send_sync("tests.parlour.tasks.nothing", Decimal("1.5"), **given)
        own = ardiq.queue(queue_name).send_sync("tests.parlour.tasks.attempt_async", plus=Decimal(2))
        work()
    finally:
        signals.task_started.disconnect(receive)
    result = origin.default_task_backend.get_result(job.id)
    assert result.status == SUCCESSFUL
    assert (result.args, result.kwargs) == ([Decimal("1.5")], {**given, "pair": [1, 2]})
    assert origin.default_task_backend.get_result(own.id).return_value == 3


def test_changed_settings_leave_nothing_behind(project: Project, queue_name: str) -> None:
    """A2: a queue has the tasks of one hall, however often settings change."""
    for _ in range(3):
        project(max_attempts=2)
        defined.nothing.using(queue_name=queue_name).enqueue()
    assert owners.followers(queue_name) == [hall_of(queue_name)]


# -- modules that are not imported ----------------------------------------------------------------------


@pytest.fixture
def forget(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], None]]:
    """The parlour is an installed app, and from now on its cellar was never imported."""
    parlour = AppConfig("tests.parlour", sys.modules["tests.parlour"])
    monkeypatch.setattr(finding.apps, "get_app_configs", lambda: [parlour])
    module = sys.modules["tests.parlour.cellar"]

    def remove() -> None:
        del sys.modules["tests.parlour.cellar"]
        monkeypatch.delattr(sys.modules["tests.parlour"], "cellar")
        finding._met.pop("tests.parlour.cellar.pid", None)
        finding._searched.clear()
        finding._again.clear()

    yield remove
    sys.modules["tests.parlour.cellar"] = module


def test_modules_with_tasks_are_found_by_their_files(
    tasks: Any, queue_name: str, forget: Callable[[], None], work: Work
) -> None:
    """S1: a name that nobody knows makes a worker import those that define tasks, once, and no others."""
    result = cellar.pid.using(queue_name=queue_name).enqueue()
    forget()
    hall = hall_of(queue_name)
    assert hall is not None
    assert hall.known("tests.parlour.cellar.pid") is None
    work()
    result.refresh()
    assert result.status == SUCCESSFUL
    assert "tests.parlour.attic" not in sys.modules


def test_an_app_may_be_called_nearly_as_this_one(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """J7: only what is of Django or of ardiq is not looked into."""
    folder = tmp_path / "ardiq_reports"
    folder.mkdir()
    (folder / "__init__.py").touch()
    (folder / "nightly.py").write_text(Path(cellar.__file__).read_text())
    monkeypatch.syspath_prepend(tmp_path)
    app = AppConfig("ardiq_reports", import_module("ardiq_reports"))
    monkeypatch.setattr(finding.apps, "get_app_configs", lambda: [app])
    for name, empty in (("_met", dict(finding._met)), ("_searched", []), ("_again", {})):
        monkeypatch.setattr(finding, name, empty)
    project()
    try:
        assert finding.sought("ardiq_reports.nightly.pid") is not None
    finally:
        for name in ("ardiq_reports", "ardiq_reports.nightly"):
            sys.modules.pop(name, None)


@pytest.mark.parametrize("where", ["_any_file", "_tells", "_import"])
def test_modules_are_looked_for_again_when_files_ran_out(
    tasks: Any, queue_name: str, forget: Callable[[], None], monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    """F2: a search that the process was short of files for is not the last one, and ends nothing."""
    cellar.pid.using(queue_name=queue_name).enqueue()
    forget()
    plain, left = getattr(finding, where), [1]

    def short(*args: Any) -> Any:
        if left and left.pop():
            raise OSError(24, "Too many open files")
        return plain(*args)

    monkeypatch.setattr(finding, where, short)
    path = "tests.parlour.cellar.pid"
    assert finding.sought(path) is None and not finding._searched
    assert finding.sought(path) is None, "not at once"
    monkeypatch.setattr(finding, "_again", {"at": 0.0})
    assert finding.sought(path) is not None and finding._searched


def test_a_module_that_is_locked_keeps_no_other_from_being_found(
    tasks: Any, queue_name: str, forget: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """F2: one that takes a lock which another process holds, for as long as that lives."""
    forget()
    plain = finding.import_module

    def locked(name: str) -> Any:
        if name.endswith("attic"):
            raise BlockingIOError(11, "Resource temporarily unavailable")
        return plain(name)

    monkeypatch.setattr(finding, "_defining", lambda app: ["tests.parlour.attic", "tests.parlour.cellar"])
    monkeypatch.setattr(finding, "import_module", locked)
    finding._search_all()
    assert "tests.parlour.cellar" in sys.modules and not finding._searched


def test_a_name_from_redis_is_never_imported(
    tasks: Any, queue_name: str, forget: Callable[[], None], work: Work
) -> None:
    """S1: whoever chooses the name of a task chooses no module, of an installed app or not."""
    forget()
    queue = ardiq.queue(queue_name)
    names = ("tests.parlour.attic.nothing", "this.anything", "tests.outside")
    jobs = [queue.send_sync(name) for name in names]
    work()
    assert not {"tests.parlour.attic", "this", "tests.outside"} & set(sys.modules)
    assert [job.status_sync() for job in jobs] == [JobStatus.SCHEDULED] * 3


def test_looking_a_name_up_runs_no_code(tasks: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """S1: packages that import their parts when somebody asks for them are not asked."""

    def refuse(name: str) -> None:
        raise AssertionError(f"asked for {name}")

    lazy = ModuleType("lazy")
    monkeypatch.setattr(lazy, "__getattr__", refuse, raising=False)
    monkeypatch.setitem(sys.modules, "lazy", lazy)
    assert finding.loaded("lazy.part.task") is None
    with pytest.raises(AssertionError):
        lazy.part  # noqa: B018


def test_what_is_there_and_is_no_task_is_not_run(tasks: Any, queue_name: str, work: Work) -> None:
    """S1: a function of the same module, of the standard library, or a class of Django."""
    queue = ardiq.queue(queue_name)
    jobs = [queue.send_sync(path) for path in ("tests.workers.until", "os.getcwd", "django.http.HttpRequest")]
    work()
    assert [(job.status_sync(), job.info_sync().tries) for job in jobs] == [(JobStatus.SCHEDULED, 0)] * 3
