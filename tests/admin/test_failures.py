"""Groups of failures on the dashboard, run again together by who may do that."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.http import HttpRequest
from django.test import Client

from ardiq import JobStatus
from ardiq.admin import JobAdmin
from ardiq.adminui import snapshot
from tests.admin.conftest import LIST, Shop, SignIn, Work, told
from tests.admin.test_actions import confirm

PAGE = "/admin/ardiq/dashboard/"
Made = dict[str, list[str]]
"""Name of an error -> the jobs that failed with it."""


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each look reads anew."""
    monkeypatch.setattr(snapshot, "KEPT", -1.0)


@pytest.fixture
def made(shop: Shop, work: Work) -> Made:
    """One task that fails with two errors."""

    @shop.app.task(name="shop.pay", max_retries=0)
    def pay(away: bool) -> None:
        if away:
            raise OSError("the bank is away")
        raise ValueError("declined")

    made = {
        "ValueError": [pay.enqueue_sync(False).id for _ in range(5)],
        "OSError": [pay.enqueue_sync(True).id for _ in range(2)],
    }
    work()
    return made


def address(client: Client, error: str) -> str:
    """Where the dashboard leads to for a group, '' when it offers nothing."""
    response = client.get(PAGE)
    (found,) = [one["retry"] for one in response.context["failures"] if one["type"].endswith(error)]
    assert (f'href="{found}">Retry all…</a>' in response.content.decode()) is bool(found)
    return str(found)


def states(shop: Shop, ids: list[str]) -> Counter[JobStatus]:
    return Counter(shop.app.job(id).status_sync() for id in ids)


def test_one_error_is_retried_and_the_other_is_not(boss: Client, shop: Shop, made: Made) -> None:
    """ADMIN 5.2: asked first, with the number of its jobs; logged for each; back to the dashboard."""
    assert len(boss.get(PAGE).context["failures"]) == 2
    asked = boss.get(address(boss, "ValueError"))
    assert (asked.context["fitting"], asked.context["left"]) == (5, 0)
    assert asked.context["cancel_url"] == PAGE and asked.context["paced"]
    assert states(shop, made["ValueError"]) == {JobStatus.FAILED: 5}, "asking changes nothing"
    response = confirm(boss, asked)
    assert told(response) == ["Queued again: 5."] and response.redirect_chain[-1][0] == PAGE
    assert states(shop, made["ValueError"]) == {JobStatus.QUEUED: 5}
    assert states(shop, made["OSError"]) == {JobStatus.FAILED: 2}
    assert {entry.object_id for entry in LogEntry.objects.all()} == set(made["ValueError"])


def test_a_group_that_is_gone(boss: Client, sign_in: SignIn, shop: Shop, made: Made) -> None:
    """The dashboard may be old: a message, and the way back to where the user may be."""
    where = address(boss, "OSError")
    assert told(confirm(boss, boss.get(where))) == ["Queued again: 2."]
    for client, back in ((boss, PAGE), (sign_in("view_job", "retry_job"), LIST)):
        response = client.get(where, follow=True)
        assert response.redirect_chain[-1][0] == back
        assert told(response) == ["None of these failures is left: their jobs run again, or are gone."]


def test_more_than_one_action_takes(
    boss: Client, shop: Shop, made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R9: no more are read than that, a piece of a script each; how many are left is told."""
    monkeypatch.setattr("ardiq.adminui.doing.MOST", 3)
    monkeypatch.setattr("ardiq.adminui.doing.CHUNK", 2)
    asked = boss.get(address(boss, "ValueError"))
    assert (asked.context["fitting"], asked.context["left"]) == (3, 2)
    assert "2 more jobs are selected than one action takes" in asked.content.decode()
    assert told(confirm(boss, asked)) == ["Queued again: 3."]
    assert states(shop, made["ValueError"]) == {JobStatus.QUEUED: 3, JobStatus.FAILED: 2}


def test_who_may(
    boss: Client, sign_in: SignIn, shop: Shop, made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S7: without the permission to retry there is no link, and the address asks nothing; nor does it about a
    queue that is hidden from the user, or that there is not."""
    where = address(boss, "ValueError")
    assert address(sign_in("view_dashboard", "view_job", "retry_job"), "ValueError") == where
    assert address(sign_in("view_dashboard", "view_job", "abort_job"), "ValueError") == ""
    for granted in ((), ("view_job",), ("retry_job",), ("view_dashboard", "view_job", "abort_job")):
        client = sign_in(*granted)
        assert client.get(where).status_code == client.post(where).status_code == 403, granted
    assert boss.get(f"{LIST}_group/elsewhere/{'0' * 12}/").status_code == 403

    def may(own: Any, request: HttpRequest, queue: str) -> bool:
        return queue != shop.app.queue_name

    monkeypatch.setattr(JobAdmin, "has_queue_permission", may)
    assert boss.get(where).status_code == 403
    assert states(shop, made["ValueError"]) == {JobStatus.FAILED: 5}
