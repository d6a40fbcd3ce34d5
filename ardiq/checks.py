"""System checks of the ARDIQ setting: ``ardiq.E0xx`` as listed in ``core/rules.py``; never the network.

W002 and W003 are those of tablechecks.py.

====  ==========================================================================
W001  REDIS_URL is ``embedded://`` while DEBUG is off
W002  durable jobs or tasks with once=... lack their tables in a database
W003  a database that must have those tables cannot be asked
====  ==========================================================================
"""

from __future__ import annotations

from collections.abc import Sequence

from django.apps import AppConfig
from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning, register

from ardiq import conf


@register("ardiq")
def check_settings(app_configs: Sequence[AppConfig] | None = None, **kwargs: object) -> list[CheckMessage]:
    """One Error per complaint about the ARDIQ setting; warnings only once it is right."""
    found = conf.complaints()
    if found:
        return [Error(wrong.message, hint=wrong.hint, id=f"ardiq.{wrong.code}") for wrong in found]
    return [] if settings.DEBUG else [_embedded(alias) for alias in conf.aliases() if _is_embedded(alias)]


def _is_embedded(alias: str) -> bool:
    return conf.options(alias).redis_url.startswith("embedded:")


def _embedded(alias: str) -> CheckMessage:
    return Warning(
        f"ARDIQ[{alias!r}]['REDIS_URL'] starts a server of its own (embedded://) while DEBUG is off.",
        hint="Run a Redis or Valkey server in production and name it in REDIS_URL.",
        id="ardiq.W001",
    )
