"""Tasks that run once: the mark and the effect commit together."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import transaction

from ardiq import Ardiq, Retry, once
from ardiq.core.life import Life
from ardiq.models import Once
from tests.django.conftest import Work

pytestmark = pytest.mark.django_db(transaction=True)


def effects() -> list[str]:
    return sorted(User.objects.values_list("username", flat=True))


def run(body: Any, began: int = 1, pack: Any = lambda value: repr(value).encode()) -> tuple[Any, Any]:
    return once.run(Life(True, "q", "id", began), body, pack)


def test_once_in_a_life() -> None:
    """D5: a redelivery finds the mark and what was returned, and does not run; another life does."""
    ran: list[int] = []
    assert run(lambda: ran.append(1) or 7) == (7, None)
    assert run(lambda: ran.append(2) or 8) == (None, b"7")
    assert run(lambda: ran.append(3) or 9, began=2) == (9, None)
    assert ran == [1, 3]


def test_a_failure_leaves_neither_effect_nor_mark() -> None:
    """D5: what raises is rolled back as a whole, so that the next attempt runs."""

    def fail() -> None:
        User.objects.create(username="x")
        raise ValueError

    with pytest.raises(ValueError):
        run(fail)
    assert (effects(), Once.objects.count()) == ([], 0)
    assert run(lambda: 1) == (1, None)


def test_an_integrity_error_of_the_task_is_its_own() -> None:
    """D5: it is not taken for the mark of an earlier run."""
    User.objects.create(username="x")
    with pytest.raises(Exception, match="username"):
        run(lambda: User.objects.create(username="x"))
    assert Once.objects.count() == 0


def test_it_is_the_outermost_transaction() -> None:
    """D5: inside another one its commit would promise nothing."""
    with transaction.atomic(), pytest.raises(RuntimeError, match="durable"):
        run(lambda: 1)


def test_by_a_worker(app: Ardiq, work: Work) -> None:
    """D5: the worker wraps the body: result, effect and mark; attempts that fail leave nothing behind."""

    @app.task(name="sign_up", once=True, max_retries=2, backoff_ms=1)
    def sign_up(name: str) -> dict[str, Any]:
        User.objects.create(username=name)
        if Once.objects.exclude(result=b"").count() == 0 and name == "late":
            raise Retry("not yet")
        return {"name": name}

    job = sign_up.enqueue_sync("eva")
    work(app)
    late = sign_up.enqueue_sync("late")
    work(app)
    for one, name in ((job, "eva"), (late, "late")):
        result = one.result_sync()
        assert result is not None and result.success and result.value == {"name": name}
    assert effects() == ["eva", "late"]
    assert sorted(Once.objects.values_list("job", "queue")) == sorted(
        [(job.id, app.queue_name), (late.id, app.queue_name)]
    )


def test_a_redelivery_returns_what_was_stored(app: Ardiq, work: Work) -> None:
    """D5: with the value that the first run returned, and without an effect."""

    @app.task(name="sign_up", once=True, max_retries=0)
    def sign_up() -> tuple[int, ...]:
        User.objects.create(username=f"user{User.objects.count()}")
        return (User.objects.count(),)

    job = sign_up.enqueue_sync()
    work(app)
    before = effects()
    mark = Once.objects.get()
    assert job.replay_sync()
    info = job.info_sync()
    assert info is not None
    # As if the first worker had died before it settled this very life.
    Once.objects.create(
        id=once.mark_id(Life(True, app.queue_name, job.id, info.enqueue_time)),
        queue=app.queue_name, job=job.id, result=mark.result,
    )  # fmt: skip
    work(app)
    result = job.result_sync()
    assert result is not None and result.success and result.value == (1,)
    assert effects() == before


def test_a_replay_runs_again(app: Ardiq, work: Work) -> None:
    """D5: it is a new life of the job, as a new job under the same id is."""
    count: list[int] = []
    task = app.task(name="count", once=True)(lambda: count.append(1))
    job = task.options(task_id="mine").enqueue_sync()
    work(app)
    assert job.replay_sync()
    work(app)
    task.options(task_id="mine", replace=True).enqueue_sync()
    work(app)
    assert (len(count), Once.objects.count()) == (3, 3)


@pytest.mark.parametrize("result", [object(), "x" * 3_000], ids=["cannot be encoded", "too large"])
def test_a_result_that_cannot_be_kept(redis_url: str, queue_name: str, work: Work, result: Any) -> None:
    """D5, E6: the job fails for good, naming type or size, and its effect is rolled back with it."""
    app = Ardiq(queue_name, redis_url=redis_url, max_result_bytes=2_000, backoff_ms=1)
    ran: list[int] = []

    @app.task(name="t", once=True)
    def task() -> Any:
        ran.append(1)
        User.objects.create(username="x")
        return result

    job = task.enqueue_sync()
    work(app)
    found = job.result_sync()
    assert found is not None and not found.success and found.error is not None
    assert found.error.type.endswith(("EncodeError", "TooLarge"))
    assert (ran, effects(), Once.objects.count()) == ([1], [], 0)


def test_what_cannot_run_once(app: Ardiq) -> None:
    """D5: async tasks are refused, for Django has no transactions there; and so is what names no database."""

    async def task() -> None: ...

    with pytest.raises(TypeError, match="async"):
        app.task(once=True)(task)
    with pytest.raises(TypeError, match="once=3"):
        app.task(name="x", once=3)(lambda: None)
    asyncio.run(app.task(name="fine")(task)())


def test_what_it_enqueues_leaves_at_its_commit(app: Ardiq, work: Work) -> None:
    """D5, D1: jobs of the body are jobs of its transaction: none after a rollback."""
    child = app.task(name="child")(lambda: User.objects.create(username="child").pk)

    @app.task(name="parent", once=True, max_retries=1, backoff_ms=1)
    def parent() -> None:
        child.enqueue_sync()
        raise ValueError

    parent.enqueue_sync()
    work(app)
    assert effects() == []
