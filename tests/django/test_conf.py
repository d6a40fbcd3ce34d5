"""The ARDIQ setting: shape, defaults, laziness, overriding, keys."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings

from ardiq import conf

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def _no_url_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ARDIQ_REDIS_URL", raising=False)


def test_no_setting_is_one_queue(settings: Any) -> None:
    """A: without ARDIQ there is one queue, "default", with all defaults."""
    del settings.ARDIQ
    assert conf.aliases() == ["default"]
    assert conf.options().redis_url == "redis://localhost:6379/0"
    settings.ARDIQ = {}
    assert conf.aliases() == ["default"]


def test_one_entry_is_one_queue(settings: Any) -> None:
    """A: alias -> options of one queue, in upper case."""
    settings.ARDIQ = {"default": {}, "mail": {"PRIORITIES": ["low", "high"], "CONCURRENCY": 4}}
    assert conf.aliases() == ["default", "mail"]
    mail = conf.options("mail")
    assert (mail.queue, mail.priorities, mail.default_priority, mail.threads) == (
        "mail",
        ("low", "high"),
        "high",
        4,
    )
    assert conf.options("mail") is mail


def test_the_url_comes_from_the_environment(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A: REDIS_URL defaults to the environment's ARDIQ_REDIS_URL."""
    monkeypatch.setenv("ARDIQ_REDIS_URL", "redis://env:1/2")
    settings.ARDIQ = {"default": {}, "own": {"REDIS_URL": "redis://own:1"}}
    assert conf.options().redis_url == "redis://env:1/2"
    assert conf.options("own").redis_url == "redis://own:1"


def test_a_wrong_url_of_the_environment_is_refused(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A1: what comes from the environment is checked like a setting, and the hint names it."""
    monkeypatch.setenv("ARDIQ_REDIS_URL", "localhost")
    settings.ARDIQ = {"default": {}}
    with pytest.raises(ImproperlyConfigured, match="from the environment, ARDIQ_REDIS_URL"):
        conf.options()


def test_the_time_zone_is_djangos(settings: Any) -> None:
    """A: TIME_ZONE defaults to settings.TIME_ZONE, also when that is overridden."""
    settings.ARDIQ = {"default": {}, "own": {"TIME_ZONE": "Asia/Tokyo"}}
    settings.TIME_ZONE = "Europe/Berlin"
    assert (conf.options().time_zone, conf.options("own").time_zone) == ("Europe/Berlin", "Asia/Tokyo")


def test_the_embedded_server_lives_in_the_project(settings: Any) -> None:
    """A: embedded:// without a directory means BASE_DIR/.ardiq."""
    settings.BASE_DIR = Path("/srv/site")
    settings.ARDIQ = {"default": {"REDIS_URL": "embedded://"}, "own": {"REDIS_URL": "embedded:///data/own"}}
    assert conf.options().redis_url == "embedded:///srv/site/.ardiq"
    assert conf.options("own").redis_url == "embedded:///data/own"


def test_overriding_takes_effect_at_once() -> None:
    """A2: override_settings(ARDIQ=...) holds inside its block and no longer."""
    with override_settings(ARDIQ={"default": {"CONCURRENCY": 3}}):
        assert conf.options().concurrency == 3
        with override_settings(ARDIQ={"default": {"CONCURRENCY": 5}}):
            assert conf.options().concurrency == 5
        assert conf.options().concurrency == 3


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("redis://localhost", "ARDIQ is a str: it must be a dict of queue names"),
        ([{}], "ARDIQ is a list"),
        (
            {"REDIS_URL": "redis://h"},
            r"ARDIQ\['REDIS_URL'\] is an option .* \{'default': \{'REDIS_URL': \.\.\.\}\}",
        ),
        ({"default": {}, "LANE_LIMITS": {}}, r"ARDIQ\['LANE_LIMITS'\] is an option"),
        ({"default": "redis://h"}, r"ARDIQ\['default'\] is a str: it must be a dict of options"),
        ({"default": None}, r"ARDIQ\['default'\] is a NoneType"),
    ],
)
def test_a_wrong_shape_says_how_to_nest(settings: Any, setting: object, words: str) -> None:
    """A1: a flat dict, or no dict at all, is refused at first use with the right shape."""
    settings.ARDIQ = setting
    for use in (conf.options, conf.aliases):
        with pytest.raises(ImproperlyConfigured, match=words):
            use()
    assert [wrong.code for wrong in conf.complaints()] == ["E001"]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"PRIORITES": ["a"]}, "no option 'PRIORITES'. Did you mean PRIORITIES?"),
        ({"priorities": ["a"]}, "no option 'priorities'. Did you mean PRIORITIES?"),
        ({"PRIORITIES": []}, "ARDIQ['default']['PRIORITIES'] is []"),
        ({"PRIORITIES": ["a", "a"]}, "'a' is named more often"),
        ({"DEFAULT_PRIORITY": "high"}, "the lanes of this queue are 'default'"),
        ({"CONCURRENCY": 0}, "ARDIQ['default']['CONCURRENCY'] is 0"),
        ({"LEASE_MS": -1}, "ARDIQ['default']['LEASE_MS'] is -1"),
    ],
)
def test_a_wrong_option_is_improper(settings: Any, given: dict[str, object], words: str) -> None:
    """A1: ImproperlyConfigured at first use."""
    settings.ARDIQ = {"default": given}
    with pytest.raises(ImproperlyConfigured) as caught:
        conf.options()
    assert words in str(caught.value)


def test_all_problems_of_a_queue_are_told_together(settings: Any) -> None:
    """A1: one start shows all that is wrong with the queue."""
    settings.ARDIQ = {"default": {"CONCURRENCY": 0, "JITTER": 1}}
    with pytest.raises(ImproperlyConfigured, match=r"(?s)CONCURRENCY.*JITTER"):
        conf.options()


def test_an_unknown_queue_is_improper(settings: Any) -> None:
    """A1: a queue that is not in settings is refused, with the names of those that are."""
    settings.ARDIQ = {"default": {}, "mail": {}}
    with pytest.raises(
        ImproperlyConfigured, match=r"no queue 'male' in the ARDIQ setting\. Did you mean mail\?"
    ):
        conf.options("male")
    with pytest.raises(ImproperlyConfigured, match="Known: default, mail"):
        conf.options("unrelated")


def test_keys_come_from_secret_key(settings: Any) -> None:
    """FAULTS S3: SECRET_KEY signs, its fallbacks verify, and overriding either takes effect at once."""
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = "new", ["old", b"older"]
    assert conf.signing_keys(conf.options()) == (b"new", b"old", b"older")
    settings.SECRET_KEY = "newest"
    assert conf.signing_keys(conf.options())[0] == b"newest"


def test_no_key_no_signing(settings: Any) -> None:
    """A: SIGNING off, or no SECRET_KEY, means no keys."""
    settings.ARDIQ = {"default": {}, "open": {"SIGNING": False}}
    assert conf.signing_keys(conf.options("open")) == ()
    settings.SECRET_KEY = ""
    assert conf.signing_keys(conf.options()) == ()


def test_import_needs_no_settings() -> None:
    """A3: importing the package's settings module touches neither Django's settings nor redis."""
    code = (
        "import sys; from ardiq import conf, checks; from django.conf import settings; "
        "assert not settings.configured; assert 'redis' not in sys.modules"
    )
    environment = {key: value for key, value in os.environ.items() if key != "DJANGO_SETTINGS_MODULE"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
