"""Options: defaults, what is refused and how, and that no password is ever shown."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest

from ardiq.core.names import check_name
from ardiq.core.options import Options, complaints
from ardiq.core.redact import safe_url, shown
from ardiq.core.rules import RULES

DEFAULTS = {
    "queue": "default",
    "redis_url": "redis://localhost:6379/0",
    "redis_options": {},
    "priorities": ("default",),
    "default_priority": "default",
    "lane_weights": None,
    "lane_limits": None,
    "concurrency": 16,
    "threads": 16,
    "prefetch": "auto",
    "lease_ms": 30_000,
    "grace_ms": 25_000,
    "crash_limit": 3,
    "max_retries": 3,
    "backoff_ms": 0,
    "max_backoff_ms": 3_600_000,
    "jitter": True,
    "result_ttl_ms": 86_400_000,
    "failed_ttl_ms": 604_800_000,
    "failed_max": 100_000,
    "max_queued": None,
    "max_payload_bytes": 1_048_576,
    "max_result_bytes": 1_048_576,
    "enqueue_on_commit": True,
    "signing": True,
    "serializer": None,
    "deserializer": None,
    "time_zone": "UTC",
    "propagate": (),
    "admin": True,
    "admin_refresh": 5,
    "redactor": None,
    "trace_url": None,
}


def test_the_defaults_are_those_of_the_contract() -> None:
    """A: every key of the settings table with its default."""
    options = Options.build("default", {})
    assert {name: getattr(options, name) for name in DEFAULTS} == DEFAULTS
    assert Options() == options


def test_every_option_has_a_rule() -> None:
    """A1: no option is accepted unchecked."""
    names = {item.name for item in dataclasses.fields(Options)} - {"queue", "cache_key"}
    assert names == set(RULES)


@pytest.mark.parametrize(
    ("lanes", "middle"),
    [
        (["default"], "default"),
        (["low", "high"], "high"),
        (["low", "default", "high"], "default"),
        (("a", "b", "c", "d"), "c"),
    ],
)
def test_the_default_lane_is_the_middle_rounded_up(lanes: Any, middle: str) -> None:
    """A: DEFAULT_PRIORITY is the middle lane, rounded up, unless it is given."""
    assert Options.build("default", {"priorities": lanes}).default_priority == middle
    assert (
        Options.build("default", {"priorities": lanes, "default_priority": lanes[0]}).default_priority
        == lanes[0]
    )


def test_threads_follow_concurrency() -> None:
    """A: THREADS defaults to CONCURRENCY."""
    assert Options.build("default", {"concurrency": 5}).threads == 5
    assert Options.build("default", {"concurrency": 5, "threads": 2}).threads == 2


def test_defaults_of_the_caller_stand_between() -> None:
    """A: what is given wins over the environment, the environment over the built-in default."""
    assert Options.build("default", {}, redis_url="unix:///run/r").redis_url == "unix:///run/r"
    assert (
        Options.build("default", {"redis_url": "unix:///run/q"}, redis_url="unix:///run/r").redis_url
        == "unix:///run/q"
    )


def backoff(attempt: int, problem: BaseException) -> int:
    return attempt


ACCEPTED = [
    ("priorities", ("a.b-c_D", "2")),
    ("prefetch", "auto"),
    ("prefetch", 0),
    ("backoff_ms", 250),
    ("backoff_ms", "exponential"),
    ("backoff_ms", backoff),
    ("result_ttl_ms", 0),
    ("result_ttl_ms", -1),
    ("max_retries", 0),
    ("grace_ms", 0),
    ("lane_weights", {"default": 3}),
    ("lane_limits", {"default": 1}),
    ("time_zone", "Europe/Berlin"),
    ("propagate", ("language", "time_zone", "ardiq.core.context.running")),
    ("redis_options", {"ssl_ca_certs": "ca.pem"}),
    ("redis_options", {"sentinels": [("a", 26379)], "service_name": "main"}),
    *[("redis_url", f"{scheme}://h:1/2") for scheme in ("redis", "rediss", "valkey", "valkeys")],
    ("redis_url", "unix:///run/redis.sock"),
    ("redis_url", "redis://[::1]:6379/0"),
    ("redis_url", "embedded://"),
    ("redis_url", "embedded:///srv/data"),
]


@pytest.mark.parametrize(("option", "value"), ACCEPTED)
def test_accepted(option: str, value: object) -> None:
    """A: what the settings table allows is taken as it is."""
    assert complaints("default", {option: value}) == []
    assert getattr(Options.build("default", {option: value}), option) == value


POSITIVE = [
    "concurrency",
    "threads",
    "lease_ms",
    "crash_limit",
    "max_backoff_ms",
    "failed_ttl_ms",
    "failed_max",
    "max_queued",
]
POSITIVE += ["max_payload_bytes", "max_result_bytes"]
REFUSED: list[tuple[dict[str, object], str, str]] = [
    ({"priorities": []}, "E004", "at least one lane"),
    ({"priorities": ()}, "E004", "at least one lane"),
    ({"priorities": "high"}, "E004", "a list of lane names"),
    ({"priorities": ["a", "b", "a"]}, "E004", "'a' is named more often"),
    ({"priorities": ["a:b"]}, "E004", "'a:b' is no valid lane name"),
    ({"priorities": [1]}, "E004", "1 is no valid lane name"),
    ({"default_priority": "high"}, "E005", "the lanes of this queue are 'default'"),
    ({"default_priority": 1}, "E005", "the name of a lane"),
    ({"priorities": ["a"], "lane_weights": {"b": 1}}, "E006", "'b' is no lane"),
    ({"lane_weights": {"default": 0}}, "E006", "at least 1"),
    ({"lane_limits": {"default": True}}, "E006", "at least 1"),
    ({"lane_limits": ["default"]}, "E006", "a dict of lane names"),
    *[({name: value}, "E007", "a whole number") for name in POSITIVE for value in (0, -1, 1.0, "1", True)],
    ({"crash_limit": 256}, "E007", "at most 255"),
    ({"max_payload_bytes": 1 << 24}, "E007", "at most 16,000,000"),
    ({"max_retries": -1}, "E007", "at least 0"),
    ({"prefetch": "all"}, "E007", "'auto' or a whole number"),
    ({"prefetch": -1}, "E007", "at least 0"),
    ({"result_ttl_ms": 1.5}, "E007", "whole number of milliseconds"),
    ({"result_ttl_ms": None}, "E007", "whole number of milliseconds"),
    ({"backoff_ms": -1}, "E008", "callable"),
    ({"backoff_ms": "linear"}, "E008", "'exponential'"),
    ({"backoff_ms": False}, "E008", "callable"),
    ({"jitter": 1}, "E009", "True or False"),
    ({"signing": "yes"}, "E009", "True or False"),
    ({"enqueue_on_commit": None}, "E009", "True or False"),
    ({"redis_url": "localhost:6379"}, "E010", "redis://, rediss://"),
    ({"redis_url": "http://localhost"}, "E010", "redis://, rediss://"),
    ({"redis_url": "redis://h:port/0"}, "E010", "port cannot be read"),
    ({"redis_url": None}, "E010", "redis://, rediss://"),
    ({"redis_options": [("a", 1)]}, "E011", "keyword arguments"),
    ({"redis_options": {1: 2}}, "E011", "keyword arguments"),
    ({"redis_options": {"sentinels": [("a", 1)]}}, "E011", "service_name"),
    ({"serializer": "json.dumps"}, "E012", "needs deserializer"),
    ({"deserializer": json.loads}, "E012", "needs serializer"),
    ({"serializer": "json.nothing", "deserializer": "json.loads"}, "E012", "AttributeError"),
    ({"serializer": "no_such.module", "deserializer": "json.loads"}, "E012", "ModuleNotFoundError"),
    ({"serializer": "dumps", "deserializer": "json.loads"}, "E012", "dotted path"),
    ({"serializer": "json.__name__", "deserializer": "json.loads"}, "E012", "not callable"),
    ({"time_zone": "Mars/Olympus"}, "E013", "IANA"),
    ({"time_zone": "../etc/passwd"}, "E013", "IANA"),
    ({"time_zone": "Europe"}, "E013", "IANA"),
    ({"time_zone": None}, "E013", "IANA"),
    ({"admin_enqueue": "some"}, "E026", "'marked'"),
    ({"admin_enqueue": True}, "E026", "'marked'"),
    ({"redactor": "no.such.module"}, "E027", "No module"),
    ({"trace_url": "traces.example.com/{trace}"}, "E027", "http(s) address"),
    ({"trace_url": "https://traces.example.com/"}, "E027", "{trace} in it"),
    ({"propagate": "language"}, "E015", "a list of 'language', 'time_zone', 'enqueued_by' and dotted paths"),
    ({"propagate": [1]}, "E015", "a list of"),
    ({"propagate": ["language", "language"]}, "E015", "each once"),
    ({"propagate": ["timezone"]}, "E015", "'timezone' is neither 'language' nor"),
    ({"propagate": ["no_such.module"]}, "E015", "ModuleNotFoundError"),
    ({"propagate": ["json.dumps"]}, "E015", "must be a ContextVar"),
    ({"prioritys": ["a"]}, "E002", "has no option 'prioritys'"),
    ({"PRIORITIES": ["a"]}, "E002", "has no option 'PRIORITIES'"),
]


@pytest.mark.parametrize(
    ("given", "code", "words"), REFUSED, ids=[f"{code}-{', '.join(given)}" for given, code, _ in REFUSED]
)
def test_refused(given: dict[str, object], code: str, words: str) -> None:
    """A1, B11: a refusal has its stable code and names the value, the rule and the way out."""
    (complaint,) = complaints("default", given)
    assert complaint.code == code
    assert words in complaint.message
    assert complaint.message.startswith("Ardiq(")
    assert complaint.hint
    with pytest.raises(ValueError, match="Ardiq") as caught:
        Options.build("default", given)
    assert str(caught.value) == f"{complaint.message} {complaint.hint}"


def test_every_problem_at_once() -> None:
    """A1: a check reports all that is wrong, not only the first."""
    given = {"PRIORITIES": [], "CONCURRENCY": 0, "JITTER": "no", "REDIS_ULR": "x"}
    assert [wrong.code for wrong in complaints("bad queue", given, upper=True)] == [
        "E003",
        "E004",
        "E007",
        "E009",
        "E002",
    ]


@pytest.mark.parametrize(
    ("key", "upper", "hint"),
    [
        ("PRIORITES", True, "Did you mean PRIORITIES?"),
        ("priorities", True, "Did you mean PRIORITIES?"),
        ("PRIORITIES", False, "Did you mean priorities?"),
        ("redis_ulr", False, "Did you mean redis_url?"),
        ("colour", False, "Known: admin, admin_enqueue,"),
        (7, True, "Known: ADMIN, ADMIN_ENQUEUE,"),
    ],
)
def test_an_unknown_option_is_refused(key: Any, upper: bool, hint: str) -> None:
    """A1: a misspelt key is refused, with the name that was probably meant."""
    (wrong,) = complaints("default", {key: 1}, upper=upper)
    assert (wrong.code, wrong.hint.startswith(hint)) == ("E002", True)


def test_names_are_spelt_as_the_reader_wrote_them() -> None:
    """A1: upper case and the path in ARDIQ for settings, keyword arguments for code."""
    (setting,) = complaints("mail", {"CONCURRENCY": 0}, upper=True)
    (argument,) = complaints("mail", {"concurrency": 0})
    assert setting.message.startswith("ARDIQ['mail']['CONCURRENCY'] is 0: it must be")
    assert argument.message.startswith("Ardiq(concurrency=0): it must be")


@pytest.mark.parametrize("bad", ["", "a b", "a{b}", "a:b", "a\n", "a*", "ü", "x" * 101, None, 7, b"x"])
def test_names(bad: object) -> None:
    """FAULTS S4: a queue's or lane's name cannot disturb a key."""
    with pytest.raises(ValueError, match="no valid lane name: a lane name is 1 to 100 of the characters"):
        check_name("lane", bad)
    assert check_name("task", "shop.tasks." + "x" * 150)
    with pytest.raises(ValueError, match="@task"):
        check_name("task", "shop.tasks.make.<locals>.send")


URLS = [
    ("redis://localhost:6379/0", "redis://localhost:6379/0"),
    ("redis://u:hush@h/0", "redis://u:********@h/0"),
    ("rediss://:hush@h:1/0", "rediss://:********@h:1/0"),
    ("redis://u@h", "redis://u@h"),
    ("redis://u:hu@sh@h", "redis://u:********@h"),
    ("redis://u:hu/sh@h", "redis://u:********@h"),
    ("redis://u:hu?sh@h", "redis://u:********@h"),
    ("redis://u:hu#sh@h", "redis://u:********@h"),
    ("unix:///run/r.sock?db=1&password=hush", "unix:///run/r.sock?db=1&password=********"),
    ("u:hush@h", "********"),
]


@pytest.mark.parametrize(("url", "safe"), URLS)
def test_passwords_are_masked(url: str, safe: str) -> None:
    """A4: a password never appears, however it is written in the URL."""
    assert safe_url(url) == safe
    if "://" in url:
        assert "hush" not in repr(Options(redis_url=url))


@pytest.mark.parametrize("url", ["http://u:hush@h", "u:hush@h", "redis://u:hush@h:port", b"redis://u:hush@h"])
def test_passwords_are_masked_in_complaints(url: object) -> None:
    """A4: nor in the complaint about a URL that is wrong."""
    (wrong,) = complaints("default", {"redis_url": url})
    assert "hush" not in f"{wrong.message} {wrong.hint}"


def test_passwords_are_masked_in_redis_options() -> None:
    """A4: nor anywhere in what is handed to redis-py."""
    redis_options = {
        "password": "hush",
        "sentinels": [("h", 1)],
        "sentinel_kwargs": {"PASSWORD": "hush", "deep": [({"auth_token": "hush"},)]},
        "ssl_client_secret": "hush",
        "origin": "redis://:hush@h",
        "username": "ada",
    }
    text = repr(Options(redis_options=redis_options))
    assert "hush" not in text and "'username': 'ada'" in text
    (wrong,) = complaints("default", {"redis_options": redis_options})
    assert (wrong.code, "hush" in wrong.message) == ("E011", False)


class Provider:
    __hash__ = None  # type: ignore[assignment]


def test_options_key_a_cache() -> None:
    """A2: equal connections share a key; another server, queue or redis option does not."""
    provider = Provider()

    def key(queue: str = "a", url: str = "unix:///q", **redis_options: object) -> object:
        return Options.build(queue, {"redis_url": url, "redis_options": redis_options}).cache_key

    assert key(db=1, x=[1, {"y": 2}]) == key(x=[1, {"y": 2}], db=1)
    assert key(p=provider) == key(p=provider)
    assert (
        len({key(), key("b"), key(url="redis://h"), key(db=1), key(db=2), key(db=True), key(p=provider)}) == 7
    )
    assert key(p=provider) != key(p=Provider())
    assert hash(Options()) == hash(Options())
    assert len({Options(), Options(), Options(queue="b")}) == 2


def test_shown_survives_anything() -> None:
    """FAULTS S9: a value in a message is short, and its repr cannot break the message."""

    class Broken:
        def __repr__(self) -> str:
            raise RuntimeError

    assert shown(Broken()) == "<Broken, whose repr fails>"
    assert len(shown("x" * 1_000)) == 80
