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
    assert "multiple values" in str(boss.post(form, twice).context["form"].errors["arg_count"])
    clash = boss.post(form, {**twice, "arg_rest": "", "task_id": "a{b"})
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


class TestRepeating:
    """S8, R2: what the form begins with is what the job was given, or is named."""

    @pytest.fixture
    def task(self, shop: Shop) -> Any:
        @shop.app.task(name="shop.keep", admin_enqueue=True)
        def keep(first: Any, second: Any = 2, *more: Any, **rest: Any) -> None: ...

        return keep

    def again(self, client: Client, job: Any, task: str = "shop.keep") -> Any:
        response = client.get(f"{ADD}?from={job.id}")
        assert response.status_code == 200 and response.context["task"] == task
        return response

    def send(self, client: Client, job: Any, response: Any, **more: str) -> Any:
        """Send the form as it stands."""
        form = response.context["form"]
        data = {name: form[name].value() for name in form.fields}
        given = {name: value for name, value in data.items() if value not in (None, False)}
        return client.post(f"{ADD}?from={job.id}", {**given, **more})

    @pytest.mark.parametrize(
        "value",
        [
            {"user": 1, "password": "sesame"},
            [1, {"deep": [{"api_key": "sesame"}]}],
            "redis://ann:sesame@example.com:6379/0",
            ("https://ann:sesame@example.com/", 1),
        ],
    )
    def test_what_is_masked_inside(self, boss: Client, shop: Shop, task: Any, value: Any) -> None:
        """Stars in the form would be enqueued as if they were the password."""
        response = self.again(boss, task.enqueue_sync(value, 3))
        text = response.content.decode()
        assert response.context["form"].initial == {"arg_second": "3", "lane": "default"}
        assert "because it is masked: first<" in text and "sesame" not in text and "***" not in text

    def test_what_the_project_hides(self, boss: Client, shop: Shop, task: Any, settings: Settings) -> None:
        """What its REDACTOR returns is no value to begin with."""
        settings.ARDIQ = {
            name: {**given, "REDACTOR": "tests.admin.test_enqueue.without_digits"}
            for name, given in settings.ARDIQ.items()
        }
        response = self.again(boss, task.enqueue_sync("card 4711", "none"))
        text = response.content.decode()
        assert response.context["form"].initial["arg_second"] == '"none"'
        assert "because it is masked: first<" in text and "card" not in text

    def test_further_arguments(self, boss: Client, shop: Shop, task: Any) -> None:
        """Those by position and by name are there, and come out as they went in."""
        job = task.enqueue_sync(1, None, "x", [2], extra={"a": None}, flag=True)
        response = self.again(boss, job)
        assert response.context["begun"].lost == response.context["begun"].masked == []
        assert call(shop, self.send(boss, job, response)) == {
            "args": [1, None, "x", [2]], "extra": {"a": None}, "flag": True,
        }  # fmt: skip

    def test_what_is_masked_among_further_arguments(self, boss: Client, shop: Shop, task: Any) -> None:
        """A list with a gap would move what is behind it, so that all of it is left out, and named."""

        @shop.app.task(name="shop.cards", admin_enqueue=True)
        def cards(*card_numbers: Any, **rest: Any) -> None: ...

        response = self.again(boss, cards.enqueue_sync(CARD, token="sesame", size=3), "shop.cards")
        begun = response.context["begun"]
        assert begun.initial == {"arg_rest": '{"size": 3}', "lane": "default"}
        assert begun.masked == ["card_numbers[0]", "token"] and not begun.lost
        mixed = self.again(boss, task.enqueue_sync(1, 2, 3, {"password": "sesame"})).context["begun"]
        assert mixed.masked == ["more[1]"] and mixed.lost == ["more[0]"] and "arg_more" not in mixed.initial

    def test_what_no_field_can_say(self, boss: Client, shop: Shop, task: Any) -> None:
        """JSON has no tuples, sets, dates, or keys but texts."""
        job = task.enqueue_sync((1, 2), {1: "a"}, {3}, day=date(2026, 11, 30), size=1)
        response = self.again(boss, job)
        assert response.context["begun"].lost == ["day", "first", "second", "*more"]
        assert response.context["begun"].initial["arg_rest"] == '{"size": 1}'
        assert "because this form would change it: day, first, second, *more<" in response.content.decode()

    def test_what_fields_would_change(self, boss: Client, shop: Shop) -> None:
        """A type, a part of a second, an ending of a line; and None where an empty field is the default."""

        @shop.app.task(name="shop.typed", admin_enqueue=True)
        def typed(
            count: int, day: date, at: datetime, text: str, lines: str, windows: str, size: Size,
            one: Literal[1, "1"], short: str | None = "x", yes: bool = True, any: Any = 5,
        ) -> None: ...  # fmt: skip

        at = datetime(2026, 11, 30, 10, 0, 0, 5, tzinfo=UTC)
        job = typed.enqueue_sync(1.5, at, at, 7, "a\nb", "a\r\nb", "s", "1", None, 1, None)
        response = self.again(boss, job, "shop.typed")
        begun = response.context["begun"]
        assert begun.lost == ["count", "day", "at", "text", "windows", "short", "yes"]
        assert "a\nb</textarea>" in response.content.decode()
        fine = {"arg_count": "1", "arg_day": "2026-11-30", "arg_at": "2026-11-30T10:00", "arg_windows": "w"}
        found = call(shop, self.send(boss, job, response, **fine))
        assert (found["lines"], found["size"], found["one"], found["any"]) == ("a\nb", "s", "1", None)

    def test_a_call_that_has_another_signature_by_now(self, boss: Client, shop: Shop, task: Any) -> None:
        """What finds no place is named."""
        job = shop.app.ref("shop.narrow").enqueue_sync(1, 2, 3, other=4)

        @shop.app.task(name="shop.narrow", admin_enqueue=True)
        def narrow(first: int) -> None: ...

        begun = self.again(boss, job, "shop.narrow").context["begun"]
        assert begun.initial["arg_first"] == 1 and begun.lost == ["[1]", "[2]", "other"]

    def test_by_position_only(self, boss: Client, shop: Shop) -> None:
        """One that is left out keeps its place by its default; further ones are not mixed up with those."""

        @shop.app.task(name="shop.slots", admin_enqueue=True)
        def slots(a: int = 1, b: Size = Size.SMALL, c: int = 3, /, d: int = 4, *more: int) -> None: ...

        address = f"{ADD}?task={shop.app.queue_name}/shop.slots"
        assert call(shop, boss.post(address, {"arg_c": "9"})) == {"args": [1, "s", 9]}
        assert call(shop, boss.post(address, {"arg_d": "9"})) == {"args": [], "d": 9}
        assert call(shop, boss.post(address, {"arg_more": "[7]"})) == {"args": [1, "s", 3, 4, 7]}


def without_digits(name: str, value: Any) -> Any:
    """A REDACTOR."""
    return "none" if isinstance(value, str) else value
