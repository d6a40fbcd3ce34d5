"""Which names hide their values on pages: ours, those of the task, and those of the project's own filter."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

from django.views.debug import SafeExceptionReporterFilter, get_default_exception_reporter_filter

from ardiq.core.redact import MASK, PRIVATE

_FLAGS = re.compile(r"^\(\?[aiLmsux]+\)")


@cache
def _joined(*patterns: str) -> re.Pattern[str]:
    return re.compile("|".join(patterns), re.IGNORECASE)


def own_filter() -> Any:
    """The project's own filter of error reports. None for Django's, whose words are among PRIVATE: it
    would mask every author, too."""
    found = get_default_exception_reporter_filter()
    return None if type(found) is SafeExceptionReporterFilter else found


def _scoped(pattern: re.Pattern[str]) -> str:
    """A pattern with its own flags, as a part of another one."""
    own = {"i": re.IGNORECASE, "m": re.MULTILINE, "s": re.DOTALL, "x": re.VERBOSE}
    flags = "".join(letter for letter, flag in own.items() if pattern.flags & flag)
    end = "\n" if "x" in flags else ""  # it may end in a comment
    return f"(?{flags}:{_FLAGS.sub('', pattern.pattern)}{end})"


def private_names(sensitive: tuple[str, ...]) -> re.Pattern[str]:
    """Names whose values nobody is shown: by how they sound, to us and to the project's own filter, and
    those that the task calls sensitive."""
    theirs = getattr(own_filter(), "hidden_settings", None)
    patterns = [_scoped(theirs)] if isinstance(theirs, re.Pattern) else []
    return _joined(PRIVATE.pattern, *patterns, *(rf"^{re.escape(name)}(\[\d+\])?$" for name in sensitive))


def cleansed(name: str, value: object) -> object:
    """The value as the project's own filter shows it."""
    own = own_filter()
    return value if own is None or value == MASK else own.cleanse_setting(name, value)
