"""C11: model instances as arguments, whatever their key, and what becomes of a job whose row is gone."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test.utils import CaptureQueriesContext

from ardiq import Ardiq, JobStatus, references
from ardiq.core.errors import EncodeError, MissingRow
from ardiq.core.registry import Definition
from ardiq.core.retry import Action, Ending, Outcome, Policy, judge
from tests.django.conftest import Work
from tests.django.rows import Desk, FrontDesk, Lamp, Place, Restaurant, Seat, shapes

__all__ = ["shapes"]

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("shapes")]


def sent_through(app: Ardiq, work: Work, *rows: Any) -> list[Any]:
    seen: list[Any] = []

    @app.task(name="take", max_retries=0)
    def take(*rows: Any) -> None:
        seen.extend(rows)

    job = take.enqueue_sync(*rows)
    work(app)
    result = job.result_sync()
    assert result is not None and result.success, result
    return seen


@pytest.mark.parametrize("shape", ["deferred", "proxy", "child", "uuid", "composite", "hidden"])
def test_rows_of_every_shape_arrive(app: Ardiq, work: Work, shape: str) -> None:
    """C11: an instance with deferred fields, a proxy, a child of multi-table inheritance, keys that are a
    UUID or several columns, and a row that its default manager hides."""
    made: Any
    if shape == "deferred":
        Desk.objects.create(name="a", notes="long")
        made = Desk.objects.only("name").get()
    elif shape == "proxy":
        made = FrontDesk.objects.create(name="front")
    elif shape == "child":
        made = Restaurant.objects.create(town="Ulm", stars=2)
    elif shape == "uuid":
        made = Lamp.objects.create()
    elif shape == "composite":
        made = Seat.objects.create(row="B", number=7)
    else:
        made = Desk.objects.create(name="b", hidden=True)
    [arrived] = sent_through(app, work, made)
    assert arrived == made and type(arrived) is type(made)
    if shape == "deferred":
        assert arrived.get_deferred_fields() == set() and arrived.notes == "long"


def test_many_rows_take_one_query_for_each_model(app: Ardiq, work: Work) -> None:
    """C11: a hundred references in one job are fetched with one query for each model; one row that is named
    twice is one instance."""
    users = User.objects.bulk_create([User(username=f"u{n}") for n in range(60)])
    desks = [Desk.objects.create(name=str(n)) for n in range(40)]
    counted: list[int] = []
    seen: list[Any] = []

    @app.task(name="count", max_retries=0)
    def count(users: list[User], desks: dict[str, Desk], again: User) -> None:
        seen.extend((users, desks, again))

    real = references.resolve

    def resolve(value: Any) -> Any:
        with CaptureQueriesContext(connection) as queries:
            found = real(value)
        counted.append(len(queries))
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(references, "resolve", resolve)
        job = count.enqueue_sync(users, {desk.name: desk for desk in desks}, again=users[3])
        work(app)
    result = job.result_sync()
    assert result is not None and result.success, result
    assert counted == [2]
    assert seen[0] == users and seen[1] == {desk.name: desk for desk in desks} and seen[2] is seen[0][3]


def test_an_unsaved_instance_is_refused_at_the_door(app: Ardiq) -> None:
    """C11: also one that has a key already, as UUIDs have, and one that was deleted."""

    @app.task(name="take")
    def take(row: Any) -> None: ...

    deleted = User.objects.create(username="x")
    deleted.delete()
    with pytest.raises(EncodeError, match=r"args\[0\].*User was deleted and has no key any more"):
        take.enqueue_sync(deleted)
    for row in (User(username="new"), Lamp()):
        with pytest.raises(EncodeError, match=r"args\[0\].*has not been saved, so no worker could fetch it"):
            take.enqueue_sync(row)


def test_fetching_does_not_hold_the_loop(app: Ardiq, work: Work) -> None:
    """C11: while an async job waits for its row, the event loop turns for others."""
    ticks: list[int] = []

    @app.task(name="look", max_retries=0)
    async def look(user: User) -> str:
        return user.username

    real = references.resolve

    def slowly(value: Any) -> Any:
        done = asyncio.run_coroutine_threadsafe(turned(), loops[0])
        assert done.result(timeout=10)
        return real(value)

    async def turned() -> bool:
        ticks.append(1)
        return True

    loops: list[asyncio.AbstractEventLoop] = []

    @app.task(name="first")
    async def first() -> None:
        loops.append(asyncio.get_running_loop())

    first.enqueue_sync()
    job = look.enqueue_sync(User.objects.create(username="ines"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(references, "resolve", slowly)
        work(app, concurrency=1)
    result = job.result_sync()
    assert result is not None and result.value == "ines", result
    assert ticks == [1]


@pytest.mark.parametrize("colour", ["sync", "async"])
@pytest.mark.parametrize("policy", ["fail", "skip", "retry"])
def test_the_policy_decides_what_a_missing_row_means(
    app: Ardiq, work: Work, policy: str, colour: str, caplog: pytest.LogCaptureFixture
) -> None:
    """C11: fail is a dead letter at once, skip ends the job as aborted with the reason, retry spends the
    retries of the task and then fails. The task never starts."""
    ran: list[Any] = []

    async def take_async(row: Any) -> None:
        ran.append(row)

    def take(row: Any) -> None:
        ran.append(row)

    function = take if colour == "sync" else take_async
    # What retry_on says is about exceptions of the task, which has not begun.
    options: dict[str, Any] = {"max_retries": 2, "backoff_ms": 1, "retry_on": OSError}
    task = app.task(name="take", on_missing=policy, **options)(function)
    user = User.objects.create(username="gone")
    job = task.enqueue_sync(user)
    pk = user.pk
    user.delete()
    with caplog.at_level(logging.INFO, logger="ardiq"):
        deadline = 20
        while not job.status_sync().finished and (deadline := deadline - 1):
            work(app)
    result = job.result_sync()
    assert result is not None and result.error is not None and ran == []
    assert result.error.type == "ardiq.errors.MissingRow"
    assert f"auth.user with primary key {pk} is not in the database 'default'" in result.error.message
    status, tries = {
        "fail": (JobStatus.FAILED, 1), "skip": (JobStatus.ABORTED, 1), "retry": (JobStatus.FAILED, 3),
    }[policy]  # fmt: skip
    assert (job.status_sync(), result.tries, result.success) == (status, tries, False)
    if policy == "skip":
        assert "was aborted" in caplog.text and "MissingRow" in caplog.text
        assert not any(record.levelno >= logging.ERROR for record in caplog.records)


def test_a_missing_row_of_ours_is_told_from_one_that_the_task_raises(app: Ardiq, work: Work) -> None:
    """C11: the policy is about arguments; a MissingRow out of the task is an exception like any other."""

    @app.task(name="raise", max_retries=0, on_missing="skip")
    def raises(row: Any) -> None:
        raise MissingRow("out of the task")

    job = raises.enqueue_sync(User.objects.create(username="here"))
    work(app)
    assert job.status_sync() is JobStatus.FAILED


def test_the_message_counts_the_others(app: Ardiq) -> None:
    rows = [
        references.of(place) for place in (Place.objects.create(town="a"), Place.objects.create(town="b"))
    ]
    Place.objects.all().delete()
    with pytest.raises(MissingRow, match="as were 1 more that are gone"):
        references.resolve([rows, {"x": rows[0]}])


@pytest.mark.parametrize("value", ["later", None, True])
def test_a_wrong_policy_is_refused(app: Ardiq, value: Any) -> None:
    with pytest.raises(ValueError, match=r"on_missing=.*give 'fail', 'skip' or 'retry'"):
        app.task(name="x", on_missing=value)(lambda row: None)


def test_judging_is_pure() -> None:
    outcome = Outcome(Ending.MISSING, error=MissingRow())
    actions = [judge(outcome, 0, Policy(on_missing=one)).action for one in ("fail", "skip", "retry")]
    assert actions == [Action.FAIL, Action.ABORT, Action.RETRY]
    assert judge(outcome, 3, Policy(on_missing="retry", max_retries=3)).action is Action.FAIL
    assert Definition.__dataclass_fields__["on_missing"].default == "fail"
