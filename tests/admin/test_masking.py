"""What nobody is shown: secrets by their names, by the project's filter, and by what the task says."""

from __future__ import annotations

import re
from functools import partial
from typing import Any

import pytest
from django.test import Client
from django.views.debug import SafeExceptionReporterFilter
from pytest_django.fixtures import Settings

from ardiq import Ardiq, Retry, TaskError
from ardiq.adminui import hiding
from ardiq.core.redact import PRIVATE
from tests.admin.conftest import LIST, Work, page


class Careful(SafeExceptionReporterFilter):
    """The filter of a project."""

    hidden_settings = re.compile("SHOE|PASS", re.IGNORECASE)

    def cleanse_setting(self, key: Any, value: Any) -> Any:
        return "masked by us" if value == "by value" else super().cleanse_setting(key, value)


def test_sensitive_arguments(boss: Client, app: Ardiq, work: Work) -> None:
    """S8: masked in arguments, however they are given, in results, messages and tracebacks."""

    @app.task(name="visit", max_retries=0, sensitive=("diagnosis", "notes"))
    def visit(patient: int, diagnosis: str, *notes: str) -> dict[str, str]:
        if patient == 2:
            raise ValueError(f"{diagnosis} and {notes}") from KeyError(diagnosis)
        return {"diagnosis": diagnosis, "ward": "seven", "said": f"it is {diagnosis}"}

    jobs = [
        visit.enqueue_sync(1, "gout-attack", "first-note"),
        visit.enqueue_sync(patient=1, diagnosis="gout-attack"),
        visit.enqueue_sync(2, "gout-attack", "first-note", "second-note"),
    ]
    work()
    for job in jobs:
        text = page(boss, job.id)
        assert "gout-attack" not in text and "-note" not in text and "***" in text
    assert "seven" in page(boss, jobs[0].id)
    assert "gout-attack" not in boss.get(LIST).content.decode()


def test_secrets_of_several_lines(boss: Client, app: Ardiq, work: Work) -> None:
    """S8: errors quote them with escapes, results as JSON."""
    pem = '---BEGIN---\nfirst-"line"\nsecond\\line\n'

    @app.task(name="sign", max_retries=0)
    def sign(private_key: str, fails: bool) -> str:
        if fails:
            raise KeyError(private_key)
        return private_key

    jobs = [sign.enqueue_sync(pem, fails) for fails in (True, False)]
    work()
    for job in jobs:
        text = page(boss, job.id)
        assert "BEGIN" not in text and "second" not in text and "***" in text


@pytest.mark.parametrize("kind", [Retry, partial(TaskError, "Boom")])
def test_errors_of_ours_that_tasks_raise(boss: Client, app: Ardiq, work: Work, kind: Any) -> None:
    """S8: their text, and what they were raised from, is the task's."""

    @app.task(name="visit", max_retries=0, sensitive=("diagnosis",))
    def visit(diagnosis: str) -> None:
        raise kind(f"it is {diagnosis}") from ValueError(diagnosis)

    job = visit.enqueue_sync("gout-attack")
    work()
    text = page(boss, job.id)
    assert "gout-attack" not in text and "it is ********" in text
    assert "gout-attack" not in boss.get(LIST).content.decode()


@pytest.fixture
def careful(monkeypatch: pytest.MonkeyPatch) -> None:
    """Django finds the filter of the settings once in a process."""
    monkeypatch.setattr(hiding, "get_default_exception_reporter_filter", Careful)


def test_the_filter_of_the_project(boss: Client, app: Ardiq, work: Work, careful: None) -> None:
    """S8: ``cleanse_setting`` has the last word, in arguments and results."""

    @app.task(name="give")
    def give(shoe_size: str, other: Any) -> Any:
        return other

    job = give.enqueue_sync("forty-two", {"shoes": "brown-ones", "hat": "by value"})
    work()
    text = page(boss, job.id)
    assert "forty-two" not in text and "brown-ones" not in text and "by value" not in text
    assert "hat" in text


@pytest.mark.parametrize(
    "theirs",
    [
        re.compile("SHOE|PASS"),
        re.compile("(?i)shoe|pass"),
        re.compile("(?x) SHOE  # what they wear\n | PASS  # and say", re.IGNORECASE),
        re.compile(r"(SHOE|PASS)S?_?\1?"),
    ],
)
def test_however_the_project_spells_its_pattern(
    careful: None, monkeypatch: pytest.MonkeyPatch, theirs: re.Pattern[str]
) -> None:
    """S8: with its flags and comments."""
    monkeypatch.setattr(Careful, "hidden_settings", theirs)
    private = hiding.private_names(("pin",))
    assert all(map(private.search, ("shoes", "my_SHOE", "pin", "token"))) and not private.search("hat")


@pytest.mark.parametrize("name", SafeExceptionReporterFilter.hidden_settings.pattern.split("|"))
def test_what_django_hides_is_hidden(name: str) -> None:
    """S8: its own filter adds nothing to the names that sound like secrets, but authors."""
    assert PRIVATE.search(f"my_{name.lower()}_x")


@pytest.mark.parametrize("name", ["authorization", "Proxy-Authorization", "oauth", "HTTP_AUTH", "authorise"])
def test_authorization_is_hidden(name: str) -> None:
    assert PRIVATE.search(name)


@pytest.mark.parametrize("name", ["author", "authors", "author_id", "authorId", "AUTHOR", "co_authors_2"])
def test_authors_have_names(name: str) -> None:
    assert not PRIVATE.search(name)


def redact(name: str, value: Any) -> Any:
    """What a project may have to hide, whatever it is called."""
    if name == "email" or (not name and "@" in str(value)):
        return "somebody"
    if name == "broken":
        raise RuntimeError("a redactor with a bug")
    return value


def test_the_redactor_of_a_project(boss: Client, app: Ardiq, work: Work, settings: Settings) -> None:
    """ADMIN 5.12: it has the last word on arguments and results, also where an error repeats them; one that
    raises hides."""

    @app.task(name="mail", max_retries=0)
    def mail(email: str, broken: str, subject: str) -> None:
        raise ValueError(f"no such address: {email}")

    @app.task(name="find")
    def find(subject: str) -> str:
        return f"{subject}@example.com"

    settings.ARDIQ = {name: {**one, "REDACTOR": redact} for name, one in settings.ARDIQ.items()}
    failed, good = mail.enqueue_sync("ann@example.com", "secret words", "hello"), find.enqueue_sync("bob")
    work()
    text = page(boss, failed.id) + boss.get("/admin/ardiq/job/?state=failed").content.decode()
    assert "ann@example.com" not in text and "somebody" in text and "secret words" not in text
    assert "hello" in text and "bob@example.com" not in page(boss, good.id)


@pytest.mark.parametrize("address", [None, "https://traces.example.com/{trace}/"])
def test_a_trace(boss: Client, app: Ardiq, settings: Settings, address: str | None) -> None:
    """ADMIN 5.4: the id of the trace that a job belongs to, as a link where the project says whereto."""
    app.task(name="shop.add")(lambda a: a)
    settings.ARDIQ = {name: {**one, "TRACE_URL": address} for name, one in settings.ARDIQ.items()}
    trace = "0af7651916cd43dd8448eb211c80319c"
    headers = {"traceparent": f"00-{trace}-b7ad6b7169203331-01"}
    job = app.ref("shop.add").options(headers=headers).enqueue_sync(1)
    text = page(boss, job.id)
    assert trace in text and (f'href="https://traces.example.com/{trace}/"' in text) is bool(address)
