"""System checks of the tables that durable jobs and tasks which run once need (W002, W003 in checks.py).

They ask a database, and so only when somebody names it (``check --database default``, ``migrate``), or with
``check --deploy``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from django.apps import AppConfig
from django.core.checks import CheckMessage, Tags, Warning, register
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


@register(Tags.database)
def check_tables(
    app_configs: Sequence[AppConfig] | None = None,
    databases: Iterable[str] | None = None,
    **kwargs: object,
) -> list[CheckMessage]:
    """A warning for each named database that lacks tables which something needs."""
    wanted = needed()
    return [found for alias in databases or () if alias in wanted for found in _look(alias, wanted[alias])]


@register("ardiq", deploy=True)
def check_tables_for_deployment(
    app_configs: Sequence[AppConfig] | None = None, **kwargs: object
) -> list[CheckMessage]:
    """The same for all databases, under ``--deploy``."""
    return [found for alias, what in needed().items() for found in _look(alias, what)]


def _look(alias: str, what: str) -> list[CheckMessage]:
    from ardiq.tables import Once, Outbox

    try:
        tables: Any = connections[alias].introspection.table_names()
    except Exception as error:
        return [
            Warning(
                f"{what} needs tables in the database {alias!r}, which cannot be asked: {error}",
                hint="Name a database of DATABASES that answers.",
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
