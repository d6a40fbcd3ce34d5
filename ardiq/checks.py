"""System checks of the ARDIQ setting: ``ardiq.E0xx`` as listed in ``core/rules.py``; never the network.

Those of databases are in tablechecks.py, those that ask the servers in serverchecks.py, those of TASKS in
backend/checks.py. W006 to W008 only under ``--deploy``.

====  ==========================================================================
W001  REDIS_URL is ``embedded://`` while DEBUG is off
W005  SERIALIZER is set and SIGNING is off
W006  SIGNING_KEY is short, or one that startproject makes
W007  LEASE_MS is so short that a pause of a worker costs it
W008  results are kept for ever
W009  REDIS_URL is ``fake://`` outside of tests
====  ==========================================================================
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from django.apps import AppConfig
from django.conf import settings
from django.core import mail
from django.core.checks import CheckMessage, Error, Warning, register

from ardiq import conf
from ardiq.core.options import Options

KEY_LENGTH, KEY_VARIETY = 50, 5  # characters
LEASE_MS = 5_000


@register("ardiq")
def check_settings(app_configs: Sequence[AppConfig] | None = None, **kwargs: object) -> list[CheckMessage]:
    """One Error per complaint about the ARDIQ setting; warnings only once it is right."""
    found = conf.complaints()
    if found:
        return [Error(wrong.message, hint=wrong.hint, id=f"ardiq.{wrong.code}") for wrong in found]
    return [doubt for alias in conf.aliases() for doubt in _doubts(conf.options(alias))]


@register("ardiq", deploy=True)
def check_settings_for_deployment(
    app_configs: Sequence[AppConfig] | None = None, **kwargs: object
) -> list[CheckMessage]:
    """Warnings of what is fine at a desk."""
    if conf.complaints():
        return []
    return [doubt for alias in conf.aliases() for doubt in _doubts_of_deployment(conf.options(alias))]


def _doubt(id: str, options: Options, option: str, what: str, hint: str) -> CheckMessage:
    return Warning(f"ARDIQ[{options.queue!r}][{option!r}] {what}.", hint=hint, id=f"ardiq.{id}")


def _doubts(options: Options) -> Iterator[CheckMessage]:
    if options.redis_url.startswith("embedded:") and not settings.DEBUG:
        what = "starts a server of its own (embedded://) while DEBUG is off"
        hint = "Run a Redis or Valkey server in production and name it in REDIS_URL."
        yield _doubt("W001", options, "REDIS_URL", what, hint)
    if options.redis_url.startswith("fake:") and not hasattr(mail, "outbox"):  # which tests leave there
        what = "is fake://, which lives inside one process: no worker sees its jobs"
        hint = "Keep fake:// for tests; use embedded:// for development, a server in production."
        yield _doubt("W009", options, "REDIS_URL", what, hint)
    if options.serializer is not None and not options.signing:
        what = "is set while SIGNING is off, so that whoever can write to Redis chooses what it reads"
        hint = "Leave SIGNING on, above all with a format that can run code, such as pickle."
        yield _doubt("W005", options, "SERIALIZER", what, hint)


def _doubts_of_deployment(options: Options) -> Iterator[CheckMessage]:
    if options.signing and options.signing_key is not None and any(map(_is_weak, conf.signing_keys(options))):
        what = f"has a key of less than {KEY_LENGTH} characters, of few different ones, or of startproject"
        hint = "Make one: django.core.management.utils.get_random_secret_key()."
        yield _doubt("W006", options, "SIGNING_KEY", what, hint)
    if options.lease_ms < LEASE_MS:
        what = f"is {options.lease_ms:,}: a worker that stands still for so long loses its jobs to others"
        hint = f"Give at least {LEASE_MS:,}; a host that is moved or swaps stands still for seconds."
        yield _doubt("W007", options, "LEASE_MS", what, hint)
    if options.result_ttl_ms < 0:
        what = "is negative, so that each result stays in Redis until somebody deletes it"
        hint = "Give a time, and -1 to the tasks whose results must stay."
        yield _doubt("W008", options, "RESULT_TTL_MS", what, hint)


def _is_weak(key: bytes) -> bool:
    """By the rules that Django has for SECRET_KEY."""
    return len(key) < KEY_LENGTH or len(set(key)) < KEY_VARIETY or key.startswith(b"django-insecure-")
