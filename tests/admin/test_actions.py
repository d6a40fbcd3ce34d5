"""Abort, run again, delete: asked first, done by POST, logged for each job, told."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from django.contrib.admin.models import CHANGE, DELETION, LogEntry
from django.test import Client
from pytest_django.fixtures import Settings

from ardiq import JobStatus
from ardiq.store import verbs
from tests.admin.conftest import LIST, Shop, Work, job, told


def choose(client: Client, action: str, chosen: list[str], **more: Any) -> Any:
    return client.post(LIST, {"action": action, "_selected_action": chosen, **more})


def confirm(client: Client, asked: Any) -> Any:
    """Send the form of a confirm page as a browser does."""
    assert asked.status_code == 200 and asked.templates[0].name == "admin/ardiq/confirm.html"
    form = {"jobs": asked.context["pairs"], "back": asked.context["back"]}
    address = asked.context["do_url"]
    kept = asked.context["preserved_filters"]
    return client.post(f"{address}?{kept}" if kept else address, form, follow=True)


@pytest.fixture
def four(shop: Shop, work: Work) -> dict[str, str]:
    made = {"failed": shop.fail.enqueue_sync().id, "succeeded": shop.add.enqueue_sync(1, 2).id}
    work()
    made["queued"] = shop.add.enqueue_sync(1, 2).id
    made["scheduled"] = shop.add.options(delay_ms=60_000).enqueue_sync(1).id
    return made


def states(shop: Shop, made: dict[str, str]) -> dict[str, JobStatus]:
    return {name: shop.app.job(id).status_sync() for name, id in made.items()}


def test_run_again_from_the_list(boss: Client, shop: Shop, four: dict[str, str]) -> None:
    """F1: only what did not succeed; the page before it says what is skipped, and why."""
    asked = choose(boss, "retry_selected", list(four.values()))
    text = asked.content.decode()
    assert "skipped: has done its work" in text and "skipped: is waiting or running" in text
    assert states(shop, four)["failed"] is JobStatus.FAILED  # nothing happened yet
    response = confirm(boss, asked)
    assert told(response) == ["Queued again: 1."]
    assert states(shop, four)["failed"] is JobStatus.QUEUED
    entry = LogEntry.objects.get()
    assert (entry.object_id, entry.action_flag) == (four["failed"], CHANGE)
    assert entry.get_edited_object().pk == four["failed"]


def test_as_new_jobs_from_the_list(boss: Client, shop: Shop, four: dict[str, str], work: Work) -> None:
    """F1: what has ended, however, once more under new ids; the old ones stay, and link to the new ones."""
    asked = choose(boss, "again_selected", list(four.values()))
    assert asked.context["fitting"] == 2 and "skipped: is waiting or running" in asked.content.decode()
    response = confirm(boss, asked)
    assert told(response) == ["Enqueued as new jobs: 2."] and response.redirect_chain[-1][0] == LIST
    assert states(shop, four)["failed"] is JobStatus.FAILED
    new = {name: job(four[name]).view.again for name in ("failed", "succeeded")}
    assert all(len(ids) == 1 for ids in new.values())
    assert job(new["failed"][0]).reading.parent == four["failed"]
    work()
    result = shop.app.job(new["succeeded"][0]).result_sync(timeout=5)
    assert result is not None and result.value == 3
    assert {entry.object_id for entry in LogEntry.objects.all()} == {four["failed"], four["succeeded"]}


def test_as_new_jobs_of_a_whole_filter(
    boss: Client, shop: Shop, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Workers do not do that in bulk: the page takes as many as it can, and says what is left."""
    monkeypatch.setattr("ardiq.adminui.doing.MOST", 3)
    monkeypatch.setattr("ardiq.adminui.actions.CHUNK", 2)
    shop.app.enqueue_many_sync(shop.add.prepare(n) for n in range(5))
    work()
    asked = choose(boss, "again_selected", ["x"], select_across="1")
    assert "2 more jobs are selected than one action takes" in asked.content.decode()
    assert told(confirm(boss, asked)) == ["Enqueued as new jobs: 3."]


def test_as_new_jobs_where_there_is_no_room(boss: Client, shop: Shop, work: Work, settings: Settings) -> None:
    """Those that fit are there, logged and linked; the others are told, and are no outage."""
    made = [one.id for one in shop.app.enqueue_many_sync(shop.add.prepare(n) for n in range(5))]
    work()
    settings.ARDIQ = {name: {**given, "MAX_QUEUED": 2} for name, given in settings.ARDIQ.items()}
    response = confirm(boss, choose(boss, "again_selected", made))
    assert told(response) == ["Enqueued as new jobs: 2.", "Skipped: 3× the queue is full."]
    assert LogEntry.objects.count() == 2
    assert sum(len(job(id).view.again) for id in made) == 2


def test_abort_from_the_list(boss: Client, shop: Shop, four: dict[str, str]) -> None:
    """E5: what waits ends at once."""
    response = confirm(boss, choose(boss, "abort_selected", list(four.values())))
    assert told(response) == ["Aborted or told to stop: 2."]
    assert states(shop, four) == {
        "failed": JobStatus.FAILED,
        "succeeded": JobStatus.SUCCEEDED,
        "queued": JobStatus.ABORTED,
        "scheduled": JobStatus.ABORTED,
    }
    assert LogEntry.objects.count() == 2
    result = shop.app.job(four["queued"]).result_sync()
    assert result is not None and result.aborted and result.value == "aborted"


def test_delete_from_the_list(boss: Client, shop: Shop, four: dict[str, str]) -> None:
    response = confirm(boss, choose(boss, "delete_selected", list(four.values())))
    assert told(response) == ["Deleted: 4."]
    assert set(states(shop, four).values()) == {JobStatus.NOT_FOUND}
    assert {entry.action_flag for entry in LogEntry.objects.all()} == {DELETION}


def test_a_running_job_is_told_to_stop_and_not_deleted(boss: Client, shop: Shop) -> None:
    """Whoever runs it must let go of it first."""
    id = shop.add.enqueue_sync(1).id
    keys, store = shop.app.broker.keys, shop.app.broker.store
    store.run(verbs.register(keys, "a" * 32, 30_000, {}))
    assert store.run(verbs.claim(keys, "a" * 32, 1, 30_000, 1, [("default", 1)])).jobs
    assert job(id).status is JobStatus.RUNNING
    response = boss.get(f"{LIST}{id}/delete/", follow=True)
    assert told(response) == ["Nothing was done: the job is running; abort it first."]
    assert "deletelink" not in boss.get(f"{LIST}{id}/change/").content.decode()
    response = boss.post(LIST + "_do/delete/", {"jobs": json.dumps([[shop.app.queue_name, id]])}, follow=True)
    assert told(response) == ["Skipped: 1× is running; abort it first."]
    response = confirm(boss, boss.get(f"{LIST}{id}/abort/"))
    assert told(response) == ["Aborted or told to stop: 1."]
    assert response.redirect_chain[-1][0].endswith(f"{id}/change/")
    assert told(confirm(boss, boss.get(f"{LIST}{id}/abort/"))) == [
        "Skipped: 1× had ended, or was told to stop before."
    ]


def test_from_the_page_of_a_job(boss: Client, shop: Shop, four: dict[str, str]) -> None:
    """Links that ask, without JavaScript; the filters of the list come along."""
    text = boss.get(f"{LIST}{four['failed']}/change/?_changelist_filters=state%3Dfailed").content.decode()
    assert f'{LIST}{four["failed"]}/again/?_changelist_filters=state%3Dfailed"' in text
    asked = boss.get(f"{LIST}{four['failed']}/retry/?_changelist_filters=state%3Dfailed")
    response = confirm(boss, asked)
    assert response.redirect_chain[-1][0] == (
        f"{LIST}{four['failed']}/change/?_changelist_filters=state%3Dfailed"
    )
    response = confirm(boss, boss.get(f"{LIST}{four['succeeded']}/delete/"))
    assert response.redirect_chain[-1][0] == LIST
    response = boss.get(f"{LIST}{four['queued']}/retry/", follow=True)
    assert told(response) == ["Nothing was done: the job is waiting or running."]


def test_what_changed_since_the_question(boss: Client, shop: Shop, four: dict[str, str], work: Work) -> None:
    """The page that asks may be old: what no longer fits is skipped, and said."""
    asked = choose(boss, "abort_selected", [four["queued"], four["scheduled"]])
    assert shop.app.job(four["scheduled"]).delete_sync()
    work()
    response = confirm(boss, asked)
    assert told(response) == ["Skipped: 1× has ended; 1× is gone."]


def test_nothing_to_do(boss: Client, shop: Shop, four: dict[str, str]) -> None:
    response = boss.post(
        LIST, {"action": "abort_selected", "_selected_action": [four["failed"]]}, follow=True
    )
    assert told(response) == ["Nothing to do: each selected job has ended."]


def test_a_whole_filter(boss: Client, shop: Shop) -> None:
    """'Select all' takes what is on other pages, too; what is more than one action takes: test_bulk.py."""
    shop.app.enqueue_many_sync(shop.add.prepare(n) for n in range(70))
    asked = choose(boss, "abort_selected", ["x"], select_across="1")
    assert asked.context["fitting"] == 70 and not asked.context["left"]
    start = time.perf_counter()
    response = confirm(boss, asked)
    assert told(response) == ["Aborted or told to stop: 70."] and time.perf_counter() - start < 2
    assert LogEntry.objects.count() == 70


def test_only_posts_change_anything(boss: Client, shop: Shop, four: dict[str, str]) -> None:
    """S7: 405 for a GET, 403 without a token, 400 for what is no list of jobs, 404 for what is no action."""
    assert boss.get(LIST + "_do/abort/").status_code == 405
    pairs = json.dumps([[shop.app.queue_name, four["queued"]]])
    strict = Client(enforce_csrf_checks=True)
    strict.cookies = boss.cookies
    assert strict.post(LIST + "_do/abort/", {"jobs": pairs}).status_code == 403
    for bad in (
        "",
        "x",
        "[]",
        "[1]",
        '{"a": 1}',
        '[["q", 1]]',
        "[" * 10_000,
        json.dumps([["q", "i"]] * 1_001),
    ):
        assert boss.post(LIST + "_do/abort/", {"jobs": bad}).status_code == 400
    assert boss.post(LIST + "_do/explode/", {"jobs": pairs}).status_code == 404
    assert states(shop, four)["queued"] is JobStatus.QUEUED
    response = boss.post(LIST + "_do/abort/", {"jobs": '[["elsewhere", "x"]]'}, follow=True)
    assert told(response) == ["Skipped: 1× is gone."]


def test_a_slot_that_is_taken(boss: Client, shop: Shop, work: Work) -> None:
    """C7: an identical job waits already, so that this one is not run again beside it."""

    @shop.app.task(name="shop.once", unique=True, max_retries=0)
    async def once() -> None:
        raise ValueError

    first = once.enqueue_sync()
    work()
    assert once.enqueue_sync().created
    response = confirm(boss, boss.get(f"{LIST}{first.id}/retry/"))
    assert told(response) == ["Skipped: 1× an identical job waits or runs (unique)."]
    assert not LogEntry.objects.exists()


def test_history(boss: Client, shop: Shop, four: dict[str, str]) -> None:
    confirm(boss, boss.get(f"{LIST}{four['queued']}/abort/"))
    text = boss.get(f"{LIST}{four['queued']}/history/").content.decode()
    assert "Aborted." in text
