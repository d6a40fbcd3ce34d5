"""What people may see: values as short text, with passwords masked."""

from __future__ import annotations

import re
from collections.abc import Mapping

MASK = "***"
SECRET = re.compile(r"pass|secret|token|credential|private|api_?key", re.IGNORECASE)
_QUERY_SECRET = re.compile(r"([?&][^=&]*(?:pass|secret|token)[^=&]*=)[^&]*", re.IGNORECASE)


def safe_url(url: str) -> str:
    """The URL without its password, for logs, banners and error messages.

    Everything up to the *last* @ counts as user and password: a password that somebody forgot to
    quote may hold any character, and showing less of an odd URL beats showing half a password.
    """
    scheme, separator, rest = url.partition("://")
    if not separator:
        return MASK if "@" in url else url
    userinfo, at, place = rest.rpartition("@")
    user, colon, _ = userinfo.partition(":")
    shown = f"{user}:{MASK}@" if colon else f"{user}{at}"
    return _QUERY_SECRET.sub(rf"\1{MASK}", f"{scheme}://{shown}{place}")


def masked(value: object) -> object:
    """A copy of nested options in which the values of secret-sounding keys are masked."""
    if isinstance(value, Mapping):
        return {
            key: MASK if isinstance(key, str) and SECRET.search(key) and item is not None else masked(item)
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [masked(item) for item in value]
    if isinstance(value, tuple):
        return tuple(masked(item) for item in value)
    return safe_url(value) if isinstance(value, str) and "://" in value else value


def shown(value: object, limit: int = 80) -> str:
    """``repr`` for messages: at most ``limit`` characters, and never an exception of its own."""
    try:
        text = repr(value)
    except Exception:
        text = f"<{type(value).__name__}, whose repr fails>"
    return text if len(text) <= limit else f"{text[: limit - 1]}…"
