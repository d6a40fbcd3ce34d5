"""Dead letters in code: found, grouped, run again and deleted, one or many."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest

from ardiq import Ardiq, FailureGroup, Job, JobStatus, deadletters
from ardiq.deadletters import Letters


@pytest.fixture
def app(queue_name: str, redis_url: str) -> Ardiq:
    app = Ardiq(queue_name, redis_url=redis_url, max_retries=0)

    @app.task(name="charge")
    async def charge(number: int) -> None:
        raise ValueError(f"card {number} declined")

    @app.task(name="refund")
    def refund(number: int) -> None:
        raise LookupError(f"no payment {number}")

    return app


@pytest.fixture
def failed(app: Ardiq) -> list[Job[Any]]:
    """Three charges and two refunds."""
    charge, refund = app.tasks["charge"], app.tasks["refund"]
    calls = [*(charge.prepare(n) for n in range(3)), *(refund.prepare(n) for n in range(2))]
    jobs = app.enqueue_many_sync(calls)
    app.run(burst=True)
    return jobs


def grouped(app: Ardiq) -> dict[str, FailureGroup]:
    """By type of the exception."""
    return {group.type: group for group in app.failure_groups_sync()}


def twins(app: Ardiq, name: str, *args: Any, **kwargs: Any) -> list[Any]:
    """What the sync method answers, and its async twin."""
    method: Callable[..., Any] = getattr(app, name)
    return [getattr(app, f"{name}_sync")(*args, **kwargs), asyncio.run(method(*args, **kwargs))]


def test_groups(app: Ardiq, failed: list[Job[Any]]) -> None:
    """F1: by what went wrong, with how often and where, computed by the worker."""
    found = grouped(app)
    assert set(found) == {"ValueError", "LookupError"}
    charges = found["ValueError"]
    assert (charges.count, charges.tasks) == (3, ("charge",))
    assert charges.where.endswith("django/test_dead_letters.py:charge")
    assert charges.job in {job.id for job in failed[:3]}
    assert charges.message.startswith("card ") and charges.first <= charges.last
    assert found["LookupError"].where.endswith("django/test_dead_letters.py:refund")
    assert asyncio.run(app.failure_groups()) == app.failure_groups_sync()
    assert len(app.failure_groups_sync(limit=1)) == 1 and app.failure_groups_sync(0) == []


@pytest.mark.parametrize(
    ("wanted", "numbers"),
    [
        ({}, [0, 1, 2, 3, 4]),
        ({"task": "charge"}, [0, 1, 2]),
        ({"task": "charg"}, []),
        ({"error": "lookup"}, [3, 4]),
        ({"text": "DECLINED"}, [0, 1, 2]),
        ({"text": "payment 1"}, [4]),
        ({"text": "refund"}, [3, 4]),
        ({"text": "card", "task": "refund"}, []),
        ({"text": "card 1", "error": "ValueError", "task": "charge"}, [1]),
    ],
)
def test_searching(app: Ardiq, failed: list[Job[Any]], wanted: dict[str, str], numbers: list[int]) -> None:
    """F1: by task, by type of the error, by text in id, task or error."""
    for found in twins(app, "dead_letters", **wanted):
        assert {letter.id for letter in found} == {failed[n].id for n in numbers}
        assert (found.searched, found.complete) == (5, True)


def test_an_id_and_a_group_are_searched_for(app: Ardiq, failed: list[Job[Any]]) -> None:
    """F1: by any part of an id; by the fingerprint of a group, and within it."""
    assert [letter.id for letter in app.dead_letters_sync(text=failed[2].id[8:])] == [failed[2].id]
    group = grouped(app)["ValueError"].fingerprint
    for found in twins(app, "dead_letters", group=group):
        assert {letter.id for letter in found} == {job.id for job in failed[:3]} and found.searched == 3
    assert [letter.args for letter in app.dead_letters_sync(group=group, text="card 2")] == [[2]]
    assert app.dead_letters_sync(group="none") == []


def test_pages(app: Ardiq, failed: list[Job[Any]], monkeypatch: pytest.MonkeyPatch) -> None:
    """F1: pages of a search join without a gap; each says whether there is more."""
    monkeypatch.setattr(deadletters, "READ", 2)
    for wanted in ({}, {"text": "a"}, {"task": "charge"}):
        whole = app.dead_letters_sync(**wanted)  # type: ignore[arg-type]
        pages = [app.dead_letters_sync(2, at, **wanted) for at in range(0, 6, 2)]  # type: ignore[arg-type]
        assert [one.id for page in pages for one in page] == [one.id for one in whole]
        assert [page.complete for page in pages[: len(whole) // 2]] == [False] * (len(whole) // 2)
        assert pages[-1].complete
    assert app.dead_letters_sync(0) == [] == app.dead_letters_sync(-1)


def test_a_search_says_where_it_stopped(
    app: Ardiq, failed: list[Job[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """F1: it looks at a bounded number of letters, and does not pretend that there are no others."""
    monkeypatch.setattr(deadletters, "SEARCHED", 2)
    monkeypatch.setattr(deadletters, "READ", 2)
    found = app.dead_letters_sync(text="nowhere to be found")
    assert (found, found.searched, found.complete) == ([], 2, False)
    assert isinstance(found, Letters)


def test_replaying_many(app: Ardiq, failed: list[Job[Any]]) -> None:
    """F1: all of a task, of a group, of some ids, everything; what is queued already is not counted again."""
    group = grouped(app)["ValueError"].fingerprint
    assert twins(app, "replay_many", task="refund") == [2, 0]
    assert [job.status_sync() for job in failed[3:]] == [JobStatus.QUEUED] * 2
    assert twins(app, "replay_many", [failed[0].id, failed[3].id, "unknown"]) == [1, 0]
    assert app.replay_many_sync(group=group, limit=1) == 1
    assert app.replay_many_sync(group=group, task="refund") == 0
    assert app.replay_many_sync(everything=True) == 1
    assert app.failure_groups_sync() == [] and app.dead_letters_sync() == []
    app.run(burst=True)
    assert grouped(app)["ValueError"].count == 3, "each has failed once more"
    info = failed[0].info_sync()
    assert info is not None and (info.tries, len(info.attempts)) == (1, 1), "with a fresh budget"


def test_replaying_slowly(app: Ardiq, failed: list[Job[Any]]) -> None:
    """F1: spread over time, one behind the other."""
    assert asyncio.run(app.replay_many(everything=True, per_second=0.01)) == 5
    due = sorted(info.scheduled_at or 0 for job in failed if (info := job.info_sync()))
    assert due[0] == 0, "the first one at once"
    assert [later - sooner for sooner, later in pairwise(due[1:])] == [100_000] * 3
    app.run(burst=True)
    assert len(app.dead_letters_sync()) == 1


def test_deleting_many(app: Ardiq, failed: list[Job[Any]]) -> None:
    """F1: they are forgotten with all that points at them; others stay."""
    waiting = app.send_sync("charge", 9)
    assert twins(app, "delete_many", [failed[0].id, waiting.id]) == [1, 0]
    assert twins(app, "delete_many", task="charge", limit=1) == [1, 1]
    assert app.delete_many_sync(task="charge") == 0
    assert app.delete_many_sync(everything=True) == 2
    assert {job.status_sync() for job in failed} == {JobStatus.NOT_FOUND}
    assert waiting.status_sync() is JobStatus.QUEUED and app.failure_groups_sync() == []


@pytest.mark.parametrize("name", ["replay_many", "delete_many"])
def test_which_ones_must_be_said(app: Ardiq, failed: list[Job[Any]], name: str) -> None:
    """F1: nothing given, or nothing in a variable, does not mean all."""
    method = getattr(app, f"{name}_sync")
    for given in ({}, {"ids": None}, {"task": ""}, {"group": ""}, {"ids": [], "everything": True}):
        with pytest.raises(ValueError, match="Say which dead letters"):
            method(**given)
    with pytest.raises(TypeError, match="give a list of ids"):
        method(failed[0].id)
    with pytest.raises(ValueError, match="limit=-1"):
        method(everything=True, limit=-1)
    assert method([]) == 0 and len(app.dead_letters_sync()) == 5


@pytest.mark.parametrize("rate", [0, -1, True, "2", float("nan"), float("inf")])
def test_rates_that_are_none(app: Ardiq, rate: Any) -> None:
    """F1: refused where they are given."""
    with pytest.raises(ValueError, match="per_second="):
        app.replay_many_sync(everything=True, per_second=rate)


@pytest.mark.parametrize("wrong", [-1, 1.5, "5", True])
def test_an_offset_that_is_none(app: Ardiq, failed: list[Job[Any]], wrong: Any) -> None:
    """F1: refused with its value; one below 0 would look for ever."""
    with pytest.raises(ValueError, match=f"offset={wrong!r}: give a whole number, 0 or more"):
        app.dead_letters_sync(offset=wrong)


def test_everything_is_a_switch(app: Ardiq, failed: list[Job[Any]]) -> None:
    """F1: the text "no" does not mean all of them."""
    for act in (app.delete_many_sync, app.replay_many_sync):
        with pytest.raises(TypeError, match="everything='no': give True or False"):
            act(everything="no")  # type: ignore[arg-type]
    assert len(app.dead_letters_sync()) == 5


def test_bad_questions(app: Ardiq) -> None:
    """F1: refused before anything is asked of Redis, with what to give."""
    asked: Any = app
    for call, words in (
        (lambda: asked.dead_letters_sync(limit=1.5), "limit=1.5: give a whole number"),
        (lambda: asked.failure_groups_sync("x"), "limit='x': give a whole number"),
        (lambda: asked.dead_letters_sync(task=5), "task=5: give a str"),
        (lambda: asked.replay_many_sync(["p1", None]), "ids has None in it"),
        (lambda: asked.statuses_sync("abc"), "ids='abc': give a list"),
    ):
        with pytest.raises(TypeError, match=words):
            call()
