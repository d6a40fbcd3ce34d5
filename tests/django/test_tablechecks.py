"""The checks of the tables: silent where nothing needs them, and without a database unless asked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.core.checks import run_checks
from django.db import connection, connections
from django.db.utils import load_backend

from ardiq import Ardiq
from ardiq.models import Once, Outbox

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def bare() -> Any:
    """A database without the tables."""
    with connection.schema_editor() as editor:
        editor.delete_model(Outbox)
        editor.delete_model(Once)
    yield
    with connection.schema_editor() as editor:
        editor.create_model(Outbox)
        editor.create_model(Once)


def found(**kwargs: Any) -> list[tuple[str, str]]:
    return [
        (str(one.id), one.msg + str(one.hint))
        for one in run_checks(**kwargs)
        if str(one.id) in ("ardiq.E019", "ardiq.W002", "ardiq.W003")
    ]


@pytest.fixture
def quiet(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Only the queues that a test makes."""
    settings.ARDIQ = {"default": {}}
    made: list[Ardiq] = []
    monkeypatch.setattr("ardiq.owners.every", lambda: made)
    return made


def test_tables_that_are_missing(bare: None, quiet: list[Ardiq], queue_name: str, settings: Any) -> None:
    """D4, D5: named with what needs them and the way out, under --deploy and for a database that is named."""
    assert found(include_deployment_checks=True, databases=["default"]) == []
    app = Ardiq(queue_name)
    quiet.append(app)
    app.task(name="effect", once=True)(lambda: None)
    assert found() == []
    for kwargs in ({"include_deployment_checks": True}, {"databases": ["default"]}):
        ((id, text),) = found(**kwargs)
        assert id == "ardiq.W002" and "the task effect (once)" in text and "ardiq_outbox, ardiq_once" in text
        assert text.endswith("Run manage.py migrate ardiq --database default")
    settings.ARDIQ = {"default": {"DURABLE": True}}
    assert "DURABLE of the queue 'default'" in found(databases=["default"])[0][1]


def test_tables_that_are_there(quiet: list[Ardiq], settings: Any) -> None:
    """D4: nothing to say."""
    settings.ARDIQ = {"default": {"DURABLE": True}}
    assert found(include_deployment_checks=True, databases=["default"]) == []


def test_a_database_that_there_is_not(quiet: list[Ardiq], queue_name: str, settings: Any) -> None:
    """D4, D5: the alias of once=... may be misspelt, or there may be no database at all; asks none."""
    app = Ardiq(queue_name)
    quiet.append(app)
    app.task(name="effect", once="nowhere")(lambda: None)
    for deploy in (False, True):
        ((id, text),) = found(include_deployment_checks=deploy)
        assert id == "ardiq.E019" and "the task effect (once) needs the database 'nowhere'" in text
        assert "(default)" in text
    settings.ARDIQ = {"default": {"DURABLE": True}}
    assert len(found()) == 1


def test_a_database_that_cannot_be_asked(quiet: list[Ardiq], queue_name: str, tmp_path: Path) -> None:
    """D5: it does not run, or the file cannot be opened."""
    app = Ardiq(queue_name)
    quiet.append(app)
    app.task(name="effect", once="far")(lambda: None)
    far = connections["default"].copy("far")
    far.settings_dict.update(ENGINE="django.db.backends.sqlite3", NAME=str(tmp_path / "no" / "file"))
    connections["far"] = load_backend("django.db.backends.sqlite3").DatabaseWrapper(far.settings_dict, "far")
    connections.settings["far"] = far.settings_dict
    try:
        ((id, text),) = found(include_deployment_checks=True)
        assert id == "ardiq.W003" and "far" in text
        assert found() == []
    finally:
        del connections["far"]
        del connections.settings["far"]
