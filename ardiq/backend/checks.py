"""System checks of a backend in TASKS; never the network."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from django.apps import apps
from django.core.checks import CheckMessage, Error, Warning

from ardiq import conf
from ardiq.backend import finding, policy
from ardiq.backend.hall import hall_of
from ardiq.core.names import did_you_mean


def complaints(alias: str, queues: Iterable[str], options: Any) -> Iterator[CheckMessage]:
    """All that is wrong with TASKS[alias]."""
    if not apps.is_installed("ardiq"):
        yield Error(
            f"TASKS[{alias!r}] is a backend of ardiq, which is not among INSTALLED_APPS.",
            hint='Add "ardiq" to INSTALLED_APPS: its worker finds the tasks there.',
            id="ardiq.E016",
        )
    if conf.complaints():
        return  # said by the checks of the ARDIQ setting
    known = conf.aliases()
    for queue in sorted(set(queues) - set(known), key=str):
        yield Error(
            f"TASKS[{alias!r}]['QUEUES'] names {queue!r}, which is no queue of the ARDIQ setting.",
            hint=f"{did_you_mean(queue, known)} Each queue of a backend is an alias in ARDIQ.",
            id="ardiq.E017",
        )
    found = list(_of_options(alias, options))
    yield from found or _of_tasks(alias)


def _of_options(alias: str, options: Any) -> Iterator[CheckMessage]:
    if not isinstance(options, Mapping):
        yield _wrong(alias, f"is a {type(options).__name__}: it must be a dict of options of tasks.")
        return
    said = dict(options)
    by_name = said.pop("tasks", {})
    yield from _of_policy(alias, "", said)
    if not isinstance(by_name, Mapping):
        yield _wrong(alias, "['tasks'] must be a dict of paths of tasks to their options.")
        return
    for path, one in by_name.items():
        if not isinstance(one, Mapping):
            yield _wrong(alias, f"['tasks'][{path!r}] must be a dict of options.")
            continue
        yield from _of_policy(alias, f"['tasks'][{path!r}]", one)
        if not isinstance(path, str) or finding.loaded(path) is None:
            yield Warning(
                f"TASKS[{alias!r}]['OPTIONS']['tasks'] names {path!r}, and no task lies there.",
                hint="Give the module and the name of the function, as in 'shop.tasks.charge'.",
                id="ardiq.W004",
            )


def _of_policy(alias: str, where: str, said: Mapping[str, Any]) -> Iterator[CheckMessage]:
    try:
        policy.normal(said)
    except (TypeError, ValueError) as error:
        yield _wrong(alias, f"{where}: {error}")


def _of_tasks(alias: str) -> Iterator[CheckMessage]:
    """Options that are well spelt may not fit: a task, or a value of theirs."""
    for path, task in finding.met().items():
        if task.backend != alias or (hall := hall_of(task.queue_name)) is None:
            continue
        try:
            hall.definition_of(task)
        except (TypeError, ValueError) as error:
            yield _wrong(alias, f" does not fit the task {path}: {error}")


def _wrong(alias: str, what: str) -> CheckMessage:
    return Error(
        f"TASKS[{alias!r}]['OPTIONS']{what}",
        hint="docs/reference/django-tasks.md lists the options.",
        id="ardiq.E018",
    )
