"""The system checks of the ARDIQ setting."""

from __future__ import annotations

import socket
from typing import Any

import pytest
from django.core.checks import Error, Warning, run_checks

from ardiq.checks import check_settings


def ids(settings: Any, setting: object) -> list[str]:
    settings.ARDIQ = setting
    return [str(found.id) for found in check_settings()]


def test_good_settings_pass(settings: Any) -> None:
    """A1: nothing to say about settings that are right."""
    assert ids(settings, {"default": {"REDIS_URL": "redis://h/0", "PRIORITIES": ["low", "high"]}}) == []


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ({"REDIS_URL": "redis://h"}, ["ardiq.E001"]),
        ([], ["ardiq.E001"]),
        ({"default": {"PRIORITES": []}}, ["ardiq.E002"]),
        ({"a b": {}}, ["ardiq.E003"]),
        ({"default": {"PRIORITIES": []}}, ["ardiq.E004"]),
        ({"default": {"DEFAULT_PRIORITY": "x"}}, ["ardiq.E005"]),
        ({"default": {"LANE_LIMITS": {"x": 1}}}, ["ardiq.E006"]),
        ({"default": {"CONCURRENCY": 0}}, ["ardiq.E007"]),
        ({"default": {"BACKOFF_MS": "x"}}, ["ardiq.E008"]),
        ({"default": {"JITTER": 1}}, ["ardiq.E009"]),
        ({"default": {"REDIS_URL": "h"}}, ["ardiq.E010"]),
        ({"default": {"REDIS_OPTIONS": None}}, ["ardiq.E011"]),
        ({"default": {"SERIALIZER": "json.dumps"}}, ["ardiq.E012"]),
        ({"default": {"TIME_ZONE": "x"}}, ["ardiq.E013"]),
        ({"default": {"CONCURRENCY": 0}, "mail": {"JITTER": 1}}, ["ardiq.E007", "ardiq.E009"]),
    ],
)
def test_each_problem_is_an_error(settings: Any, setting: object, expected: list[str]) -> None:
    """A1: one Error per problem, over all queues, each with a stable id."""
    assert ids(settings, setting) == expected


def test_an_error_has_a_hint(settings: Any) -> None:
    """A1: the hint says the way out, the message the value and the rule."""
    settings.ARDIQ = {"default": {"PRIORITIES": []}}
    (error,) = check_settings()
    assert isinstance(error, Error)
    assert error.msg == "ARDIQ['default']['PRIORITIES'] is []: it must name at least one lane."
    assert error.hint == "Write for example PRIORITIES: ['low', 'default', 'high']."


@pytest.mark.parametrize(("debug", "expected"), [(True, []), (False, ["ardiq.W001"])])
def test_an_embedded_server_in_production_is_a_warning(
    settings: Any, debug: bool, expected: list[str]
) -> None:
    """A: embedded:// with DEBUG off is warned of."""
    settings.DEBUG = debug
    assert (
        ids(settings, {"default": {"REDIS_URL": "embedded:///data"}, "mail": {"REDIS_URL": "redis://h"}})
        == expected
    )
    assert all(isinstance(found, Warning) and found.hint for found in check_settings())


def test_checks_never_touch_the_network(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A3: running the checks opens no connection."""

    def refuse(*args: object) -> None:
        raise AssertionError("a check opened a connection")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    settings.ARDIQ = {"default": {"REDIS_URL": "redis://localhost:1"}}
    assert run_checks(tags=["ardiq"]) == []
