"""The form by which people enqueue: which tasks, fields from their signatures, errors where they belong."""

from __future__ import annotations

import uuid
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum
from typing import Any, Literal

import pytest
from django.contrib.admin.models import ADDITION, LogEntry
from django.test import Client
from pytest_django.fixtures import Settings

from ardiq import JobStatus
from tests.admin.conftest import CARD, LIST, Shop, SignIn, page, told

ADD = f"{LIST}add/"


class Size(Enum):
    SMALL = "s"
    LARGE = "l"


@pytest.fixture
def form(shop: Shop) -> str:
    """The address of the form of a task that takes all kinds of things."""

    @shop.app.task(name="shop.report", admin_enqueue=True)
    def report(
        day: date,
        count: int,
        size: Size = Size.SMALL,
        kind: Literal["pdf", "csv"] = "pdf",
        price: Decimal | None = None,
        at: datetime | None = None,
        key: uuid.UUID | None = None,
        mail: bool = False,
        title: str = "none",
        ratio: float = 1.5,
        data: Any = None,
        *more: int,
        card: str = "",
        **rest: Any,
    ) -> None:
        """Make a report.

        With pages.
        """

    return f"{ADD}?task={shop.app.queue_name}/shop.report"


def call(shop: Shop, response: Any) -> dict[str, Any]:
    """The arguments of the job that a form has made."""
    assert response.status_code == 302, response.context["form"].errors
    id = response.headers["Location"].split("/")[-3]
    info = shop.app.job(id).info_sync()
    assert info is not None
    return {"args": info.args, **info.kwargs}


def test_only_marked_tasks_are_offered(boss: Client, shop: Shop, form: str, settings: Settings) -> None:
    """Unless the queue offers all; an address made up leads nowhere."""
    text = boss.get(ADD).content.decode()
    assert "shop.report" in text and "Make a report." in text and "shop.add" not in text
    hidden = f"{ADD}?task={shop.app.queue_name}/shop.add"
    assert boss.get(hidden).status_code == boss.post(hidden, {"arg_a": "1"}).status_code == 404
    settings.ARDIQ = {name: {**given, "ADMIN_ENQUEUE": "all"} for name, given in settings.ARDIQ.items()}
    assert "shop.add" in boss.get(ADD).content.decode() and boss.get(hidden).status_code == 200


def test_values_have_the_types_of_the_hints(boss: Client, shop: Shop, form: str) -> None:
    """What is left empty and has a default is left out; values of enums travel, not their members."""
    key = uuid.uuid4()
    given = {
        "arg_day": "2026-11-30", "arg_count": "3", "arg_size": "1", "arg_kind": "1", "arg_price": "1.50",
        "arg_at": "2026-11-30T10:00:00", "arg_key": str(key), "arg_mail": "on", "arg_ratio": "2.5",
        "arg_data": '{"a": [1, null]}', "arg_rest": '{"extra": true}', "arg_title": "  x ",
    }  # fmt: skip
    found = call(shop, boss.post(form, given))
    assert found == {
        "args": [], "day": date(2026, 11, 30), "count": 3, "size": "l", "kind": "csv",
        "price": Decimal("1.50"),
        "at": found["at"], "key": key, "mail": True, "ratio": 2.5, "data": {"a": [1, None]}, "extra": True,
        "title": "  x ",
    }  # fmt: skip
    assert isinstance(found["at"], datetime) and found["at"].astimezone(UTC).year == 2026
    short = call(shop, boss.post(form, {"arg_day": "2026-11-30", "arg_count": "3"}))
    assert short == {"args": [], "day": date(2026, 11, 30), "count": 3, "mail": False}
    entry = LogEntry.objects.latest("pk")
    assert entry.action_flag == ADDITION and entry.get_change_message() == "Enqueued by the form."


def test_errors_stand_at_their_field(boss: Client, shop: Shop, form: str) -> None:
    """Nothing is enqueued."""
    given = {
        "arg_day": "soon",
        "arg_count": "many",
        "arg_data": "{",
        "arg_rest": "[1]",
        "delay": "-1",
        "arg_key": "x",
    }
    response = boss.post(form, given)
    assert set(response.context["form"].errors) == {
        "arg_day", "arg_count", "arg_data", "arg_rest", "delay", "arg_key",
    }  # fmt: skip
    twice = {"arg_day": "2026-11-30", "arg_count": "1", "arg_rest": '{"count": 2}'}
    clash = boss.post(form, {**twice, "task_id": "a{b"})
    assert clash.status_code == 200 and clash.context["form"].non_field_errors()
    both = {"arg_day": "2026-11-30", "arg_count": "1", "delay": "5", "run_at": "2036-01-01T10:00"}
    assert "a call has one time" in str(boss.post(form, both).context["form"].errors)
    assert "No jobs yet" in boss.get(LIST).content.decode() and not LogEntry.objects.exists()


def test_options(boss: Client, shop: Shop, form: str) -> None:
    given = {"arg_day": "2026-11-30", "arg_count": "1", "lane": "high", "delay": "60", "expire": "90",
             "task_id": "mine"}  # fmt: skip
    response = boss.post(form, given, follow=True)
    assert told(response) == ["The job is enqueued."]
    info = shop.app.job("mine").info_sync()
    assert info is not None and info.lane == "high" and info.status is JobStatus.SCHEDULED
    assert info.expires_at == info.enqueue_time + 90_000
    assert told(boss.post(form, given, follow=True)) == ["There is such a job already: nothing was enqueued."]
    assert LogEntry.objects.count() == 1


def test_duplicate(boss: Client, sign_in: SignIn, shop: Shop, form: str) -> None:
    """S8: filled in with the call of a job, without what is masked; for who may see arguments."""
    report = shop.app.tasks["shop.report"]
    made = report.enqueue_sync(date(2026, 11, 30), 7, size="l", data={"a": 1}, card=CARD)
    text = page(boss, made.id)
    assert f"{ADD}?from={made.id}" in text
    response = boss.get(f"{ADD}?from={made.id}&queue={shop.app.queue_name}")
    text = response.content.decode()
    assert 'value="2026-11-30"' in text and 'value="7"' in text and "&quot;a&quot;: 1" in text
    assert 'value="1" selected' in text and CARD not in text and "because it is masked: card" in text
    assert sign_in("view_job", "add_job").get(f"{ADD}?from={made.id}").status_code == 403
    assert "Duplicate" not in page(sign_in("view_job", "view_job_payload"), made.id)


def test_without_marked_tasks_the_page_says_how(boss: Client, shop: Shop) -> None:
    assert "@ardiq.task(admin_enqueue=True)" in boss.get(ADD).content.decode()


def test_who_may(sign_in: SignIn, shop: Shop, form: str) -> None:
    """S7: seeing jobs is not enough, and adding without seeing neither."""
    given = {"arg_day": "2026-11-30", "arg_count": "1"}
    for granted in (("view_job",), ("add_job",), ()):
        client = sign_in(*granted)
        assert client.get(form).status_code == client.post(form, given).status_code == 403
    assert sign_in("view_job", "add_job").post(form, given).status_code == 302
