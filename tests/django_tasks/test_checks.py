"""System checks of TASKS: what is wrong is said by ``manage.py check``, without a network."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

import pytest
from django.test import override_settings

from tests.parlour import tasks as defined
from tests.parlour.origin import origin

Project = Callable[..., None]


def said(project: Project, **options: Any) -> list[tuple[str, str]]:
    project(**options)
    return [(one.id, one.msg) for one in origin.default_task_backend.check()]


def test_settings_that_are_right(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """J8: nothing to say, and nothing is asked over the network."""

    def refuse(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("a connection")

    path = "tests.parlour.tasks.add"
    with monkeypatch.context() as patch:
        patch.setattr(socket.socket, "connect", refuse)
        assert said(project) == []
        assert said(project, max_attempts=3, backoff=5, tasks={path: {"timeout": 3}}) == []


@pytest.mark.parametrize(
    ("options", "id", "text"),
    [
        ({"max_retry": 3}, "ardiq.E018", "no option 'max_retry'. Did you mean max_retries?"),
        ({"max_attempts": "3"}, "ardiq.E018", "max_attempts='3'"),
        ({"tasks": []}, "ardiq.E018", "must be a dict of paths"),
        ({"tasks": {"tests.parlour.tasks.add": 3}}, "ardiq.E018", "must be a dict of options"),
        ({"tasks": {"tests.parlour.tasks.add": {"retry": 3}}}, "ardiq.E018", "no option 'retry'"),
        ({"tasks": {"tests.parlour.tasks.sub": {}}}, "ardiq.W004", "no task lies there"),
    ],
)
def test_options_that_are_wrong(project: Project, options: dict[str, Any], id: str, text: str) -> None:
    """J3: with the place, the value and the rule."""
    found = said(project, **options)
    assert [one[0] for one in found] == [id]
    assert text in found[0][1]


def test_options_that_do_not_fit_a_task(project: Project, settings: Any) -> None:
    """J3: async functions cannot do all; the task is named."""
    from ardiq.backend import finding

    project(once=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(finding, "_met", {defined.nothing_async.module_path: defined.nothing_async})
        found = [(one.id, one.msg) for one in origin.default_task_backend.check()]
    assert [one[0] for one in found] == ["ardiq.E018"]
    assert "does not fit the task tests.parlour.tasks.nothing_async" in found[0][1]


def test_options_that_are_no_dict(project: Project, settings: Any) -> None:
    """J8: said as well."""
    project()
    settings.TASKS = {"default": {"BACKEND": "ardiq.backend.ArdiqBackend", "OPTIONS": ["x"]}}
    assert [one.id for one in origin.default_task_backend.check()] == ["ardiq.E018"]


def test_a_queue_that_ardiq_does_not_have(project: Project, settings: Any) -> None:
    """J2: each name in QUEUES is an alias in ARDIQ."""
    project()
    settings.TASKS = {"default": {"BACKEND": "ardiq.backend.ArdiqBackend", "QUEUES": ["default", "defautl"]}}
    found = list(origin.default_task_backend.check())
    assert [one.id for one in found] == ["ardiq.E017"]
    assert "Did you mean default?" in found[0].hint


def test_without_the_app(project: Project, settings: Any) -> None:
    """J7: no worker would find a task."""
    project()
    apps = [app for app in settings.INSTALLED_APPS if app != "ardiq"]
    with override_settings(INSTALLED_APPS=apps):
        assert [one.id for one in origin.default_task_backend.check()] == ["ardiq.E016"]


def test_settings_of_the_queue_that_are_wrong(tasks: Any, settings: Any) -> None:
    """A1: are said by their own check, and tasks can be defined all the same."""
    settings.ARDIQ = {"default": {"PRIORITES": []}}
    settings.TASKS = {"default": {"BACKEND": "ardiq.backend.ArdiqBackend"}}
    assert list(origin.default_task_backend.check()) == []
    assert origin.task(defined.meaning.func).call() == 42
