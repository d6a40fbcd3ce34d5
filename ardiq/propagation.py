"""What PROPAGATE names, taken where a job is enqueued and put in force where it runs.

It is put into a context that ends with the job (worker/runner.py), so that nothing has to be reset.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import tzinfo
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo

from django.conf import settings
from django.utils import timezone, translation

from ardiq.core.propagate import ENQUEUED_BY, LANGUAGE, TIME_ZONE, variables
from ardiq.core.redact import shown
from ardiq.origin import inherit, origin

log = logging.getLogger("ardiq")

Encode = Callable[[bytes, object], bytes]

_UNSET = object()
_taken: ContextVar[dict[str, Any] | None] = ContextVar("ardiq_taken", default=None)
_said: set[tuple[str, str]] = set()


class Carrier:
    """One for all queues that name the same."""

    def __init__(self, names: tuple[str, ...]) -> None:
        self._language = LANGUAGE in names
        self._time_zone = TIME_ZONE in names
        self._enqueued_by = ENQUEUED_BY in names
        self._variables = variables(names)

    # -- where a job is enqueued ------------------------------------------------------------------

    def take(self) -> dict[str, Any]:
        """What is in force here and now, and is not so everywhere: a language or time zone other than that
        of settings, variables that are set."""
        taken = _taken.get()
        return self._take() if taken is None else taken

    @contextmanager
    def once(self) -> Iterator[None]:
        """While this lasts, ``take`` answers what it answers now: for very many calls."""
        token = _taken.set(self._take())
        try:
            yield
        finally:
            _taken.reset(token)

    def _take(self) -> dict[str, Any]:
        taken: dict[str, Any] = {}
        if self._language and settings.configured:
            language = translation.get_language()
            if language and language != settings.LANGUAGE_CODE:
                taken[LANGUAGE] = language
        if self._time_zone and settings.configured:
            zone = timezone.get_current_timezone()
            if zone is not timezone.get_default_timezone() and (spelt := _spelt(zone)) is not None:
                taken[TIME_ZONE] = spelt
        if self._enqueued_by and (told := origin()):
            taken[ENQUEUED_BY] = told
        for name, variable in self._variables.items():
            value = variable.get(_UNSET)
            if value is not _UNSET:
                taken[name] = value
        return taken

    def around(self, plain: Encode, full: Encode) -> Encode:
        """An encoder of plain calls that adds what there is to carry."""

        def encode(head: bytes, call: Any) -> bytes:
            taken = self.take()
            return full(head, [*call, {"context": taken}]) if taken else plain(head, call)

        return encode

    # -- where it runs ----------------------------------------------------------------------------

    def put(self, context: Mapping[str, Any]) -> None:
        """Put it in force in the context of the caller. What cannot be is left out and logged once: no job
        fails for it."""
        for name, value in context.items():
            try:
                self._put(name, value)
            except Exception as problem:
                reason = f"{type(problem).__name__}: {problem}"
                if (str(name), reason) not in _said and len(_said) < 100:
                    _said.add((str(name), reason))
                    log.warning("%s does not reach jobs here (%s).", shown(name), shown(reason, 300))

    def _put(self, name: str, value: Any) -> None:
        if name == LANGUAGE and self._language:
            if not isinstance(value, str) or not translation.check_for_language(value):
                raise ValueError(f"{shown(value)} is no language of this project")
            translation.activate(value)
        elif name == TIME_ZONE and self._time_zone:
            zone = ZoneInfo(value) if isinstance(value, str) else timezone.get_fixed_timezone(value)
            timezone.activate(zone)
        elif name == ENQUEUED_BY and self._enqueued_by:
            inherit(value)
        elif name in self._variables:
            self._variables[name].set(value)
        else:
            raise LookupError("PROPAGATE does not name it here")


def _spelt(zone: tzinfo) -> str | int | None:
    """A zone by its name, one that is a fixed offset by its minutes. None for what can be told by neither."""
    if isinstance(key := getattr(zone, "key", None), str):
        return key
    offset = zone.utcoffset(None)
    return None if offset is None else int(offset.total_seconds() // 60)


@cache
def carrier(names: tuple[str, ...]) -> Carrier:
    return Carrier(names)
