"""What bad input gets: each refusal names the value, the rule and the way out, and nothing is half-stored."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured

import ardiq
from ardiq import Ardiq, ArdiqError, Retry
from ardiq.core.errors import EncodeError, OptionError, TooLarge
from ardiq.enqueuing import Task
from ardiq.store.keys import Keys
from tests.server import admin

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def app(redis_url: str, queue_name: str) -> Ardiq:
    return Ardiq(queue_name, priorities=["low", "high"], redis_url=redis_url, max_payload_bytes=10_000)


@pytest.fixture
def add(app: Ardiq) -> Task[..., int]:
    @app.task(name="add")
    async def add(a: int, b: int = 1) -> int:
        return a + b

    return add


def keys(url: str, queue: str) -> set[bytes]:
    with admin(url) as client:
        return set(client.scan_iter(Keys(queue).prefix + "*", count=1000))


async def enqueued(enqueuable: Any, *args: Any, **kwargs: Any) -> Any:
    return await enqueuable.enqueue(*args, **kwargs)


PLAIN = datetime(2030, 1, 1)
LATER = PLAIN.replace(tzinfo=UTC)

# options of a call -> what is raised, and words for the value, the rule and the way out
OPTIONS: list[tuple[dict[str, Any], type[Exception], list[str]]] = [
    ({"priority": "urgent"}, ValueError, ["'urgent'", "is no lane", "low, high"]),
    ({"prioritty": "low"}, TypeError, ["'prioritty'", "priority"]),
    ({"delay_ms": -1}, ValueError, ["delay_ms=-1", "0 or more"]),
    ({"delay_ms": 1.5}, TypeError, ["delay_ms=1.5", "whole number of milliseconds"]),
    ({"delay_ms": True}, TypeError, ["delay_ms=True", "whole number"]),
    ({"delay_ms": "5"}, TypeError, ["delay_ms='5'", "whole number"]),
    ({"delay_ms": 10**15}, ValueError, ["delay_ms=1000000000000000", "at most"]),
    ({"schedule_ms": -1}, ValueError, ["schedule_ms=-1", "0 or more"]),
    ({"schedule_ms": 1e12}, TypeError, ["schedule_ms=1000000000000.0", "whole number"]),
    ({"schedule_ms": 2**70}, ValueError, ["schedule_ms=", "at most"]),
    ({"expire_ms": -5}, ValueError, ["expire_ms=-5", "0 or more"]),
    ({"expire_ms": 0.5}, TypeError, ["expire_ms=0.5", "whole number"]),
    ({"unique_ttl_ms": -5}, ValueError, ["unique_ttl_ms=-5", "0 or more"]),
    ({"delay": timedelta(seconds=-1)}, ValueError, ["delay", "-1", "0 or more"]),
    ({"delay": 5}, TypeError, ["delay=5", "timedelta", "delay_ms"]),
    ({"expire": 5}, TypeError, ["expire=5", "timedelta", "expire_ms"]),
    ({"schedule": PLAIN}, ValueError, ["schedule=", "2030", "naive", "aware", "timezone.now()"]),
    ({"schedule": "2030-01-01"}, TypeError, ["schedule='2030-01-01'", "datetime", "schedule_ms"]),
    ({"schedule": LATER.date()}, TypeError, ["schedule=", "datetime"]),
    ({"delay_ms": 5, "schedule_ms": 5}, ValueError, ["delay_ms=5", "schedule_ms=5", "one time"]),
    ({"delay": timedelta(1), "schedule": LATER}, ValueError, ["delay", "schedule", "one time"]),
    ({"delay": timedelta(1), "delay_ms": 5}, ValueError, ["delay", "delay_ms", "one of them"]),
    ({"schedule": LATER, "schedule_ms": 5}, ValueError, ["schedule", "schedule_ms", "one of them"]),
    ({"task_id": 5}, TypeError, ["task_id=5", "str"]),
    ({"task_id": b"x"}, TypeError, ["task_id=b'x'", "str"]),
    ({"task_id": ""}, ValueError, ["task_id=''", "1 to 200"]),
    ({"task_id": "x" * 201}, ValueError, ["task_id='xxx", "1 to 200", "hash"]),
    ({"task_id": "a{b}"}, ValueError, ["task_id='a{b}'", "braces"]),
    ({"task_id": "a\nb"}, ValueError, ["task_id='a\\nb'", "printable"]),
    ({"unique_until": "end"}, ValueError, ["unique_until='end'", "'start' or 'done'"]),
    ({"unique": "yes"}, TypeError, ["unique='yes'", "True"]),
    ({"replace": "yes"}, TypeError, ["replace='yes'", "True"]),
    ({"on_commit": "yes"}, TypeError, ["on_commit='yes'", "True"]),
    ({"using": 5}, TypeError, ["using=5", "database"]),
    ({"durable": "yes"}, TypeError, ["durable='yes'", "True"]),
]


@pytest.mark.parametrize(
    ("options", "kind", "words"),
    OPTIONS,
    ids=["-".join(map(str, row[0])) + str(n) for n, row in enumerate(OPTIONS)],
)
def test_a_bad_option_of_a_call(
    app: Ardiq,
    add: Task[..., int],
    redis_url: str,
    queue_name: str,
    options: dict[str, Any],
    kind: type[Exception],
    words: list[str],
) -> None:
    """C3, C5: refused where it is written, before anything is sent, by the task and by its name."""
    for enqueuable in (add, app.ref("add"), add.options(task_id="base")):
        with pytest.raises(kind) as caught:
            enqueuable.options(**options)
        for word in words:
            assert word in str(caught.value)
    assert keys(redis_url, queue_name) == set()


DECORATIONS: list[tuple[dict[str, Any], type[Exception], list[str]]] = [
    ({"priority": "urgent"}, ValueError, ["'urgent'", "is no lane", "low, high"]),
    ({"name": "no spaces"}, ValueError, ["'no spaces'", "characters", "@task(name=...)"]),
    ({"name": ""}, ValueError, ["''", "characters"]),
    ({"max_retries": -1}, ValueError, ["max_retries=-1", "0 to"]),
    ({"max_retries": 1.5}, ValueError, ["max_retries=1.5", "whole number"]),
    ({"backoff_ms": -1}, ValueError, ["backoff_ms=-1", "'exponential'"]),
    ({"backoff_ms": "quadratic"}, ValueError, ["backoff_ms='quadratic'", "'exponential'"]),
    ({"timeout": 0}, ValueError, ["timeout=0", "seconds above 0"]),
    ({"timeout": "5"}, ValueError, ["timeout='5'", "seconds"]),
    ({"retry_on": ValueError("x")}, TypeError, ["retry_on=", "exception class"]),
    ({"dont_retry_on": "ValueError"}, TypeError, ["dont_retry_on='ValueError'", "exception class"]),
    ({"unique_until": "end"}, ValueError, ["unique_until='end'", "'start' or 'done'"]),
    ({"unique": "yes"}, TypeError, ["unique='yes'", "True"]),
    ({"unique_ttl_ms": -1}, ValueError, ["unique_ttl_ms=-1", "0"]),
    ({"result_ttl_ms": 0.5}, ValueError, ["result_ttl_ms=0.5", "whole number"]),
    ({"executor": "gpu"}, ValueError, ["executor='gpu'", "'thread'", "'process'"]),
    ({"executor": "process"}, TypeError, ["executor='process'", "lambda", "top of a module"]),
    ({"queue": "other"}, ValueError, ["queue='other'", "belongs to the queue"]),
    ({"prioritty": "low"}, TypeError, ["prioritty"]),
]


@pytest.mark.parametrize(("options", "kind", "words"), DECORATIONS, ids=[str(row[0]) for row in DECORATIONS])
def test_a_bad_option_of_a_task(
    app: Ardiq, options: dict[str, Any], kind: type[Exception], words: list[str]
) -> None:
    """B1, C5: refused at decoration, and the task is not registered."""
    with pytest.raises(kind) as caught:
        app.task(**options)(lambda: None)
    for word in words:
        assert word in str(caught.value)
    assert app.tasks == {} and len(app.registry) == 0


def test_what_is_no_function(app: Ardiq) -> None:
    """B1: @task of something that cannot be called says so."""
    with pytest.raises(TypeError, match=r"@task was given 5; it decorates a function"):
        app.task(5)


CALLS: list[tuple[str, Callable[[], tuple[Any, ...]], type[Exception], list[str]]] = [
    (
        "object",
        lambda: ([1, {"x": object()}],),
        EncodeError,
        ["args[0][1]['x']", "object", "pass plain data"],
    ),
    ("large", lambda: (b"x" * 20_000,), TooLarge, ["20,0", "MAX_PAYLOAD_BYTES (10,000)", "reference"]),
    ("too many", lambda: (1, 2, 3), TypeError, ["add(a", "too many positional arguments"]),
    ("too few", lambda: (), TypeError, ["add(a", "missing a required argument: 'a'"]),
]


@pytest.mark.parametrize(("make", "kind", "words"), [row[1:] for row in CALLS], ids=[row[0] for row in CALLS])
def test_a_bad_call(
    app: Ardiq,
    add: Task[..., int],
    redis_url: str,
    queue_name: str,
    make: Callable[[], tuple[Any, ...]],
    kind: type[Exception],
    words: list[str],
) -> None:
    """C11, B10: on every path, the last of a batch too: nothing is stored, nor the good ones before."""
    args = make()
    ways: list[Callable[[], Any]] = [
        lambda: add.enqueue_sync(*args),
        lambda: asyncio.run(enqueued(add, *args)),
        lambda: add.options(task_id="x", unique=True, delay_ms=5).enqueue_sync(*args),
        lambda: app.send_sync("add", *args),
        lambda: app.enqueue_many_sync([*(add.prepare(n) for n in range(600)), add.prepare(*args)]),
        lambda: asyncio.run(app.enqueue_many([add.prepare(1), add.prepare(*args)])),
    ]
    for way in ways:
        with pytest.raises(kind) as caught:
            way()
        for word in words:
            assert word in str(caught.value)
    assert keys(redis_url, queue_name) == set()


def test_a_unique_key_that_cannot_be_one(app: Ardiq, redis_url: str, queue_name: str) -> None:
    """C7, C11: a key function that returns what cannot be encoded, or raises, stores nothing."""
    odd = app.task(name="odd", unique=lambda: object())(lambda: None)
    with pytest.raises(EncodeError, match="unique key"):
        odd.enqueue_sync()
    broken = app.task(name="broken", unique=lambda: 1 / 0)(lambda: None)
    with pytest.raises(ZeroDivisionError):
        broken.enqueue_sync()
    assert keys(redis_url, queue_name) == set()


def test_no_event_loop(add: Task[..., int], redis_url: str, queue_name: str) -> None:
    """C2: enqueue outside an event loop says to await it, or to use enqueue_sync."""
    with pytest.raises(ArdiqError, match=r"add\.enqueue\(\).*no event loop.*await.*enqueue_sync\(\)"):
        add.enqueue(1)
    assert keys(redis_url, queue_name) == set()


def test_an_unknown_queue(settings: Any, redis_url: str) -> None:
    """A1: a queue that no setting names is refused with the names of those there are."""
    settings.ARDIQ = {"default": {"REDIS_URL": redis_url}, "mail": {"REDIS_URL": redis_url}}
    with pytest.raises(ValueError, match=r"no queue 'male' in the ARDIQ setting.*default, mail"):
        ardiq.queue("male")


def test_an_unknown_setting(settings: Any, redis_url: str) -> None:
    """A1: in settings and in code, with the option that was probably meant."""
    settings.ARDIQ = {"default": {"REDIS_URL": redis_url, "CONCURENCY": 4}}
    with pytest.raises(ImproperlyConfigured, match=r"no option 'CONCURENCY'\. Did you mean CONCURRENCY"):
        ardiq.queue().options  # noqa: B018
    with pytest.raises(OptionError, match=r"no option 'concurency'\. Did you mean concurrency"):
        Ardiq("q", concurency=4)


def test_bad_retries() -> None:
    """B8: Retry checks its delay where it is raised."""
    for delay in (-1, 0.5, "5", True):
        with pytest.raises(ValueError, match=rf"Retry\(delay_ms={delay!r}\): give a whole number"):
            Retry("x", delay_ms=delay)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--queue", "nope"], ["There is no queue 'nope'", "there are"]),
        (["--concurrency", "0"], ["--concurrency 0", "above 0"]),
        (["--threads", "-3"], ["--threads -3", "above 0"]),
        (["--concurrency", "many"], ["--concurrency", "invalid int value: 'many'"]),
        (["--brust"], ["unrecognized arguments: --brust"]),
    ],
)
def test_a_bad_option_of_the_worker(arguments: list[str], words: list[str]) -> None:
    """H1: the worker says what is wrong with its options, without a traceback, and does not start."""
    done = django("ardiq_worker", *arguments)
    assert done.returncode != 0 and "Traceback" not in done.stderr
    for word in words:
        assert word in done.stderr


def django(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "django", *arguments],
        cwd=ROOT,
        env=os.environ | {"DJANGO_SETTINGS_MODULE": "tests.settings"} | environment,
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_a_tasks_module_that_cannot_be_imported(tmp_path: Path) -> None:
    """H1, L2: its own traceback, at start, with the file and the line at fault."""
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "__init__.py").touch()
    (broken / "tasks.py").write_text("from ardiq import task\n\nimport no_such_module_anywhere\n")
    (tmp_path / "brokensettings.py").write_text(
        'from tests.settings import *\nINSTALLED_APPS += ["broken"]\n'
    )
    done = django(
        "ardiq_worker",
        "--burst",
        DJANGO_SETTINGS_MODULE="brokensettings",
        PYTHONPATH=os.pathsep.join([str(tmp_path), str(ROOT)]),
    )
    assert done.returncode != 0
    assert "ModuleNotFoundError: No module named 'no_such_module_anywhere'" in done.stderr
    assert 'tasks.py", line 3' in done.stderr
