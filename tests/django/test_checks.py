"""The system checks of the ARDIQ setting."""

from __future__ import annotations

import socket
from typing import Any

import pytest
from django.core.checks import Error, Warning, run_checks

from ardiq.checks import check_settings, check_settings_for_deployment


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
        ({"default": {"SIGNING_KEY": ""}}, ["ardiq.E014"]),
        ({"default": {"PROPAGATE": ["nothing"]}}, ["ardiq.E015"]),
        ({"default": {"THREADS": 0}}, ["ardiq.E007"]),
        ({"default": {"DURABLE": "yes"}}, ["ardiq.E009"]),
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


@pytest.mark.parametrize(("signing", "expected"), [(True, []), (False, ["ardiq.W005"])])
def test_a_format_of_ones_own_without_signatures(settings: Any, signing: bool, expected: list[str]) -> None:
    """A, S3: whoever can write to Redis would choose what pickle reads."""
    formats = {"SERIALIZER": "pickle.dumps", "DESERIALIZER": "pickle.loads", "SIGNING": signing}
    assert ids(settings, {"default": formats}) == expected


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, []),
        ({"SIGNING_KEY": "k3y of m@ny different letters, 50 of them or even more"}, []),
        ({"SIGNING_KEY": "short"}, ["ardiq.W006"]),
        ({"SIGNING_KEY": "ab" * 40}, ["ardiq.W006"]),
        ({"SIGNING_KEY": ["k3y of m@ny different letters, 50 of them or even more", "old"]}, ["ardiq.W006"]),
        ({"SIGNING_KEY": "django-insecure-with many different letters, 50 of them"}, ["ardiq.W006"]),
        ({"SIGNING_KEY": "short", "SIGNING": False}, []),
        ({"LEASE_MS": 1_000}, ["ardiq.W007"]),
        ({"RESULT_TTL_MS": -1}, ["ardiq.W008"]),
    ],
)
def test_what_is_fine_at_a_desk(settings: Any, options: dict[str, object], expected: list[str]) -> None:
    """A: warned of under --deploy only, with a way out, and without a word of the key."""
    assert ids(settings, {"default": options}) == []
    found = check_settings_for_deployment()
    assert [str(one.id) for one in found] == expected
    assert all(one.hint and "short" not in one.msg for one in found)
    settings.ARDIQ = {"default": {"NO": 1}}
    assert check_settings_for_deployment() == []


def test_checks_never_touch_the_network(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A3: running the checks opens no connection."""

    def refuse(*args: object) -> None:
        raise AssertionError("a check opened a connection")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    settings.ARDIQ = {"default": {"REDIS_URL": "redis://localhost:1"}}
    assert run_checks(tags=["ardiq"]) == []
