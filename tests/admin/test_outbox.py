"""The page of the outbox: rows that wait, read only, for those who may."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection

from ardiq.adminui.outbox import OutboxAdmin
from ardiq.models import Outbox
from tests.admin.conftest import SignIn

PAGE = "/admin/ardiq/outbox/"


@pytest.fixture
def row(db: None) -> Outbox:
    return Outbox.objects.create(
        id="0" * 32, queue="mails", job="the-job", task="shop.<b>send", lane="default", options=";;",
        tail=b"4242424242424242", size=16, attempts=3, error="Redis \x1b[31mis away",
    )  # fmt: skip


def test_what_waits(row: Outbox, sign_in: SignIn) -> None:
    """D4: what it is, since when, how often it was tried, the last error; never the arguments."""
    client = sign_in("view_outbox")
    for page in (PAGE, f"{PAGE}{row.pk}/change/"):
        response = client.get(page)
        assert response.status_code == 200
        text = response.content.decode()
        for word in ("the-job", "mails", "shop.&lt;b&gt;send", "Redis", "is away", "0\xa0minutes"):
            assert word in text, (page, word)
        assert "4242" not in text and "\x1b" not in text
    assert client.get(f"{PAGE}?q=the-job").content.decode().count("the-job") > 1


def test_only_those_who_may(row: Outbox, sign_in: SignIn) -> None:
    """D4: view_outbox shows it; nobody adds, changes or deletes a row here."""
    assert sign_in("view_job").get(PAGE).status_code == 403
    client = sign_in(superuser=True)
    assert client.get(f"{PAGE}add/").status_code == 403
    assert client.post(f"{PAGE}{row.pk}/delete/", {"post": "yes"}).status_code == 403
    assert Outbox.objects.count() == 1


def test_a_queue_that_is_hidden(row: Outbox, sign_in: SignIn, monkeypatch: pytest.MonkeyPatch) -> None:
    """D4: has_queue_permission hides its rows."""
    monkeypatch.setattr(OutboxAdmin, "has_queue_permission", lambda self, request, queue: queue != "mails")
    assert "the-job" not in sign_in("view_outbox").get(PAGE).content.decode()


@pytest.mark.django_db(transaction=True)
def test_without_a_table(sign_in: SignIn) -> None:
    """D4: the page says what to do, and does not fail; whoever may not see it learns nothing."""
    client: Any = sign_in("view_outbox")
    stranger: Any = sign_in("view_job")
    with connection.schema_editor() as editor:
        editor.delete_model(Outbox)
    try:
        response = client.get(PAGE, follow=True)
        pages = [client.get(f"{PAGE}abc/{name}/", follow=True).status_code for name in ("change", "history")]
        refused = [stranger.get(PAGE + name).status_code for name in ("", "abc/change/")]
    finally:
        with connection.schema_editor() as editor:
            editor.create_model(Outbox)
    assert response.status_code == 200 and "manage.py migrate ardiq" in response.content.decode()
    assert (pages, refused) == ([200, 200], [403, 403])
