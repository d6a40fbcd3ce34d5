"""What travels to a task, and what is refused with its path."""

from __future__ import annotations

import socket
from collections import OrderedDict, defaultdict, namedtuple
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum, IntEnum
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from django.contrib.auth.models import AnonymousUser, Group, User
from django.db import models
from django.utils.safestring import mark_safe
from django.utils.translation import gettext_lazy

from ardiq import Ardiq, JobStatus
from ardiq.core.errors import EncodeError, TooLarge
from tests.django.conftest import Stored, Work

VALUES: list[Any] = [
    None,
    True,
    False,
    0,
    -1,
    2**64,
    -(2**70),
    1.5,
    float("inf"),
    "",
    "grüße 🌍\x00",
    b"\x00\xff",
    [],
    {},
    (),
    (1, (2, [3, (4,)])),
    set(),
    {1, 2, 3},
    frozenset({"a", (1, 2)}),
    {1: "int key", "two": [2], (3, 4): "tuple key", None: None, b"x": 1.0},
    Decimal("12.3400"),
    Decimal("1E+10"),
    UUID("12345678-1234-4234-8234-123456789abc"),
    date(2024, 2, 29),
    time(23, 59, 59, 999_999),
    time(1, 2, tzinfo=UTC),
    timedelta(days=-1, microseconds=1),
    datetime(2024, 2, 29, 12, 0, 0, 1),
    datetime(2024, 2, 29, 12, 0, tzinfo=UTC),
    datetime(2024, 10, 27, 2, 30, fold=1, tzinfo=ZoneInfo("Europe/Berlin")),
    datetime(2024, 2, 29, 12, 0, tzinfo=timezone(timedelta(hours=5, minutes=30), "IST")),
]


def test_everything_comes_back_as_itself(app: Ardiq, work: Work) -> None:
    """C11: as argument, as keyword and as result: the same value of the same type, nested or not."""
    seen: list[Any] = []

    @app.task(name="echo")
    def echo(value: Any, *, again: Any) -> Any:
        seen.append((value, again))
        return value

    jobs = app.enqueue_many_sync(echo.prepare(value, again=[value]) for value in VALUES)
    work(app, concurrency=1)
    for value, job, (argument, keyword) in zip(VALUES, jobs, seen, strict=True):
        result = job.result_sync()
        assert result is not None
        for copy in (argument, keyword[0], result.value):
            assert copy == value and type(copy) is type(value)
            if not isinstance(value, (set, frozenset)):  # whose order is that in which they were made
                # The zone and the fold of a datetime, the digits of a Decimal.
                assert repr(copy) == repr(value)
        info = job.info_sync()
        assert info is not None and (info.args, info.kwargs) == ([value], {"again": [value]})


class Colour(models.TextChoices):
    RED = "red", "Red"


class Size(IntEnum):
    BIG = 7


Point = namedtuple("Point", "x y")


@pytest.mark.parametrize(
    ("value", "arrives"),
    [
        (mark_safe("<b>"), "<b>"),
        (Colour.RED, "red"),
        (Size.BIG, 7),
        (Point(1, 2), (1, 2)),
        (OrderedDict(a=1), {"a": 1}),
        (defaultdict(list, a=[1]), {"a": [1]}),
        (bytearray(b"x"), b"x"),
    ],
)
def test_a_subclass_travels_as_its_base(app: Ardiq, work: Work, value: Any, arrives: Any) -> None:
    """C11: what Python code passes where a str, int, tuple or dict is wanted travels as that."""
    echo = app.task(name="echo")(lambda value: value)
    job = echo.enqueue_sync(value)
    work(app)
    copy = job.result_sync().value  # type: ignore[union-attr]
    assert copy == arrives and type(copy) is type(arrives)


class Plain(Enum):
    ONE = 1


def circle() -> list[Any]:
    items: list[Any] = []
    items.append(items)
    return items


REFUSED: list[tuple[str, Callable[[], tuple[tuple[Any, ...], dict[str, Any]]], str]] = [
    ("object", lambda: ((object(),), {}), r"args\[0\]: <class 'object'>"),
    ("deep", lambda: ((1, {"user": [2, {"x": socket}]}), {}), r"args\[1\]\['user'\]\[1\]\['x'\]"),
    ("keyword", lambda: ((), {"to": {1, 2, ("a", Plain.ONE)}}), r"kwargs\['to'\].*Plain\.ONE is an enum"),
    ("key", lambda: (({Plain.ONE: 1},), {}), r"key .* of args\[0\]"),
    ("function", lambda: ((print,), {}), r"args\[0\]"),
    ("lazy", lambda: ((gettext_lazy("x"),), {}), r"args\[0\]"),
    ("generator", lambda: (((n for n in ()),), {}), r"args\[0\]: <class 'generator'>"),
    ("exception", lambda: ((ValueError("x"),), {}), r"args\[0\]"),
    ("circle", lambda: ((circle(),), {}), r"args\[0\].* contains itself"),
    ("surrogate", lambda: (("\ud800",), {}), r"args\[0\].* surrogate"),
    ("unsaved", lambda: ((User(username="x"),), {}), r"args\[0\]: auth\.User has not been saved"),
    ("anonymous", lambda: ((AnonymousUser(),), {}), r"args\[0\]"),
    ("queryset", lambda: ((User.objects.none(),), {}), r"args\[0\].*QuerySet"),
]


@pytest.mark.fault("36", "arguments that cannot travel")
@pytest.mark.parametrize(("make", "words"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_what_cannot_travel_is_refused(
    app: Ardiq, stored: Stored, make: Callable[[], tuple[tuple[Any, ...], dict[str, Any]]], words: str
) -> None:
    """C11: TypeError naming the path of the bad value, at the call site; nothing is stored."""
    task = app.task(name="take")(lambda *args, **kwargs: None)
    args, kwargs = make()
    for call in (task.enqueue_sync, app.ref("take").options(delay_ms=5).enqueue_sync):
        with pytest.raises(TypeError, match=words) as caught:
            call(*args, **kwargs)
        assert isinstance(caught.value, EncodeError)
    assert stored() == set()


@pytest.mark.fault("37", "arguments beyond MAX_PAYLOAD_BYTES")
def test_a_payload_has_a_limit(redis_url: str, queue_name: str, stored: Stored) -> None:
    """C11: larger than MAX_PAYLOAD_BYTES is refused, naming both sizes and the way out."""
    app = Ardiq(queue_name, redis_url=redis_url, max_payload_bytes=1_000)
    task = app.task(name="take")(lambda data: None)
    assert task.enqueue_sync(b"x" * 900).created is True
    for enqueuable in (task, task.options(task_id="mine")):
        with pytest.raises(TooLarge, match=r"arguments of take take 1,\d\d\d bytes.*\(1,000\).*reference"):
            enqueuable.enqueue_sync(b"x" * 1_001)
    assert len(stored()) == 1


@pytest.mark.django_db(transaction=True)
def test_a_model_instance_travels_as_a_reference(app: Ardiq, work: Work) -> None:
    """C11: the worker gets the row as it is then, wherever in the arguments it was."""
    seen: list[Any] = []

    @app.task(name="greet")
    def greet(user: User, others: dict[str, list[User]], pair: tuple[User, int]) -> str:
        seen.extend([user, others["all"][0], pair[0]])
        return user.username

    @app.task(name="greet_async")
    async def greet_async(user: User) -> str:
        return user.username

    user = User.objects.create(username="before")
    jobs = [greet.enqueue_sync(user, {"all": [user]}, pair=(user, 1)), greet_async.enqueue_sync(user)]
    User.objects.update(username="after")
    work(app)
    assert [job.result_sync().value for job in jobs] == ["after", "after"]  # type: ignore[union-attr]
    assert [type(one) for one in seen] == [User] * 3 and seen == [user] * 3
    info = jobs[0].info_sync()
    assert info is not None and str(info.args[0]) == f"auth.user {user.pk}"


@pytest.mark.django_db(transaction=True)
def test_model_instances_in_a_set(app: Ardiq, work: Work) -> None:
    """C11: a set of rows arrives as a set of rows, and rows may be the keys of a dict."""

    @app.task(name="names", max_retries=0)
    def names(groups: set[Group], frozen: frozenset[Group], keys: dict[Group, int]) -> list[str]:
        return sorted(group.name for group in groups | frozen | set(keys))

    groups = [Group.objects.create(name=name) for name in "abc"]
    job = names.enqueue_sync(set(groups[:2]), frozenset(groups[2:]), {groups[0]: 1})
    work(app)
    result = job.result_sync()
    assert result is not None and result.value == ["a", "b", "c"], result.error


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("colour", ["sync", "async"])
def test_a_row_that_is_gone_is_a_clear_failure(app: Ardiq, work: Work, colour: str) -> None:
    """C11: the job fails and says which row of which database is missing; the task never starts."""
    ran: list[Any] = []

    async def take_async(user: User) -> None:
        ran.append(user)

    def take(user: User) -> None:
        ran.append(user)

    task = app.task(name="take", max_retries=0)(take if colour == "sync" else take_async)
    user = User.objects.create(username="gone")
    job = task.enqueue_sync(user)
    pk = user.pk
    user.delete()
    work(app)
    result = job.result_sync()
    assert job.status_sync() is JobStatus.FAILED and ran == []
    assert result is not None and result.error is not None
    assert result.error.type == "ardiq.errors.MissingRow"
    assert f"auth.user with primary key {pk} is not in the database 'default'" in result.error.message
