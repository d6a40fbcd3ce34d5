"""System checks of the tables that durable jobs and tasks which run once need.

All but the first ask a database, and so only when somebody names it (``check --database default``,
``migrate``), or with ``check --deploy``.

====  ==========================================================================
E019  a task with once=... or durable jobs need a database that DATABASES lacks
W002  durable jobs or tasks with once=... lack their tables in a database
W003  a database that must have those tables cannot be asked
====  ==========================================================================
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from django.apps import AppConfig
from django.core.checks import CheckMessage, Error, Tags, Warning, register
from django.db import DEFAULT_DB_ALIAS, connections

from ardiq import conf, owners


def needed() -> dict[str, str]:
    """alias -> what needs the tables there, as far as this process knows."""
    found: dict[str, str] = {}
    queues = [] if conf.complaints() else conf.aliases()
    for alias in queues:
        if conf.options(alias).durable:
            found.setdefault(DEFAULT_DB_ALIAS, f"DURABLE of the queue {alias!r}")
    for owner in owners.every():
        for name in owner.registry:
            definition = owner.registry[name]
            if definition.once:
                using = DEFAULT_DB_ALIAS if definition.once is True else definition.once
                found.setdefault(using, f"the task {name} (once)")
            if definition.durable:
                found.setdefault(DEFAULT_DB_ALIAS, f"the task {name} (durable)")
    return found


@register("ardiq")
def check_databases(app_configs: Sequence[AppConfig] | None = None, **kwargs: object) -> list[CheckMessage]:
    """An error for each database that something needs and that there is not; asks none."""
    return [_no_database(alias, what) for alias, what in needed().items() if not _is_there(alias)]


@register(Tags.database)
def check_tables(
    app_configs: Sequence[AppConfig] | None = None,
    databases: Iterable[str] | None = None,
    **kwargs: object,
) -> list[CheckMessage]:
    """A warning for each named database that lacks tables which something needs."""
    wanted = needed()
    return [
        found
        for alias in databases or ()
        if alias in wanted and _is_there(alias)
        for found in _look(alias, wanted[alias])
    ]


@register("ardiq", deploy=True)
def check_tables_for_deployment(
    app_configs: Sequence[AppConfig] | None = None, **kwargs: object
) -> list[CheckMessage]:
    """The same for all databases, under ``--deploy``."""
    return [found for alias, what in needed().items() if _is_there(alias) for found in _look(alias, what)]


def _is_there(alias: str) -> bool:
    # Without DATABASES, Django's default is one that cannot do anything.
    return alias in connections and not connections.settings[alias]["ENGINE"].endswith(".dummy")


def _no_database(alias: str, what: str) -> CheckMessage:
    known = ", ".join(one for one in connections if _is_there(one)) or "none"
    return Error(
        f"{what} needs the database {alias!r}, and DATABASES does not have it.",
        hint=f"Name one that it has ({known}), or add it there.",
        id="ardiq.E019",
    )


def _look(alias: str, what: str) -> list[CheckMessage]:
    from ardiq.tables import Once, Outbox

    try:
        tables: Any = connections[alias].introspection.table_names()
    except Exception as error:
        return [
            Warning(
                f"{what} needs tables in the database {alias!r}, which cannot be asked: {error}",
                hint="Let it run, and this host reach it, when deployments are checked.",
                id="ardiq.W003",
            )
        ]
    missing = [table for table in (Outbox._meta.db_table, Once._meta.db_table) if table not in tables]
    if not missing:
        return []
    return [
        Warning(
            f"{what} needs tables that the database {alias!r} does not have: {', '.join(missing)}.",
            hint=f"Run manage.py migrate ardiq --database {alias}",
            id="ardiq.W002",
        )
    ]
