"""The reference says what the code says: settings, options, names, checks, log fields, keys, flags."""

from __future__ import annotations

import configparser
import dataclasses
import inspect
import re
from pathlib import Path
from typing import Any

import pytest

import ardiq
from ardiq import checks, errors, serverchecks, tablechecks
from ardiq.core import rules
from ardiq.core.events import Event
from ardiq.core.options import Options
from ardiq.core.rules import RULES
from ardiq.management.commands import (
    ardiq_check,
    ardiq_health,
    ardiq_jobs,
    ardiq_queues,
    ardiq_schedules,
    ardiq_server,
    ardiq_status,
    ardiq_workers,
)
from ardiq.management.commands.ardiq_worker import Command
from ardiq.models import Dashboard, Job, Outbox, Queue, Schedule, Worker
from ardiq.overrides import CallOptions
from ardiq.store import findings, keys
from ardiq.worker import log
from tests.docs.pages import ROOT, code, rows


def names(page: str, first: str, column: int = 0) -> list[str]:
    """Every name in backticks of one column."""
    return [name for row in rows(page, first) for name in re.findall(r"`([^`]+)`", row[column])]


def spelt(value: object) -> str:
    return f"{value:_}" if type(value) is int else repr(value)


def test_settings_name_every_option_with_its_default_and_its_rule() -> None:
    defaults = Options()
    wanted = [
        [
            option.upper(),
            spelt(getattr(defaults, option)),
            str(rule.fault(object())).removeprefix("it must be "),
        ]
        for option, rule in RULES.items()
    ]
    found = [[code(row[0]), code(row[1]), row[2]] for row in rows("reference/settings.md", "Setting")]
    assert found == wanted


def test_settings_give_their_unit() -> None:
    for setting, _, _, meaning in rows("reference/settings.md", "Setting"):
        if "_MS" in setting:
            assert "(ms)" in meaning, setting
        if "_BYTES" in setting:
            assert "bytes" in meaning, setting


def test_options_of_tasks() -> None:
    taken = set(inspect.signature(ardiq.Ardiq._define).parameters) - {"self", "fn"}
    assert set(names("reference/tasks.md", "Option")) == taken


def test_options_of_calls() -> None:
    taken = {field.name for field in dataclasses.fields(CallOptions)} | {"delay", "schedule", "expire"}
    found = {name for row in rows("how-to/enqueue.md", "Option") for name in re.findall(r"`(\w+)`", row[0])}
    assert taken <= found, taken - found


def test_public_names() -> None:
    assert set(names("reference/api.md", "Name")) == set(ardiq.__all__)


@pytest.mark.parametrize("kind", [ardiq.Ardiq, ardiq.Job])
def test_members(kind: type) -> None:
    listed = set(names("reference/api.md", "Member"))
    public = {name for name in vars(kind) if not name.startswith("_")}
    internal = {"broker", "offers", "stopped_by", "targets"}
    assert public - internal <= listed, public - internal - listed


def test_members_that_are_listed_exist() -> None:
    on_instances = set(vars(ardiq.Ardiq("docs-reference"))) | {"created", "id"}
    known = set(dir(ardiq.Ardiq)) | set(dir(ardiq.Job)) | on_instances
    listed = {name for row in rows("reference/api.md", "Member") for name in re.findall(r"`(\w+)`", row[0])}
    assert listed <= known, listed - known


def test_errors() -> None:
    defined = {
        name
        for name, value in vars(errors).items()
        if isinstance(value, type)
        and issubclass(value, BaseException)
        and value.__module__ == errors.__name__
    }
    assert set(names("reference/api.md", "Error")) == defined


def test_bases_of_errors() -> None:
    for row in rows("reference/api.md", "Error"):
        for error in re.findall(r"`(\w+)`", row[0]):
            for base in re.findall(r"`(\w+)`", row[1]):
                assert base in [kind.__name__ for kind in getattr(errors, error).__mro__], f"{error}: {base}"


def test_the_last_three_rows_of_errors_have_not_the_common_base() -> None:
    told = [re.findall(r"`(\w+)`", row[0]) for row in rows("reference/api.md", "Error")]
    without = [
        [name for name in row if not issubclass(getattr(errors, name), ardiq.ArdiqError)] for row in told
    ]
    assert [row for row in without if row] == told[-3:]
    assert "all but those in\nthe last three rows" in (ROOT / "docs/reference/api.md").read_text()


@pytest.mark.parametrize("heading", ["## Ardiq\n", "## Job\n"])
def test_no_member_stands_in_a_table_twice(heading: str) -> None:
    table = (ROOT / "docs/reference/api.md").read_text().partition(heading)[2].partition("\n## ")[0]
    first = [
        name for cell in re.findall(r"^\| (`.*?) \|", table, re.M) for name in re.findall(r"`(\w+)`", cell)
    ]
    assert first
    assert {name: first.count(name) for name in first if first.count(name) > 1} == {}


def test_fields_of_results() -> None:
    listed = set(names("how-to/results.md", "`TaskResult`"))
    fields = {field.name for field in dataclasses.fields(ardiq.TaskResult)} | {"duration_ms", "aborted"}
    assert fields <= listed, fields - listed


def test_statuses() -> None:
    assert set(names("how-to/results.md", "`JobStatus`")) == {str(status) for status in ardiq.JobStatus}


def test_permissions_of_the_admin() -> None:
    defined = set()
    for model in (Dashboard, Job, Outbox, Queue, Schedule, Worker):
        options = model._meta
        defined |= {f"{action}_{options.model_name}" for action in options.default_permissions}
        defined |= {codename for codename, _ in options.permissions}
    assert set(names("how-to/admin.md", "Permission")) == defined


def test_options_of_django_tasks() -> None:
    from ardiq.backend import policy

    page = "reference/django-tasks.md"
    said = {*names(page, "Task option"), *names(page, "Task option", 1)}
    assert set(policy.NAMES) <= said


def test_cases_of_django() -> None:
    """Each of Django's tests is said to stand for by one that exists here."""
    text = "".join(path.read_text() for path in (ROOT / "tests" / "django_tasks").glob("test_*.py"))
    for _, ours, outcome in rows("reference/django-tasks.md", "Of Django"):
        tests = re.findall(r"`(\w+)`", ours)
        assert tests or outcome.startswith("not applicable: "), outcome
        assert all(f"def {name}(" in text for name in tests), ours


def test_check_ids() -> None:
    listed = {code(row[0]).removeprefix("ardiq."): row[1] for row in rows("reference/checks.md", "Id")}
    text = "\n".join(str(one.__doc__) for one in (rules, checks, tablechecks, serverchecks)).replace(
        "``", "`"
    )
    documented = dict(re.findall(r"^([EW]\d{3})  (.+)$", text, re.M))
    of_tasks = set(
        re.findall(
            r'id="ardiq\.([EW]\d{3})"', (Path(ardiq.__file__).parent / "backend/checks.py").read_text()
        )
    )
    assert documented.items() <= listed.items()
    assert set(listed) == set(documented) | of_tasks


def test_extras() -> None:
    declared = configparser.ConfigParser()
    declared.read(ROOT / "setup.cfg")
    extras = set(declared["options.extras_require"])
    assert set(names("reference/extras.md", "Extra")) == extras - {"demo", "suite", "dev"}


def test_log_fields() -> None:
    fields = set(log.fields(Event("started", "id", "name", "queue", "lane")))
    assert set(names("reference/logging.md", "Field")) == fields


def test_log_lines() -> None:
    listed = {row[0] for row in rows("reference/logging.md", "What happened")}
    assert listed == {words for _, words in log._WORDS.values()} | {"asked to be retried"}


def test_keys() -> None:
    documented = dict(re.findall(r"^``([^`]+)`` +(\w+) ", keys.__doc__ or "", re.M))
    listed = {code(row[0]): row[1] for row in rows("reference/keyspace.md", "Key")}
    assert listed == documented


def test_flags_of_the_worker() -> None:
    parser = Command().create_parser("manage.py", "ardiq_worker")
    stock = {"-h", "--help", "--version", "-v", "--verbosity", "--settings", "--pythonpath", "--traceback"}
    stock |= {"--no-color", "--force-color", "--skip-checks"}
    flags = {flag for action in parser._actions for flag in action.option_strings} - stock
    listed = {name.split()[0] for name in names("how-to/worker.md", "Option")}
    assert flags <= listed, flags - listed
    assert {name for name in listed if name.startswith("--")} <= flags


def test_flags_of_the_check() -> None:
    stock = ardiq_check.BaseCommand().create_parser("manage.py", "ardiq_check")
    parser = ardiq_check.Command().create_parser("manage.py", "ardiq_check")
    known, all_flags = (
        {flag for action in one._actions for flag in action.option_strings} for one in (stock, parser)
    )
    listed = {name.split()[0] for name in names("reference/commands.md", "Flag")}
    assert listed == all_flags - known


@pytest.mark.parametrize(
    "command", [ardiq_health, ardiq_status], ids=lambda one: one.__name__.rpartition(".")[2]
)
def test_flags_of_the_other_commands(command: Any) -> None:
    name = command.__name__.rpartition(".")[2]
    stock = ardiq_check.BaseCommand().create_parser("manage.py", name)
    parser = command.Command().create_parser("manage.py", name)
    known, all_flags = (
        {flag for action in one._actions for flag in action.option_strings} for one in (stock, parser)
    )
    listed = {told.split()[0] for told in names("reference/commands.md", f"`{name}`")}
    assert listed == all_flags - known


def test_verbs_and_flags_of_jobs() -> None:
    stock = ardiq_check.BaseCommand().create_parser("manage.py", "ardiq_jobs")
    parser = ardiq_jobs.Command().create_parser("manage.py", "ardiq_jobs")
    (verbs,) = (action for action in parser._actions if isinstance(action.choices, dict))
    assert set(verbs.choices) == {name.split()[0] for name in names("reference/commands.md", "Verb")}
    taken: dict[str, set[str]] = {}
    for verb, sub in verbs.choices.items():
        for flag in (flag for action in sub._actions for flag in action.option_strings):
            taken.setdefault(flag, set()).add(verb)
    known = {flag for action in stock._actions for flag in action.option_strings}
    flags = set(taken) - known
    listed = {
        one: row[1] for row in rows("reference/commands.md", "`ardiq_jobs`") for one in flags_in(row[0])
    }
    assert set(listed) == flags
    for flag, of in listed.items():
        if not of.startswith("all"):
            assert set(re.findall(r"`(\w+)`", of)) == taken[flag], flag


def test_verbs_and_flags_of_schedules() -> None:
    stock = ardiq_check.BaseCommand().create_parser("manage.py", "ardiq_schedules")
    parser = ardiq_schedules.Command().create_parser("manage.py", "ardiq_schedules")
    (verbs,) = (action for action in parser._actions if isinstance(action.choices, dict))
    assert set(verbs.choices) == {name.split()[0] for name in names("reference/commands.md", "Does")}
    known = {flag for action in stock._actions for flag in action.option_strings}
    listed = {name.split()[0] for name in names("reference/commands.md", "`ardiq_schedules`")}
    for sub in verbs.choices.values():
        assert {flag for action in sub._actions for flag in action.option_strings} - known == listed


@pytest.mark.parametrize(
    "command", [ardiq_queues, ardiq_workers, ardiq_server], ids=["queues", "workers", "server"]
)
def test_verbs_of_controls(command: Any, request: pytest.FixtureRequest) -> None:
    kind = request.node.callspec.id
    parser = command.Command().create_parser("manage.py", f"ardiq_{kind}")
    (verbs,) = (action for action in parser._actions if isinstance(action.choices, dict))
    listed = {name.split()[0] for row in rows("reference/commands.md", f"Verb of {kind}")
              for name in re.findall(r"`([^`]+)`", row[0])}  # fmt: skip
    assert set(verbs.choices) == listed


def flags_in(cell: str) -> list[str]:
    return [name.split()[0] for name in re.findall(r"`([^`]+)`", cell)]


def test_findings_of_the_check() -> None:
    told = {kind for kind, _, _ in findings.TEXTS.values()} | {"unreadable", "type", "unknown"}
    assert set(names("reference/commands.md", "Finding")) == told
