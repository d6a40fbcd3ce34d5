"""Looking into a queue from code: many statuses at once, dead letters, what is not there yet."""

from __future__ import annotations

import asyncio

import pytest

from ardiq import Ardiq, Job, JobStatus


@pytest.fixture
def app(queue_name: str, redis_url: str) -> Ardiq:
    return Ardiq(queue_name, redis_url=redis_url, max_retries=0)


def failed(app: Ardiq, count: int) -> list[Job]:
    @app.task(name="charge")
    async def charge(number: int) -> None:
        raise ValueError(f"card {number} declined")

    jobs = app.enqueue_many_sync(charge.prepare(number) for number in range(count))
    app.run(burst=True)
    return jobs


def test_dead_letters_are_listed_replayed_and_deleted(app: Ardiq) -> None:
    """F1: what failed for good is listed with its call and error; one may run again, one may go."""
    first, second, third = failed(app, 3)
    letters = app.dead_letters_sync()
    assert {(letter.id, letter.args[0], letter.result.error.message) for letter in letters} == {
        (first.id, 0, "card 0 declined"),
        (second.id, 1, "card 1 declined"),
        (third.id, 2, "card 2 declined"),
    }
    assert first.replay_sync() and second.delete_sync()
    assert [letter.id for letter in asyncio.run(app.dead_letters())] == [third.id]
    assert first.status_sync() is JobStatus.QUEUED and second.status_sync() is JobStatus.NOT_FOUND
    assert len(app.dead_letters_sync(limit=1)) == 1 and app.dead_letters_sync(offset=1) == []


def test_an_empty_queue_has_no_dead_letters(app: Ardiq) -> None:
    """F1: nothing to list is no error."""
    assert app.dead_letters_sync() == [] and asyncio.run(app.dead_letters()) == []


def test_many_statuses_in_one_question(app: Ardiq) -> None:
    """E3: a page that shows many jobs asks once; an unknown id is not_found, not an error."""
    jobs = failed(app, 2)
    waiting = app.send_sync("charge", 9)
    expected = {jobs[0].id: "failed", jobs[1].id: "failed", waiting.id: "queued", "nobody": "not_found"}
    assert app.statuses_sync(expected) == expected == asyncio.run(app.statuses(expected))
    with pytest.raises(ValueError, match="501 ids were given; ask about at most 500"):
        app.statuses_sync(str(number) for number in range(501))


@pytest.mark.parametrize("status", list(JobStatus))
def test_pending_is_what_may_still_run(status: JobStatus) -> None:
    """E3: an unknown job is neither finished nor pending, so that nobody waits for it for ever."""
    assert status.pending == (status in ("scheduled", "queued", "running"))
    assert status.finished == (status in ("succeeded", "failed", "aborted", "expired"))
